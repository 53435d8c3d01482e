"""Cumulative buckets, closed on the right, and vLLM's token edges."""

import pytest

from flyball.lab.modelserver.histograms import Histogram, token_edges


def test_observations_fall_into_the_bucket_whose_edge_they_do_not_exceed() -> None:
    histogram = Histogram("x", "x", (0.1, 0.5))
    histogram.observe(0.1, 3)
    histogram.observe(0.11)
    histogram.observe(9.0, 2)
    samples = {sample.name + sample.labels.get("le", ""): sample.value for sample in histogram.family({}).samples}
    assert samples == {
        "x_bucket0.1": 3,
        "x_bucket0.5": 4,
        "x_bucket+Inf": 6,
        "x_count": 6,
        "x_sum": pytest.approx(18.41),
    }


@pytest.mark.parametrize(
    ("longest", "edges"),
    [
        pytest.param(7, [1, 2, 5], id="below ten"),
        pytest.param(100, [1, 2, 5, 10, 20, 50, 100], id="an edge itself"),
        pytest.param(4096, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000], id="between edges"),
    ],
)
def test_token_edges_run_1_2_5_up_to_the_longest_request(longest: int, edges: list[float]) -> None:
    assert token_edges(longest) == tuple(edges)
