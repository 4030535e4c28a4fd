package main

import "strings"

// manifests are texts as people write them, to be broken.
var manifests = []string{`# A deployment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: default
  labels: &labels
    app.kubernetes.io/name: web
    app.kubernetes.io/version: "1.10"
  annotations:
    checksum/config: 6e1f
    note: >-
      A text that is folded
      over two lines.
spec:
  replicas: 3
  selector:
    matchLabels: {app: web, tier: "front"}
  template:
    metadata:
      labels:
        <<: *labels
        app: web
    spec:
      containers:
      - name: web
        image: "registry.example.com/web:1.27"
        command: ["/bin/sh", "-c", 'echo "it''s" && sleep 10']
        args:
        - --port=8080
        - -v
        ports:
        - containerPort: 8080
          name: http
          protocol: TCP
        env:
          - name: A
            value: "yes"
          - {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        resources:
          limits: {cpu: 500m, memory: 128Mi}
          requests:
            cpu: 0.5
            memory: 1e3
        livenessProbe:
          httpGet: {path: /healthz, port: http}
          initialDelaySeconds: 010
      volumes:
      - name: config
        configMap:
          name: web
          defaultMode: 0644
`, `apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  creationTimestamp: null
data:
  on: "off"
  nginx.conf: |
    server {
      listen 80;

      location / { return 200 "ok\n"; }
    }
  script.sh: |-
    #!/bin/sh
    set -e
    	echo "tab"
  kept: |+
    a

    b

  folded: >
    one
    two

      indented
    three
  indented: |2
      two more
  quoted: "line one\n\
    line two \u00e9 \x41"
  single: 'it''s

    two lines'
  plain: several words
    on two lines
binaryData:
  x: !!binary aGVsbG8=
`, `---
# values
global: &global
  image: {repository: nginx, tag: 1.27.0, pullPolicy: IfNotPresent}
  hosts: [a.example.com, b.example.com,
    "c.example.com"]
web:
  <<: *global
  enabled: yes
  ratio: .5
  big: 12345678901234567890
  time: 12:30:45
  date: 2024-01-31
  mode: 0o755
  hex: 0xFF
  nothing: ~
  empty: {}
  list: []
  tolerations:
  - key: "node-role.kubernetes.io/control-plane"
    operator: Exists
    effect: NoSchedule
...
---
second: document
`, `defaultNamespace: prod
helm:
  chart: ./chart
  releaseName: app
  values:
    replicas: 2
    config: |
      key = "value"
  valuesFiles:
    - values.yaml
targetCustomizations:
- name: eu
  clusterSelector:
    matchExpressions:
    - {key: region, operator: In, values: [eu-1, eu-2]}
  helm: {values: {replicas: 4}}
- name: all
  clusterGroup: all
dependsOn:
  - name: base
diff:
  comparePatches:
    - apiVersion: apps/v1
      kind: Deployment
      operations:
        - {"op": "remove", "path": "/spec/replicas"}
`, `{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {}}, "data": {"a": "YQ=="}, "n": [1, 2.0, -3e2, true, null]},
  {"a": {"b": {"c": ["<&>", "\u2028 \\ \"", ""]}}}
]}
`, `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.com
spec:
  group: example.com
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          description: 'Thing is: a thing. See
            https://example.com#thing'
          type: object
          required: [spec]
          properties:
            spec:
              x-kubernetes-preserve-unknown-fields: true
              pattern: ^[a-z]([-a-z0-9]*[a-z0-9])?$
              enum:
              - ""
              - "a"
              - null
              ? complex
              : value
`}

var pieces = []string{"a", "b", "1", "0x1", "yes", "~", "\n", "\n", "\n  ", "\n    ", " ", "  ", "\t", ": ", ":", ":\n", "- ", "-", "? ", "?", "[", "]", "{", "}", ", ", ",", "\"", "'", "#", " # c", "&a ", "*a", "*labels", "!!str ", "!!int ", "!x ", "|", "|-", ">", "|2", ">+", "<<: ", "---\n", "---", "...\n", "%", "@", "`", "\\", "\\n", "\\u00", "\r\n", "\r", "é", "\u2028", "\u0085", "\ufeff", "\u00a0", "\x00", "\x7f", "\x1b", "{{ .Values.a }}", "{{- end }}", "\"a\"", "'b'", "a: b\n", "- c\n", "  d: e\n", "{a: 1}", "[1, 2]", "*global", "null", "012", "1_000", "😀"}

