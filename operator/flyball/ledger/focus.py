"""The ledger's lines in the columns of FOCUS 1.2, the FinOps Foundation's specification of cost and usage data.

All columns that it makes mandatory are there, and those of its conditional ones that say something. These rows are
derived from prices, not invoiced: BilledCost is 0, so that they can be loaded beside the provider's own rows, and what
they cost stands in EffectiveCost. What FOCUS has no column for is in columns of ours, which begin with `x_` as it asks.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TextIO

from flyball.core.money.bill import Charge, Correction, PathUse
from flyball.core.money.segment_statement import SegmentCost
from flyball.core.money.statement import MS_PER_HOUR
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger.calendar import Calendar
from flyball.ledger.queries import Line
from flyball.ledger.schema import Grain

VERSION = "1.2"
MANDATORY = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
)
COLUMNS = (
    *MANDATORY,
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "InvoiceId",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_FlyballComponent",
    "x_FlyballOutputTokens",
    "x_FlyballPath",
    "x_FlyballPriceMissing",
    "x_FlyballPromptTokens",
    "x_FlyballRequests",
    "x_FlyballSegment",
    "x_FlyballSegmentLabel",
    "x_FlyballSplitBy",
    "x_FlyballState",
)
_PRICED = {Unit.REQUEST: "Requests", Unit.MILLION_TOKENS: "1000000 Tokens", Unit.HOUR: "Hours"}
_CONSUMED = {Unit.REQUEST: ("Requests", 1), Unit.MILLION_TOKENS: ("Tokens", 1_000_000), Unit.HOUR: ("Hours", 1)}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who the rows say that they are from: the account that pays, who provides what is paid for, and the currency."""

    account: str
    provider: str
    currency: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one segment of a workload caused in the hour or day that begins at `start`: a row in place of those of GPUs
    at work and of components. `by` is what was asked for, `label` the label that it is split by.
    """

    key: WorkloadKey
    uid: str
    start: int
    by: str
    label: str
    cost: SegmentCost
    price_missing: bool

    @property
    def end(self) -> int:
        """Where it begins: what it covers says the grain."""
        return self.start


def write(
    lines: Iterable[Line],
    to: TextIO,
    calendar: Calendar,
    grain: Grain,
    issuer: Issuer,
    month_start: int,
    parts: Iterable[Part] | None = None,
) -> int:
    """Write the lines as CSV with a header; returns how many rows there are. Nulls are empty fields.

    With `parts`, which hold all that was caused by requests, only the rest of the lines is written beside them.
    """
    table = csv.DictWriter(to, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    count = 0
    for line in lines:
        for row in _rows(line) if parts is None else _rows_beside(line):
            common = _common(line, calendar, grain, issuer, month_start)
            table.writerow(common | row)
            count += 1
    for part in parts or ():
        table.writerow(_common(part, calendar, grain, issuer, month_start) | _part_row(part))
        count += 1
    return count


def _common(line: Line | Part, calendar: Calendar, grain: Grain, issuer: Issuer, month_start: int) -> dict[str, str]:
    what = line.what if isinstance(line, Line) else None
    made_at = what.made_at if isinstance(what, Correction) else line.start
    begin, end = calendar.month(made_at, month_start)
    until = line.end if grain is Grain.PERIOD else calendar.ceil(line.start + 1, grain)
    late = calendar.month(line.start, month_start) != (begin, end)
    path = "" if what is None or isinstance(what, Correction) else what.path
    return {
        "BilledCost": "0.00",
        "BillingAccountId": issuer.account,
        "BillingAccountName": issuer.account,
        "BillingCurrency": issuer.currency,
        "BillingPeriodStart": _time(begin),
        "BillingPeriodEnd": _time(end),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if late else "",
        "ChargePeriodStart": _time(line.start),
        "ChargePeriodEnd": _time(until),
        "ChargeFrequency": "Usage-Based",
        "InvoiceIssuerName": "Flyball",
        "ProviderName": issuer.provider,
        "PublisherName": "Flyball",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "Inference",
        "ResourceId": line.uid,
        "ResourceName": str(line.key),
        "ResourceType": "WorkloadSLO",
        "SubAccountId": line.key.namespace,
        "SubAccountName": line.key.namespace,
        "SubAccountType": "Namespace",
        "Tags": json.dumps({"namespace": line.key.namespace, "path": path, "workload": line.key.name}),
        "x_FlyballPath": path,
    }


def _rows(line: Line) -> Iterator[dict[str, str]]:
    match line.what:
        case PathUse() as use:
            yield from _gpu_rows(line, use)
        case Charge() as charge:
            yield _charge_row(line, charge)
        case Correction() as correction:
            yield _correction_row(line, correction)


def _rows_beside(line: Line) -> Iterator[dict[str, str]]:
    """The rows of what no segment causes, and of what has no price."""
    if isinstance(line.what, PathUse):
        yield from (row for row in _gpu_rows(line, line.what) if row["x_FlyballState"] != "serving")
    elif isinstance(line.what, Correction) or line.what.dollars is None:
        yield from _rows(line)


def _part_row(part: Part) -> dict[str, str]:
    use, name = part.cost.use, part.cost.name
    tags = {"namespace": part.key.namespace, part.by: name, "workload": part.key.name}
    requests = {"ConsumedQuantity": _number(use.requests), "PricingQuantity": _number(use.requests)}
    return (
        _costs(use.dollars)
        | requests
        | {
            "ChargeDescription": f"Serving of {part.key} for {part.by} {name}",
            "ConsumedUnit": "Requests",
            "PricingUnit": "Requests",
            "Tags": json.dumps(tags, sort_keys=True),
            "x_FlyballComponent": "serving",
            "x_FlyballOutputTokens": _number(use.output_tokens),
            "x_FlyballPriceMissing": "true" if part.price_missing else "false",
            "x_FlyballPromptTokens": _number(use.prompt_tokens),
            "x_FlyballRequests": _number(use.requests),
            "x_FlyballSegment": name,
            "x_FlyballSegmentLabel": part.label,
            "x_FlyballSplitBy": str(use.segment.basis),
        }
    )


def _gpu_rows(line: Line, use: PathUse) -> Iterator[dict[str, str]]:
    """A row for each state in which GPUs were held."""
    for state in ("serving", "idle", "loading", "unmeasured"):
        held: int = getattr(use, f"{state}_ms")
        if not held:
            continue
        hours = (held / MS_PER_HOUR).quantize(Decimal("1e-9"))
        yield _costs(getattr(use, state)) | {
            "ChargeDescription": f"GPU hours of {line.key} on {use.path}, {state}",
            "ConsumedQuantity": _number(hours),
            "ConsumedUnit": "GPU-Hours",
            "PricingQuantity": _number(hours),
            "PricingUnit": "GPU-Hours",
            "x_FlyballComponent": "gpu",
            "x_FlyballPriceMissing": "true" if use.unpriced_ms else "false",
            "x_FlyballState": state,
        }


def _charge_row(line: Line, charge: Charge) -> dict[str, str]:
    unit, factor = _CONSUMED[charge.unit]
    return _costs(charge.dollars or Decimal(0)) | {
        "ChargeDescription": f"{charge.component} ({charge.kind}) of {line.key} on {charge.path}",
        "ConsumedQuantity": _number(charge.quantity * factor),
        "ConsumedUnit": unit,
        "PricingQuantity": _number(charge.quantity),
        "PricingUnit": _PRICED[charge.unit],
        "x_FlyballComponent": charge.component,
        "x_FlyballPriceMissing": "true" if charge.dollars is None else "false",
    }


def _correction_row(line: Line, correction: Correction) -> dict[str, str]:
    """An adjustment. It is of the class Correction where it was made after the billing period that it corrects."""
    return _costs(correction.dollars) | {
        "ChargeCategory": "Adjustment",
        "ChargeDescription": f"{correction.component} of {line.key}: {correction.note}",
        "ChargeFrequency": "One-Time",
        "x_FlyballComponent": correction.component,
        "x_FlyballPriceMissing": "false",
    }


def _costs(dollars: Decimal) -> dict[str, str]:
    """List and contracted price are the one price that is known."""
    return dict.fromkeys(("ContractedCost", "EffectiveCost", "ListCost"), _number(dollars))


def _number(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
