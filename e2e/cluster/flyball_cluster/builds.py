"""Building the cluster's programs from the Go module proxy, each cached under a hash of everything that shapes it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flyball_cluster.console import TAIL_LINES, run, say
from flyball_cluster.errors import ClusterError
from flyball_cluster.files import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flyball_cluster.toolchain import Go

MODULES = Path(__file__).parent.parent / "go"
HEARTBEAT_SECONDS = 15.0
# Two builds at a time: while one downloads, links, or waits for a package that all others need, the other compiles.
LANES = 2
# How far the compiler's heap may grow before its garbage is collected, in percent of what lives: a package takes under
# 1 GB even so, and the build a sixth less processor time than with Go's 100.
COMPILER_GOGC = "500"
# Neither debug information nor inlining: a quarter less processor time to compile, and programs that run for minutes
# do not make up for it.
COMPILER_FLAGS = "all=-dwarf=false -l"
KUBERNETES_VERSION = "v1.36.3"
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class Substitute:
    """A package of a dependency that one file of ours takes the place of, to leave out what only that package needs."""

    dependency: str
    package: str
    ours: str


@dataclass(frozen=True, slots=True)
class Component:
    """One Go module of ours and the programs that come out of it."""

    name: str
    packages: tuple[str, ...] = (".",)
    tags: str = ""
    link_variables: tuple[str, ...] = ()
    static: bool = False
    substitutes: tuple[Substitute, ...] = ()
    modules: Path = MODULES

    @property
    def module(self) -> Path:
        """The folder of the component's go.mod."""
        return self.modules / self.name

    @property
    def programs(self) -> tuple[str, ...]:
        """File names that the build leaves."""
        return tuple(self.name if package == "." else package.rsplit("/", 1)[1] for package in self.packages)


