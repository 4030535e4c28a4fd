// Records what Go makes of tricky YAML and JSON, as the golden files of the crate goyaml.
//
//	go run . -out ..                              the committed goldens
//	go run . -out DIR -seed 7 -count 200000       a larger differential run
//	go run . -out DIR -count 0 -files 'GLOB'      the same for files at hand
//
// Peers: see go.mod. Each line of read.jsonl is one text and what came of it; each line of
// write.jsonl is one JSON value and how it is written; each line of json.jsonl is one text and what
// encoding/json makes of it; split.jsonl holds texts and the documents Helm finds in them.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"record/judge"
	"strings"

	"sigs.k8s.io/yaml"
)

func quote(s string) string {
	out, _ := json.Marshal(s)
	return string(out)
}

func randomText(r *rand.Rand, pieces []string, most int) string {
	var b strings.Builder
	for n := 1 + r.Intn(most); n > 0; n-- {
		b.WriteString(pieces[r.Intn(len(pieces))])
	}
	return b.String()
}

func randomValue(r *rand.Rand, depth int) any {
	switch n := r.Intn(10); {
	case depth > 0 && n < 3:
		m := map[string]any{}
		for i := r.Intn(5); i > 0; i-- {
			m[randomText(r, keyPieces, 4)] = randomValue(r, depth-1)
		}
		return m
	case depth > 0 && n < 5:
		l := []any{}
		for i := r.Intn(4); i > 0; i-- {
			l = append(l, randomValue(r, depth-1))
		}
		return l
	case n < 6:
		return json.RawMessage(numbers[r.Intn(len(numbers))])
	case n < 7:
		return []any{nil, true, false}[r.Intn(3)]
	}
	if r.Intn(4) == 0 {
		return randomText(r, stringPieces, 40)
	}
	return randomText(r, stringPieces, 6)
}

func main() {
	out := flag.String("out", "", "folder to write read.jsonl and write.jsonl to")
	seed := flag.Int64("seed", 1, "of the generated cases")
	count := flag.Int("count", 600, "of generated cases")
	files := flag.String("files", "", "glob of files to read instead of the fixed cases")
	flag.Parse()

	var reads []string
	var writes []string
	if *files == "" {
		reads = append(reads, readCases...)
		for _, s := range scalars {
			reads = append(reads, "v: "+s+"\n", s+": k\n", "- "+s+" # c", "["+s+"]")
			writes = append(writes, quote(s), `{`+quote(s)+`:1}`)
		}
		writes = append(writes, writeCases...)
		writes = append(writes, numbers...)
	} else {
		names, _ := filepath.Glob(*files)
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil {
				reads = append(reads, string(text))
				if j, err := yaml.YAMLToJSON(text); err == nil {
					writes = append(writes, string(j))
				}
			}
		}
	}
	r := rand.New(rand.NewSource(*seed))
	for i := 0; i < *count; i++ {
		reads = append(reads, randomText(r, yamlPieces, 12))
		writes = append(writes, judge.Encode(randomValue(r, 4), false, ""))
	}

	save(filepath.Join(*out, "read.jsonl"), reads, func(s string) any { return judge.Read(s) })
	var texts []string
	if *files == "" {
		texts = append(texts, jsonCases...)
	}
	for i := 0; i < *count; i++ {
		texts = append(texts, randomText(r, jsonPieces, 8))
	}
	var streams []string
	for i := 0; i < *count; i++ {
		streams = append(streams, randomText(r, streamPieces, 10))
	}
	save(filepath.Join(*out, "split.jsonl"), streams, func(s string) any { return judge.Split(s) })
	save(filepath.Join(*out, "json.jsonl"), texts, func(s string) any { return judge.ReadJSON(s) })
	save(filepath.Join(*out, "write.jsonl"), writes, func(s string) any { return judge.Write(s) })
}

func save(name string, ins []string, one func(string) any) {
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	w := bufio.NewWriter(f)
	seen := map[string]bool{}
	for _, in := range ins {
		if seen[in] {
			continue
		}
		seen[in] = true
		w.WriteString(judge.Encode(one(in), false, "") + "\n")
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
}
