{{/* The registry in front of every image, with its slash, or nothing. */}}
{{- define "fleet.registry" -}}
{{- with .Values.global.cattle.systemDefaultRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- end }}

{{/* The image of the hub's processes. */}}
{{- define "fleet.image" -}}
{{ include "fleet.registry" . }}{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{/* The image of agents. */}}
{{- define "fleet.agentImage" -}}
{{ include "fleet.registry" . }}{{ .Values.agentImage.repository }}:{{ .Values.agentImage.tag }}
{{- end }}

{{/* The ClusterRole of the local agent: the one name that bootstrap may bind and escalate. */}}
{{- define "fleet.localAgentRole" -}}
{{ default .Release.Namespace .Values.bootstrap.agentNamespace }}-fleet-agent-role
{{- end }}

{{/* Where credentials of registered clusters lie. */}}
{{- define "fleet.registrationNamespace" -}}
{{ trimSuffix "-system" .Release.Namespace }}-clusters-system
{{- end }}

{{/* Fails for every value that Rancher Fleet's chart serves and this one does not. */}}
{{- define "fleet.unserved" -}}
{{- if .Values.shards }}
{{- fail "shards are not served yet: one fleet-controller and one gitjob serve all objects. Remove the value `shards`." }}
{{- end }}
{{- if .Values.helmops.enabled }}
{{- fail "HelmOps are not served yet. Set helmops.enabled=false; a GitRepo with a fleet.yaml that names the chart does the same." }}
{{- end }}
{{- if .Values.imagescan.enabled }}
{{- fail "image scans are not served yet. Set imagescan.enabled=false." }}
{{- end }}
{{- if .Values.migrations.gitrepoHelmURLRegexMigration }}
{{- fail "the migration of helmRepoURLRegex is not served yet. Set migrations.gitrepoHelmURLRegexMigration=false and set helmRepoURLRegex on the GitRepos that name a helmSecretName." }}
{{- end }}
{{- if hasKey .Values "clusterEnqueueDelay" }}
{{- fail "clusterEnqueueDelay has no effect: clusters are looked at when they change. Remove the value." }}
{{- end }}
{{- range $name := list "fleetCleanup" "fleetAgentmanagement" "helmops" }}
{{- if hasKey $.Values.resources $name }}
{{- fail (printf "resources.%s names a container that does not exist: its work runs in fleet-controller. Remove the value, or give resources.fleetController more." $name) }}
{{- end }}
{{- end }}
{{- range $name := list "imagescan" "schedule" }}
{{- if hasKey $.Values.controller.reconciler.workers $name }}
{{- fail (printf "controller.reconciler.workers.%s has no effect: that kind is not served yet. Remove the value." $name) }}
{{- end }}
{{- end }}
{{- if hasKey .Values.extraLabels "helmops" }}
{{- fail "extraLabels.helmops has no effect: there is no Deployment helmops. Remove the value." }}
{{- end }}
{{- if hasKey .Values.extraAnnotations "helmops" }}
{{- fail "extraAnnotations.helmops has no effect: there is no Deployment helmops. Remove the value." }}
{{- end }}
{{- end }}

{{/* Proxy variables, as list entries. */}}
{{- define "fleet.proxyEnv" -}}
{{- with .Values.proxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
- name: NO_PROXY
  value: {{ $.Values.noProxy | quote }}
{{- end }}
{{- with .Values.proxyCACert }}
- name: PROXY_CA_BUNDLE
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The variables every process of the hub has. */}}
{{- define "fleet.commonEnv" -}}
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: CATTLE_ELECTION_LEASE_DURATION
  value: {{ .Values.leaderElection.leaseDuration | quote }}
- name: CATTLE_ELECTION_RETRY_PERIOD
  value: {{ .Values.leaderElection.retryPeriod | quote }}
- name: CATTLE_ELECTION_RENEW_DEADLINE
  value: {{ .Values.leaderElection.renewDeadline | quote }}
{{- with include "fleet.proxyEnv" . }}
{{ . }}
{{- end }}
{{- if .Values.debug }}
- name: CATTLE_DEV_MODE
  value: "true"
{{- end }}
{{- end }}

{{/* Debug flags, as list entries. */}}
{{- define "fleet.debugArgs" -}}
{{- if .Values.debug }}
- --debug
- --debug-level
- {{ .Values.debugLevel | quote }}
{{- end }}
{{- if not .Values.metrics.enabled }}
- --disable-metrics
{{- end }}
{{- end }}

{{/* Resources of one container: dict "Values" .Values "name" NAME. */}}
{{- define "fleet.resources" -}}
{{- if hasKey .Values.resources .name -}}
{{- toYaml (index .Values.resources .name) -}}
{{- else -}}
{{- $default := dict -}}
{{- range $key := list "limits" "requests" -}}
{{- with index $.Values.resources $key }}{{ $_ := set $default $key . }}{{ end -}}
{{- end -}}
{{- toYaml $default -}}
{{- end -}}
{{- end }}

{{/* The security context of every container. */}}
{{- define "fleet.containerSecurity" -}}
{{- if not .Values.disableSecurityContext }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop:
    - ALL
  privileged: false
  readOnlyRootFilesystem: true
{{- end }}
{{- end }}

{{/* What all pods of the hub have besides containers. */}}
{{- define "fleet.podCommon" -}}
{{- if not .Values.disableSecurityContext }}
securityContext:
  runAsGroup: 1000
  runAsNonRoot: true
  runAsUser: 1000
{{- end }}
{{- with .Values.global.cattle.imagePullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
nodeSelector:
  kubernetes.io/os: linux
{{- with .Values.nodeSelector }}
{{ toYaml . | indent 2 }}
{{- end }}
tolerations:
- effect: NoSchedule
  key: cattle.io/os
  operator: Equal
  value: linux
{{- with .Values.tolerations }}
{{ toYaml . }}
{{- end }}
{{- with .Values.affinity }}
affinity:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
volumes:
- emptyDir: {}
  name: tmp
{{- end }}
