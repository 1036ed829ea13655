{{/* The beginning of every name, short enough for what comes behind it. */}}
{{- define "backchat.name" -}}
{{- $name := ternary .Release.Name (printf "%s-backchat" .Release.Name) (contains "backchat" .Release.Name) -}}
{{- $name | trunc 34 | trimSuffix "-" -}}
{{- end }}

{{/* By which pods are found. It never changes: {root, component}. */}}
{{- define "backchat.selector" -}}
app.kubernetes.io/name: backchat
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "backchat.labels" -}}
{{ include "backchat.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* {root, image}: of ours, a name under the registry; of others, a repository. */}}
{{- define "backchat.image" -}}
{{- $repository := .image.repository -}}
{{- if not $repository -}}
{{- $registry := required "image.registry: name the host and path under which the images lie" .root.Values.image.registry -}}
{{- $repository = printf "%s/%s" $registry .image.name -}}
{{- end -}}
{{- $tag := .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- if eq $tag "latest" }}{{ fail (printf "%s: name a version, not latest" $repository) }}{{ end -}}
{{ $repository }}:{{ $tag }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What every pod of the release says of itself: {root, component, values}. */}}
{{- define "backchat.pod" -}}
serviceAccountName: {{ include "backchat.name" .root }}-{{ .component }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "backchat.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "backchat.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "backchat.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* A pod has to live until load balancers have let go of it and its work is done: {place, values, drain}. Behind its drain a gateway
     takes 5 s for the last goodbyes, 5 for people's requests in flight, 5 for operators' requests and the last traces, and 5 for its last
     tasks: a test in gateway/src/lib.rs holds this number to them. The other services take less. */}}
{{- define "backchat.grace" -}}
{{- $afterDrain := 20 -}}
{{- $needed := add .values.preStopSeconds .drain $afterDrain | int -}}
{{- $given := .values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{ $needed }}
{{- else if lt (int $given) $needed -}}
{{- $sum := printf "preStop %d + drain %d + %d need %d" (int .values.preStopSeconds) (int .drain) $afterDrain $needed -}}
{{ fail (printf "%s.terminationGracePeriodSeconds is %d, but %s: raise it, or leave it out" .place (int $given) $sum) }}
{{- else -}}
{{ int $given }}
{{- end -}}
{{- end }}

{{/* Liveness is lenient: a busy node must not restart what serves again a moment later. */}}
{{- define "backchat.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: operations }
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: operations }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: operations }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- with .preStopSeconds }}
lifecycle:
  preStop:
    sleep: { seconds: {{ int . }} }
{{- end }}
{{- end }}

{{/* A program's settings by the names in its file: {prefix, settings}. */}}
{{- define "backchat.settings" -}}
{{- range $key, $value := .settings }}
{{ $.prefix }}_{{ upper $key }}: {{ kindIs "float64" $value | ternary ($value | toString | float64 | int64) $value | quote }}
{{- end }}
{{- end }}

{{/* Where a program sends traces: {root, prefix}. */}}
{{- define "backchat.traces" -}}
{{- with .root.Values.traces }}
{{- if .url }}
{{ $.prefix }}_TRACES: {{ .url | quote }}
{{- if include "backchat.collectorCa" $.root }}
{{ $.prefix }}_TRACES_CA: /etc/backchat/collector/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The secret with the authorities of the collector; nothing when the public ones are believed, or none are needed. */}}
{{- define "backchat.collectorCa" -}}
{{- if hasPrefix "https://" .Values.traces.url }}{{ .Values.traces.caSecret }}{{ end -}}
{{- end }}

{{/* How a program comes in at the broker: {root, prefix, user}. */}}
{{- define "backchat.broker" -}}
{{- $name := include "backchat.name" .root -}}
{{- $nats := .root.Values.nats -}}
{{- if $nats.enabled }}
- name: {{ .prefix }}_NATS_URL
  value: {{ ternary "tls" "nats" $nats.tls.enabled }}://{{ $name }}-nats:4222
{{- else }}
- name: {{ .prefix }}_NATS_URL
  value: {{ required "nats.url: name the NATS server, since nats.enabled is false" $nats.url | quote }}
{{- end }}
- name: {{ .prefix }}_NATS_USER
  value: {{ .user }}
- name: {{ .prefix }}_NATS_PASSWORD
  valueFrom:
    secretKeyRef: { name: {{ include "backchat.natsUsers" .root }}, key: {{ .user }} }
{{- if include "backchat.natsCa" .root }}
- name: {{ .prefix }}_NATS_CA
  value: /etc/backchat/nats/ca.crt
{{- end }}
{{- end }}