KUBE = Component(
    "kube",
    link_variables=(
        f"{_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}",
        f"{_VERSION_PACKAGE}.gitMajor={KUBERNETES_VERSION[1:].split('.')[0]}",
        f"{_VERSION_PACKAGE}.gitMinor={KUBERNETES_VERSION.split('.')[1]}",
    ),
)
CONTAINERD = Component(
    "containerd",
    packages=tuple(
        f"github.com/containerd/containerd/v2/cmd/{program}"
        for program in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    tags="no_btrfs no_devmapper no_zfs",
)
TRAEFIK = Component(
    "traefik",
    packages=("github.com/traefik/traefik/v3/cmd/traefik",),
    # Half of what Traefik compiles are clients of DNS services, for certificates that this gateway never asks for,
    # and of one cloud's container service.
    substitutes=(
        Substitute("github.com/go-acme/lego/v4", "providers/dns", ours="lego_dns_providers.go.txt"),
        Substitute("github.com/traefik/traefik/v3", "pkg/provider/ecs", ours="traefik_ecs_provider.go.txt"),
    ),
)
PROMETHEUS = Component(
    "prometheus",
    packages=("github.com/prometheus/prometheus/cmd/prometheus",),
    # Debian's own package is built without Kubernetes discovery; the clients of all clouds would double the build.
    tags="remove_all_sd enable_kubernetes_sd",
)
HELM = Component("helm", packages=("helm.sh/helm/v3/cmd/helm",))
COREDNS = Component("coredns")
PAUSE = Component("pause", static=True)
COLLECTOR = Component(
    "collector",
    static=True,
    substitutes=(
        Substitute(
            "github.com/prometheus/prometheus",
            "storage/remote/otlptranslator/prometheusremotewrite",
            ours="prometheus_names.go.txt",
        ),
    ),
)
"""The OpenTelemetry Collector, which the cluster does not need: tests of span metrics build it when they run."""
POLICIES = Component("policies")
"""kube-router's controller of NetworkPolicies, which the cluster does not need either: the test of them builds it."""
ROUTE_CRDS = Component("crds", packages=())
"""Modules of which nothing is built: tests apply their CRDs."""
COMPONENTS = (PAUSE, KUBE, CONTAINERD, COREDNS, PROMETHEUS, HELM, TRAEFIK)


class Builds:
    """The built programs of a cache folder, built on first use."""

    def __init__(self, cache: Path, go: Go) -> None:
        self._cache = cache
        self._go = go
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    def folder(self, component: Component) -> Path:
        """Where a component's programs are, or will be, for its present sources and the present toolchain."""
        digest = hashlib.sha256(f"{self._go.version}\0{' '.join(self._flags(component))}\0{component.static}".encode())
        for substitute in component.substitutes:
            digest.update(f"\0{substitute}".encode())
        for source in sorted(path for path in component.module.rglob("*") if path.is_file()):
            digest.update(str(source.relative_to(component.module)).encode() + b"\0" + source.read_bytes())
        return self._cache / "builds" / component.name / digest.hexdigest()[:16]

    def program(self, component: Component, name: str | None = None) -> Path:
        """Path of a built program."""
        return self.folder(component) / (name or component.programs[0])

    def ensure(self, components: Iterable[Component] = COMPONENTS) -> None:
        """Build what is not there yet, a few at a time. Raises ClusterError for the first that fails.

        Kubernetes comes first and alone: what the others share with it, in the same versions, is compiled once then. An
        interruption loses the components in hand, of which Go's own cache keeps the packages that were compiled.
        """
        missing = [component for component in components if not self.folder(component).is_dir()]
        missing.sort(key=lambda component: component.name != KUBE.name)
        labels = {c: f"[{position}/{len(missing)}] {c.name}" for position, c in enumerate(missing, start=1)}
        for batch in (missing[:1], missing[1:]) if KUBE in labels else (missing,):
            self._build_side_by_side({component: labels[component] for component in batch})

    def _build_side_by_side(self, labels: Mapping[Component, str]) -> None:
        with ThreadPoolExecutor(LANES) as lanes:
            builds = [lanes.submit(self._build_once, component, label) for component, label in labels.items()]
            try:
                for build in as_completed(builds):
                    build.result()
            except BaseException:
                self._stop()
                raise

    def _build_once(self, component: Component, label: str) -> None:
        with exclusive(self._cache / "builds" / f"{component.name}.lock", f"another build of {component.name}"):
            if not self.folder(component).is_dir() and not self._stopped.is_set():
                self._build(component, label)

    def _stop(self) -> None:
        """Interrupt the builds in hand, so that they clean up behind themselves, and begin no further one."""
        self._stopped.set()
        for process in tuple(self._running):
            process.send_signal(signal.SIGINT)

    def module_folder(self, component: Component, dependency: str) -> Path:
        """Unpacked source folder, in Go's own module cache, of a module that a component depends on."""
        output = run(
            [self._go.program, "-C", component.module, "mod", "download", "-json", dependency], env=self._environment()
        )
        line = next((line for line in output.splitlines() if '"Dir"' in line), None)
        if line is None:
            raise ClusterError(f"go mod download {dependency} named no folder:\n{output}")
        return Path(line.split('"')[3])

    def _build(self, component: Component, label: str) -> None:
        target = self.folder(component)
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        started = time.monotonic()
        say(f"{label}: building")
        try:
            with TemporaryDirectory(prefix="flyball-build-") as scratch:
                flags = [*self._flags(component), *self._substitute(component, Path(scratch))]
                self._compile(component, flags, partial, label, started)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        say(f"{label}: built in {time.monotonic() - started:.0f} s")

    def _substitute(self, component: Component, scratch: Path) -> list[str]:
        """Flags that build against copies of dependencies, made in a scratch folder, with packages exchanged."""
        if not component.substitutes:
            return []
        module = (component.module / "go.mod").read_text()
        for position, wanted in enumerate(component.substitutes):
            copy = scratch / str(position)
            run(["cp", "-r", "--no-preserve=mode", self.module_folder(component, wanted.dependency), copy])
            for theirs in (copy / wanted.package).glob("*.go"):
                theirs.unlink()
            shutil.copyfile(component.module / wanted.ours, copy / wanted.package / wanted.ours.removesuffix(".txt"))
            module += f"\nreplace {wanted.dependency} => {copy}\n"
        shutil.copyfile(component.module / "go.sum", scratch / "go.sum")
        (scratch / "go.mod").write_text(module)
        return [f"-modfile={scratch / 'go.mod'}"]

    def _compile(self, component: Component, flags: list[str], output: Path, label: str, started: float) -> None:
        argv = [
            "nice",
            self._go.program,
            "build",
            "-v",
            *flags,
            "-o",
            f"{output}/",
            *component.packages,
        ]
        environment = self._environment() | ({"CGO_ENABLED": "0"} if component.static else {})
        lines: list[str] = []
        with subprocess.Popen(
            argv, cwd=component.module, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            self._running.add(process)
            try:
                self._follow(process, lines, label, started)
            finally:
                self._running.discard(process)
        if process.returncode != 0:
            tail = "\n".join(lines[-TAIL_LINES:])
            raise ClusterError(f"building {component.name} failed with exit code {process.returncode}:\n{tail}")

    def _follow(self, process: subprocess.Popen[str], lines: list[str], label: str, started: float) -> None:
        """Gather what a build prints, a line a package, and say how far it is until it ends."""
        if self._stopped.is_set():
            process.send_signal(signal.SIGINT)
        stream = process.stderr
        if stream is None:
            raise ClusterError("the Go build has no standard error to follow")
        reader = threading.Thread(target=lambda: lines.extend(line.rstrip() for line in stream), daemon=True)
        reader.start()
        while process.returncode is None:
            try:
                process.wait(timeout=HEARTBEAT_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"{label}: {time.monotonic() - started:.0f} s, {len(lines)} packages fetched or compiled")
        reader.join()

    def _flags(self, component: Component) -> list[str]:
        link = " ".join(["-s", "-w", *(f"-X {variable}" for variable in component.link_variables)])
        return [
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            f"-gcflags={COMPILER_FLAGS}",
            f"-ldflags={link}",
            f"-tags={component.tags}",
        ]

    def _environment(self) -> dict[str, str]:
        return {"GOGC": COMPILER_GOGC, **os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
