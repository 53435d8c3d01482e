"""`flyball lab run`: what a policy would have done with this traffic, and what the others would have done."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from flyball.lab.scenario import Scenario
    from flyball.lab.suite.conclusion import Conclusion

_EXTRA = ("numba", "scipy", "matplotlib")
_STOPPED = 130
_PIPE_COLUMNS = 132

# Option → the scenario's field that it sets.
_FIELDS = {
    "trace": "trace.path",
    "rate_scale": "trace.rateScale",
    "start": "trace.start",
    "duration": "trace.duration",
    "warmup": "trace.warmup",
    "engine": "variants.engine",
    "startup": "variants.startup",
    "startup_jitter": "variants.startupJitter",
    "price": "variants.pricePerGpuHour",
    "gpus_per_replica": "variants.gpusPerReplica",
    "min_replicas": "variants.minReplicas",
    "max_replicas": "variants.maxReplicas",
    "routing": "routing",
    "gateway_queue": "gatewayQueue",
    "gpus": "gpus",
    "scrape": "telemetry.scrape",
    "scrape_delay": "telemetry.delay",
    "tick": "tick",
    "client_timeout": "clientTimeout",
    "seeds": "seeds",
    "tune": "tune",
}
_OBJECTIVES = ("TimeToFirstToken<1s@95%", "InterTokenLatency<150ms@95%")


@click.group()
def lab() -> None:
    """Try policies on traffic, in a simulator."""


@lab.command()
@click.argument("scenarios", nargs=-1, type=click.Path(path_type=Path), metavar="[SCENARIO.yaml | FOLDER]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for results.json, report.html and the runs that are done; name it again to go on.",
)
@click.option("--trace", help="Trace file, or a word such as generate:conversation?rate=2.")
@click.option("--rate-scale", type=float, help="Below 1 thins the trace, above 1 overlays shifted copies.")
@click.option("--start", help="Where in the trace to begin.")
@click.option("--duration", help="How much of the trace to play.")
@click.option("--warmup", help="How much of that is not counted.")
@click.option("--engine", help="Engine preset, such as a100_8b.")
@click.option("--startup", help="Time until a new replica is ready.")
@click.option("--startup-jitter", type=float, help="Relative standard deviation of that time.")
@click.option("--price", help="Dollars per GPU hour.")
@click.option("--gpus-per-replica", type=int)
@click.option("--min-replicas", type=int)
@click.option("--max-replicas", type=int)
@click.option("--routing", help="leastOutstanding, roundRobin, random or kvAware.")
@click.option("--gateway-queue/--no-gateway-queue", default=None, help="Whether requests are held before a replica.")
@click.option("--gpus", type=int, help="GPUs that there are in all.")
@click.option("--objective", "objectives", multiple=True, help="'TimeToFirstToken<1s@95%'; repeatable.")
@click.option("--scrape", help="Time between two scrapes.")
@click.option("--scrape-delay", help="Until a scrape can be queried.")
@click.option("--tick", help="Time between two decisions of flyball.")
@click.option("--client-timeout", help="A request not begun by then is dropped; none for never.")
@click.option("--seeds", type=int, help="How often each run is repeated with other chance.")
@click.option("--policies", help="Comma-separated.")
@click.option("--tune", help="hindsight adds each rival's best knobs on this trace, as NAME*; none does not.")
@click.option(
    "--ttft-scale",
    "ttft_scales",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    help="Also with TimeToFirstToken thresholds so many times as long; repeatable, for example 1.5 and 2.",
)
@click.option(
    "--sweep-points",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Most points of each rival's frontier beside the one it is played with; 0 draws no frontiers.",
)
@click.option(
    "--sweep-seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Seeds that frontiers are drawn on."
)
@click.option(
    "--oracle-seconds",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    help="How long the clairvoyant plan is improved, in seconds of a core.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: all cores]")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def run(
    scenarios: tuple[Path, ...], out: Path, objectives: tuple[str, ...], policies: str | None,
    ttft_scales: tuple[float, ...], sweep_points: int, sweep_seeds: int, oracle_seconds: float, workers: int | None,
    output: str,
    **fields: Any,
) -> None:  # fmt: skip
    """Play every policy on the traffic of each SCENARIO, and compare them.

    SCENARIO is a YAML file (docs/lab.md); a FOLDER is a suite of them. Options override single fields; with --trace,
    --engine and --startup no file is needed.

    Exit status: 0 when everything was played, 1 when a run failed, 2 for wrong usage or when nothing could be played,
    130 after Ctrl-C. What is done is kept: the same command goes on where it was.
    """
    if missing := [name for name in _EXTRA if importlib.util.find_spec(name) is None]:
        click.echo(f"The lab needs {', '.join(missing)}: pip install 'flyball[lab]'", err=True)
        sys.exit(2)
    overrides = {_FIELDS[name]: value for name, value in fields.items() if value is not None}
    if policies is not None:
        overrides["policies"] = [name.strip() for name in policies.split(",")]
    if objectives:
        overrides["objectives"] = [_objective(text) for text in objectives]
    asked = scaled(read_all(scenarios, overrides), ttft_scales)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from None
    sys.exit(_play(asked, out, (sweep_points, sweep_seeds, oracle_seconds), workers, output))


def read_all(paths: Sequence[Path], overrides: Mapping[str, Any]) -> "list[Scenario]":
    """The scenarios of files and folders, or the one that the overrides describe by themselves."""
    from flyball.lab.fields import FieldError
    from flyball.lab.scenario import overridden, parse_scenario, read_scenario
    from flyball.lab.suite.choices import known_policies

    try:
        if not paths:
            return [parse_scenario(overridden(_document(overrides), overrides), Path.cwd(), known_policies())]
        files = [file for path in paths for file in _files(path)]
        found = [read_scenario(file, overrides, known_policies()) for file in files]
    except FieldError as error:
        raise click.UsageError(str(error)) from None
    for index, scenario in enumerate(found):
        if (first := [s.name for s in found].index(scenario.name)) < index:
            raise click.UsageError(
                f"{files[index]}: name: {scenario.name!r} is that of {files[first]}, too; rename one"
            )
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml"))
    if not files:
        raise click.UsageError(f"{path}: no scenario (*.yaml) is in this folder; name another one, or a file")
    return files


def _document(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A scenario of the options alone."""
    for option in ("trace", "engine", "startup"):
        if _FIELDS[option] not in overrides:
            raise click.UsageError(f"name a scenario file or a folder, or give --{option} (and {_others(option)})")
    source = str(overrides["trace.path"])
    label = source if source.startswith("generate:") else Path(source).name.split(".")[0]
    return {
        "name": f"{label}-{overrides['variants.engine']}",
        "trace": {},
        "variants": [{"name": str(overrides["variants.engine"])}],
        "objectives": [_objective(text) for text in _OBJECTIVES],
    }


