// Package runtime has what Knative's check of reserved ports names.
package runtime

// ProfilingDefaultPort is where its processes serve profiles.
const ProfilingDefaultPort = 8008
