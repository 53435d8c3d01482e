"""The tools that the demo and the end-to-end tests use as a user would: kubectl, helm, the cluster driver and load."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = REPOSITORY / "e2e" / "cluster" / "cluster.py"
CHART = REPOSITORY / "charts" / "flyball"
MANIFESTS = Path(__file__).parent / "manifests"
RECORDED_TRACE = REPOSITORY.parent / "shared" / "traces" / "azure2023_conv.csv.gz"
GENERATED_TRACE = "generate:conversation?rate=5.5&seed=1"


class ToolError(Exception):
    """A command that a user would have typed failed; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load that plays: its process, its progress and summary, and what clients saw of each request."""

    process: subprocess.Popen[bytes]
    log: Path
    results: Path

    def rows(self) -> list[dict[str, str]]:
        """The requests, once it is over."""
        with self.results.open() as file:
            return list(csv.DictReader(file))


@dataclass(frozen=True, slots=True)
class Kit:
    """A running cluster and the commands to use it."""

    facts: dict[str, Any]
    image: str = ""
    """What the image flyball:dev on the node was built from: a new one must replace the operator that runs."""

    @property
    def kubeconfig(self) -> str:
        """Path of the kubeconfig."""
        return str(self.facts["kubeconfig"])

    @property
    def gateway(self) -> str:
        """The gateway's URL on loopback."""
        return str(self.facts["gateway"]["url"])

    @property
    def environment(self) -> dict[str, str]:
        """What a shell in which KUBECONFIG was exported has."""
        return {**os.environ, "KUBECONFIG": self.kubeconfig}

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it printed; raises ToolError when it fails and `check` is set."""
        return self._run([*self.facts["kubectl"], *arguments], text, check)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def apply(self, manifest: Path | str, namespace: str = "") -> None:
        """`kubectl apply` of a file or of text; `namespace` is that of objects which name none."""
        where = ("-n", namespace) if namespace else ()
        if isinstance(manifest, Path):
            self.kubectl(*where, "apply", "-f", str(manifest))
        else:
            self.kubectl(*where, "apply", "-f", "-", text=manifest)

    def helm(self, *arguments: str) -> str:
        """Run helm and return what it printed."""
        return self._run([*self.facts["helm"], *arguments], None, True)

    def install(self, *values: str, namespace: str = "flyball-system", tick: str = "5s", chart: Path = CHART) -> None:
        """Install or upgrade Flyball with its chart, from the image built here, and wait until it is ready."""
        defaults = (
            f"prometheus.url={self.facts['prometheus']['inClusterUrl']}",
            f"operator.tick={tick}",
            "operator.rateWindow=20s",
            "image.repository=flyball",
            "image.tag=dev",
            "image.pullPolicy=IfNotPresent",
            f"podAnnotations.built-from={self.image}",
        )
        settings = [part for value in (*defaults, *values) for part in ("--set", value)]
        self.helm(
            "upgrade", "--install", "flyball", str(chart), "-n", namespace, "--create-namespace",
            "--wait", "--timeout", "3m", *settings,
        )  # fmt: skip

    @contextmanager
    def load(
        self,
        rate_scale: float,
        start: str,
        duration: str,
        folder: Path,
        name: str = "load",
        *,
        trace: str = "",
        host: str = "chat.demo.test",
    ) -> Iterator[Load]:
        """`flyball load` of the story's trace, or another, on a route: for its duration, or as long as the context."""
        trace = trace or (str(RECORDED_TRACE) if RECORDED_TRACE.exists() else GENERATED_TRACE)
        results = folder / f"{name}.csv"
        command = [
            str(Path(sys.executable).parent / "flyball"), "load", trace, "--url", self.gateway,
            "--host-header", host, "--model", "chat-8b", "--rate-scale", str(rate_scale),
            "--start", start, "--duration", duration, "--timeout", "2m", "--out", str(results),
            "--objective", "TimeToFirstToken<2500ms@90%",
        ]  # fmt: skip
        log = folder / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=self.environment)
            try:
                yield Load(process, log, results)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=180)

    def _run(self, command: list[str], text: str | None, check: bool) -> str:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=self.environment, check=False)
        if check and done.returncode:
            raise ToolError(f"{' '.join(command[:4])} … failed:\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def cluster_up() -> Kit:
    """Start the cluster that CLUSTER names (quick when it runs already), and read its addresses."""
    print(_drive("up"), end="", flush=True)
    return running()


def running() -> Kit:
    """The cluster that runs already; raises ToolError when none does."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), "status", "-o", "json"], capture_output=True, text=True, check=False
    )
    status = json.loads(done.stdout) if done.stdout.strip().startswith("{") else {}
    if not status.get("running"):
        raise ToolError("no cluster runs; start one with `make cluster-up`")
    return Kit(status["cluster"])


def cluster_down() -> None:
    """Take away everything that the cluster consisted of."""
    subprocess.run([sys.executable, str(DRIVER), "down"], check=True)


def deploy_story(kit: Kit) -> None:
    """The two models, their route and prices; once they serve, the WorkloadSLO."""
    for name in ("namespace.yaml", "models.yaml"):
        kit.apply(MANIFESTS / name)
    kit.kubectl("-n", "demo", "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=120s")
    kit.apply(MANIFESTS / "workloadslo.yaml")


def with_image(kit: Kit) -> Kit:
    """Build flyball:dev and hand it to the node; quick when nothing changed."""
    return replace(kit, image=build_image("flyball:dev", REPOSITORY))


def build_image(tag: str, sources: Path) -> str:
    """Build an image from a checkout and hand it to the node; returns a name of its content."""
    return Path(_drive("build-image", "--tag", tag, "--context", str(sources)).strip()).stem


def _drive(*arguments: str) -> str:
    """Run the cluster driver to its end, also when this is interrupted: it cleans up behind itself."""
    command = [sys.executable, str(DRIVER), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            printed, _ = driver.communicate()
        except KeyboardInterrupt:
            try:
                driver.wait(timeout=1)  # a Ctrl-C reaches both
            except subprocess.TimeoutExpired:
                driver.send_signal(signal.SIGINT)
                driver.wait(timeout=60)
            raise
    if driver.returncode:
        raise subprocess.CalledProcessError(driver.returncode, command)
    return printed
