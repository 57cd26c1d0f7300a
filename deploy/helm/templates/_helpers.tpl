{{- define "fulfillment.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select the pods of a role; they never change. */}}
{{- define "fulfillment.selector" -}}
app.kubernetes.io/name: order-fulfillment
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "fulfillment.labels" -}}
{{ include "fulfillment.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "fulfillment.image" -}}
{{ printf "%s:%s" .root.Values.image.repository (.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) | quote }}
{{- end -}}

{{/* A list of all secrets as JSON, one for each setting: what a role says about a setting replaces what is said for all. */}}
{{- define "fulfillment.secrets" -}}
{{- $found := dict -}}
{{- range .root.Values.secrets }}{{- if not (hasKey $.settings .setting) }}{{- $_ := set $found .setting . }}{{- end }}{{- end }}
{{- range .secrets }}{{- $_ := set $found .setting . }}{{- end }}
{{- $list := list -}}
{{- range $setting, $secret := $found }}{{- $list = append $list $secret }}{{- end }}
{{- toJson $list -}}
{{- end -}}

{{/* Helm reads numbers as floating-point ones and writes the large ones as 1e+06, which no setting of a whole number accepts. */}}
{{- define "fulfillment.value" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . | quote }}{{ else }}{{ quote . }}{{ end -}}
{{- end -}}

{{/* Settings: those of the chart, then `settings`, then those of the role, each by its FULFILLMENT_ name; then secrets. */}}
{{- define "fulfillment.environment" -}}
{{- $secrets := include "fulfillment.secrets" . | fromJsonArray -}}
{{- $settings := dict "DATA" "/var/lib/fulfillment" "HTTP_HOST" "0.0.0.0" "HTTP_PORT" "8000" "WORKER_PORT" "8000" -}}
{{- $settings = mergeOverwrite $settings (deepCopy .root.Values.settings) (deepCopy .settings) -}}
{{- range $secrets }}{{- $_ := unset $settings .setting }}{{- end }}
{{- range $name, $value := $settings }}
- name: FULFILLMENT_{{ $name }}
  value: {{ include "fulfillment.value" $value }}
{{- end }}
{{- range $secrets }}
{{- if eq .as "file" }}
- name: FULFILLMENT_{{ .setting }}_FILE
  value: /etc/fulfillment/secrets/{{ .setting }}/{{ .key }}
{{- else }}
- name: FULFILLMENT_{{ .setting }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "fulfillment.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if has .role (list "orders" "inventory") }}
- {name: state, mountPath: /var/lib/fulfillment}
{{- end }}
{{- range include "fulfillment.secrets" . | fromJsonArray }}
{{- if eq .as "file" }}
- {name: secret-{{ .setting | lower | replace "_" "-" }}, mountPath: /etc/fulfillment/secrets/{{ .setting }}, readOnly: true}
{{- end }}
{{- end }}
{{- range $number, $mount := .root.Values.mounts }}
- {name: mount-{{ $number }}, mountPath: {{ $mount.path }}, readOnly: true}
{{- end }}
{{- end -}}

{{/* Secrets are mounted as directories, not with subPath, so that a changed Secret reaches the container. */}}
{{- define "fulfillment.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if and (has .role (list "orders" "inventory")) (not .root.Values.state.persistent) }}
- name: state
  emptyDir: {}
{{- end }}
{{- range include "fulfillment.secrets" . | fromJsonArray }}
{{- if eq .as "file" }}
- name: secret-{{ .setting | lower | replace "_" "-" }}
  secret:
    secretName: {{ .secret }}
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- range $number, $mount := .root.Values.mounts }}
- name: mount-{{ $number }}
  {{- if $mount.secret }}
  secret: {secretName: {{ $mount.secret }}}
  {{- else }}
  configMap: {name: {{ $mount.configMap }}}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "fulfillment.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "fulfillment.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
