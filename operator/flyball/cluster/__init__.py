"""Kubernetes: specs, scale, status, annotations, Events and HTTPRoutes behind the runtime's ports."""