{{- define "backchat.natsUsers" -}}
{{- if and (not .Values.nats.enabled) (not .Values.nats.existingSecret) -}}
{{ fail "nats.existingSecret: name the secret with the users' passwords, since nats.enabled is false" }}
{{- end -}}
{{ .Values.nats.existingSecret | default (printf "%s-nats-users" (include "backchat.name" .)) }}
{{- end }}

{{/* The secret with the authorities of the broker; nothing when the public ones are believed, or none are needed. */}}
{{- define "backchat.natsCa" -}}
{{- if .Values.nats.tls.enabled -}}
{{ .Values.nats.tls.existingSecret | default (ternary (printf "%s-nats-tls" (include "backchat.name" .)) "" .Values.nats.enabled) }}
{{- end -}}
{{- end }}

{{/* How a program comes in at its database: {root, prefix, user, database}. */}}
{{- define "backchat.database" -}}
{{- $name := include "backchat.name" .root -}}
{{- $surrealdb := .root.Values.surrealdb -}}
{{- if $surrealdb.enabled }}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef: { name: {{ $surrealdb.existingSecret | default (printf "%s-surrealdb-users" $name) }}, key: {{ .user }}-password }
- name: {{ .prefix }}_DATABASE
  value: {{ ternary "wss" "ws" $surrealdb.tls.enabled }}://{{ .user }}:$(DATABASE_PASSWORD)@{{ $name }}-surrealdb:8000/backchat/{{ .database }}{{ if $surrealdb.tls.enabled }}?ca=/etc/backchat/database/ca.crt{{ end }}
{{- else }}
- name: {{ .prefix }}_DATABASE
  valueFrom:
    secretKeyRef: { name: {{ required "surrealdb.urlsSecret: name the secret with the databases' URLs, since surrealdb.enabled is false" $surrealdb.urlsSecret }}, key: {{ .user }} }
{{- end }}
{{- end }}

{{- define "backchat.databaseCa" -}}
{{- if .Values.surrealdb.tls.enabled -}}
{{ .Values.surrealdb.tls.existingSecret | default (ternary (printf "%s-surrealdb-tls" (include "backchat.name" .)) "" .Values.surrealdb.enabled) }}
{{- end -}}
{{- end }}

{{- define "backchat.rootKey" -}}
{{- if .Values.rootKey.existingSecret -}}
{{ .Values.rootKey.existingSecret }}
{{- else if .Values.rootKey.create -}}
{{ include "backchat.name" . }}-root-key
{{- else -}}
{{ fail "rootKey: name the secret with the root key (rootKey.existingSecret), or let one be made (rootKey.create=true) and copy it to a safe place" }}
{{- end -}}
{{- end }}

{{/* Files that a program reads, by what it needs: {root, needs: [nats database roots collector]}. */}}
{{- define "backchat.mounts" -}}
{{- if and (has "nats" .needs) (include "backchat.natsCa" .root) }}
- { name: nats-ca, mountPath: /etc/backchat/nats, readOnly: true }
{{- end }}
{{- if and (has "database" .needs) (include "backchat.databaseCa" .root) }}
- { name: database-ca, mountPath: /etc/backchat/database, readOnly: true }
{{- end }}
{{- if and (has "collector" .needs) (include "backchat.collectorCa" .root) }}
- { name: collector-ca, mountPath: /etc/backchat/collector, readOnly: true }
{{- end }}
{{- if has "roots" .needs }}
- { name: roots, mountPath: /etc/backchat/roots, readOnly: true }
{{- end }}
{{- end }}

