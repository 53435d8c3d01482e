from pathlib import Path
from typing import Any

import pytest
from flyball_cluster import prerequisites
from flyball_cluster.errors import ClusterError
from flyball_cluster.prerequisites import Tool, require_embedded, require_tools

ALPHA = Tool("no-such-alpha", "alpha-tools", "from the releases of alpha")
BETA = Tool("no-such-beta", "alpha-tools", "from the releases of beta", service="beta")
PRESENT = Tool("sh", "dash", "any shell")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A Debian machine, as root: what is run there, really nothing, with the switch on or off, and what is said."""
    found: dict[str, Any] = {"ran": [], "said": [], "policy": tmp_path / "policy-rc.d"}

    def run(command: list[str], **_: Any) -> str:
        found["ran"].append((" ".join(command), found["policy"].exists()))
        return ""

    monkeypatch.setattr(prerequisites, "run", run)
    monkeypatch.setattr(prerequisites, "say", found["said"].append)
    monkeypatch.setattr(prerequisites, "_POLICY", found["policy"])
    monkeypatch.setattr(prerequisites, "_INSTALLING", tmp_path / "lock")
    monkeypatch.setattr(prerequisites, "succeeds", lambda *_: False)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name in ("apt-get", PRESENT.program) else None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return found


def test_what_is_missing_is_installed_once_by_package_name_and_said(machine: dict[str, Any]) -> None:
    require_tools((PRESENT, BETA, ALPHA))
    assert machine["said"][0] == "installing with apt-get: alpha-tools"
    update, install = (command for command, _ in machine["ran"])
    assert update.startswith("apt-get update")
    assert install.startswith("apt-get install")
    assert install.endswith(" alpha-tools")


def test_no_service_of_a_package_starts_and_the_switch_goes_again(machine: dict[str, Any]) -> None:
    require_tools((BETA,))
    assert [held for _, held in machine["ran"]] == [True, True]
    assert not machine["policy"].exists()


def test_a_switch_of_the_user_s_own_stays(machine: dict[str, Any]) -> None:
    machine["policy"].write_text("theirs")
    require_tools((BETA,))
    assert machine["policy"].read_text() == "theirs"


def test_nothing_is_installed_where_nothing_is_missing(machine: dict[str, Any]) -> None:
    require_tools((PRESENT,))
    assert machine["ran"] == machine["said"] == []


@pytest.mark.parametrize(
    ("replaced", "value"),
    [
        pytest.param("shutil.which", lambda _: None, id="no apt"),
        pytest.param("os.geteuid", lambda: 1000, id="not root"),
    ],
)
def test_elsewhere_each_missing_piece_is_named_with_how_to_get_it(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, replaced: str, value: Any
) -> None:
    monkeypatch.setattr(replaced, value)
    with pytest.raises(ClusterError) as raised:
        require_tools((ALPHA, BETA))
    for tool in (ALPHA, BETA):
        assert f"{tool.program}: {tool.elsewhere}" in str(raised.value)
    assert machine["ran"] == []


@pytest.mark.parametrize(
    ("replaced", "value"),
    [
        pytest.param("platform.system", lambda: "Darwin", id="not Linux"),
        pytest.param("os.geteuid", lambda: 1000, id="not root"),
    ],
)
def test_where_embedded_cannot_run_one_line_names_the_other_modes(
    monkeypatch: pytest.MonkeyPatch, replaced: str, value: Any
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    require_embedded()
    monkeypatch.setattr(replaced, value)
    with pytest.raises(ClusterError) as raised:
        require_embedded()
    said = str(raised.value)
    assert "\n" not in said
    assert all(word in said for word in ("Linux and root", "CLUSTER=kind", "CLUSTER=current"))
