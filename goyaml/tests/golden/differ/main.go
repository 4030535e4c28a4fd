// Asks Go about texts and values made at random, for comparison with the crate goyaml.
//
//	go run . -seed 7 -count 200000 > FILE
//	GOYAML_CASES=FILE cargo test -p goyaml generated -- --ignored
//
// Each line is one case: its seed, its number, its family and what ../record prints of its kind. The
// same seed and number make the same case, whatever the count.
package main

import (
	"bufio"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"record/judge"
	"reflect"
	"strings"
)

type numbered struct {
	Seed   int64  `json:"seed"`
	Case   int64  `json:"case"`
	Family string `json:"family"`
}

type readCase struct {
	numbered
	judge.ReadCase
}

type writeCase struct {
	numbered
	judge.WriteCase
}

type jsonCase struct {
	numbered
	judge.JSONCase
}

type splitCase struct {
	numbered
	judge.SplitCase
}

// steady is false when Go gives different answers to the same question, for it walks over its maps in
// random order.
func steady[T any](judge func(string) T, text string, times int) (first T, same bool) {
	first = judge(text)
	for i := 1; i < times; i++ {
		if !reflect.DeepEqual(judge(text), first) {
			return first, false
		}
	}
	return first, true
}

func main() {
	seed := flag.Int64("seed", 1, "of the generated cases")
	from := flag.Int64("from", 0, "number of the first case")
	count := flag.Int64("count", 1000, "of generated cases")
	family := flag.String("family", "", "short, grown, mutated, values, json or streams; all of them when empty")
	files := flag.String("files", "", "glob of further texts to mutate")
	verbose := flag.Bool("v", false, "show each text on standard error first")
	flag.Parse()
	texts := manifests
	names, _ := filepath.Glob(*files)
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil {
			texts = append(texts, string(text))
		}
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for i := *from; i < *from+*count; i++ {
		g := &gen{Rand: rand.New(rand.NewSource(*seed*10_000_000 + i)), texts: texts}
		number := numbered{*seed, i, *family}
		if *family == "" {
			number.Family = g.pick("short", "short", "short", "grown", "grown", "mutated", "values", "values", "json", "streams")
		}
		text := g.text(number.Family)
		if *verbose {
			println(text)
		}
		if strings.HasPrefix(text, "\ufeff\ufeff") {
			continue // see COMPATIBILITY.md
		}
		var line any
		switch number.Family {
		case "values":
			answer, same := steady(judge.Write, text, 24)
			if !same {
				continue
			}
			line = writeCase{number, answer}
		case "json":
			line = jsonCase{number, judge.ReadJSON(text)}
		case "streams":
			line = splitCase{number, judge.Split(text)}
		default:
			answer, same := steady(judge.Read, text, 12)
			if !same {
				continue
			}
			line = readCase{number, answer}
		}
		out.WriteString(judge.Encode(line, false, "") + "\n")
	}
}
