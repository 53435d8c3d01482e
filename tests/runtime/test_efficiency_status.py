from decimal import Decimal

import pytest

from flyball.api.parse import parse_status
from flyball.core.service.efficiency_report import Efficiency
from flyball.core.service.own_counts import CacheKind
from flyball.core.service.reliability import ReliabilityReport, RequestEvent
from flyball.core.service.reuse import CacheReport, SavingState
from flyball.core.service.tokens import TemplateReport, TokenReport, TokensPerRequest
from flyball.runtime.efficiency_status import render, samples, states

E = RequestEvent
RELIABILITY = ReliabilityReport(3600.0, 1234.4, 0.98765, ((E.TIMEOUT, 0.01),), 0.125, 1.2, ("x: parse error",))
TOKENS = TokenReport(
    TokensPerRequest(1000.4, 200.0, None, 900.0), (TemplateReport("faq", 0.75, TokensPerRequest(input=500.0)),)
)
CACHES = (
    CacheReport("a", CacheKind.RESPONSE, SavingState.COUNTED, 0.25, Decimal("0.1"), Decimal("2.5"), "", True),
    CacheReport(
        "b", CacheKind.RETRIEVAL, SavingState.GUARD_BROKEN, 0.5, Decimal("0.04"), None, "too old", declared=True
    ),
    CacheReport("c", CacheKind.PREFIX, SavingState.UNMEASURED, None, None, None, "no lookups"),
    CacheReport("d", CacheKind.PREFIX, SavingState.COUNTED, 0.1, Decimal("0.0004"), Decimal("0.004")),
)
EVERYTHING = Efficiency(RELIABILITY, TOKENS, CACHES)


def test_the_status_in_strings_that_the_api_accepts() -> None:
    found = render(EVERYTHING)
    assert found == {
        "reliability": {
            "window": "1h",
            "requests": "1234",
            "availability": "98.77%",
            "events": [{"event": "Timeout", "share": "1.00%"}],
            "clientMistakes": "12.50%",
            "retryAmplification": "1.20",
            "problems": ["x: parse error"],
        },
        "tokens": {
            "mean": {"input": "1000", "output": "200", "retrievalContext": "900"},
            "templates": [{"template": "faq", "requests": "75%", "tokens": {"input": "500"}}],
        },
        "caches": [
            {
                "name": "a", "kind": "Response", "state": "Counted", "hitRate": "25%", "perPoint": "0.1000",
                "saving": "2.50", "reckonedFrom": "Measured",
            },
            {
                "name": "b", "kind": "Retrieval", "state": "GuardBroken", "hitRate": "50%", "perPoint": "0.0400",
                "reason": "too old",
            },
            {"name": "c", "kind": "Prefix", "state": "Unmeasured", "reason": "no lookups"},
            {
                "name": "d", "kind": "Prefix", "state": "Counted", "hitRate": "10%", "perPoint": "0.0004",
                "saving": "0.004", "reckonedFrom": "Guessed",
            },
        ],
    }  # fmt: skip
    parsed = parse_status({"status": found})
    assert parsed.reliability is not None
    assert [cache.name for cache in parsed.caches] == ["a", "b", "c", "d"]


def test_what_is_not_known_is_left_out() -> None:
    assert render(Efficiency()) == {}
    assert render(Efficiency(ReliabilityReport(0.0, None, None, (), None, None))) == {}
    assert list(samples(Efficiency())) == []


def test_only_a_guard_that_breaks_or_holds_again_is_written_at_once() -> None:
    assert states(EVERYTHING) == {
        "guard of cache a": "not broken",
        "guard of cache b": "broken",
        "guard of cache c": "not broken",
        "guard of cache d": "not broken",
    }


def test_samples() -> None:
    found = {(name, labels): value for name, labels, value in samples(EVERYTHING) if value is not None}
    assert found == {
        ("flyball_requests_available_ratio", ()): 0.98765,
        ("flyball_client_mistakes_ratio", ()): 0.125,
        ("flyball_retry_amplification", ()): 1.2,
        ("flyball_request_events_ratio", ("Timeout",)): 0.01,
        ("flyball_tokens_per_request", ("", "input")): 1000.4,
        ("flyball_tokens_per_request", ("", "output")): 200.0,
        ("flyball_tokens_per_request", ("", "retrievalContext")): 900.0,
        ("flyball_tokens_per_request", ("faq", "input")): 500.0,
        ("flyball_cache_hit_ratio", ("a",)): 0.25,
        ("flyball_cache_hit_ratio", ("b",)): 0.5,
        ("flyball_cache_hit_ratio", ("d",)): 0.1,
        ("flyball_cache_point_worth_per_hour_dollars", ("a",)): 0.1,
        ("flyball_cache_point_worth_per_hour_dollars", ("b",)): 0.04,
        ("flyball_cache_point_worth_per_hour_dollars", ("d",)): pytest.approx(0.0004),
        ("flyball_cache_saving_per_hour_dollars", ("a",)): 2.5,
        ("flyball_cache_saving_per_hour_dollars", ("d",)): pytest.approx(0.004),
    }
