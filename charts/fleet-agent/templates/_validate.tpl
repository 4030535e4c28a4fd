{{/* Fails where an agent installed like this could never work. Words are those scripts know. */}}
{{- define "fleet-agent.validate" -}}
{{- if ne .Release.Namespace .Values.internal.systemNamespace }}
{{- fail (printf "This chart must be installed in the %s namespace" .Values.internal.systemNamespace) }}
{{- end }}
{{- if ne .Release.Name .Values.internal.managedReleaseName }}
{{- fail (printf "This chart must be installed with release name %s" .Values.internal.managedReleaseName) }}
{{- end }}
{{- if not .Values.apiServerURL }}
{{- fail "apiServerURL is required to be set, and most likely also apiServerCA" }}
{{- end }}
{{- if not .Values.tokenName }}
{{- fail "tokenName is required to be set to the name of the ClusterRegistrationToken used for this registration" }}
{{- end }}
{{- if hasKey .Values "kubectl" }}
{{- fail "the values under kubectl have no effect: this chart runs no kubectl. Remove them." }}
{{- end }}
{{- end }}
