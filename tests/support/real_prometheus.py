"""A real Prometheus over hand-written history: blocks are built from OpenMetrics text, so that no test waits."""

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flyball_cluster.guard import guarded
from flyball_cluster.ports import free_ports
from flyball_cluster.processes import MARK


@dataclass
class History:
    """Series to be: each is a name, labels and (time, value) samples. Times are seconds since the epoch."""

    lines: list[str] = field(default_factory=list)

    def add(self, name: str, labels: dict[str, str], times: Sequence[float], value: Callable[[float], float]) -> None:
        """One series with `value(time)` at each time."""
        text = ",".join(f'{key}="{word}"' for key, word in labels.items())
        self.lines += [f"{name}{{{text}}} {value(at)!r} {at:.3f}" for at in times]


@contextmanager
def serve(history: History, folder: Path, *flags: str) -> Iterator[str]:
    """The base URL of a Prometheus that holds that history and scrapes nothing; `flags` are further ones of its own."""
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is not installed; run: apt-get install prometheus")
    source, data, config = folder / "history.om", folder / "data", folder / "prometheus.yml"
    with source.open("w") as text:
        text.writelines(f"{line}\n" for line in history.lines)
        text.write("# EOF\n")
    config.write_text("global: {}\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", source, data], check=True, stdout=subprocess.DEVNULL
    )
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={address}",
    ]
    with guarded(data):
        with (folder / "log").open("w") as log:
            command += ["--storage.tsdb.retention.time=100y", *flags]
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, MARK: str(data)})
        try:
            _wait(f"http://{address}/-/ready", process, folder / "log")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"Prometheus did not become ready:\n{log.read_text()[-2000:]}")
