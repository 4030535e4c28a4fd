{{ define "outer" }}
  {{ include "mid" . }}{{ end }}
{{ define "mid" }}{{ .Values.a.b.c }}{{ end }}
{{ define "req" }}{{ required "give me x" .Values.x }}{{ end }}