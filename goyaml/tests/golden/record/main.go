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
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

type readCase struct {
	In     string `json:"in"`
	JSON   string `json:"json,omitempty"`
	Err    string `json:"err,omitempty"`
	Strict string `json:"strict,omitempty"`
}

type writeCase struct {
	In      json.RawMessage `json:"in"`
	YAML    string          `json:"yaml"`
	Err     string          `json:"err,omitempty"`
	Pretty  string          `json:"pretty"`
	JSON    string          `json:"json"`
	Raw     string          `json:"raw,omitempty"`
	Indent  string          `json:"indent,omitempty"`
	Float64 string          `json:"float64,omitempty"`
}

type jsonCase struct {
	In   string `json:"in"`
	JSON string `json:"json,omitempty"`
	Err  string `json:"err,omitempty"`
}

func readJSON(in string) (c jsonCase) {
	c.In = in
	var v any
	if err := json.Unmarshal([]byte(in), &v); err != nil {
		c.Err = err.Error()
	} else {
		c.JSON = encode(v, true, "")
	}
	return c
}

type splitCase struct {
	In   string   `json:"in"`
	Docs []string `json:"docs"`
}

// Helm's rule (Helm 4.3.1, pkg/release/v1/util): trim, split here, leave out the blank ones.
var separator = regexp.MustCompile(`(?m)^---[ \t]*`)

func split(in string) splitCase {
	c := splitCase{In: in, Docs: []string{}}
	for _, d := range separator.Split(strings.TrimLeftFunc(in, unicode.IsSpace), -1) {
		if strings.TrimSpace(d) != "" {
			c.Docs = append(c.Docs, strings.TrimLeftFunc(d, unicode.IsSpace))
		}
	}
	return c
}

func read(in string) (c readCase) {
	c.In = in
	defer func() {
		if r := recover(); r != nil {
			c.Err = fmt.Sprint("panic: ", r)
		}
	}()
	out, err := yaml.YAMLToJSON([]byte(in))
	if err != nil {
		c.Err = err.Error()
	} else {
		c.JSON = string(out)
	}
	if _, err := yaml.YAMLToJSONStrict([]byte(in)); err != nil && err.Error() != c.Err {
		c.Strict = err.Error()
	}
	return c
}

// native turns json.Number into what Rust's serde_json has: integers that fit, floats otherwise.
func native(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil && v.String() != "-0" {
			return n
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = native(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = native(v[k])
		}
	}
	return v
}

func decode(in string) (any, error) {
	d := json.NewDecoder(strings.NewReader(in))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return native(v), err
}

func encode(v any, html bool, indent string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func write(in string) (c writeCase) {
	v, err := decode(in)
	if err != nil {
		panic(fmt.Sprintf("%v: %q", err, in))
	}
	c.In = json.RawMessage(in)
	out, err := yaml.Marshal(v)
	c.YAML = string(out)
	if err != nil {
		c.Err = err.Error()
	}
	var b bytes.Buffer
	e := yaml3.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	c.Pretty = b.String()
	c.JSON = encode(v, true, "")
	if raw := encode(v, false, ""); raw != c.JSON {
		c.Raw = raw
	}
	if indent := encode(v, true, "  "); indent != c.JSON {
		c.Indent = indent
	}
	var floats any
	if json.Unmarshal([]byte(in), &floats) == nil {
		if f := encode(floats, true, ""); f != c.JSON {
			c.Float64 = f
		}
	}
	return c
}

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
		writes = append(writes, encode(randomValue(r, 4), false, ""))
	}

	save(filepath.Join(*out, "read.jsonl"), reads, func(s string) any { return read(s) })
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
	save(filepath.Join(*out, "split.jsonl"), streams, func(s string) any { return split(s) })
	save(filepath.Join(*out, "json.jsonl"), texts, func(s string) any { return readJSON(s) })
	save(filepath.Join(*out, "write.jsonl"), writes, func(s string) any { return write(s) })
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
		w.WriteString(encode(one(in), false, "") + "\n")
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
}
