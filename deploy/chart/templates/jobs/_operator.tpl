{{/* A job of the operator's program: {root, component, args, env}. */}}
{{- define "backchat.operator" -}}
{{- $scope := dict "root" .root "component" .component "values" .root.Values.jobs "needs" (list "nats") -}}
metadata:
  labels: {{- include "backchat.selector" $scope | nindent 4 }}
spec:
  {{- include "backchat.pod" $scope | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: backchat
      image: {{ include "backchat.image" (dict "root" .root "image" .root.Values.jobs.image) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      env:
        {{- include "backchat.broker" (dict "root" .root "prefix" "BACKCHAT" "user" "setup") | trim | nindent 8 }}
        {{- with .env }}{{ . | nindent 8 }}{{ end }}
      resources: {{- toYaml .root.Values.jobs.resources | nindent 8 }}
      {{- include "backchat.confined" . | nindent 6 }}
      {{- with include "backchat.mounts" $scope | trim }}
      volumeMounts: {{- . | nindent 8 }}
      {{- end }}
  {{- with include "backchat.volumes" $scope | trim }}
  volumes: {{- . | nindent 4 }}
  {{- end }}
{{- end }}
