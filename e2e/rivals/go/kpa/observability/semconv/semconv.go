// Package semconv has the one attribute that Knative's scraper labels its own measurements with.
package semconv

import "go.opentelemetry.io/otel/attribute"

// K8SNamespaceName is the attribute of a namespace.
func K8SNamespaceName(name string) attribute.KeyValue {
	return attribute.String("k8s.namespace.name", name)
}
