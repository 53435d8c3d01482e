"""The words of docs/benchmarks/simulator.md."""

HEAD = """# How far the simulator can be trusted

Written by `make bench-simulator`; every section says when and on what. `-o json` prints every row.

Three questions. Does the simulator's queueing agree with real servers that run in real time? (Both share the
iteration's arithmetic, so that says nothing about engines.) Does that arithmetic describe measured engines, at loads it
was not fitted to? And does it carry over to what others have measured? Closed-form results of queueing theory are held
by tests (`tests/lab/fleet/test_queueing.py`).
"""
TITLES = {
    "server": "Against the model server, in real time",
    "rows": "Against measured engine rows",
    "published": "Against published measurements",
}
SERVER = """\
Played by `flyball load`'s runner against `flyball modelserver` processes on loopback, requests to replicas in turn, and
through `lab/fleet`. The same requests on both sides: the last column is the median over requests of how far the two lie
apart. What is left of a difference is HTTP and the machine: some milliseconds on every first token."""
ROWS = """\
Closed loops of equal requests on real engines, from ai-dynamo/aiconfigurator's silicon_sample.csv (Apache-2.0).

*Fitted*, by least squares: the four coefficients of an iteration, to the rows of one engine. *Predicted*, by the
simulator: each row, from coefficients fitted to four of five parts of the rows, its own left out (*unseen*), to the
other prompt lengths, or to the other concurrencies. *Seen* is the error of the fit on its own rows. Errors are medians
of |predicted ÷ measured − 1|. Rows whose requests may not fit the KV cache are kept out of fit and judgement, and
predicted with a cache size worked out from the GPU's memory (*cache short*)."""
READING = """\
How to read it:

- Time per output token is what the law is for, and it interpolates well. Over prompt length it extrapolates where three
  lengths or more were measured; from one length alone, as in the 70B rows, context and prefill cannot be told apart.
- Time to first token in a closed loop depends on how the benchmark's clients fall into step, which the rows do not
  tell. Clients in random phases wait least, clients that all begin at once wait most, and most measurements lie
  between. SGLang's lie above both, by far: it seems to hold prompts back, which is not simulated.
- The law misses where the GPU does not set the pace: Llama-3.1-8B over four and eight GPUs, with iterations of 2 to
  4 ms and times to first token of up to 2 s, for prompts that take tens of milliseconds at most. It also misses small
  sets (8B FP8 on H200), and Qwen3-32B on GB200, whose rows contradict each other: two clients wait longer per token
  than 64."""
PUBLISHED = """\
NVIDIA's [NIM benchmarks](https://docs.nvidia.com/nim/benchmarking/llm/1.0.0/performance) (NIM 1.8.0, AIPerf, 200 to
20,000 tokens in, up to 250 clients), and the workload variant autoscaler's
[parameter estimation](https://github.com/llm-d/llm-d-workload-variant-autoscaler) (vLLM, GuideLLM). The figures are in
`operator/flyball/lab/validation/published.csv`, so that this part runs anywhere. First as above: fitted to four of five
parts of a page's rows, judged on the fifth. NIM's larger loads exceed the KV cache: they try the simulator's queue,
with waits of up to a quarter of an hour."""
