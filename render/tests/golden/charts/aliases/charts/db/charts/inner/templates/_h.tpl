{{ define "inner.name" }}inner of {{ .Chart.Name }}{{ end }}
