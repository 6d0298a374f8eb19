apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  annotations:
    looked-up: "{{ with lookup "v1" "Namespace" "" .Release.Namespace }}{{ .metadata.name }}{{ end }}"
    has-deployments: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
data:
  greeting: {{ .Values.greeting | quote }}
  revision: {{ .Release.Revision | quote }}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}
---
apiVersion: site.example.com/v1
kind: Page
metadata: {name: {{ .Release.Name }}}
spec: {title: {{ .Values.greeting | quote }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
      annotations: {greeting: {{ .Values.greeting | quote }}}
    spec: {containers: [{name: c, image: "example.com/site:1"}]}
