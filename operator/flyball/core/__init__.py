"""The pure core: frozen observations in, decisions out; no Kubernetes, no Prometheus, no clock, no I/O."""
