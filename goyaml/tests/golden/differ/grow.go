package main

import (
	"strconv"
	"strings"
)

// grown is a YAML text made from the grammar, with a slip here and there.
func (g *gen) grown() string {
	var b strings.Builder
	b.WriteString(g.rarely("\ufeff") + g.comments())
	for n := 1 + g.Intn(6)/5; n > 0; n-- {
		b.WriteString(g.document())
	}
	if g.tame {
		return strings.ReplaceAll(b.String(), "\t", g.pick(" ", ""))
	}
	return b.String()
}

// rarely is one of the options in a few of a hundred cases.
func (g *gen) rarely(options ...string) string {
	if !g.tame && g.chance(8) {
		return g.pick(options...)
	}
	return ""
}

func (g *gen) document() string {
	g.anchors = nil
	directives := ""
	if !g.tame && g.chance(15) {
		directives = g.repeat(1, 2, func() string {
			return g.pick("%YAML 1.1", "%YAML 1.1", "%YAML 1.2", "%YAML 1", "%TAG ! tag:yaml.org,2002:", "%TAG !e! tag:yaml.org,2002:", "%TAG !! tag:x.y,2000:", "%TAG !e! !x%21", "%FOO bar", "%", "%YAML 1.1 x") + g.rarely(" # c", " ", "\t") + g.newline
		})
	}
	start := ""
	if directives != "" || g.chance(30) {
		start = "---" + g.pick(g.newline, g.newline, " ", "\t", " # c"+g.newline, " !!map"+g.newline, " &doc"+g.newline, "")
	}
	indent := 0
	if g.chance(8) {
		indent = g.Intn(4)
	}
	body := g.block(indent, 4)
	if start == "" || strings.HasSuffix(start, g.newline) {
		body = strings.TrimPrefix(body, g.newline)
	}
	return directives + start + body + g.newline + g.pick("", "", "", "", "...", "... # c", "---", "# end") + g.rarely(g.newline, "}", "]", "\x00", "\x7f", "\x1b", "\u0080", "@", "\t", "...x")
}

func (g *gen) comments() string {
	if !g.chance(8) {
		return ""
	}
	return g.repeat(1, 2, func() string {
		return g.pick("", "  ", "\t", "      ") + g.pick("# comment", "#", "", "# a: b", "#\ttab", "# é\u2029x") + g.newline
	})
}

// end is the end of a line.
func (g *gen) end() string {
	return g.pick("", "", "", "", "", "", " ", "\t", " # c", " #", "\t# c", " # a: b") + g.newline + g.comments()
}

func (g *gen) pad(indent int) string {
	if g.slip() {
		indent = max(0, indent+g.Intn(5)-2)
	}
	if g.slip() {
		return strings.Repeat(" ", indent) + "\t"
	}
	return strings.Repeat(" ", indent)
}

// block is a node in block style. It starts with a line break when it cannot go on on the line.
func (g *gen) block(indent, depth int) string {
	properties := g.properties()
	kind := g.Intn(14)
	if depth == 0 {
		kind = 6 + g.Intn(8)
	}
	switch {
	case kind < 4:
		return properties + g.end() + g.mapping(indent, depth)
	case kind < 6:
		return properties + g.end() + g.sequence(indent, depth)
	case kind == 6:
		return properties + g.flow(indent, depth)
	case kind == 7 && len(g.anchors) > 0:
		return " *" + g.anchors[g.Intn(len(g.anchors))]
	case kind == 8:
		return properties + " " + g.blockScalar(indent)
	case kind == 9:
		return properties + g.pick("", "", " ")
	}
	return properties + " " + g.pick("", "", "", " ", "\t") + g.scalar(indent, false)
}

