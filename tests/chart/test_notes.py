"""What `helm install` says at the end is true of the release and can be pasted."""

import shutil

import pytest
import yaml

from flyball.api.v1alpha1 import WorkloadSLO

_AS_OBJECT = """
apiVersion: v1
kind: Notes
metadata: {name: notes}
text: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}
"""


@pytest.fixture(scope="session")
def notes(render, tmp_path_factory, chart):
    """The notes of a release. `helm template` leaves them out, so a copy of the chart wraps them in an object."""
    copy = tmp_path_factory.mktemp("chart") / "flyball"
    shutil.copytree(chart, copy)
    (copy / "templates" / "notes.yaml").write_text(_AS_OBJECT)
    return lambda values=None: render(values, chart=copy).one("Notes", "notes")["text"]


def test_the_first_workloadslo_is_short_and_valid(notes):
    pasted = notes().split("<<EOF\n")[1].split("\nEOF\n")[0]  # a shell ends it only at the line's start
    workload = WorkloadSLO.model_validate(yaml.safe_load(pasted))
    assert len(pasted.splitlines()) <= 7
    assert workload.spec.mode == "Recommend"


@pytest.mark.parametrize(
    ("values", "said", "unsaid"),
    [
        pytest.param(
            {},
            ["in all namespaces", "http://prometheus.monitoring:9090"],
            ["crds.install is false", "No admission policy"],
            id="defaults",
        ),
        pytest.param({}, ["kubectl get wslo", "helm test flyball -n flyball-system"], [], id="what to do next"),
        pytest.param(
            {"watchNamespaces": ["chat", "batch"]},
            ["in chat, batch", "apply -n chat -f"],
            ["all namespaces"],
            id="namespaces",
        ),
        pytest.param({"crds": {"install": False}}, ["crds.install is false"], [], id="CRDs from elsewhere"),
        pytest.param({"rbac": {"create": False}}, ["docs/security/rbac.md"], [], id="rights from elsewhere"),
        pytest.param({"admission": {"enabled": False}}, ["admission.enabled is false"], [], id="no admission policy"),
        pytest.param(
            {"networkPolicy": {"egress": {"enabled": True}}}, ["open at port 9090"], [], id="a port that was guessed"
        ),
        pytest.param(
            {}, ["logs job/flyball-restore", "--no-hooks"], ["restore.onUninstall is false"], id="a failed uninstall"
        ),
        pytest.param(
            {"restore": {"onUninstall": False}}, ["run `flyball restore`"], ["--no-hooks"], id="no hook to rely on"
        ),
    ],
)
def test_the_notes_fit_the_values(notes, values, said, unsaid):
    text = notes(values)
    assert [part for part in said if part not in text] == []
    assert [part for part in unsaid if part in text] == []
