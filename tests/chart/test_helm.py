"""Which helm the tests use, and what its linter says of the chart."""

import re
from pathlib import Path

import pytest
from _pytest.outcomes import Failed


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_named_helm_wins_over_the_path(tmp_path, find):
    _program(tmp_path / "bin" / "helm")
    assert find({"FLYBALL_HELM": "/opt/helm", "PATH": str(tmp_path / "bin")}) == "/opt/helm"


def test_the_helm_on_the_path_wins_over_the_cache(tmp_path, find):
    on_path = _program(tmp_path / "bin" / "helm")
    _program(tmp_path / ".cache" / "flyball" / "cluster" / "builds" / "helm" / "0a1b" / "helm")
    assert find({"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}) == str(on_path)


def test_the_cluster_s_helm_is_found_in_the_cache(tmp_path, find):
    built = _program(tmp_path / "flyball" / "cluster" / "builds" / "helm" / "0a1b" / "helm")
    assert find({"PATH": "", "XDG_CACHE_HOME": str(tmp_path)}) == str(built)


def test_a_missing_helm_fails_and_says_what_provides_it(tmp_path, find):
    with pytest.raises(Failed, match=re.escape("make cluster-build")):
        find({"PATH": "", "HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"prometheus": {"url": "http://p:9090"}}, id="with the one required value"),
        pytest.param(
            {
                "prometheus": {
                    "url": "https://p/prefix",
                    "headers": {"X-Scope-OrgID": "tenant"},
                    "bearerToken": {"existingSecret": "token"},
                    "ca": {"existingSecret": "ca"},
                },
                "watchNamespaces": ["chat", "batch"],
                "networkPolicy": {"egress": {"enabled": True, "apiServerCIDRs": ["10.0.0.1/32"]}},
                "podDisruptionBudget": {"enabled": True},
                "image": {"registry": "registry.example:5000", "digest": "sha256:" + "0" * 64},
                "imagePullSecrets": [{"name": "pull"}],
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "affinity": {"nodeAffinity": {}},
                "nodeSelector": {"disk": "ssd"},
                "topologySpreadConstraints": [{"maxSkew": 1}],
                "priorityClassName": "high",
                "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            },
            id="with nearly everything set",
        ),
    ],
)
def test_lint_is_content(lint, values):
    assert "1 chart(s) linted, 0 chart(s) failed" in lint(values)
