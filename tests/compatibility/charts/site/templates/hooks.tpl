{{- range $when := list "pre-install" "post-upgrade" "pre-rollback" "post-delete" }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $.Release.Name }}-{{ $when }}
  annotations:
    helm.sh/hook: {{ $when }}
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: "example.com/hook:1"}]}
---
{{- end }}
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
spec: {restartPolicy: Never, containers: [{name: c, image: "example.com/test:1"}]}
