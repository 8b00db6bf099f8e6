{{- define "logout-receiver.canary.fullname" -}}
{{ include "logout-receiver.fullname" . }}-canary
{{- end }}

{{- define "logout-receiver.canary.selectorLabels" -}}
app.kubernetes.io/name: {{ include "logout-receiver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: canary
{{- end }}

{{- define "logout-receiver.canary.labels" -}}
{{ include "logout-receiver.commonLabels" . }}
app.kubernetes.io/component: canary
{{- end }}

{{/* The tenant that the canary is the OP of. Plain http: from pod to pod, and good for nothing but its own users. */}}
{{- define "logout-receiver.canary.tenant" -}}
name: canary
issuer: http://{{ include "logout-receiver.canary.fullname" . }}:9090/op
client_ids: [canary]
applies_to: client
account_from_sub: false
allow_http: true
outbound:
  proxy_url: ""
{{- end }}

{{- define "logout-receiver.canary.validate" -}}
{{- if .Values.canary.enabled }}
{{- if .Values.existingConfigMap }}
{{- fail "canary adds a tenant to config, which existingConfigMap replaces: set canary.enabled to false, or use config." }}
{{- end }}
{{- if not .Values.canary.url }}
{{- fail "canary.url: name the address that OPs call, for instance https://logout.example.com/backchannel-logout." }}
{{- end }}
{{- range .Values.config.tenants }}
{{- if eq .name "canary" }}
{{- fail "config.tenants: canary is the name of the canary's tenant; give yours another, or set canary.enabled to false." }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
