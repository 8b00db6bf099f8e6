{{- define "logout-receiver.evictor.fullname" -}}
{{ include "logout-receiver.fullname" . }}-evictor
{{- end }}

{{- define "logout-receiver.evictor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "logout-receiver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: evictor
{{- end }}

{{- define "logout-receiver.evictor.labels" -}}
{{ include "logout-receiver.commonLabels" . }}
app.kubernetes.io/component: evictor
{{- end }}

{{/* The port of one URL with one host, its scheme's own where it names none. */}}
{{- define "logout-receiver.portOf" -}}
{{- $scheme := regexFind "^[^:]+" . }}
{{- $host := . | regexFind "://[^/?]*" | regexFind "[^@/]*$" }}
{{- $usual := dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379" }}
{{- $host | regexFind ":[0-9]+$" | trimPrefix ":" | default (get $usual $scheme) }}
{{- end }}

{{/* The ports of every Redis in the settings, as a JSON list. */}}
{{- define "logout-receiver.evictor.redisPorts" -}}
{{- $ports := .Values.evictor.networkPolicy.redisPorts | default list }}
{{- if not $ports }}
{{- $urls := list (dig "redis" "url" "" .Values.config) }}
{{- range .Values.config.caches }}
{{- with .redis }}
{{- $urls = append $urls (.url | default "") }}
{{- end }}
{{- end }}
{{- range $urls | compact }}
{{- if regexMatch "^rediss?\\+" . }}
{{- fail "A Sentinel or Cluster URL does not name the port of every server: list them all in evictor.networkPolicy.redisPorts." }}
{{- end }}
{{- if not (hasPrefix "unix:" .) }}
{{- $ports = append $ports (include "logout-receiver.portOf" . | int) }}
{{- end }}
{{- end }}
{{- end }}
{{- if not $ports }}
{{- fail "The chart does not see the Redis in the settings: list its ports in evictor.networkPolicy.redisPorts." }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{/*
The ports of what else the evictor calls, as a JSON list: the OPs that revoke refresh tokens, or the proxy on the way
to them, and Entra ID where it gives the credentials for a Redis.
*/}}
{{- define "logout-receiver.evictor.outsidePorts" -}}
{{- $ports := list }}
{{- $proxy := dig "outbound" "proxy_url" "" .Values.config }}
{{- range $tenant := .Values.config.tenants }}
{{- with $tenant.revocation }}
{{- if $proxy }}
{{- $ports = append $ports (include "logout-receiver.portOf" $proxy | int) }}
{{- else }}
{{- $address := .endpoint | default $tenant.discovery_url | default $tenant.issuer }}
{{- $ports = append $ports (include "logout-receiver.portOf" $address | int) }}
{{- end }}
{{- end }}
{{- end }}
{{- $redis := list (.Values.config.redis | default dict) }}
{{- range .Values.config.caches }}
{{- $redis = append $redis (.redis | default dict) }}
{{- end }}
{{- range $redis }}
{{- if eq (.credentials | default "password") "entra" }}
{{- $ports = append $ports 443 }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{- define "logout-receiver.evictor.validate" -}}
{{- if and .Values.evictor.enabled (not .Values.existingConfigMap) (not .Values.config.caches) }}
{{- fail "Nothing for the evictor to clear: list the shared caches in config.caches, or set evictor.enabled to false." }}
{{- end }}
{{- range .Values.config.caches }}
{{- $cache := . }}
{{- with .redis }}
{{- if or .password .sentinel_password (regexMatch "://[^/@]*:[^/@]+@" (.url | default "")) }}
{{- fail (printf "A ConfigMap is no place for the Redis password of cache %s: mount its Secret with evictor.extraVolumes and name the file in password_file." $cache.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $tenant := .Values.config.tenants }}
{{- with $tenant.revocation }}
{{- range $client, $credentials := .clients }}
{{- if ($credentials | default dict).secret }}
{{- fail (printf "A ConfigMap is no place for the secret of client %s: mount its Secret with evictor.extraVolumes and name the file in secret_file." $client) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
