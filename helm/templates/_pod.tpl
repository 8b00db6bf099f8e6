{{/*
What the pods of the receiver and of the evictor have in common: both run the same image on the same settings, so
whatever a setting names, a file or a credential, must be there for both.
*/}}

{{- define "logout-receiver.podAnnotations" -}}
{{- $annotations := deepCopy (.Values.podAnnotations | default dict) }}
{{- if not .Values.existingConfigMap }}
{{- $annotations = set $annotations "checksum/config" (include "logout-receiver.config" . | sha256sum) }}
{{- end }}
{{- with $annotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Takes `root` and the pod's `own` labels, as YAML. The chart's own labels win: Services select by them. */}}
{{- define "logout-receiver.podLabels" -}}
{{- $labels := deepCopy (.root.Values.podLabels | default dict) }}
{{- if .root.Values.azure.workloadIdentity.enabled }}
{{- $labels = set $labels "azure.workload.identity/use" "true" }}
{{- end }}
{{- mergeOverwrite $labels (.own | fromYaml) | toYaml }}
{{- end }}

{{- define "logout-receiver.identity" -}}
serviceAccountName: {{ include "logout-receiver.serviceAccountName" . }}
automountServiceAccountToken: false
# Service links would add RECEIVER_* variables of their own to a release called "receiver", and unknown ones are
# errors.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What goes with RollingUpdate is left out of any other strategy: the API refuses it there. */}}
{{- define "logout-receiver.strategy" -}}
{{- with .Values.strategy }}
{{- if eq (.type | default "RollingUpdate") "RollingUpdate" }}
{{- toYaml . }}
{{- else }}
{{- omit . "rollingUpdate" | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- define "logout-receiver.env" -}}
{{- if or .Values.existingConfigMap .Values.extraEnv .Values.proxyUrl.existingSecret }}
env:
  {{- if .Values.existingConfigMap }}
  {{- range $section, $settings := include "logout-receiver.ownSettings" . | fromYaml }}
  {{- range $key, $value := $settings }}
  - name: {{ printf "RECEIVER_%s__%s" ($section | upper) ($key | upper) }}
    value: {{ $value | toString | quote }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- if .Values.proxyUrl.existingSecret }}
  - name: RECEIVER_OUTBOUND__PROXY_URL
    valueFrom:
      secretKeyRef:
        name: {{ .Values.proxyUrl.existingSecret }}
        key: {{ .Values.proxyUrl.key }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "logout-receiver.probes" -}}
{{- with .Values.startupProbe }}
startupProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.livenessProbe }}
livenessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.readinessProbe }}
readinessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "logout-receiver.volumeMounts" -}}
- name: config
  mountPath: /etc/logout-receiver
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.redisPassword.existingSecret }}
# A directory, not a subPath: only so does a rotated password reach a running pod.
- name: redis-password
  mountPath: {{ include "logout-receiver.secretsPath" . }}/redis
  readOnly: true
{{- end }}
{{- if .Values.indexSecret.existingSecret }}
- name: index-secret
  mountPath: {{ include "logout-receiver.secretsPath" . }}/index
  readOnly: true
{{- end }}
{{- if .Values.sentinelPassword.existingSecret }}
- name: sentinel-password
  mountPath: {{ include "logout-receiver.secretsPath" . }}/sentinel
  readOnly: true
{{- end }}
{{- if .Values.redisTls.existingSecret }}
- name: redis-tls
  mountPath: {{ include "logout-receiver.secretsPath" . }}/redis-tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "logout-receiver.volumes" -}}
- name: config
  configMap:
    name: {{ .Values.existingConfigMap | default (include "logout-receiver.fullname" .) }}
{{ include "logout-receiver.volumes.others" . }}
{{- end }}

{{- define "logout-receiver.apiToken.volumeMount" -}}
{{- if .Values.apiToken.existingSecret -}}
- name: api-token
  mountPath: {{ include "logout-receiver.secretsPath" . }}/api
  readOnly: true
{{- end }}
{{- end }}

{{- define "logout-receiver.apiToken.volume" -}}
{{- if .Values.apiToken.existingSecret -}}
- name: api-token
  secret:
    secretName: {{ .Values.apiToken.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .Values.apiToken.key }}
        path: token
{{- end }}
{{- end }}

{{- define "logout-receiver.volumes.others" -}}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.tmpSizeLimit }}
{{- if .Values.redisPassword.existingSecret }}
- name: redis-password
  secret:
    secretName: {{ .Values.redisPassword.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .Values.redisPassword.key }}
        path: password
{{- end }}
{{- if .Values.indexSecret.existingSecret }}
- name: index-secret
  secret:
    secretName: {{ .Values.indexSecret.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .Values.indexSecret.key }}
        path: secret
{{- end }}
{{- if .Values.sentinelPassword.existingSecret }}
- name: sentinel-password
  secret:
    secretName: {{ .Values.sentinelPassword.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .Values.sentinelPassword.key }}
        path: password
{{- end }}
{{- if .Values.redisTls.existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ .Values.redisTls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes `root`, the `affinity` and the `selector` of the pods that are placed. */}}
{{- define "logout-receiver.placement" -}}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $selector := dict "matchLabels" ($.selector | fromYaml) }}
  {{- range . }}
  {{- list (merge (deepCopy .) (dict "labelSelector" $selector)) | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
