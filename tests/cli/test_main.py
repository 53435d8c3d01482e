"""The command itself: cheap to start, and also kubectl's plugin."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from flyball import __version__
from flyball.cli.main import COMMANDS, main

HEAVY = ("kubernetes", "kopf", "aiohttp", "numpy", "pydantic", "prometheus_api_client")


def test_help_names_every_command_and_imports_no_client() -> None:
    program = (
        "import sys; from flyball.cli.main import main; main(['--help'], standalone_mode=False);"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "kubernetes" not in done.stdout.rpartition("loaded:")[2]
    assert "kopf" not in done.stdout.rpartition("loaded:")[2]
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(main, [command, "--help"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: main {command}")
    assert len(done.output.splitlines()) > 4


def test_a_command_that_does_not_exist_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["scale"])
    assert done.exit_code == 2
    assert "No such command 'scale'" in done.output


def test_says_its_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"flyball, version {__version__}\n"


def test_kubectl_finds_it_as_a_plugin() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["kubectl-flyball"] == project["scripts"]["flyball"]
