{{- define "logstore.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "logstore.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "logstore.labels" -}}
{{ include "logstore.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "logstore.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{ .Values.serviceAccount.name | default (include "logstore.fullname" .) }}{{- else -}}{{ .Values.serviceAccount.name | default "default" }}{{- end -}}
{{- end -}}

{{- define "logstore.secret" -}}
{{ .Values.s3.existingSecret | default (printf "%s-s3" (include "logstore.fullname" .)) }}
{{- end -}}

{{- define "logstore.gossip" -}}
{{ include "logstore.fullname" . }}-gossip.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "logstore.scheme" -}}
{{ if .Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end }}
{{- end -}}

{{/* What Prometheus asks, with what it shows and trusts there. */}}
{{- define "logstore.endpoint" -}}
{{- $m := .Values.serviceMonitor -}}
{{- $e := dict "port" "http" "interval" $m.interval -}}
{{- if and $m.basicAuth.existingSecret $m.bearer.existingSecret -}}
{{- fail "serviceMonitor: only one of basicAuth and bearer can be used" -}}
{{- end -}}
{{- with $m.basicAuth -}}
{{- if .existingSecret -}}
{{- $_ := set $e "basicAuth" (dict "username" (dict "name" .existingSecret "key" .usernameKey) "password" (dict "name" .existingSecret "key" .passwordKey)) -}}
{{- end -}}
{{- end -}}
{{- with $m.bearer -}}
{{- if .existingSecret -}}
{{- $_ := set $e "authorization" (dict "type" "Bearer" "credentials" (dict "name" .existingSecret "key" .key)) -}}
{{- end -}}
{{- end -}}
{{- if or .Values.tls.existingSecret $m.tls.enabled -}}
{{- $t := dict "serverName" ($m.tls.serverName | default (include "logstore.fullname" .)) -}}
{{- if $m.tls.insecureSkipVerify -}}
{{- $_ := set $t "insecureSkipVerify" true -}}
{{- else -}}
{{- with $m.tls.caSecret | default .Values.tls.existingSecret -}}
{{- $_ := set $t "ca" (dict "secret" (dict "name" . "key" $m.tls.caKey)) -}}
{{- end -}}
{{- end -}}
{{- with $m.tls.clientSecret -}}
{{- $_ := set $t "cert" (dict "secret" (dict "name" . "key" "tls.crt")) -}}
{{- $_ := set $t "keySecret" (dict "name" . "key" "tls.key") -}}
{{- end -}}
{{- $_ := set $e "scheme" "https" -}}
{{- $_ := set $e "tlsConfig" $t -}}
{{- end -}}
{{- $e = mergeOverwrite $e (deepCopy $m.endpoint) -}}
{{- if and .Values.auth.existingSecret (not (or $e.basicAuth $e.authorization $e.oauth2 $e.bearerTokenSecret (and $e.tlsConfig (or $e.tlsConfig.cert $e.tlsConfig.certFile)))) -}}
{{- fail "serviceMonitor: with auth.existingSecret /metrics is guarded: set basicAuth, bearer or tls.clientSecret of a user with the scope metrics" -}}
{{- end -}}
{{- toYaml $e -}}
{{- end -}}
