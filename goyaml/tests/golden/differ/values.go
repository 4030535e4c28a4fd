package main

import (
	"encoding/json"
	"record/judge"
	"regexp"
	"strings"
)

var longNumber = regexp.MustCompile(`[0-9]{19,}`)

// judgeable writes a value as JSON for the recorder to read.
func judgeable(v any) string { return judge.Encode(v, false, "") }

func (g *gen) value(depth int) any {
	switch n := g.Intn(12); {
	case depth > 0 && n < 4:
		pairs := map[string]any{}
		for i := g.Intn(6); i > 0; i-- {
			// The order of keys with longer numbers changes from run to run.
			key := longNumber.ReplaceAllString(g.key(), "123456789012345678")
			pairs[key] = g.value(depth - 1)
		}
		return pairs
	case depth > 0 && n < 6:
		items := []any{}
		for i := g.Intn(5); i > 0; i-- {
			items = append(items, g.value(depth-1))
		}
		return items
	case n == 6:
		return []any{nil, true, false}[g.Intn(3)]
	case n == 7:
		return g.jsonNumber()
	}
	return g.hard()
}

// jsonNumber is one that float64 can hold.
func (g *gen) jsonNumber() any {
	for {
		number := g.number()
		if g.chance(30) {
			number = judgeable(g.NormFloat64() * []float64{1e-9, 1e-5, 1, 1e6, 1e15, 1e18, 1e22, 1e300}[g.Intn(8)])
		}
		var float float64
		if json.Valid([]byte(number)) && json.Unmarshal([]byte(number), &float) == nil {
			return json.RawMessage(number)
		}
	}
}

func (g *gen) key() string {
	switch g.Intn(8) {
	case 0:
		return g.hard()
	case 1:
		return strings.Repeat(g.pick("k", "é", "k k ", "\"", "1", "<"), []int{20, 42, 63, 64, 65, 127, 128, 129, 170, 255, 510, 511, 512, 1021, 1022, 1023}[g.Intn(16)])
	case 2, 3:
		return g.repeat(1, 5, func() string {
			return g.pick("a", "b", "A", "0", "1", "2", "9", "10", "-", "_", ".", "/", " ", "é", "É", "日", "ª", "00", "~")
		})
	}
	return g.plain()
}

// hard is a string that is hard to quote.
func (g *gen) hard() string {
	switch g.Intn(12) {
	case 0, 1:
		return g.plain()
	case 2:
		return g.pick(" ", "", "\n", "\t", "  ", "\r", "\u00a0") + g.plain() + g.pick(" ", "", "\n", "\n\n", ":", " #", "\t", ": ")
	case 3, 4, 5:
		return g.lines()
	case 6, 7, 8:
		return g.long()
	case 9:
		return g.repeat(1, 6, func() string { return g.rune() })
	}
	return g.repeat(1, 30, func() string {
		if g.chance(5) {
			return g.rune()
		}
		return g.pick("a", "b", "a", "b", " ", ":", "#", "-", "'", "\"", "\n", "1", "?", ",", "é")
	})
}

func (g *gen) lines() string {
	line := func() string {
		return g.pick("", "", "", " ", "  ", "\t", "    ") + g.pick(g.plain(), g.plain(), "", "- x", "key: value", "# c", "---") + g.pick("", "", "", "", " ", "\t", "\r") + g.pick("\n", "\n", "\n", "\n\n", "\u2028", "\u0085", "\r\n")
	}
	return g.pick("", "", "", "\n", "\n\n") + g.repeat(1, 5, line) + g.pick("", "x", "long line here", "\n", " ")
}

// long is around or beyond the width at which go-yaml v2 folds.
func (g *gen) long() string {
	var b strings.Builder
	gap := g.pick(" ", " ", "  ", "", "\t", " - ", ": ", "\u00a0")
	odd := g.Intn(30)
	for width := 60 + g.Intn(240); width > 0; width-- {
		word := g.pick(words...)
		if odd > 20 && g.chance(10) {
			word = g.rune()
		}
		if g.chance(10) {
			word = strings.Repeat(g.pick("x", "é", "日"), 1+g.Intn(90))
		}
		b.WriteString(word + gap)
		if g.chance(5) {
			b.WriteString(g.pick(" ", "  ", "   ", "'", "\"", "\n", "\\", "\t"))
		}
		width -= len(word)
	}
	return b.String() + g.pick("", "x", " ", ":")
}

// jsonText is JSON, whole or broken.
func (g *gen) jsonText() string {
	text := judge.Encode(g.value(3), g.chance(50), g.pick("", "", " "))
	for n := g.Intn(4); n > 0; n-- {
		text = g.change(text, []string{"{", "}", "[", "]", ":", ",", "\"", "\\", "\\u", "d83d", "\\ude00", "0", "1", "-", ".", "e", "E", "+", "true", "nul", " ", "\n", "\t", "\x00", "\x7f", "é", "😀", "1e999", "\"a\":"})
	}
	return text
}

func (g *gen) stream() string {
	return g.repeat(1, 12, func() string {
		if g.chance(20) {
			return g.pick(g.texts...)
		}
		return g.pick("---", "---", "---\n", "--- ", "--", "-", "\n", "\n", "\n---\n", "\r\n---\r\n", " ", "\t", "a: 1\n", "# c\n", "b", "\r\n", "\r", "\u00a0", "\u0085", "\u2028", "\ufeff", "\v", "\f", "...\n")
	})
}

func (g *gen) rune() string {
	if g.tame {
		return string(readable[g.Intn(len(readable))])
	}
	return string(runes[g.Intn(len(runes))])
}
