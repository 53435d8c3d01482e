"""The `flyball` command, also installed as `kubectl-flyball` so that `kubectl flyball` finds it.

Subcommands are imported when they are called: `flyball --help` must not pay for the Kubernetes client.
"""

import importlib

import click

from flyball import __version__

# Subcommand → where its click command lives. Loaded only when asked for.
COMMANDS = {
    "run": "flyball.cli.run:run",
    "restore": "flyball.cli.restore:restore",
    "doctor": "flyball.cli.doctor:doctor",
    "crd": "flyball.cli.crd:crd",
    "lint": "flyball.cli.lint:lint",
    "explain": "flyball.cli.explain:explain",
    "replay": "flyball.cli.replay:replay",
    "backtest": "flyball.cli.backtest:backtest",
    "plan": "flyball.cli.plan:plan",
    "cost": "flyball.cli.cost:cost",
    "telemetry": "flyball.cli.telemetry:telemetry",
    "kpi": "flyball.cli.kpi:kpi",
    "baseline": "flyball.cli.baseline:baseline",
    "roi": "flyball.cli.roi:roi",
    "ledger": "flyball.cli.ledger:ledger",
    "experiment": "flyball.cli.experiment:experiment",
    "review": "flyball.cli.review:review",
    "gpuagent": "flyball.cli.gpuagent:gpuagent",
    "load": "flyball.lab.load.command:load",
    "trace": "flyball.lab.trace_command:trace",
    "lab": "flyball.lab.run_command:lab",
    "modelserver": "flyball.lab.modelserver.command:modelserver",
    "retrieval": "flyball.lab.retrieval.command:retrieval",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """The command, imported; None when there is none of that name."""
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, attribute = where.split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flyball")
def main() -> None:
    """Scale GPU inference workloads to their SLOs, within their cost ceilings, and prove the return."""