func (g *gen) properties() string {
	if !g.chance(12) {
		return ""
	}
	anchor, tag := "", ""
	if g.chance(60) {
		name := g.pick("a", "b", "x1", "a-b", "_")
		anchor = " &" + name
		g.anchors = append(g.anchors, name)
	}
	if anchor == "" || g.chance(30) {
		tag = " " + g.pick("!", "!x", "!!str", "!x%21y", "!<!x>", "!<tag:yaml.org,2002:str>")
	}
	if tag != "" && !g.tame {
		tag = " " + g.pick("!!str", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!binary", "!!timestamp", "!!set", "!!omap", "!!merge", "!x", "!e!str", "!<tag:yaml.org,2002:str>", "!<!x>", "!x%21y", "!!", "!e!", "!x!y", "!a,b", "!<", "!%zz", "!%c3%a9", "!x%e2%80", "!%"+g.pick("41", "80", "c3", "f0", "ff")+"%a9", "!!float", "!!int")
	}
	if g.chance(50) {
		return anchor + tag
	}
	return tag + anchor
}

func (g *gen) mapping(indent, depth int) string {
	var b strings.Builder
	for n := 1 + g.Intn(4); n > 0; n-- {
		b.WriteString(g.pad(indent) + g.pair(indent, depth))
		if n > 1 || g.chance(40) {
			b.WriteString(g.end())
		}
	}
	return b.String()
}

func (g *gen) pair(indent, depth int) string {
	if g.chance(5) {
		key := "?" + g.block(indent+2, depth-1)
		if g.chance(25) {
			return key
		}
		return key + g.end() + g.pad(indent) + ":" + g.block(indent+2, depth-1)
	}
	if g.chance(5) {
		return g.merge()
	}
	key := g.keyText()
	below := indent + 1 + g.Intn(4)
	if g.chance(25) {
		// A sequence may stand in the column of its key.
		return key + ":" + g.properties() + g.end() + g.sequence(indent, depth-1)
	}
	if g.slip() {
		return key + g.pick(":", " ", "::", ": :", ":,") + g.block(below, max(0, depth-1))
	}
	return key + g.pick("", "", "", "", " ", "\t") + ":" + g.block(below, max(0, depth-1))
}

func (g *gen) merge() string {
	alias := func() string {
		if len(g.anchors) > 0 && g.chance(80) {
			return "*" + g.anchors[g.Intn(len(g.anchors))]
		}
		return g.pick("{a: 1, b: 2}", "{b: 3}", "*a", "1", "[]", "", "{<<: {a: 7}, c: 1}")
	}
	return g.pick("<<", "<<", "<<", "\"<<\"", "!!merge <<", "!!merge a", "!!str <<", "? <<\n") + ": " + g.pick(alias(), alias(), "["+alias()+", "+alias()+"]")
}

func (g *gen) keyText() string {
	switch g.Intn(14) {
	case 0:
		return g.properties() + " " + g.plain()
	case 1:
		return g.plain()
	case 2:
		return g.quoted(0)
	case 3:
		return g.pick("*a ", "[a, b]", "{a: b}", "[]", "{}", "? a", "&k k", "!!str 1", "!!int 1", "'a'", "\"a\"", "~", "null", "1.0", "1", "0x1", "true", "yes", "1e3", "", strings.Repeat("k", 1020+g.Intn(8)), "18446744073709551615", ".inf")
	}
	return g.pick("a", "b", "c", "a", "b", "name", "x y", "app.kubernetes.io/name", "é", "1", "k1")
}

func (g *gen) sequence(indent, depth int) string {
	var b strings.Builder
	for n := 1 + g.Intn(4); n > 0; n-- {
		gap := g.pick("", "", "", "", " ", "  ", "\t")
		b.WriteString(g.pad(indent) + "-")
		inner := indent + 2 + len(gap)
		switch kind := g.Intn(8); {
		case kind == 0 && depth > 0:
			b.WriteString(" " + gap + strings.TrimPrefix(g.sequence(inner, depth-1), strings.Repeat(" ", inner)))
		case kind < 3 && depth > 0:
			b.WriteString(g.properties() + " " + gap + strings.TrimPrefix(g.mapping(inner, depth-1), strings.Repeat(" ", inner)))
		default:
			b.WriteString(g.block(indent+1+g.Intn(3), max(0, depth-1)))
		}
		if n > 1 || g.chance(40) {
			b.WriteString(g.end())
		}
	}
	return b.String()
}

// scalar is plain or quoted, on one line or on several.
func (g *gen) scalar(indent int, flow bool) string {
	switch n := g.Intn(10); {
	case n < 3:
		return g.quoted(indent)
	case n == 3:
		return g.repeat(1, 3, func() string { return g.plain() + g.breaks(indent) }) + g.pick(words...)
	}
	if flow && !g.slip() {
		return g.pick(words[:15]...)
	}
	return g.plain()
}

// breaks is white space with a line break in it.
func (g *gen) breaks(indent int) string {
	return g.pick("", " ", "\t", "  ") + g.repeat(1, 3, func() string { return g.newline + g.pick("", "", "  ", "\t") }) + g.newline + g.pad(indent) + g.pick("", " ", "\t")
}

func (g *gen) quoted(indent int) string {
	gap := func() string {
		if indent > 0 && g.chance(20) {
			return g.breaks(indent)
		}
		return g.pick("", " ", "  ", "\t")
	}
	if g.chance(50) {
		return "'" + g.repeat(0, 4, func() string {
			return gap() + g.pick("a", "word", "''", "\"", "\\n", ": ", " #", "é", "-", "1", "[", "---")
		}) + gap() + g.closing("'")
	}
	escape := func() string {
		if g.tame {
			return g.pick("\\n", "\\t", "\\\"", "\\\\", "\\/", "\\0", "\\e", "\\ ", "\\N", "\\_", "\\P", "\\x41", "\\u00e9", "\\ufeff", "\\U0001F600", "\\"+g.newline+"  ")
		}
		return g.pick("\\n", "\\t", "\\\"", "\\\\", "\\/", "\\0", "\\a", "\\b", "\\e", "\\f", "\\r", "\\v", "\\ ", "\\\t", "\\N", "\\_", "\\L", "\\P", "\\x41", "\\x85", "\\xff", "\\u00e9", "\\u2028", "\\ufeff", "\\ud83d", "\\ud83d\\ude00", "\\U0001F600", "\\U00110000", "\\U80000041", "\\x4", "\\q", "\\'", "\\"+g.newline+"  ", "\\ "+g.newline)
	}
	return "\"" + g.repeat(0, 4, func() string {
		return gap() + g.pick("a", "word", "'", "it's", ": ", " #", "é", "1", "{", escape(), escape())
	}) + gap() + g.closing("\"")
}

func (g *gen) closing(quote string) string {
	if g.slip() {
		return g.pick("", quote+"x", quote+quote)
	}
	return quote
}

func (g *gen) blockScalar(indent int) string {
	inner := max(1, indent+g.Intn(4))
	header := g.pick("|", "|", ">") + g.pick("", "", "-", "+")
	if g.chance(20) {
		number := inner - max(0, indent-1-g.Intn(3))
		header = header[:1] + g.pick(strconv.Itoa(number)+header[1:], header[1:]+strconv.Itoa(number))
	}
	if g.slip() {
		header += g.pick("0", "x", "++", "-1", "#c", "10", " x")
	}
	line := func() string {
		text := g.pick(g.plain(), g.plain(), g.plain(), "", "", "# no comment", "a: b", "- a", "\ttab", "trailing ", "---", "\u2028x")
		extra := g.pick("", "", "", "", "  ", " ", "\t")
		if text == "" && g.chance(50) {
			return g.pick("", " ", strings.Repeat(" ", indent), "\t") + g.newline
		}
		return g.pad(inner) + extra + text + g.newline
	}
	return header + g.pick("", "", "", " ", " # c", "\t") + g.newline + g.repeat(0, 6, line) + g.pick("", "", g.newline, "x")
}

// flow is a collection in brackets, on one line or on several.
func (g *gen) flow(indent, depth int) string {
	space := func() string {
		if g.chance(6) {
			return g.pick("", " # c") + g.newline + g.pad(indent)
		}
		return g.pick("", "", " ", " ", "\t")
	}
	node := func() string {
		if depth > 0 && g.chance(25) {
			return g.flow(indent, depth-1)
		}
		if len(g.anchors) > 0 && g.chance(8) {
			return "*" + g.anchors[g.Intn(len(g.anchors))] + " "
		}
		return strings.TrimPrefix(g.properties()+" ", " ") + g.scalar(indent, true)
	}
	pair := func() string {
		key := g.pick(g.keyText(), node(), node(), "? "+node(), "?", "")
		return key + space() + g.pick(": ", ": ", ": ", ": ", ":", "", " :") + g.pick(node(), node(), node(), "")
	}
	isMap := g.chance(50)
	items := g.repeat(0, 4, func() string {
		item := pair
		if !isMap && g.chance(85) {
			item = node
		}
		comma := ","
		if g.slip() {
			comma = g.pick("", ",,", ";", " - ")
		}
		return space() + item() + space() + comma
	})
	if g.chance(80) {
		items = strings.TrimSuffix(items, ",")
	}
	closing := map[bool]string{true: "}", false: "]"}[isMap != g.slip()]
	return " " + map[bool]string{true: "{", false: "["}[isMap] + items + space() + closing
}
