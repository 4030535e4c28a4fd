package main

import (
	"fmt"
	"math/rand"
	"reflect"
	"sort"
	"strings"

	"github.com/Masterminds/sprig/v3"
)

// gen makes one template.
type gen struct {
	*rand.Rand
	vars    []string
	inRange int
	depth   int
	defined []string
}

func (g *gen) pick(options ...string) string { return options[g.Intn(len(options))] }
func (g *gen) chance(percent int) bool       { return g.Intn(100) < percent }

func (g *gen) template(family string) string {
	if family == "" {
		family = g.pick("language", "language", "printf", "sprig", "sprig", "broken")
	}
	switch family {
	case "printf":
		return g.printfs()
	case "sprig":
		return g.sprigs()
	case "broken":
		return g.breaks(g.language())
	}
	return g.language()
}

func (g *gen) language() string {
	var b strings.Builder
	for n := g.Intn(5) - 2; n > 0; n-- {
		name := g.pick("a", "b", "c")
		outer := *g
		g.vars, g.inRange, g.depth = nil, 0, 1
		b.WriteString(g.open("define \""+name+"\"") + g.list() + g.open("end") + g.pick("", "\n"))
		g.vars, g.inRange, g.depth = outer.vars, outer.inRange, outer.depth
		g.defined = append(g.defined, name)
	}
	b.WriteString(g.list())
	return b.String()
}

func (g *gen) open(inner string) string {
	left, right := "{{", "}}"
	switch g.Intn(8) {
	case 0:
		left = "{{- "
	case 1:
		right = " -}}"
	case 2:
		left, right = "{{- ", " -}}"
	case 3:
		left, right = "{{ ", " }}"
	}
	return left + inner + right
}

func (g *gen) text() string {
	return g.pick("", " ", "x", "\n", " a\n b ", "\t", "}", "}}", "é", "- ", "\r\n", "text {{/* c */}} more", "{{- /* c */ -}}")
}

func (g *gen) list() string {
	var b strings.Builder
	known := len(g.vars)
	for n := 1 + g.Intn(2); n > 0; n-- {
		b.WriteString(g.text() + g.statement())
	}
	b.WriteString(g.text())
	g.vars = g.vars[:known]
	return b.String()
}

func (g *gen) statement() string {
	g.depth++
	defer func() { g.depth-- }()
	kind := g.Intn(16)
	if g.depth > 3 {
		kind = g.Intn(6)
	}
	switch kind {
	default:
		return g.open(g.pipeline(2))
	case 3:
		name := g.pick("$x", "$y", "$z")
		text := g.open(name + g.pick(" := ", ":=") + g.pipeline(2))
		g.vars = append(g.vars, name)
		return text
	case 4:
		if len(g.vars) > 0 {
			return g.open(g.pick(g.vars...) + " = " + g.pipeline(2))
		}
		return g.open(g.value(1))
	case 5:
		if g.inRange > 0 || g.chance(5) {
			return g.open(g.pick("break", "continue"))
		}
		return g.open(g.value(1))
	case 6, 7:
		known := len(g.vars)
		text := g.open("if "+g.declaring()) + g.list()
		for g.chance(30) {
			text += g.open("else if "+g.pipeline(1)) + g.list()
		}
		if g.chance(50) {
			text += g.open("else") + g.list()
		}
		g.vars = g.vars[:known]
		return text + g.open("end")
	case 8, 9:
		known := len(g.vars)
		text := g.open("with "+g.declaring()) + g.list()
		if g.chance(20) {
			text += g.open("else with "+g.pipeline(1)) + g.list()
		}
		if g.chance(50) {
			text += g.open("else") + g.list()
		}
		g.vars = g.vars[:known]
		return text + g.open("end")
	case 10, 11, 12:
		known := len(g.vars)
		subject := g.pick(".l", ".m", ".el", ".em", ".nil", ".nested.list", "3", "$.l", "$.m", g.value(1), g.pipeline(1))
		switch g.Intn(4) {
		case 0:
			subject = "$i := " + subject
			g.vars = append(g.vars, "$i")
		case 1:
			subject = "$i, $v := " + subject
			g.vars = append(g.vars, "$i", "$v")
		case 2:
			if len(g.vars) > 1 {
				subject = g.pick(g.vars...) + ", " + g.pick(g.vars...) + " = " + subject
			}
		}
		g.inRange++
		text := g.open("range "+subject) + g.list()
		g.inRange--
		if g.chance(30) {
			text += g.open("else") + g.list()
		}
		g.vars = g.vars[:known]
		return text + g.open("end")
	case 13, 14:
		name := g.pick("a", "b", "c")
		if len(g.defined) > 0 && g.chance(90) {
			name = g.pick(g.defined...)
		}
		if g.chance(20) {
			return g.open("template \"" + name + "\"")
		}
		return g.open("template \"" + name + "\" " + g.pipeline(1))
	case 15:
		vars, inRange := g.vars, g.inRange
		g.vars, g.inRange = nil, 0
		body := g.list()
		g.vars, g.inRange = vars, inRange
		return g.open("block \"blk"+g.pick("1", "2", "3", "4")+"\" "+g.pipeline(1)) + body + g.open("end")
	}
}

