"""Nothing that users name can leave its place in a query."""

import pytest

from flyball.telemetry.promql import MOST_NAMESPACES, Scope, any_of, duration, quote, usable_label


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain", '"plain"', id="as it is"),
        pytest.param('a"} or up{x="', r'"a\"} or up{x=\""', id="quotes stay inside"),
        pytest.param("a\nb\\", r'"a\nb\\"', id="newlines and backslashes"),
        pytest.param("größe", '"größe"', id="letters of other alphabets"),
    ],
)
def test_quote(text: str, expected: str) -> None:
    assert quote(text) == expected


def test_a_regular_expression_matches_only_the_names() -> None:
    assert any_of(["a.b", "c|d"]) == r'"a\\.b|c\\|d"'


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        pytest.param("model_name", True, id="a label"),
        pytest.param("pod", True, id="the pod"),
        pytest.param("le", False, id="buckets' own"),
        pytest.param("__name__", False, id="lost in rates"),
        pytest.param("a) or (b", False, id="PromQL"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_usable_label(name: str, usable: bool) -> None:
    assert usable_label(name) is usable


def test_few_namespaces_are_named_and_many_are_not() -> None:
    few, many = (Scope(tuple(f"n{i}" for i in range(count))) for count in (2, MOST_NAMESPACES + 1))
    assert few.matcher() == 'namespace=~"n0|n1"'
    assert many.matcher() == 'namespace!=""'


def test_labels_are_aggregated_by_once() -> None:
    scope = Scope(("a",), (("model_name", ("m",)), ("pod", ("p",))))
    assert scope.by("pod") == "namespace, flyball_pods, flyball_of_model_name, flyball_of_pod, pod"


@pytest.mark.parametrize(("seconds", "expected"), [(60.0, "60s"), (0.25, "250ms"), (2419200.0, "2419200s")])
def test_duration(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
