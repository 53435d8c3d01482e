{{/*
Flyball's rights, each verb with its reason. docs/security/rbac.md has the same list for readers; a test compares them.
They become a ClusterRole, or with watchNamespaces a Role in each of these namespaces.
*/}}
{{- define "flyball.rules.workloads" -}}
# The mirror of specs: watch feeds it, list corrects it. get and patch are for the finalizer alone, which exists only while a
# route must be restored; Kubernetes has no smaller right for it.
- apiGroups: [flyball.dev]
  resources: [workloadslos]
  verbs: [get, list, watch, patch]
# The status, by server-side apply.
- apiGroups: [flyball.dev]
  resources: [workloadslos/status]
  verbs: [patch]
# Budgets that workloads share: watch feeds the mirror, list corrects it.
- apiGroups: [flyball.dev]
  resources: [budgets]
  verbs: [list, watch]
# Where they stand, by server-side apply.
- apiGroups: [flyball.dev]
  resources: [budgets/status]
  verbs: [patch]
# Load that is announced: watch feeds the mirror, list corrects it.
- apiGroups: [flyball.dev]
  resources: [demandevents]
  verbs: [list, watch]
# Whether an announcement is upcoming or past, and whom it concerns, by server-side apply.
- apiGroups: [flyball.dev]
  resources: [demandevents/status]
  verbs: [patch]
# Experiments: watch feeds the mirror, list corrects it. get and patch are for the finalizer alone, which exists only while
# a route must be restored.
- apiGroups: [flyball.dev]
  resources: [roiexperiments]
  verbs: [{{ if .Values.fallback.enabled }}get, patch, {{ end }}list, watch]
# What they showed, by server-side apply.
- apiGroups: [flyball.dev]
  resources: [roiexperiments/status]
  verbs: [patch]
# Targets: their pod template says which accelerator and how many, their selector which pods. patch writes the budget
# annotations on the object itself, never on the pod template, and never replicas.
{{- range .Values.rbac.targets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}]
  verbs: [list, patch]
# The only way in which replicas are changed.
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch]
{{- end }}
# Which replicas are ready, loading or pending, and since when.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# Whether another autoscaler owns a target: then Flyball steps aside.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list]
{{- if .Values.fallback.enabled }}
# Fallback: read a route, and patch the two weights it was given. Whether a fallback backend has endpoints that can take
# traffic at all.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
# Where a rule names InferencePools: which pods one selects.
- apiGroups: [inference.networking.k8s.io]
  resources: [inferencepools]
  verbs: [list]
# Where a fallback names a route of Envoy AI Gateway: the route, as above, and which Services its backends stand for.
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aigatewayroutes]
  verbs: [get, list, patch]
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aiservicebackends]
  verbs: [list]
- apiGroups: [gateway.envoyproxy.io]
  resources: [backends]
  verbs: [list]
{{- end }}
# Events. patch counts a repeated one up instead of writing another; get finds its count again after a restart.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, get, patch]
{{- end }}

{{/* What lives outside namespaces: read only, but for the status of pools. */}}
{{- define "flyball.rules.cluster" -}}
# Prices.
- apiGroups: [flyball.dev]
  resources: [pricebooks]
  verbs: [list, watch]
# GPUs that workloads share.
- apiGroups: [flyball.dev]
  resources: [gpupools]
  verbs: [list, watch]
# Who has how many of them and who is short, by server-side apply.
- apiGroups: [flyball.dev]
  resources: [gpupools/status]
  verbs: [patch]
{{- if .Values.ledger.enabled }}
# Who pushes outcomes, and whether that user may create workloadslos/outcomes.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
# get: which accelerator a replica runs on, which decides its price; asked only where the pod does not say.
# list, with gpuPools.discovery: how many GPUs there are, for GPUPools that do not say.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get{{ if .Values.gpuPools.discovery }}, list{{ end }}]
{{- end }}

{{/* What `flyball restore` needs to leave nothing behind, whether or not fallback is enabled now. */}}
{{- define "flyball.rules.restore" -}}
# Find every WorkloadSLO and take the finalizer off. Here and below, get looks again where somebody wrote in between.
- apiGroups: [flyball.dev]
  resources: [workloadslos]
  verbs: [get, list, patch]
# Take it off every ROIExperiment, too.
- apiGroups: [flyball.dev]
  resources: [roiexperiments]
  verbs: [get, list, patch]
# Give the routes their own weights back.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, patch]
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aigatewayroutes]
  verbs: [get, list, patch]
# Take the budget annotations off the targets.
{{- range .Values.rbac.targets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}]
  verbs: [list, patch]
{{- end }}
{{- end }}

{{/* A binding's reference and subject, in one line each place. */}}
{{- define "flyball.subject" -}}
- kind: ServiceAccount
  name: {{ .name }}
  namespace: {{ .namespace }}
{{- end }}
