"""The texts and numbers that manifests are written in: durations, money, percentages, names and queries.

Each is a string with a pattern of its own, so that the API server refuses what Python would refuse. Parsing to
seconds, Decimal and ratios happens in `flyball.core.units`.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

BAD_TEXT = "bad_text"


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a certain form. `expected` completes the sentence “write …”.

    `format` is one that the API server knows, and `reads` its Python twin, which raises ValueError.
    """

    pattern: str
    max_length: int
    expected: str
    format: str = ""
    reads: Callable[[str], object] = str

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: object) -> str:
        # Python's $ also matches before a last line break, the API server's does not.
        pattern = self.pattern.removesuffix("$") + (r"\Z" if self.pattern.endswith("$") else "")
        if isinstance(value, str) and len(value) <= self.max_length and re.search(pattern, value):
            with suppress(ValueError):
                self.reads(value)
                return value
        shown = repr(value) if isinstance(value, str) else f"{value!r} (not a string)"
        raise PydanticCustomError(
            BAD_TEXT, "{shown} does not fit; {expected}", {"shown": shown[:80], "expected": f"write {self.expected}"}
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        bounds = {"pattern": self.pattern, "maxLength": self.max_length}
        return handler(schema) | bounds | ({"format": self.format} if self.format else {})


Duration = Annotated[
    str,
    Text(
        r"^([0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h|d|w))+$",
        16,
        "a duration such as 800ms, 15s, 5m, 1h30m or 28d, of at most 16 characters",
    ),
]
Money = Annotated[
    str, Text(r"^[0-9]{1,12}(\.[0-9]{1,9})?$", 22, "dollars as a quoted decimal string such as '2.50', without a sign")
]
Currency = Annotated[str, Text(r"^[A-Z]{3}$", 3, "the ISO 4217 code of a currency, such as USD or EUR")]
Number = Annotated[
    str, Text(r"^[0-9]{1,12}(\.[0-9]{1,12})?$", 25, "a quoted decimal string such as '3' or '0.02', without a sign")
]
Multiple = Annotated[
    str,
    Text(
        r"^[1-9][0-9]{0,2}(\.[0-9]{1,3})?$",
        7,
        "how many times the usual, at least 1, as a quoted decimal string such as '3' or '1.5'",
    ),
]
Percent = Annotated[
    str,
    Text(r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$", 8, "a percentage between 0% and 100%, such as 95% or 99.5%"),
]
Change = Annotated[
    str,
    Text(
        r"^((100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%|[0-9]{1,2}(\.[0-9]{1,4})? points?)$",
        16,
        "a percentage between 0% and 100% such as 18%, or percentage points such as '3 points'",
    ),
]
WholePercent = Annotated[str, Text(r"^(100|[1-9]?[0-9])%$", 4, "a whole percentage between 0% and 100%, such as 25%")]

ItemName = Annotated[
    str,
    Text(
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        63,
        "at most 63 lower-case letters, digits and dashes, such as first-token",
    ),
]
ObjectName = Annotated[
    str,
    Text(
        r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$",
        253,
        "the name of a Kubernetes object: lower-case letters, digits, '-' and '.'",
    ),
]
Kind = Annotated[str, Text(r"^[A-Z][A-Za-z0-9]{0,62}$", 63, "a kind in CamelCase, such as Deployment")]
ApiVersion = Annotated[
    str,
    Text(r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$", 253, "an API version such as apps/v1"),
]
Accelerator = Annotated[
    str,
    Text(
        r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        63,
        "an accelerator as its node label names it, such as NVIDIA-H100-80GB-HBM3",
    ),
]
InstanceType = Annotated[
    str,
    Text(
        r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        63,
        "an instance type as the node label node.kubernetes.io/instance-type names it, such as p5.48xlarge",
    ),
]
NodePrefix = Annotated[
    str,
    Text(r"^[a-z0-9]([-.a-z0-9]{0,251}[-.a-z0-9])?$", 253, "a node's name or how it begins, such as gpu-pool-a-"),
]
LabelName = Annotated[str, Text(r"^[a-zA-Z_][a-zA-Z0-9_]{0,62}$", 63, "a Prometheus label name, such as model_name")]
StageName = Annotated[
    str, Text(r"^[A-Za-z][A-Za-z0-9]{0,62}$", 63, "a stage in CamelCase, such as Retrieval or PromptAssembly")
]
MetricName = Annotated[
    str,
    Text(
        r"^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$", 200, "the name of a Prometheus metric, such as rag_stage_duration_seconds"
    ),
]
SpanName = Annotated[str, Text(r"\S", 253, "the name of a span, such as retrieval")]
RoleName = Annotated[str, Text(r"^[A-Za-z][-A-Za-z0-9]{0,62}$", 63, "a role such as SupportAgent")]
PromQL = Annotated[str, Text(r"\S", 4096, "a PromQL expression of at most 4096 characters")]
Prose = Annotated[str, Text(r"\S", 1024, "a sentence of at most 1024 characters")]
DateTime = Annotated[
    str,
    Text(
        r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$",
        25,
        "a time with its zone such as '2026-12-01T08:00:00Z' or '2026-12-01T09:00:00+01:00'",
        format="date-time",
        reads=datetime.fromisoformat,
    ),
]
Date = Annotated[
    str,
    Text(
        r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}$",
        10,
        "a quoted date such as '2026-11-01'",
        format="date",
        reads=date.fromisoformat,
    ),
]
LabelValue = Annotated[str, Field(max_length=253)]

Int32 = Annotated[int, Field(strict=True, json_schema_extra={"format": "int32"})]
Replicas = Annotated[Int32, Field(ge=0, le=10000)]
"""A number of replicas that may be none."""
Count = Annotated[Int32, Field(ge=1, le=10000)]
"""A number of things, at least one."""
Gpus = Annotated[Int32, Field(ge=0, le=1_000_000)]
"""A number of GPUs that may be none."""

ANY_DIGIT_BUT_ZERO = "[1-9]"


def is_positive(text: str) -> bool:
    """Whether a duration, percentage, amount or number (already of its form) is above zero."""
    return re.search(ANY_DIGIT_BUT_ZERO, text) is not None


def cel_is_positive(path: str) -> str:
    """The CEL twin of `is_positive` for the field at that path."""
    return f"{path}.matches('{ANY_DIGIT_BUT_ZERO}')"
