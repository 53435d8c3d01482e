"""`flyball gpuagent`: a node's NVIDIA GPUs as Prometheus metrics, for clusters without DCGM."""
