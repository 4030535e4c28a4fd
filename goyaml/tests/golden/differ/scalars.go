package main

import (
	"fmt"
	"math/rand"
	"strconv"
	"strings"
)

// gen makes the texts and values of one case.
type gen struct {
	*rand.Rand
	texts   []string
	anchors []string
	newline string
	// slips is how many of a thousand choices break a rule.
	slips int
	// tame texts keep clear of what is wrong nearly everywhere, for errors hide what follows them.
	tame bool
}

func (g *gen) pick(options ...string) string { return options[g.Intn(len(options))] }
func (g *gen) chance(percent int) bool       { return g.Intn(100) < percent }
func (g *gen) slip() bool                    { return g.Intn(1000) < g.slips }

func (g *gen) repeat(least, most int, one func() string) string {
	var b strings.Builder
	for n := least + g.Intn(most-least+1); n > 0; n-- {
		b.WriteString(one())
	}
	return b.String()
}

// text makes the case of a family.
func (g *gen) text(family string) string {
	g.slips = []int{0, 2, 10, 40}[g.Intn(4)]
	g.tame = g.chance(70)
	g.newline = g.pick("\n", "\n", "\n", "\n", "\n", "\r\n", "\r", "\u2028", "\u0085")
	switch family {
	case "values":
		return judgeable(g.value(4))
	case "json":
		return g.jsonText()
	case "streams":
		return g.stream()
	case "mutated":
		return g.mutated()
	case "short":
		return g.short()
	}
	return g.grown()
}

func (g *gen) digits() string {
	set := g.pick("0123456789", "0123456789", "01", "01234567", "0123456789abcdefABCDEF", "0123456789_")
	return g.repeat(0, []int{2, 4, 9, 22}[g.Intn(4)], func() string { return string(set[g.Intn(len(set))]) })
}

func (g *gen) sign() string { return g.pick("", "", "", "-", "+", "--", "-+") }

// number looks like a number, or nearly so.
func (g *gen) number() string {
	switch g.Intn(10) {
	case 0:
		return g.sign() + g.pick("0x", "0o", "0b", "0", "0X", "0O", "0B") + g.sign() + g.digits()
	case 1, 2:
		return g.sign() + g.digits() + "." + g.digits()
	case 3, 4:
		return g.sign() + g.digits() + g.pick("", ".", ".5") + g.pick("e", "E") + g.sign() + g.digits()
	case 5:
		return g.sign() + g.digits() + ":" + g.digits() + g.pick("", ":", ".") + g.digits()
	case 6:
		return g.pick("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
			"18446744073709551615", "18446744073709551616", "9007199254740993", "0x7fffffffffffffff", "0xffffffffffffffff",
			"-0x8000000000000000", "0x10000000000000000", "1e308", "1e309", "5e-324", "1e-400", "-0", "-0.0", "0e0")
	case 7:
		// Halves of halves lie between two shorter numbers.
		return g.sign() + strconv.FormatFloat(float64(g.Int63()>>g.Intn(60))/64, 'f', -1, 64)
	case 8:
		return g.sign() + g.pick(".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", "inf", "nan", ".iNf", "Infinity")
	}
	return g.sign() + g.digits()
}

func (g *gen) timestamp() string {
	day := fmt.Sprintf(g.pick("%04d-%02d-%02d", "%04d-%02d-%02d", "%d-%d-%d"), g.Intn(2100), g.Intn(14), g.Intn(33))
	if g.chance(40) {
		return day
	}
	form := g.pick("%02d:%02d:%02d", "%02d:%02d:%02d", "%d:%d:%d", "%02d:%02d:%d")
	clock := fmt.Sprintf(form, g.Intn(26), g.Intn(62), g.Intn(62))
	zone := g.pick("", "Z", "z", " Z", "+01:00", "-5", " -05:30", "+0100", "-23:59", "+24:61")
	return day + g.pick("T", "t", " ", "  ", "\t", "") + clock + g.pick("", "."+g.digits(), ",5") + zone
}

var special = []string{"", "~", "null", "Null", "NULL", "nULL", "true", "True", "TRUE", "tRue", "false", "y", "Y", "n", "N", "yes", "Yes", "YES", "yEs", "no", "NO", "on", "On", "ON", "oN", "off", "Off", "OFF", "---a", "-a", "a-", ":a", "a# b", "a #b", "~x", "<no value>", "<<", "=", "-", "--", "---", "...", "?", ":", "!", "&", "*", "|", ">", "@", "`", "%", "#", "[]", "{}", "[", "]", "{", "}", ",", "'", "\"", "''", "\"\"", "\\", "- a", "? a", ": a", "a: b", "a:", ":a", "a #b", "a# b", "#a", "!!str", "!x", "&a", "*a", "--- a", "... a", "%YAML 1.1", "{{ .x }}"}

// tameCount of the special words can stand without quotes.
const tameCount = 35

// words start with some that mean nothing anywhere.
var words = []string{"a", "b", "c", "name", "app", "x", "word", "Long", "kind", "v1", "é", "日本", "😀", "x=1", "/x", "it's", "a\"b", "a\\b", "x:y", "x#y", "a,b", "[a", "a]", "{a", "a}", "-x", "?x", "&x", "*x", "!x", "%x", "$(x)", "1", "2", "1.5", "yes", "no", "sixteen-letters-"}

// runes are those that some rule somewhere asks about.
var runes = []rune("\x00\x01\x07\x08\t\n\n\n\v\f\r\x1b\x1f \"\\'/<>&~\x7f\u0080\u0085\u009f\u00a0\u00a1\u00e9\u200b\u200d\u2027\u2028\u2029\u202f\u3000\ud7ff\ue000\ufeff\ufefe\uff00\ufffd\ufffe\uffff\U00010000\U0001f600\U0010ffff")

// readable are those of them that may stand in a YAML text.
var readable = []rune("\t\r \"\\'/<>&~\u0085\u00a0\u00a1\u00e9\u200b\u2027\u2028\u2029\u3000\ud7ff\ue000\ufeff\ufefe\uff00\ufffd\U00010000\U0001f600\U0010ffff")

// plain is text of one line without quotes.
func (g *gen) plain() string {
	switch g.Intn(12) {
	case 0:
		if g.tame {
			return g.pick(special[:tameCount]...)
		}
		return g.pick(special...)
	case 1, 2:
		return g.number()
	case 3:
		return g.timestamp()
	case 4, 5:
		return g.repeat(1, 4, func() string { return g.pick(words...) + g.pick(" ", " ", "  ", "", "\t", ":", "-") }) + g.pick(words...)
	case 6:
		if g.tame {
			return g.pick(words[:15]...) + g.pick(" ", "  ", ":", "-", "_") + g.pick(words[:15]...)
		}
		return g.pick(words...) + string(readable[g.Intn(len(readable))]) + g.pick(words...)
	}
	return g.pick(words[:15]...)
}
