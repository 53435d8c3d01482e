"""Hugging Face Text Generation Inference: https://huggingface.co/docs/text-generation-inference/reference/metrics."""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.core.service.reliability import RequestEvent
from flyball.telemetry.profiles.model import Endings, EngineProfile, Histogram, Origin, Unit, counter, gauge

# A request's own mean; the router counts it over all output tokens, the first included.
_TOKEN_TIME = (Histogram(("tgi_request_mean_time_per_token_duration",), estimated=True),)

TGI = EngineProfile(
    name="TGI",
    origin=Origin(
        "2.0 to 3.3",
        "router/src/server.rs, backends/v3/src/backend.rs, backends/v3/src/queue.rs",
        lacks=MappingProxyType(
            {
                "KVCacheUsage": "not exported",
                "TimeToFirstToken": "not exported: measure it at a gateway, or use EndToEnd and QueueTime",
                "CachedPromptShare": "not exported",
                "SecondsPerOutputToken": "a request's mean over all its tokens, the first included",
            }
        ),
    ),
    signs=("tgi_queue_size", "tgi_batch_current_size"),
    running=gauge("tgi_batch_current_size"),
    waiting=gauge("tgi_queue_size"),
    completions=counter("tgi_request_success"),
    prompt_tokens=counter("tgi_request_input_length_sum", unit=Unit.TOKENS),
    output_tokens=counter("tgi_request_generated_tokens_sum", unit=Unit.TOKENS),
    prompt_tokens_per_request=Histogram(("tgi_request_input_length",), unit=Unit.TOKENS),
    output_tokens_per_request=Histogram(("tgi_request_generated_tokens",), unit=Unit.TOKENS),
    seconds_per_output_token=_TOKEN_TIME,
    latencies=MappingProxyType(
        {
            Indicator.INTER_TOKEN_LATENCY: _TOKEN_TIME,
            Indicator.END_TO_END: (Histogram(("tgi_request_duration",)),),
            Indicator.QUEUE_TIME: (Histogram(("tgi_request_queue_duration",)),),
        }
    ),
    # What the router answers: 422 for validation and template, 429 for overloaded, 424 and 500 for the rest.
    endings=(
        Endings(counter("tgi_request_count"), "err", MappingProxyType({"": ()})),
        Endings(
            counter("tgi_request_failure"),
            "err",
            MappingProxyType(
                {
                    "validation": (RequestEvent.CLIENT_MISTAKE,),
                    "template": (RequestEvent.CLIENT_MISTAKE,),
                    "overloaded": (RequestEvent.RATE_LIMITED,),
                    "generation": (RequestEvent.SERVICE_ERROR,),
                    "incomplete": (RequestEvent.SERVICE_ERROR,),
                }
            ),
            alone=True,
        ),
    ),
)
