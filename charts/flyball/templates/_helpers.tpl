{{/* Names and labels. */}}
{{- define "flyball.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "flyball.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "flyball.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "flyball.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Cluster-scoped names carry the release's namespace, so that two releases of one name can't share a role. */}}
{{- define "flyball.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "flyball.fullname" .) }}
{{- end }}

{{- define "flyball.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flyball.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flyball.gpuagent.selectorLabels" -}}
{{ include "flyball.selectorLabels" . }}
app.kubernetes.io/component: gpuagent
{{- end }}

{{- define "flyball.labels" -}}
{{ include "flyball.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: flyball
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "flyball.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "flyball.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "flyball.image" -}}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end }}
{{- with .Values.image.digest }}{{ printf "%s@%s" $name . }}{{ else }}{{ printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}{{ end }}
{{- end }}

{{/* What every pod of this chart has in common: the same restrictions, the same image, the same way to Prometheus. */}}
{{- define "flyball.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "flyball.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities:
  drop: [ALL]
{{- end }}

{{- define "flyball.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "flyball.env.common" -}}
- name: FLYBALL_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: FLYBALL_LOG_LEVEL
  value: {{ .Values.operator.logLevel | quote }}
- name: FLYBALL_LOG_FORMAT
  value: {{ .Values.operator.logFormat | quote }}
{{- end }}

{{- define "flyball.env.prometheus" -}}
- name: FLYBALL_PROMETHEUS_URL
  value: {{ .Values.prometheus.url | quote }}
- name: FLYBALL_PROMETHEUS_TIMEOUT
  value: {{ .Values.prometheus.timeout | quote }}
{{- with .Values.prometheus.headers }}
- name: FLYBALL_PROMETHEUS_HEADERS
  value: {{ toJson . | quote }}
{{- end }}
{{- if .Values.prometheus.bearerToken.existingSecret }}
- name: FLYBALL_PROMETHEUS_BEARER_TOKEN_FILE
  value: /etc/flyball/prometheus-token/token
{{- end }}
{{- if or .Values.prometheus.ca.existingSecret .Values.prometheus.ca.existingConfigMap }}
- name: FLYBALL_PROMETHEUS_CA_FILE
  value: /etc/flyball/prometheus-ca/ca.crt
{{- end }}
{{- if .Values.prometheus.clientCertificate.existingSecret }}
- name: FLYBALL_PROMETHEUS_CLIENT_CERTIFICATE_FILE
  value: /etc/flyball/prometheus-client/tls.crt
- name: FLYBALL_PROMETHEUS_CLIENT_KEY_FILE
  value: /etc/flyball/prometheus-client/tls.key
{{- end }}
{{- end }}

{{/* Whole directories, never subPath: a subPath mount does not follow a rotated token. */}}
{{- define "flyball.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.prometheus.bearerToken.existingSecret }}
- name: prometheus-token
  mountPath: /etc/flyball/prometheus-token
  readOnly: true
{{- end }}
{{- if or .Values.prometheus.ca.existingSecret .Values.prometheus.ca.existingConfigMap }}
- name: prometheus-ca
  mountPath: /etc/flyball/prometheus-ca
  readOnly: true
{{- end }}
{{- if .Values.prometheus.clientCertificate.existingSecret }}
- name: prometheus-client
  mountPath: /etc/flyball/prometheus-client
  readOnly: true
{{- end }}
{{- end }}

{{- define "flyball.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- with .Values.prometheus.bearerToken }}
{{- if .existingSecret }}
- name: prometheus-token
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: token
{{- end }}
{{- end }}
{{- with .Values.prometheus.ca }}
{{- if .existingSecret }}
- name: prometheus-ca
  secret:
    secretName: {{ .existingSecret }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- else if .existingConfigMap }}
- name: prometheus-ca
  configMap:
    name: {{ .existingConfigMap }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.prometheus.clientCertificate.existingSecret }}
- name: prometheus-client
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* The claim that holds the decision records; empty where they live and die with the pod. */}}
{{- define "flyball.records.claim" -}}
{{- $claim := .Values.decisionRecords.persistentVolumeClaim }}
{{- if $claim.existingClaim }}{{ $claim.existingClaim }}{{ else if $claim.create }}{{ include "flyball.fullname" . }}-decisions{{ end }}
{{- end }}

{{/* A volume's size for the records: what they may take, and room for the file that is begun before the oldest goes. */}}
{{- define "flyball.records.room" -}}
{{ add .Values.decisionRecords.sizeMiB (div .Values.decisionRecords.sizeMiB 4) 4 }}Mi
{{- end }}

{{/* The claim that holds a ledger in a file; empty where it is in PostgreSQL. */}}
{{- define "flyball.ledger.claim" -}}
{{- $claim := .Values.ledger.persistentVolumeClaim }}
{{- if $claim.existingClaim }}{{ $claim.existingClaim }}{{ else if $claim.create }}{{ include "flyball.fullname" . }}-ledger{{ end }}
{{- end }}

{{/* The port of prometheus.url as its pods are assumed to have it. */}}
{{- define "flyball.prometheusPort" -}}
{{- $url := urlParse .Values.prometheus.url }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) }}
{{- if $port }}{{ $port }}{{ else if eq $url.scheme "https" }}443{{ else }}80{{ end }}
{{- end }}

{{/* What the schema can't say. */}}
{{- define "flyball.validate" -}}
{{- if not .Values.prometheus.url }}
{{- fail "prometheus.url is required: the base URL of the Prometheus API that Flyball reads, for example --set prometheus.url=http://prometheus.monitoring:9090" }}
{{- end }}
{{- if (urlParse .Values.prometheus.url).userinfo }}
{{- fail "prometheus.url holds credentials, which would stand in the Deployment: create a Secret with a token and name it in prometheus.bearerToken.existingSecret" }}
{{- end }}
{{- range $header, $value := .Values.prometheus.headers }}
{{- if eq (lower $header) "authorization" }}
{{- fail "prometheus.headers.Authorization would put a secret into the Deployment: create a Secret with the token and name it in prometheus.bearerToken.existingSecret" }}
{{- end }}
{{- end }}
{{- if and .Values.prometheus.ca.existingSecret .Values.prometheus.ca.existingConfigMap }}
{{- fail "prometheus.ca: name existingSecret or existingConfigMap, not both" }}
{{- end }}
{{- with .Values.decisionRecords.persistentVolumeClaim }}
{{- if and .create .existingClaim }}
{{- fail "decisionRecords.persistentVolumeClaim: set create or name existingClaim, not both" }}
{{- end }}
{{- end }}
{{- with .Values.ledger.persistentVolumeClaim }}
{{- if and .create .existingClaim }}
{{- fail "ledger.persistentVolumeClaim: set create or name existingClaim, not both" }}
{{- end }}
{{- end }}
{{- if .Values.ledger.enabled }}
{{- if and .Values.ledger.postgresql.existingSecret (include "flyball.ledger.claim" .) }}
{{- fail "ledger: name postgresql.existingSecret, or a persistentVolumeClaim, not both" }}
{{- end }}
{{- if not (or .Values.ledger.postgresql.existingSecret (include "flyball.ledger.claim" .)) }}
{{- fail "ledger.enabled needs a place that outlives the pod: set ledger.persistentVolumeClaim.create, or name ledger.persistentVolumeClaim.existingClaim or ledger.postgresql.existingSecret" }}
{{- end }}
{{- end }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- if and .Values.ledger.enabled (include "flyball.ledger.claim" .) }}
{{- fail "replicaCount is above 1 and the ledger is a file, which only one pod can have: name a Secret with a postgresql:// URL in ledger.postgresql.existingSecret in place of ledger.persistentVolumeClaim, or set ledger.enabled to false" }}
{{- end }}
{{- if and .Values.decisionRecords.enabled (include "flyball.records.claim" .) }}
{{- fail "replicaCount is above 1 and the decision records are on a claim, which only one pod can have: leave decisionRecords.persistentVolumeClaim out, so that every replica keeps its own, or set decisionRecords.enabled to false" }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Job of `helm uninstall` and what it needs are hooks: they exist only while it runs. */}}
{{- define "flyball.restore.meta" -}}
labels:
  {{- include "flyball.labels" .root | nindent 2 }}
  app.kubernetes.io/component: restore
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  helm.sh/hook-output-log-policy: hook-failed
{{- end }}

{{/* "true" where a ServiceMonitor is wanted and its CRD exists. */}}
{{- define "flyball.serviceMonitor" -}}
{{- if and .Values.metrics.serviceMonitor.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor") }}true{{ end }}
{{- end }}

{{/* The same for `helm test`. */}}
{{- define "flyball.test.meta" -}}
labels:
  {{- include "flyball.labels" .root | nindent 2 }}
  app.kubernetes.io/component: test
annotations:
  helm.sh/hook: test
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end }}
