"""The command line of the cluster driver."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flyball_cluster.api_only import start_api_only, stop_api_only
from flyball_cluster.builds import COMPONENTS, Builds
from flyball_cluster.console import say
from flyball_cluster.embedded import EmbeddedCluster
from flyball_cluster.errors import ClusterError
from flyball_cluster.images import ImageBuilder
from flyball_cluster.outside import CurrentCluster, KindCluster
from flyball_cluster.prerequisites import API_TOOLS, TEST_TOOLS, require_tools
from flyball_cluster.settings import Mode, Settings, settings_from
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_RUNNING = 1
NOT_POSSIBLE = 2
INTERRUPTED = 130
_REPOSITORY = Path(__file__).parent.parent.parent.parent


class Cluster(Protocol):
    """What every mode can do."""

    def prepare(self) -> None:
        """Get and build what `up` takes long for, and start nothing."""

    def up(self) -> dict[str, Any]:
        """Make the cluster usable and return the content of `cluster.json`."""

    def down(self) -> None:
        """Undo `up`."""

    def status(self) -> dict[str, Any]:
        """Mode, whether it runs, its components, its node and the content of `cluster.json`."""

    def load_image(self, archive: Path) -> None:
        """Hand an OCI archive to the cluster's nodes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 1 for a status that is not running, 2 for what cannot be done here."""
    options = _parser().parse_args(arguments)
    try:
        settings = settings_from(os.environ)
        return int(options.run(settings, options) or 0)
    except ClusterError as error:
        say(f"cluster: {error}")
        return NOT_POSSIBLE
    except KeyboardInterrupt:
        say("cluster: interrupted; run the same command again to go on, or `down` to clean up")
        return INTERRUPTED


def cluster_for(settings: Settings) -> Cluster:
    """The cluster that CLUSTER names."""
    match settings.mode:
        case Mode.EMBEDDED:
            return EmbeddedCluster(settings)
        case Mode.KIND:
            return KindCluster(settings)
        case Mode.CURRENT:
            return CurrentCluster(settings)


def _up(settings: Settings, options: argparse.Namespace) -> None:
    started = time.monotonic()
    if options.api_only:
        server = start_api_only(_api_only_runtime(settings), controllers=options.controllers)
        kubeconfig = str(server.kubeconfig)
        say(f"API server at {server.url} in {time.monotonic() - started:.1f} s; audit log: {server.audit_log}")
    else:
        kubeconfig = cluster_for(settings).up()["kubeconfig"]
        say(f"up in {time.monotonic() - started:.1f} s; its addresses: {settings.cluster_file}")
    print(f"export KUBECONFIG={kubeconfig}")


def _prepare(settings: Settings, options: argparse.Namespace) -> None:
    cluster_for(settings).prepare()


def _down(settings: Settings, options: argparse.Namespace) -> None:
    started = time.monotonic()
    if options.api_only:
        stop_api_only(_api_only_runtime(settings))
    else:
        cluster_for(settings).down()
    say(f"down in {time.monotonic() - started:.1f} s")


def _status(settings: Settings, options: argparse.Namespace) -> int:
    status = cluster_for(settings).status()
    print(json.dumps(status, indent=2) if options.output == "json" else _table(status))
    return 0 if status["running"] else NOT_RUNNING


def _build(settings: Settings, options: argparse.Namespace) -> None:
    require_tools((*API_TOOLS, *TEST_TOOLS))
    builds = Builds(settings.cache, find_go(settings.cache))
    started = time.monotonic()
    builds.ensure()
    say(f"all programs built in {time.monotonic() - started:.0f} s")
    for component in COMPONENTS:
        print(builds.folder(component))


def _load_image(settings: Settings, options: argparse.Namespace) -> None:
    cluster_for(settings).load_image(options.archive.absolute())


def _build_image(settings: Settings, options: argparse.Namespace) -> None:
    dockerfile, project = options.dockerfile.absolute(), options.context.absolute()
    image = ImageBuilder(settings.cache).build(dockerfile, options.tag, project)
    if not options.no_load:
        cluster_for(settings).load_image(image.archive)
    print(image.archive)


def _restart(settings: Settings, options: argparse.Namespace) -> None:
    if settings.mode is not Mode.EMBEDDED:
        raise ClusterError(f"restart is for the embedded cluster's own processes, and CLUSTER={settings.mode}")
    EmbeddedCluster(settings).restart(options.component)


def _api_only_runtime(settings: Settings) -> Path:
    return settings.cache / "api-only"


def _table(status: dict[str, Any]) -> str:
    facts, node = status["cluster"], status["node"]
    lines = [f"{status['mode']} cluster: {'running' if status['running'] else 'not running'}"]
    for name, entry in status["components"].items():
        lines.append(f"  {name:<24} {'pid ' + str(entry['pid']) if entry['pid'] else 'STOPPED':<12} {entry['log']}")
    if node:
        lines.append(f"  node {facts['node']['name']}: Ready {node['ready']}, {node['gpus']} GPUs")
    if facts:
        lines.append(f"  API server  {facts['apiServer']}")
        lines.append(
            f"  Prometheus  {facts['prometheus']['url']}  in the cluster {facts['prometheus']['inClusterUrl']}"
        )
        lines.append(f"  gateway     {facts['gateway']['url']}  in the cluster {facts['gateway']['inClusterUrl']}")
        lines.append(f"  export KUBECONFIG={facts['kubeconfig']}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster.py",
        description="A real Kubernetes for tests and the demo. CLUSTER=embedded (default), kind or current says which.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it; harmless when it runs already")
    up.set_defaults(run=_up)
    up.add_argument("--api-only", action="store_true", help="only etcd and the API server, on loopback, without root")
    up.add_argument("--controllers", action="store_true", help="with --api-only: the controller manager too")
    prepare = commands.add_parser("prepare", help="get and build what `up` takes long for, and start nothing")
    prepare.set_defaults(run=_prepare)
    down = commands.add_parser("down", help="stop and remove everything that `up` made")
    down.set_defaults(run=_down)
    down.add_argument("--api-only", action="store_true", help="what `up --api-only` started")
    status = commands.add_parser("status", help="what runs, and where")
    status.set_defaults(run=_status)
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    commands.add_parser("build", help="build the cluster's programs without starting any").set_defaults(run=_build)
    load = commands.add_parser("load-image", help="hand an OCI archive to the cluster's node")
    load.set_defaults(run=_load_image)
    load.add_argument("archive", type=Path)
    image = commands.add_parser("build-image", help="build an image from wheels, and hand it to the cluster's node")
    image.set_defaults(run=_build_image)
    image.add_argument("--dockerfile", type=Path, default=_REPOSITORY / "operator" / "Dockerfile")
    image.add_argument("--tag", default="flyball:dev")
    image.add_argument("--context", type=Path, default=_REPOSITORY, help="the project's folder, with requirements.lock")
    image.add_argument("--no-load", action="store_true", help="only build; print the archive's path")
    restart = commands.add_parser("restart", help="restart one process of the embedded cluster")
    restart.set_defaults(run=_restart)
    restart.add_argument("component")
    return parser
