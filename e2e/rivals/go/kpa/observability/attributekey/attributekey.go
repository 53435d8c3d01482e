// Package attributekey has the keys that Knative labels its own measurements with.
package attributekey

import "go.opentelemetry.io/otel/attribute"

// String is the key of an attribute whose value is text.
type String string

// With is the attribute with a value.
func (key String) With(value string) attribute.KeyValue {
	return attribute.String(string(key), value)
}
