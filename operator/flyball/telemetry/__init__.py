"""PromQL, metric profiles and batching: Prometheus answers in, core signals out."""
