"""Kubernetes: specs, scale, status, annotations, Events and routes behind the runtime's ports."""
