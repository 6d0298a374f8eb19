//go:build programs

// Package programs names what is built of Helm's release, so that go.mod and go.sum pin all of it. It is never built itself.
package programs

import _ "helm.sh/helm/v3/cmd/helm"
