{{- define "logout-receiver.watcher.fullname" -}}
{{ include "logout-receiver.fullname" . }}-watcher
{{- end }}

{{- define "logout-receiver.watcher.selectorLabels" -}}
app.kubernetes.io/name: {{ include "logout-receiver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: watcher
{{- end }}

{{- define "logout-receiver.watcher.labels" -}}
{{ include "logout-receiver.commonLabels" . }}
app.kubernetes.io/component: watcher
{{- end }}

{{- define "logout-receiver.watcher.validate" -}}
{{- $watched := false }}
{{- range $tenant := .Values.config.tenants }}
{{- with $tenant.graph }}
{{- $watched = true }}
{{- if .client_secret }}
{{- fail (printf "A ConfigMap is no place for the secret of tenant %s: mount its Secret with watcher.extraVolumes and name the file in graph.client_secret_file." $tenant.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.watcher.enabled (not .Values.existingConfigMap) (not $watched) }}
{{- fail "Nothing for the watcher to watch: give a tenant in config.tenants a section graph, or set watcher.enabled to false." }}
{{- end }}
{{- end }}
