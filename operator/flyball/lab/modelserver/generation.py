"""Bodies of /v1/completions and /v1/chat/completions, checked.

What has no bearing on timing (temperature, top_p, stop, seed, user, …) is accepted and has no effect, and so are fields
that nobody knows, as in vLLM. What would change the shape of the answer and is not simulated (n > 1, logprobs, tools,
several prompts) is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.modelserver.prompts import Prompt, count_tokens

_CHAT_MESSAGE_TOKENS = 4
"""What a chat template adds to each message."""
_DEFAULT_COMPLETION_TOKENS = 16
"""OpenAI's default of max_tokens for completions."""


class InvalidRequestError(ValueError):
    """A request that cannot be served, as OpenAI's error object describes it."""

    def __init__(self, message: str, param: str | None, code: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.kind = kind


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One checked request."""

    chat: bool
    prompt: Prompt
    prompt_tokens: int
    max_tokens: int
    ignore_eos: bool
    stream: bool
    include_usage: bool
    cached_tokens: int | None
    """An extension: what the prefix cache is taken to hold of this prompt, instead of what it does hold."""


def parse_generation(document: object, *, chat: bool, model_name: str, context_limit: int) -> GenerationRequest:
    """Check a JSON body. Raises InvalidRequestError that names the field."""
    if not isinstance(document, Mapping):
        raise InvalidRequestError("the body must be a JSON object", None)
    _check_model(document, model_name)
    _check_unsupported(document)
    prompt, extra_tokens = _messages(document) if chat else (_prompt(document), 0)
    prompt_tokens = count_tokens(prompt) + extra_tokens
    stream = _flag(document, "stream")
    cached_tokens = _integer(document, "cached_tokens", 0)
    if cached_tokens is not None and cached_tokens > prompt_tokens:
        raise InvalidRequestError(
            f"cached_tokens is {cached_tokens}, more than the {prompt_tokens} prompt tokens", "cached_tokens"
        )
    return GenerationRequest(
        chat=chat,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=_max_tokens(document, chat, prompt_tokens, context_limit),
        ignore_eos=_flag(document, "ignore_eos"),
        stream=stream,
        include_usage=_include_usage(document, stream),
        cached_tokens=cached_tokens,
    )


def _check_model(document: Mapping[str, object], model_name: str) -> None:
    model = document.get("model", model_name)
    if not isinstance(model, str):
        raise InvalidRequestError(f"model is {model!r}; give a string", "model")
    if model != model_name:
        raise InvalidRequestError(f"The model `{model}` does not exist.", "model", 404, "NotFoundError")


def _check_unsupported(document: Mapping[str, object]) -> None:
    for name in ("n", "best_of"):
        if (value := _integer(document, name, 1)) is not None and value != 1:
            raise InvalidRequestError(f"{name} is {value}; this simulated server gives one choice", name)
    for name in ("echo", "logprobs", "prompt_logprobs", "tools", "suffix", "use_beam_search"):
        if document.get(name):
            raise InvalidRequestError(f"{name} is not simulated; leave it out", name)


def _prompt(document: Mapping[str, object]) -> Prompt:
    prompt = document.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    # The set of types is checked at the speed of C: prompts run to tens of thousands of tokens.
    if isinstance(prompt, list) and prompt and set(map(type, prompt)) == {int} and min(prompt) >= 0:
        return prompt
    raise InvalidRequestError("prompt must be one non-empty string, or one non-empty list of token ids", "prompt")


def _messages(document: Mapping[str, object]) -> tuple[str, int]:
    """The conversation as one text, and the tokens that the chat template adds."""
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("messages must be a non-empty list of objects with role and content", "messages")
    texts = [_message_text(message, index) for index, message in enumerate(messages)]
    return "\n".join(texts), _CHAT_MESSAGE_TOKENS * len(messages)


def _message_text(message: object, index: int) -> str:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InvalidRequestError(f"messages[{index}] must be an object with a role", "messages")
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    raise InvalidRequestError(f"messages[{index}].content must be a string or a list of text parts", "messages")


def _max_tokens(document: Mapping[str, object], chat: bool, prompt_tokens: int, context_limit: int) -> int:
    field = "max_completion_tokens" if document.get("max_completion_tokens") is not None else "max_tokens"
    requested = _integer(document, field, 1)
    room = context_limit - prompt_tokens
    if room < 1:
        raise InvalidRequestError(
            f"This model's maximum context length is {context_limit} tokens. However, your request has {prompt_tokens} "
            "input tokens. Please reduce the length of the input messages.",
            "messages" if chat else "prompt",
        )
    if requested is None:
        return room if chat else min(_DEFAULT_COMPLETION_TOKENS, room)
    if requested > room:
        raise InvalidRequestError(
            f"'max_tokens' or 'max_completion_tokens' is too large: {requested}. This model's maximum context length "
            f"is {context_limit} tokens and your request has {prompt_tokens} input tokens "
            f"({requested} > {context_limit} - {prompt_tokens}).",
            field,
        )
    return requested


def _include_usage(document: Mapping[str, object], stream: bool) -> bool:
    options = document.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise InvalidRequestError("stream_options is only allowed with stream: true", "stream_options")
    if not isinstance(options, Mapping):
        raise InvalidRequestError("stream_options must be an object", "stream_options")
    if options.get("continuous_usage_stats"):
        raise InvalidRequestError("continuous_usage_stats is not simulated; leave it out", "stream_options")
    return _flag(options, "include_usage")


def _integer(document: Mapping[str, object], name: str, low: int) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InvalidRequestError(f"{name} is {value!r}; give a whole number, {low} or more", name)
    return value


def _flag(document: Mapping[str, object], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequestError(f"{name} is {value!r}; give true or false", name)
    return value is True
