{{/* The ports of the receiver's Redis, as a JSON list. */}}
{{- define "logout-receiver.redisPorts" -}}
{{- $ports := .Values.networkPolicy.redisPorts | default list }}
{{- $url := dig "redis" "url" "" .Values.config }}
{{- if and (not $ports) $url }}
{{- if regexMatch "^rediss?\\+" $url }}
{{- fail "A Sentinel or Cluster URL does not name the port of every server: list them all in networkPolicy.redisPorts." }}
{{- end }}
{{- if not (hasPrefix "unix:" $url) }}
{{- $ports = append $ports (include "logout-receiver.portOf" $url | int) }}
{{- end }}
{{- end }}
{{- if not $ports }}
{{- fail "The chart does not see the Redis in the settings: list its ports in networkPolicy.redisPorts." }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{/* The ports of the OPs, or of the proxies on the way to them, and of Entra ID; 443 where the chart sees none. */}}
{{- define "logout-receiver.outsidePorts" -}}
{{- $ports := list }}
{{- $common := dig "outbound" "proxy_url" "" .Values.config }}
{{- range $tenant := .Values.config.tenants }}
{{- $proxy := dig "outbound" "proxy_url" $common $tenant }}
{{- range ternary (list $proxy) (list $tenant.discovery_url $tenant.jwks_uri $tenant.issuer | compact) (ne $proxy "") }}
{{- $ports = append $ports (include "logout-receiver.portOf" . | int) }}
{{- end }}
{{- end }}
{{- if or (not $ports) .Values.proxyUrl.existingSecret (eq (dig "redis" "credentials" "password" .Values.config) "entra") }}
{{- $ports = append $ports 443 }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}
