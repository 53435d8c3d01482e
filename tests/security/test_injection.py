"""Text that users write stays text: in PromQL a literal, in a path one part, in annotations a value.

A query is compared with the one for harmless text: with all string literals blanked, the two must be the same.
"""

import asyncio
import re
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner
from support.world import World

from flyball.api.convert import read_workload
from flyball.cli.main import main
from flyball.cluster.resources import DEPLOYMENTS, pointer
from flyball.core.spec import WorkloadSpec
from flyball.runtime.budget import annotations
from flyball.telemetry.answers import Answer
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.replicas import ReplicaMetrics
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

HOSTILE = [
    pytest.param('"} or vector(1) #', id="closes the literal"),
    pytest.param('\\"} or vector(1) #', id="escapes the escape"),
    pytest.param("a\\", id="ends in a backslash"),
    pytest.param("a\n# b", id="breaks the line"),
    pytest.param("$1${0}", id="refers to a group"),
    pytest.param(".*|.+", id="matches everything"),
    pytest.param("`'\u2028\x00\x7f", id="quotes and controls"),
]
_LITERAL = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)


SETTINGS = PrometheusSettings("http://prometheus:9090", timeout_seconds=60.0)


class Recording(PrometheusClient):
    """Asks nobody: keeps the queries, and knows nothing."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.queries: list[str] = []

    def ask(self, query: str, at: float, timeout_seconds: float) -> Answer:
        self.queries.append(query)
        return Answer()


def _spec(text: str) -> WorkloadSpec:
    """A workload that has that text wherever one may stand that is sought in Prometheus."""
    labels = {"matchLabels": {"model_name": text}}
    stages = [
        {"name": "Retrieval", "span": {"service": text, "name": text, **labels}},
        {"name": "Rerank", "histogram": {"metric": "rerank_seconds", **labels}},
    ]
    objectives = [
        {"name": "first", "indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"},
        *(
            {"name": stage["name"].lower(), "indicator": "Stage", "stage": stage["name"], "threshold": "1s"}  # type: ignore[attr-defined]
            for stage in stages
        ),
    ]
    raw = {
        "metadata": {"namespace": "team", "name": "chat", "uid": "u", "generation": 1},
        "spec": {
            "workloadType": "Assistant",
            "targets": [{"targetRef": {"name": "chat"}, "maxReplicas": 4}],
            "telemetry": {"selector": labels, "stages": stages},
            "objectives": objectives,
            "value": {"perRequest": "1", "source": text},
        },
    }
    found = read_workload(raw, {})
    assert isinstance(found, WorkloadSpec), found
    return found


async def _queries(text: str, metrics: Any) -> list[str]:
    metrics._client.close()
    metrics._client = recording = Recording()
    read = getattr(metrics, "read", None) or metrics.read_replicas
    await read([_spec(text)], 1000.0)
    if beside := asyncio.all_tasks() - {asyncio.current_task()}:  # what was begun beside the read
        await asyncio.wait(beside)
    return sorted(recording.queries)


def _skeletons(queries: list[str]) -> list[str]:
    return sorted(_LITERAL.sub('""', query) for query in queries)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("source", [PrometheusMetrics, ReplicaMetrics])
async def test_nothing_leaves_its_literal_in_a_query(text: str, source: Any) -> None:
    harmless = await _queries("harmless", source(SETTINGS))
    hostile = await _queries(text, source(SETTINGS))
    assert any("harmless" in query for query in harmless), "the text is in no query: the test shows nothing"
    assert _skeletons(hostile) == _skeletons(harmless)


@pytest.mark.parametrize("text", [*HOSTILE, pytest.param("../../secrets/x?watch=1#", id="climbs")])
def test_a_name_is_one_part_of_a_path_and_of_a_pointer(text: str) -> None:
    path = DEPLOYMENTS.path("team", text, "scale")
    assert path.count("/") == len(["", "apis", "apps", "v1", "namespaces", "team", "deployments", "NAME", "scale"]) - 1
    assert not set("?#\n ") & set(path)
    assert unquote(path.split("/")[7]) == text
    assert pointer("metadata", text).count("/") == 2


@pytest.mark.parametrize("text", HOSTILE)
async def test_annotations_have_our_keys_whatever_is_declared(text: str) -> None:
    world = World()
    world.apply(value={"perRequest": "1", "source": text})
    report = await world.tick()
    (outcome,) = report.outcomes
    written = annotations(outcome.spec, outcome.decision)
    assert written
    assert all(re.fullmatch(r"flyball\.dev/[a-z][a-z-]*[a-z]", name) for name in written)
    assert all(text not in str(value) for value in written.values())
    assert set(world.deployment().annotations) <= set(written)


def test_what_a_label_holds_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a prompt template, which callers choose: it would title the window, and clear the screen."""
    steering = "\x1b]0;owned\x07\x1b[2J\nSLOMet=True"
    templates = [{"template": steering, "requests": "75%", "tokens": {"input": "500"}}]

    async def fetch(*_: str) -> dict[str, Any]:
        return {"status": {"tokens": {"templates": templates}}}

    monkeypatch.setattr("flyball.cli.explain._fetch", fetch)
    said = CliRunner().invoke(main, ["explain", "chat"]).output
    assert "owned" in said, "the name is in no line: the test shows nothing"
    assert all(line.isprintable() for line in said.splitlines())
    assert "SLOMet=True" not in said.splitlines()
