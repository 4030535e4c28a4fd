{{- define "text" -}}
# comment
title = "TOML \u00e9 \"x\""
int = 42
neg = -17
hex = 0xff
under = 1_000
float = 1.0
exp = 5e+22
yes = true
multi = """
one
two \
   three"""
literal = 'C:\x'
when = 1979-05-27T07:32:00Z
off = 1979-05-27T00:32:00.999-07:00
list = [1, 2.5, "x", [true], {a = 1}]
a.b.c = 1
"quoted key" = 1

[table]
k = "v"
[table.sub]
x = 1
[[servers]]
name = "one"
[[servers]]
name = "two"
  [servers.inner]
  y = 2
{{- end -}}
