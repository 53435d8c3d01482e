"""A simulated vLLM server: OpenAI's API, a continuous-batching engine's timing, vLLM's and DCGM's metrics.

Real sockets and real seconds; only the GPU is arithmetic (`flyball.lab.engine`).
"""