def _others(option: str) -> str:
    return " and ".join(f"--{other}" for other in ("trace", "engine", "startup") if other != option)


def _objective(text: str) -> dict[str, Any]:
    from flyball.lab.load.objectives import parse_objective

    try:
        parsed = parse_objective(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--objective") from None
    if parsed.threshold_seconds is None:
        raise click.BadParameter(f"{text!r} has no threshold that a simulation could judge", param_hint="--objective")
    threshold = f"{parsed.threshold_seconds:.6f}".rstrip("0").rstrip(".") + "s"
    return {"indicator": str(parsed.indicator), "threshold": threshold, "target": f"{parsed.target * 100:.10g}%"}


def scaled(scenarios: "Sequence[Scenario]", factors: Sequence[float]) -> "list[Scenario]":
    """Each scenario, and once more for each factor that its thresholds for the first token are multiplied by."""
    from flyball.lab.score import TIME_TO_FIRST_TOKEN

    found = []
    for scenario in scenarios:
        found.append(scenario)
        for factor in dict.fromkeys(factors):
            objectives = tuple(
                replace(o, threshold_seconds=o.threshold_seconds * factor) if o.indicator == TIME_TO_FIRST_TOKEN else o
                for o in scenario.objectives
            )
            if objectives != scenario.objectives:
                found.append(replace(scenario, name=f"{scenario.name}-ttft-x{factor:g}", objectives=objectives))
    return found


def _play(
    scenarios: "Sequence[Scenario]", out: Path, effort: tuple[int, int, float], workers: int | None, output: str
) -> int:
    from rich.console import Console

    from flyball.lab.report.table import conclusion_json, print_conclusion
    from flyball.lab.suite.course import Effort
    from flyball.lab.suite.pool import StoppedError, WorkerLostError, usable_cores
    from flyball.lab.suite.run import Suite

    progress = Console(stderr=True)
    # A file or a pipe has no width of its own.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)

    def on_end(conclusion: "Conclusion") -> None:
        if output == "text":
            print_conclusion(console, conclusion)

    suite = Suite(scenarios, Effort(*effort), out, shlex.join(["flyball", *sys.argv[1:]]))
    stopped = 0
    try:
        suite.run(workers or usable_cores(), progress, on_end)
    except StoppedError:
        stopped = _STOPPED
        click.echo(f"Stopped. What is done is kept in {out}; the same command goes on from there.", err=True)
    except WorkerLostError as error:
        stopped = 1
        click.echo(f"Stopped: {error}. What is done is kept; fewer --workers need less memory.", err=True)
    if output == "json":
        click.echo(json.dumps([conclusion_json(conclusion) for conclusion in suite.conclusions], indent=1))
    click.echo(f"Wrote {out / 'results.json'} and {out / 'report.html'}.", err=True)
    if stopped:
        return stopped
    if not any(conclusion.runs for conclusion in suite.conclusions):
        return 2
    return int(any(conclusion.faults for conclusion in suite.conclusions))
