"""docs/gpuagent.md says what the agent does; the rendered protobuf classes are those of their .proto."""

import re
from pathlib import Path

import pytest
from grpc_tools import protoc

from flyball.gpuagent.exporter import OF_GPU, OWN
from flyball.gpuagent.readings import AgentState, GpuState

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "gpuagent.md").read_text()


def test_every_metric_stands_in_its_table_with_its_type_and_what_it_says():
    rows = re.findall(r"^\| `((?:DCGM|flyball)_\w+)` \| (\w+) \| [^|]* \| ([^|]*) \|", PAGE, re.MULTILINE)
    assert rows == [(metric.name, metric.kind, metric.help) for metric in (*OF_GPU, *OWN)]


@pytest.mark.parametrize("states", [AgentState, GpuState])
def test_every_state_stands_in_a_table(states):
    assert set(states) <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize(
    ("root", "source"),
    [
        pytest.param("operator", "flyball/gpuagent/pod_resources.proto", id="pod resources"),
        pytest.param(".", "e2e/gpu/device_plugin.proto", id="device plugin"),
    ],
)
def test_rendered_classes_are_those_of_their_proto(tmp_path, root, source):
    folder = REPOSITORY / root
    assert (
        protoc.main(["", f"-I{folder}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", str(folder / source)]) == 0
    )
    for suffix in ("_pb2.py", "_pb2.pyi"):
        rendered = source.replace(".proto", suffix)
        assert (folder / rendered).read_text() == (tmp_path / rendered).read_text(), "run `make protos`"