{{- define "backchat.volumes" -}}
{{- if has "nats" .needs }}{{ with include "backchat.natsCa" .root }}
- name: nats-ca
  secret: { secretName: {{ . }}, items: [{ key: ca.crt, path: ca.crt }] }
{{- end }}{{ end }}
{{- if has "database" .needs }}{{ with include "backchat.databaseCa" .root }}
- name: database-ca
  secret: { secretName: {{ . }}, items: [{ key: ca.crt, path: ca.crt }] }
{{- end }}{{ end }}
{{- if has "collector" .needs }}{{ with include "backchat.collectorCa" .root }}
- name: collector-ca
  secret: { secretName: {{ . }}, items: [{ key: ca.crt, path: ca.crt }] }
{{- end }}{{ end }}
{{- if has "roots" .needs }}
- name: roots
  secret: { secretName: {{ include "backchat.rootKey" .root }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{/* Hosts of the public origins. */}}
{{- define "backchat.hosts" -}}
{{- if not .Values.publicOrigins }}{{ fail "publicOrigins: name the addresses under which browsers reach the chat, such as https://chat.example" }}{{ end -}}
{{- if not .Values.trustedProxies }}{{ fail "trustedProxies: name the addresses of the proxies in front, such as 10.0.0.0/8; else everybody has one address" }}{{ end -}}
{{- $hosts := list -}}
{{- range .Values.publicOrigins }}{{ $hosts = append $hosts (urlParse .).hostname }}{{ end -}}
{{ $hosts | uniq | toJson }}
{{- end }}

{{/* Which autoscaler, or nothing. YAML reads a bare off as false. */}}
{{- define "backchat.scaler" -}}
{{- if and .mode (ne (toString .mode) "off") }}{{ .mode }}{{ end -}}
{{- end }}

{{/* Slowly down: a pod that goes moves its people. */}}
{{- define "backchat.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - { type: Percent, value: 100, periodSeconds: 60 }
    - { type: Pods, value: 2, periodSeconds: 60 }
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - { type: Pods, value: 1, periodSeconds: 60 }
{{- end }}

{{/* An autoscaler of a deployment: {root, component, scaling, maxReplicas, metrics: [{name, target, across}]}. KEDA reads a metric
     from every pod of the component and puts them together as `across` says. */}}
{{- define "backchat.autoscaler" -}}
{{- $name := printf "%s-%s" (include "backchat.name" .root) .component -}}
{{- if gt (int .scaling.minReplicas) (int .maxReplicas) }}
{{ fail (printf "%s: autoscaling.minReplicas %d is more than maxReplicas %d" .component (int .scaling.minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if eq (include "backchat.scaler" .scaling) "keda" }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $name }}
  labels: {{- include "backchat.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicaCount: {{ .scaling.minReplicas }}
  maxReplicaCount: {{ .maxReplicas }}
  pollingInterval: 15
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: {{- include "backchat.behavior" . | nindent 8 }}
  triggers:
    {{- range .metrics }}
    - type: metrics-api
      metadata:
        url: http://{{ $name }}-metrics.{{ $.root.Release.Namespace }}.svc:9080/metrics
        format: prometheus
        valueLocation: {{ .name }}
        targetValue: {{ int64 .target | quote }}
        aggregateFromKubeServiceEndpoints: "true"
        aggregationType: {{ .across }}
    {{- end }}
---
# By it KEDA finds the pods: it asks those of a Service that has the port.
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-metrics
  labels: {{- include "backchat.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector: {{- include "backchat.selector" . | nindent 4 }}
  ports:
    - { name: operations, port: 9080, targetPort: operations, protocol: TCP, appProtocol: http }
{{- else }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- include "backchat.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ .scaling.minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  behavior: {{- include "backchat.behavior" . | nindent 4 }}
  metrics:
    {{- range .metrics }}
    - type: Pods
      pods:
        metric: { name: {{ .name }} }
        target: { type: AverageValue, averageValue: {{ int64 .target | quote }} }
    {{- end }}
{{- end }}
{{- end }}

{{/* Service account and disruption budget, which every service has alike: {root, component}. */}}
{{- define "backchat.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "backchat.name" .root }}-{{ .component }}
  labels: {{- include "backchat.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}

{{- define "backchat.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "backchat.name" .root }}-{{ .component }}
  labels: {{- include "backchat.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "backchat.selector" . | nindent 6 }}
{{- end }}

{{/* A certificate for a Service and its pods, by an authority of its own, as a secret's data: {root, host, days}. What is there
     already stays. */}}
{{- define "backchat.certificate" -}}
{{- $old := lookup "v1" "Secret" .root.Release.Namespace (printf "%s-tls" .host) -}}
{{- if and $old $old.data -}}
{{ toYaml $old.data }}
{{- else -}}
{{- $space := .root.Release.Namespace -}}
{{- $names := list .host "localhost" -}}
{{- range list (printf "%s.%s" .host $space) (printf "%s.%s.svc" .host $space) (printf "*.%s-pods" .host) (printf "*.%s-pods.%s.svc" .host $space) -}}
{{- $names = append $names . -}}
{{- end -}}
{{- $authority := genCA (printf "%s-ca" .host) (int .days) -}}
{{- $pair := genSignedCert .host (list "127.0.0.1") $names (int .days) $authority -}}
ca.crt: {{ b64enc $authority.Cert }}
tls.crt: {{ b64enc $pair.Cert }}
tls.key: {{ b64enc $pair.Key }}
{{- end -}}
{{- end }}

{{/* The bytes of an amount as Kubernetes writes it: 20Gi. */}}
{{- define "backchat.bytes" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $units = merge $units (dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976) -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-zA-Z]*$" .)) | int64 -}}
{{- end }}
