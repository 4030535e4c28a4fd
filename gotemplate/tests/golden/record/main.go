// Records what Go's text/template makes of the cases in cases.txt: go run . < cases.txt > ../language.json
// A case is one line; "@zero " or "@error " before it sets missingkey; \n in it is a newline.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"text/template"
)

const data = `{"s":"text","n":3,"f":1.5,"big":3000000,"t":true,"no":false,"nil":null,"e":"","l":["a","b",3],"el":[],
"m":{"b":1,"a":{"x":"deep"},"z":null},"em":{},"html":"<a href=\"x\">'&</a>","nested":{"list":[{"k":"v1"},{"k":"v2"}]}}`

type result struct {
	Text       string `json:"text"`
	MissingKey string `json:"missingkey,omitempty"`
	Output     string `json:"output"`
}

func run(c result, dot any) string {
	t := template.New("t")
	if c.MissingKey != "" {
		t.Option("missingkey=" + c.MissingKey)
	}
	if _, err := t.Parse(c.Text); err != nil {
		return "error: " + err.Error()
	}
	var out bytes.Buffer
	if err := t.Execute(&out, dot); err != nil {
		return "error: " + err.Error()
	}
	return out.String()
}

func main() {
	var dot any
	if err := json.Unmarshal([]byte(data), &dot); err != nil {
		panic(err)
	}
	results := []result{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			continue
		}
		var c result
		if rest, ok := strings.CutPrefix(line, "@"); ok {
			c.MissingKey, line, _ = strings.Cut(rest, " ")
		}
		c.Text = strings.ReplaceAll(line, `\n`, "\n")
		c.Output = run(c, dot)
		results = append(results, c)
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	_ = enc.Encode(map[string]any{"recorded": "text/template of " + runtime.Version(), "data": dot, "cases": results})
}
