{{- define "logout-receiver.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* 50, not 63: the longest suffix must still fit into a DNS label. */}}
{{- define "logout-receiver.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "logout-receiver.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "logout-receiver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- range $name, $value := .Values.commonLabels }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* The component keeps the test pod, which carries the same name and instance, out of the Services. */}}
{{- define "logout-receiver.selectorLabels" -}}
app.kubernetes.io/name: {{ include "logout-receiver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: receiver
{{- end }}

{{- define "logout-receiver.labels" -}}
{{ include "logout-receiver.commonLabels" . }}
app.kubernetes.io/component: receiver
{{- end }}

{{- define "logout-receiver.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "logout-receiver.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "logout-receiver.image" -}}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $name = printf "%s/%s" . $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "logout-receiver.secretsPath" -}}
/var/run/secrets/logout-receiver
{{- end }}

{{/*
The settings the pod spec depends on. They reach the service in the ConfigMap, or as environment when the ConfigMap is
somebody else's, so that ports, mounts and grace period cannot disagree with what the service does.
*/}}
{{- define "logout-receiver.ownSettings" -}}
public:
  host: {{ .Values.listen.host | quote }}
  port: {{ .Values.listen.publicPort | int }}
internal:
  host: {{ .Values.listen.host | quote }}
  port: {{ .Values.listen.internalPort | int }}
  {{- if .Values.apiToken.existingSecret }}
  token_file: {{ include "logout-receiver.secretsPath" . }}/api/token
  {{- end }}
{{- if .Values.outbox.enabled }}
outbox:
  path: /var/lib/logout-receiver/outbox.db
{{- end }}
shutdown:
  drain_s: {{ .Values.shutdown.drainSeconds | int }}
{{- if .Values.canary.enabled }}
canary:
  tenant: canary
  url: {{ .Values.canary.url | quote }}
  interval_s: {{ .Values.canary.intervalSeconds }}
{{- end }}
{{- if .Values.indexSecret.existingSecret }}
evictor:
  index_secret_file: {{ include "logout-receiver.secretsPath" . }}/index/secret
{{- end }}
{{- $files := dict }}
{{- if .Values.redisPassword.existingSecret }}
{{- $files = set $files "password_file" (printf "%s/redis/password" (include "logout-receiver.secretsPath" .)) }}
{{- end }}
{{- if .Values.sentinelPassword.existingSecret }}
{{- $files = set $files "sentinel_password_file" (printf "%s/sentinel/password" (include "logout-receiver.secretsPath" .)) }}
{{- end }}
{{- if .Values.redisTls.existingSecret }}
{{- range $setting, $key := dict "ca_file" .Values.redisTls.caKey "cert_file" .Values.redisTls.certKey "key_file" .Values.redisTls.keyKey }}
{{- if $key }}
{{- $files = set $files $setting (printf "%s/redis-tls/%s" (include "logout-receiver.secretsPath" $) $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $files }}
redis:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "logout-receiver.config" -}}
{{- $config := mergeOverwrite (deepCopy .Values.config) (include "logout-receiver.ownSettings" . | fromYaml) }}
{{- if .Values.canary.enabled }}
{{- $config = set $config "tenants" (prepend $config.tenants (include "logout-receiver.canary.tenant" . | fromYaml)) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "logout-receiver.validate" -}}
{{- $config := .Values.config }}
{{- $name := include "logout-receiver.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "Services cannot be named %s: set fullnameOverride, to small letters, digits and - only." $name) }}
{{- end }}
{{- if .Values.existingConfigMap }}
{{- if $config.tenants }}
{{- fail "Set either config.tenants or existingConfigMap, not both: the tenants would be ignored." }}
{{- end }}
{{- if $config.caches }}
{{- fail "Set either config.caches or existingConfigMap, not both: the caches would be ignored." }}
{{- end }}
{{- else }}
{{- if not $config.tenants }}
{{- fail "No tenants: list the issuers that send logout tokens in config.tenants, or name a ConfigMap in existingConfigMap." }}
{{- end }}
{{- if not (dig "redis" "url" "" $config) }}
{{- fail "No Redis: set config.redis.url to the Redis that the applications' token caches live on." }}
{{- end }}
{{- if or (dig "redis" "password" "" $config) (regexMatch "://[^/@]*:[^/@]+@" (dig "redis" "url" "" $config)) }}
{{- fail "A ConfigMap is no place for the Redis password: put it into a Secret and name that in redisPassword.existingSecret." }}
{{- end }}
{{- if dig "redis" "sentinel_password" "" $config }}
{{- fail "A ConfigMap is no place for the Sentinels' password: put it into a Secret and name that in sentinelPassword.existingSecret." }}
{{- end }}
{{- $proxies := list (dig "outbound" "proxy_url" "" $config) }}
{{- range $config.tenants }}
{{- $proxies = append $proxies (dig "outbound" "proxy_url" "" .) }}
{{- end }}
{{- range $proxies | compact }}
{{- if regexMatch "://[^/@]*:[^/@]+@" . }}
{{- fail "A ConfigMap is no place for the proxy's password: put the whole URL into a Secret and name that in proxyUrl.existingSecret." }}
{{- end }}
{{- end }}
{{- if dig "internal" "token" "" $config }}
{{- fail "A ConfigMap is no place for the API's token: put it into a Secret and name that in apiToken.existingSecret." }}
{{- end }}
{{- if dig "evictor" "index_secret" "" $config }}
{{- fail "A ConfigMap is no place for the index's secret: put it into a Secret and name that in indexSecret.existingSecret." }}
{{- end }}
{{- range $section, $settings := include "logout-receiver.ownSettings" . | fromYaml }}
{{- range $key, $value := $settings }}
{{- if hasKey (dig $section dict $config) $key }}
{{- fail (printf "config.%s.%s is set by the chart: use listen, shutdown, outbox, redisPassword, sentinelPassword, redisTls, apiToken or indexSecret instead." $section $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range concat (.Values.extraVolumes | default list) (.Values.evictor.extraVolumes | default list) }}
{{- if has .name (list "config" "tmp" "outbox" "redis-password" "sentinel-password" "redis-tls" "api-token" "index-secret") }}
{{- fail (printf "extraVolumes: %s is a volume of the chart's own; give yours another name." .name) }}
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.commonLabels }}
{{- if or (hasPrefix "app.kubernetes.io/" $name) (hasPrefix "helm.sh/" $name) }}
{{- fail (printf "commonLabels: %s is a label of the chart's own." $name) }}
{{- end }}
{{- end }}
{{- range .Values.extraContainers }}
{{- if has .name (list "receiver" "evictor") }}
{{- fail (printf "extraContainers: %s is the chart's own container; give yours another name." .name) }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (.Values.autoscaling.minReplicas | int) (.Values.autoscaling.maxReplicas | int)) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas." }}
{{- end }}
{{- if and .Values.outbox.persistence.enabled (not .Values.outbox.enabled) }}
{{- fail "outbox.persistence is a volume for the outbox: set outbox.enabled to true." }}
{{- end }}
{{- include "logout-receiver.evictor.validate" . }}
{{- include "logout-receiver.watcher.validate" . }}
{{- include "logout-receiver.canary.validate" . }}
{{- end }}