func (g *gen) declaring() string {
	if g.chance(20) {
		text := "$w := " + g.pipeline(1)
		g.vars = append(g.vars, "$w")
		return text
	}
	return g.pipeline(2)
}

func (g *gen) pipeline(depth int) string {
	text := g.command(depth)
	for g.chance(25) {
		text += g.pick(" | ", "|", " |\n ") + g.call(depth, true)
	}
	return text
}

func (g *gen) command(depth int) string {
	if g.chance(55) {
		return g.call(depth, false)
	}
	if g.chance(3) {
		return g.value(depth) + " " + g.value(depth)
	}
	return g.value(depth)
}

var goFuncs = []string{"print", "println", "printf", "len", "index", "slice", "html", "js", "urlquery", "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "eq", "and", "or", "call"}

func (g *gen) call(depth int, piped bool) string {
	name := g.pick(goFuncs...)
	if g.chance(12) {
		name = g.pick("default", "list", "dict", "quote", "len", "ternary", "until", "upper", "trunc", "join", "add", "empty", "kindOf", "typeOf", "toString", "int", "int64", "float64", "first", "last")
	}
	count := g.Intn(3)
	switch name {
	case "printf":
		return "printf " + g.format() + g.args(depth, count)
	case "eq", "ne", "lt", "le", "gt", "ge", "index":
		count = 2
		if piped {
			count = 1
		}
		if g.chance(10) {
			count = g.Intn(4)
		}
	case "not", "len":
		count = 1
		if piped {
			count = 0
		}
		if g.chance(5) {
			count++
		}
	case "and", "or":
		count++
	case "slice":
		return name + " " + g.pick(".s", ".l", "\"héllo\"", g.value(depth)) + g.ints(g.Intn(4))
	}
	return name + g.args(depth, count)
}

func (g *gen) ints(n int) string {
	var b strings.Builder
	for ; n > 0; n-- {
		b.WriteString(" " + g.pick("0", "1", "2", "3", "9", "-1", "nil", "\"a\"", "1.5", ".n", "2.0"))
	}
	return b.String()
}

func (g *gen) args(depth, n int) string {
	var b strings.Builder
	for ; n > 0; n-- {
		b.WriteString(" " + g.value(depth))
	}
	return b.String()
}

var fields = []string{".s", ".n", ".f", ".big", ".t", ".no", ".nil", ".e", ".l", ".el", ".m", ".em", ".html", ".nested.list", ".m.a", ".m.a.x", ".m.b", ".m.z", ".missing", ".m.q", ".s.x", ".missing.x", ".nil.x", ".m.a.x.y", ".nested", ".", "$", "$.s", "$.m", "$.l", "$.nested.list"}

func (g *gen) value(depth int) string {
	switch n := g.Intn(12); {
	case n < 5:
		return g.pick(fields...)
	case n < 6 && len(g.vars) > 0:
		return g.pick(g.vars...) + g.pick("", "", "", ".x", ".k", ".a.x")
	case n < 8:
		return g.literal()
	case n < 10 && depth > 0:
		return "(" + g.pick("", "", " ") + g.pipeline(depth-1) + g.pick("", "", " ") + ")" + g.pick("", "", "", "", ".x", ".a", ".k.z")
	}
	return g.literal()
}

var numbers = []string{"0", "1", "2", "3", "-1", "-0", "+5", "42", "1.5", "1.0", "-2.5", "1e3", "1E3", "1e-7", "1e6", "1e21", "0x1F", "0X1f", "0x1p4", "0x1.8p1", "0x.8p-2", "0xAp+2", "017", "0o17", "0O17", "0b101", "0B11", "1_000", "0x_1F", "1_0.5", "0_7", "00", "'a'", "'\\n'", "'\\x41'", "'é'", "'\\u00e9'", "'\\''", "'\"'", "9223372036854775807", "-9223372036854775808", "1e19", "1e18", ".5", "5.", "-.5", "0.1", "100000000.0", "123456789.0", "0x1.fp", "0x1p-2", "3000000", "255", "65", "128512", "0x1P+5", "0e5", "0x0p0", "1e1_0"}

// Most of these do not parse, or only where a float is asked for.
var oddNumbers = []string{"08", "09", "1__0", "1_", "1i", "1+2i", "0i", "1.5i", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e400", "0b12", "0o8", "0xg", "1e", "1e+", "--1", "1.2.3", "0x1.0", "0b1e3", "0x", "0b", "0o", "0x1_", "_1", "1_e3", "1e_3", "0x1p", "0x1p1_0", "-9223372036854775809", "0x8000000000000000", "0xffffffffffffffff", "-0x8000000000000000", "1e-400", "''", "'ab'", "'\\q'", "'\\400'", "0_", "0_x1", "08.5", "09e1", "1E400", "0x1p1024", "0x1p-1080", "0x1.fffffffffffffp1023", "0x123456789abcdef01p0", "0x0.00000001p0", "4611686018427387904.0", "0b1.1", "0o1.5", "017.5", "00e1"}

var strs = []string{`"a"`, `""`, `"text"`, "`raw`", "`a\"b`", "`multi\nline`", `"a\tb"`, `"\u00e9\x41\101"`, `"é日本"`, `"\""`, `"%d"`, `"x"`, `"k"`, `"b"`, `"<&>'"`, `"a b/c?d=e"`, `"1"`, `"1.5"`, `"true"`, `"\\"`, `"\a\b\f\v\r"`, `"\U0001F600"`, `"12"`, `"\x00"`, "`\\n`", `"a,b,c"`, `"\u200b\u00a0"`, `"\ue000"`}

func (g *gen) literal() string {
	switch n := g.Intn(10); {
	case g.chance(2):
		return g.pick(oddNumbers...)
	case n < 4:
		return g.pick(numbers...)
	case n < 8:
		return g.pick(strs...)
	case n < 9:
		return g.pick("true", "false")
	}
	return g.pick("nil", ".", "true", ".", "0")
}

func (g *gen) directive() string {
	var b strings.Builder
	b.WriteByte('%')
	if g.chance(10) {
		b.WriteString(g.pick("[1]", "[2]", "[3]", "[x]", "[0]", "[", "[1", "[]", "[-1]"))
	}
	for g.chance(30) {
		b.WriteString(g.pick("+", "-", "#", "0", " "))
	}
	if g.chance(35) {
		b.WriteString(g.pick("1", "3", "5", "8", "12", "*", "[1]*", "[2]*", "08", "20000000000", "20"))
	}
	if g.chance(30) {
		b.WriteString("." + g.pick("0", "1", "2", "3", "6", "10", "*", "", "[1]*", "-1", "05"))
	}
	if g.chance(6) {
		b.WriteString(g.pick("[1]", "[2]", "[9]"))
	}
	b.WriteString(g.pick("d", "s", "v", "q", "x", "X", "o", "O", "b", "c", "U", "e", "E", "f", "F", "g", "G", "t", "T", "v", "d", "s", "%", "w", "z", "é", "", "!", "y"))
	return b.String()
}

func (g *gen) format() string {
	text := g.pick("", "a", "<")
	for n := 1 + g.Intn(2); n > 0; n-- {
		text += g.directive() + g.pick("", " ", "|", "é")
	}
	return fmt.Sprintf("%q", text)
}

func (g *gen) printfs() string {
	arg := func() string {
		if g.chance(15) {
			return g.pick("(list 1 \"a\" nil)", "(list 1.5 true)", "(dict \"a\" 1 \"b\" (list \"x\"))", "(dict)", "(list)", "(int64 5)", "(list (list 1) (dict \"k\" nil))", "(splitList \",\" \"a,b\")", "(int64 -5)", "(list \"é\" 65 1e6)", "(index \"abc\" 1)", "(until 3)", "(dict \"k\" 1.5)", "(split \",\" \"a,b\")")
		}
		return g.value(0)
	}
	text := "{{ printf " + g.format()
	for n := g.Intn(3); n >= 0; n-- {
		text += " " + arg()
	}
	return text + " }}"
}

// What depends on the clock, on chance or on the machine, or takes long.
var left = map[string]bool{"now": true, "ago": true, "htmlDate": true, "env": true, "expandenv": true, "getHostByName": true, "shuffle": true, "uuidv4": true, "randInt": true, "randBytes": true, "randAlpha": true, "randAscii": true, "randNumeric": true, "randAlphaNum": true, "genPrivateKey": true, "genCA": true, "genCAWithKey": true, "genSelfSignedCert": true, "genSelfSignedCertWithKey": true, "genSignedCert": true, "genSignedCertWithKey": true, "bcrypt": true, "htpasswd": true, "derivePassword": true, "buildCustomCert": true, "encryptAES": true, "decryptAES": true, "keys": true, "values": true, "date": true, "dateInZone": true, "date_in_zone": true, "dateModify": true, "date_modify": true, "mustDateModify": true, "must_date_modify": true, "htmlDateInZone": true, "unixEpoch": true}

var sprigNames = func() (names []string) {
	for name := range sprig.TxtFuncMap() {
		if !left[name] {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}()

func (g *gen) sprigs() string {
	text := g.sprigCall(1)
	if g.chance(20) {
		text = "(" + text + ")"
	}
	for g.chance(20) {
		text += " | " + g.pick("printf \"%v\"", "printf \"%T\"", "printf \"%q\"", "toJson", "quote", "len", "kindOf", "typeOf", "default \"d\"", "toString", "int", "first", "join \",\"")
	}
	return "{{ " + text + " }}"
}

func (g *gen) sprigCall(depth int) string {
	name := g.pick(sprigNames...)
	t := reflect.TypeOf(sprig.TxtFuncMap()[name])
	text := name
	n := t.NumIn()
	if t.IsVariadic() {
		n += g.Intn(4) - 1
	}
	if g.chance(4) {
		n += g.Intn(3) - 1
	}
	for i := 0; i < n; i++ {
		var in reflect.Type
		switch {
		case t.IsVariadic() && i >= t.NumIn()-1:
			in = t.In(t.NumIn() - 1).Elem()
		case i < t.NumIn():
			in = t.In(i)
		default:
			in = reflect.TypeFor[string]()
		}
		text += " " + g.sprigArg(name, in, depth)
	}
	return text
}

func (g *gen) sprigArg(name string, in reflect.Type, depth int) string {
	// A map that contains itself overflows Go's stack.
	if name == "set" || strings.Contains(strings.ToLower(name), "merge") {
		switch in.Kind() {
		case reflect.Map:
			return g.pick(`(dict "a" 1 "b" (dict "c" 2))`, `(dict)`, `(dict "b" (dict "d" nil) "z" "q")`, `(dict "a" "" "n" nil "b" (dict "c" 0))`, `(dict "l" (list 1))`, `(dict "b" 1 "f" false)`)
		case reflect.Interface:
			return g.pick("1", `"x"`, "nil", "(list 1)", "true")
		}
	}
	if g.chance(8) {
		return g.value(0)
	}
	switch in.Kind() {
	case reflect.String:
		if strings.HasPrefix(strings.ToLower(name), "mustregex") || strings.HasPrefix(name, "regex") {
			return g.pick(`"[a-z]+"`, `"(a)(b)?"`, `"x*"`, `"^te"`, `"$1-${1}"`, `"["`, `"abab"`, `"\\d+"`, `"(?i)T"`, g.pick(strs...), ".s", `"foo123bar45"`)
		}
		if strings.Contains(strings.ToLower(name), "date") || strings.Contains(name, "duration") {
			return g.pick(`"2006-01-02"`, `"2024-02-29"`, `"1h30m"`, `"2006-01-02T15:04:05Z07:00"`, `"2024-02-29T10:11:12Z"`, `"95"`, `"UTC"`, g.pick(strs...))
		}
		if strings.HasPrefix(name, "semver") {
			return g.pick(`"1.2.3"`, `">=1.2"`, `"^1"`, `"~1.2.0"`, `"v1.2"`, `"1.x"`, `"1.2.3-beta.1"`, `"1.2.3+b"`, `"x"`, g.pick(strs...))
		}
		if name == "urlParse" {
			return g.pick(`"http://u:p@h:80/p?q=1#f"`, `"//h/p"`, `"x:y"`, `"%zz"`, `"mailto:a@b"`, `"http://[::1]:80/a%2fb"`, g.pick(strs...))
		}
		return g.pick(g.pick(strs...), `"Hello World"`, `"foo_bar-baz qux"`, `"FooBarBaz"`, `" padded "`, `"a.b.c"`, `"/a/b/../c.txt"`, `"aGVsbG8="`, `"NBSWY3DP"`, `","`, `"$"`, `"-"`, ".s", ".e", ".html", `"{\"a\":[1,2.5,null]}"`, `"one two three four five"`)
	case reflect.Int, reflect.Int64:
		return g.pick("0", "1", "2", "3", "5", "10", "-1", "-3", "7", "20", "2.0")
	case reflect.Bool:
		return g.pick("true", "false", ".t", ".no")
	case reflect.Map:
		return g.pick(".m", ".em", `(dict "a" 1 "b" (dict "c" 2))`, `(dict)`, `(dict "b" (dict "d" nil) "z" "q")`, ".nested", `(dict "a" "" "n" nil)`)
	case reflect.Slice:
		return g.pick(".l", ".el", `(list 1 2 3)`, `(list "b" "a" "b")`)
	}
	if strings.Contains(strings.ToLower(name), "semver") {
		return g.pick(`"1.2.3"`, `"1.2.4-a"`)
	}
	options := []string{".s", ".n", ".f", ".big", ".t", ".no", ".nil", ".e", ".l", ".el", ".m", ".em", ".nested.list", `(list 1 2 3)`, `(list "b" "a" "b" "")`, `(list)`, `(dict "a" 1)`, `(list (list 1 2) (list "x"))`, "0", "1", "2", "3", "-5", "7.5", "1e3", "\"12\"", "\"1.9\"", "\"abc\"", "\"\"", "true", "nil", "(int64 4)", "(int 3)", "(until 4)", "(splitList \",\" \"x,y\")", "(tuple 1 \"a\")", "\"0x10\"", "\"-7\"", "\"1e3\"", "\"010\"", "(float64 2)", "(list 3 1 2)", "(list 1.5 \"1.5\" 1)", "(list nil nil)"}
	if depth > 0 && g.chance(10) {
		return "(" + g.sprigCall(depth-1) + ")"
	}
	return g.pick(options...)
}

var tokens = []string{"{{", "}}", "{{-", "-}}", " ", "|", ":=", "=", "(", ")", ",", ".", "$", "\"", "'", "`", "if", "else", "end", "range", "with", "define", "template", "block", "break", "continue", "nil", "true", "1", "x", "$x", ".s", "/*", "*/", "{{/* c */}}", "\n", "é", "\x00", "@", "-", " -", "- ", ":", "\\", "{{end}}", "{{else}}", "{{else if .s}}", "{{else with .s}}", "0x", "1e", "\t", "..", ".1", "%", "{{}}", "{{.s", "end}}", "\u00a0"}

// breaks takes, adds and doubles pieces.
func (g *gen) breaks(text string) string {
	for n := 1 + g.Intn(2); n > 0; n-- {
		at := g.Intn(len(text) + 1)
		for at < len(text) && text[at]&0xc0 == 0x80 {
			at++
		}
		switch g.Intn(3) {
		case 0:
			end := min(len(text), at+1+g.Intn(4))
			for end < len(text) && text[end]&0xc0 == 0x80 {
				end++
			}
			text = text[:at] + text[end:]
		default:
			text = text[:at] + g.pick(tokens...) + text[at:]
		}
	}
	return text
}
