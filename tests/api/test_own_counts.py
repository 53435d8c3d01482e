from decimal import Decimal
from pathlib import Path

import yaml

from flyball.api.convert import read_workload
from flyball.core.names import COUNTED_INDICATORS
from flyball.core.service.own_counts import Cache, CacheKind, Guard, OwnCounts, TokenCount
from flyball.core.service.reliability import RequestEvent
from flyball.core.spec import WorkloadSpec

DATA = Path(__file__).parent / "data" / "accept"


def read(name: str) -> WorkloadSpec:
    found = read_workload(yaml.safe_load((DATA / name).read_text(encoding="utf-8")), {})
    assert isinstance(found, WorkloadSpec), found
    return found


def test_every_query_arrives_in_core_units() -> None:
    assert read("every-field.yaml").telemetry.own == OwnCounts(
        events=(
            (RequestEvent.RESPONSES, "sum by (code) (increase(http_requests_total[$window]))"),
            (RequestEvent.RETRY, "sum(increase(retries_total[$window]))"),
        ),
        tokens=(
            (TokenCount.REQUESTS, "sum by (template) (increase(prompts_total[$window]))"),
            (TokenCount.RETRIEVAL_CONTEXT, "sum by (template) (increase(context_tokens_total[$window]))"),
        ),
        caches=(
            Cache(
                "answers",
                CacheKind.RESPONSE,
                "sum(increase(answer_hits_total[$window]))",
                "sum(increase(answer_lookups_total[$window]))",
                dollars_per_hit=Decimal("0.004"),
                guard=Guard("avg(answers_fresh)", at_least=0.99),
            ),
            Cache(
                "instructions",
                CacheKind.PROMPT_FRAGMENT,
                "sum(increase(fragment_hits_total[$window]))",
                "sum(increase(fragment_lookups_total[$window]))",
                tokens_per_hit=350.0,
                guard=Guard("max(fragment_age_seconds)", at_most_seconds=600.0),
            ),
        ),
    )


def test_all_counted_indicators_are_objectives() -> None:
    found = read("counted-indicators.yaml")
    names = [objective.name for objective in found.objectives if objective.indicator in COUNTED_INDICATORS]
    assert names == [
        "up", "whole", "found", "in-time", "unlimited", "own-answers", "asked-once",
    ]  # fmt: skip
    assert found.not_acted_on == ()
