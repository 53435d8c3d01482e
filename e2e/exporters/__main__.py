"""`make exporters`: record what serving stacks' own code prints at /metrics, where it runs without a GPU.

    make exporters EXPORTERS="[litellm] [opentelemetry] [endpoint-picker]"

Each gets the packages that it needs in a virtual environment (or Go module) of its own, which is thrown away; nothing
of theirs is among this project's dependencies. The recordings go to tests/telemetry/recordings, where the tests read
them through Prometheus with the profile that they are of. Figures that differ by run (processes, times) are left out.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
RECORDINGS = HERE.parents[1] / "tests" / "telemetry" / "recordings"
LEFT_OUT = ("python_", "process_", "go_")
INSTALL_SECONDS, RUN_SECONDS = 3600.0, 1800.0


def _python(program: str, *packages: str) -> Callable[[Path], str]:
    """Runs a program of this folder with those packages."""

    def run(folder: Path) -> str:
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, timeout=INSTALL_SECONDS)
        return _printed([python, HERE / "programs" / program])

    return run


def _go(folder: Path) -> str:
    program = folder / "program"
    source = HERE / "go" / "endpointpicker"
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True, timeout=INSTALL_SECONDS)
    return _printed([program])


def _printed(command: Sequence[Path]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS).stdout


EXPORTERS: dict[str, Callable[[Path], str]] = {
    "litellm": _python("litellm_proxy.py", "litellm[proxy]==1.108.7", "prometheus_client"),
    "opentelemetry": _python(
        "opentelemetry_client.py",
        "openai<3",
        "opentelemetry-sdk==1.45.2",
        "opentelemetry-exporter-prometheus==0.66b2",
        "opentelemetry-instrumentation-openai-v2==2.4b0",
        "opentelemetry-util-genai==0.4b0",
    ),
    "endpoint-picker": _go,
}


def kept(text: str) -> str:
    """Without the families of the language's runtime and without times of creation."""
    lines = []
    for line in text.splitlines():
        name = line.split()[2] if line.startswith("#") else line.split("{")[0].split(" ")[0]
        if not name.startswith(LEFT_OUT) and not name.endswith("_created"):
            lines.append(line)
    return "\n".join([*lines, ""])


def main() -> int:
    """Record those that are named, or all."""
    parser = argparse.ArgumentParser(prog="make exporters", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=(*EXPORTERS, []), help="which to record; all when left out")
    RECORDINGS.mkdir(exist_ok=True)
    for name in parser.parse_args().names or EXPORTERS:
        print(f"{name}: installing and running", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            text = kept(EXPORTERS[name](Path(folder)))
        (RECORDINGS / f"{name}.prom").write_text(text, encoding="utf-8")
        print(f"{name}: {len(text.splitlines())} lines", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
