"""GPUs that workloads share, and who gets them when they are short."""