// short is a few characters or pieces in any order, of few kinds so that they meet.
func (g *gen) short() string {
	chars := []string{"a", "a", "b", "1", "~", " ", " ", " ", "\n", "\n", "\n", ":", ":", "-", "?", ",", "[", "]", "{", "}", "'", "\"", "#", "&a", "*a", "!", "|", ">", "%", "\t", "\\", "\r", "é", "\u2028", "\u0085", "\ufeff", "<<", "---", "..."}
	lines := []string{"\n", "\n", "\n", "\n  ", "\n  ", "\n    ", " ", "a", "b", "c: ", "a: ", "b:", "- ", "- ", "? ", ": ", "{", "}", "[", "]", ", ", "&a ", "*a ", "!!str ", "!!int ", "!x ", "'x", "'", "\"", "\"y", "|\n", "|-\n", ">\n", ">+\n", "|1\n", " # c", "<<: ", "---\n", "--- ", "...\n", "1", "1.5", "yes", "~", "\t"}
	from := [][]string{chars, lines, pieces}[g.Intn(3)]
	few := make([]string, 2+g.Intn(12))
	for i := range few {
		few[i] = g.pick(from...)
	}
	return g.repeat(1, []int{4, 8, 16, 24}[g.Intn(4)], func() string { return g.pick(few...) })
}

func (g *gen) mutated() string {
	text := g.pick(g.texts...)
	lines := strings.SplitAfter(text, "\n")
	if g.chance(60) {
		// A few lines, for errors that come early hide others.
		first := g.Intn(len(lines))
		lines = lines[first:min(len(lines), first+2+g.Intn(12))]
		text = strings.Join(lines, "")
	}
	for n := 1 + g.Intn(4); n > 0; n-- {
		if g.chance(50) {
			text = g.change(text, pieces)
		} else {
			text = g.changeLine(text)
		}
	}
	if g.newline == "\r\n" || g.newline == "\r" {
		text = strings.ReplaceAll(text, "\n", g.newline)
	}
	return text
}

// change deletes, doubles or inserts a few characters.
func (g *gen) change(text string, pieces []string) string {
	chars := []rune(text)
	at := g.Intn(len(chars) + 1)
	end := min(len(chars), at+g.Intn([]int{2, 4, 12, 40}[g.Intn(4)]))
	before, some, after := string(chars[:at]), string(chars[at:end]), string(chars[end:])
	switch g.Intn(6) {
	case 0:
		return before + after
	case 1:
		return before + some + some + after
	case 2:
		return before + g.pick(pieces...) + after
	}
	return before + g.pick(pieces...) + some + after
}

// changeLine deletes, doubles, moves, joins or shifts a line.
func (g *gen) changeLine(text string) string {
	lines := strings.SplitAfter(text, "\n")
	at, other := g.Intn(len(lines)), g.Intn(len(lines))
	line := lines[at]
	switch g.Intn(8) {
	case 0:
		lines[at] = ""
	case 1:
		lines[at] = line + line
	case 2:
		lines[at], lines[other] = lines[other], line
	case 3:
		lines[at] = strings.TrimSuffix(line, "\n")
	case 4:
		lines[at] = strings.TrimPrefix(line, g.pick(" ", "  "))
	case 5:
		lines[at] = g.pick(" ", "  ", "\t", "- ", "# ", "  - ") + line
	case 6:
		foreign := strings.SplitAfter(g.pick(g.texts...), "\n")
		lines[at] = line + foreign[g.Intn(len(foreign))]
	case 7:
		chars := []rune(line)
		return strings.Join(lines[:at], "") + string(chars[:g.Intn(len(chars)+1)])
	}
	return strings.Join(lines, "")
}
