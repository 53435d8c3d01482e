"""Stages and segments as `flyball explain` tells them."""

from flyball.cli.stages import stage_lines


def test_stages_and_segments_in_lines() -> None:
    status = {
        "stages": [{"name": "Retrieval", "p95": "5.8s", "shareOfP95": "84%"}, {"name": "Rerank", "p95": "10ms"}],
        "segments": [
            {
                "measured": "EndToEnd",
                "count": 12,
                "worst": "tier=gold",
                "largest": [
                    {"name": "tier=gold", "requests": 40, "p95": "6.9s", "attained": "12.5%"},
                    {"name": "other", "requests": 3},
                ],
            },
            {"measured": "ActiveSessions", "count": 1, "largest": [{"name": "tier=gold", "sessions": 7}]},
        ],
    }
    assert list(stage_lines(status)) == [
        "stage Retrieval: p95 5.8s, 84% of the whole request's",
        "stage Rerank: p95 10ms",
        "EndToEnd by segment (12 in all, worst tier=gold):",
        "  tier=gold: 40 requests, p95 6.9s, 12.5% as promised",
        "  other: 3 requests",
        "ActiveSessions by segment (1 in all):",
        "  tier=gold: 7 sessions",
    ]
    assert not list(stage_lines({}))
