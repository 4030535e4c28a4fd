// Package judge asks Go what it makes of a text or a value. Peers: see go.mod.
package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// ReadCase is a YAML text and what sigs.k8s.io/yaml makes of it.
type ReadCase struct {
	In     string `json:"in"`
	JSON   string `json:"json,omitempty"`
	Err    string `json:"err,omitempty"`
	Strict string `json:"strict,omitempty"`
}

// WriteCase is a JSON value and how it is written.
type WriteCase struct {
	In      json.RawMessage `json:"in"`
	YAML    string          `json:"yaml"`
	Err     string          `json:"err,omitempty"`
	Pretty  string          `json:"pretty"`
	JSON    string          `json:"json"`
	Raw     string          `json:"raw,omitempty"`
	Indent  string          `json:"indent,omitempty"`
	Float64 string          `json:"float64,omitempty"`
}

// JSONCase is a text and what encoding/json makes of it.
type JSONCase struct {
	In   string `json:"in"`
	JSON string `json:"json,omitempty"`
	Err  string `json:"err,omitempty"`
}

// ReadJSON asks encoding/json.
func ReadJSON(in string) (c JSONCase) {
	c.In = in
	var v any
	if err := json.Unmarshal([]byte(in), &v); err != nil {
		c.Err = err.Error()
	} else {
		c.JSON = Encode(v, true, "")
	}
	return c
}

// SplitCase is a text and the documents Helm finds in it.
type SplitCase struct {
	In   string   `json:"in"`
	Docs []string `json:"docs"`
}

// Helm's rule (Helm 4.3.1, pkg/release/v1/util): trim, split here, leave out the blank ones.
var separator = regexp.MustCompile(`(?m)^---[ \t]*`)

// Split asks Helm's rule.
func Split(in string) SplitCase {
	c := SplitCase{In: in, Docs: []string{}}
	for _, d := range separator.Split(strings.TrimLeftFunc(in, unicode.IsSpace), -1) {
		if strings.TrimSpace(d) != "" {
			c.Docs = append(c.Docs, strings.TrimLeftFunc(d, unicode.IsSpace))
		}
	}
	return c
}

// Read asks sigs.k8s.io/yaml.
func Read(in string) (c ReadCase) {
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

// Encode writes JSON on one line, or indented.
func Encode(v any, html bool, indent string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Write asks sigs.k8s.io/yaml, go-yaml v3 and encoding/json.
func Write(in string) (c WriteCase) {
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
	c.JSON = Encode(v, true, "")
	if raw := Encode(v, false, ""); raw != c.JSON {
		c.Raw = raw
	}
	if indent := Encode(v, true, "  "); indent != c.JSON {
		c.Indent = indent
	}
	var floats any
	if json.Unmarshal([]byte(in), &floats) == nil {
		if f := Encode(floats, true, ""); f != c.JSON {
			c.Float64 = f
		}
	}
	return c
}
