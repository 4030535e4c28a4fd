// Renders generated templates with Go's text/template and sprig, for comparison with the crate gotemplate.
//
//	go run . -seed 7 -count 50000 > FILE
//	GOTEMPLATE_CASES=FILE cargo test -p gotemplate generated -- --ignored
//
// Each line is one case: [text, missingkey, output]. The data is that of ../language.json.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"regexp"
	"slices"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

const data = `{"s":"text","n":3,"f":1.5,"big":3000000,"t":true,"no":false,"nil":null,"e":"","l":["a","b",3],"el":[],
"m":{"b":1,"a":{"x":"deep"},"z":null},"em":{},"html":"<a href=\"x\">'&</a>","nested":{"list":[{"k":"v1"},{"k":"v2"}]}}`

// Loops that would not end in a lifetime.
var (
	loops = regexp.MustCompile(`range|until|seq|repeat|indent|wrap`)
	large = regexp.MustCompile(`[0-9a-fA-F_]{6,}|big`)
)

type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len() > 1<<16 {
		panic("too long")
	}
	return l.Buffer.Write(p)
}

func run(text, missingKey string, dot any) (output string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	t := template.New("t").Funcs(sprig.TxtFuncMap())
	if missingKey != "" {
		t.Option("missingkey=" + missingKey)
	}
	if _, err := t.Parse(text); err != nil {
		return "error: " + err.Error(), true
	}
	var out limited
	if err := t.Execute(&out, dot); err != nil {
		return "error: " + err.Error(), true
	}
	return out.String(), true
}

func listFunctions() {
	all := sprig.TxtFuncMap()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Printf("%s\t%T\n", name, all[name])
	}
}

func main() {
	seed := flag.Int64("seed", 1, "of the generated cases")
	count := flag.Int("count", 1000, "of generated cases")
	family := flag.String("family", "", "language, printf, sprig or broken; all of them when empty")
	verbose := flag.Bool("v", false, "show each text on standard error first")
	functions := flag.Bool("functions", false, "list sprig's functions with their types instead")
	flag.Parse()
	if *functions {
		listFunctions()
		return
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i := 0; i < *count; i++ {
		g := &gen{Rand: rand.New(rand.NewSource(*seed*10_000_000 + int64(i)))}
		text := g.template(*family)
		if loops.MatchString(text) && large.MatchString(text) {
			continue
		}
		missingKey := g.pick("", "", "", "zero", "error")
		var dot any
		if err := json.Unmarshal([]byte(data), &dot); err != nil {
			panic(err)
		}
		if *verbose {
			println(text)
		}
		if output, ok := run(text, missingKey, dot); ok {
			_ = enc.Encode([]string{text, missingKey, output})
		}
	}
}
