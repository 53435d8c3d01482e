"""`make exporters`: record what serving stacks' own code prints at /metrics, where it runs without a GPU.

    make exporters EXPORTERS="[NAME ...] [--again] [--list]"

Each stack gets what it needs in a folder of its own under ~/.cache/flyball/exporters, so that nothing of theirs is
among this project's dependencies. Recordings go to tests/telemetry/recordings, where the tests read them through
Prometheus with the profile that they are of. A recording that was made by the same program and versions is left as it
is, and an installation that was finished is used again: after an interruption the same command goes on where it was.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from e2e.exporters.install import InstallError, folder_of, printed
from e2e.exporters.recordings import RECORDINGS, is_current, recorded
from e2e.exporters.stacks import STACKS, Stack


def main(arguments: Sequence[str] | None = None) -> int:
    """Record those that are named, or all; 1 where one failed, after the others were tried."""
    names = {stack.name: stack for stack in STACKS}
    parser = argparse.ArgumentParser(prog="make exporters", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to record, of {', '.join(names)}; all if none")
    parser.add_argument("--again", action="store_true", help="record those, too, whose recording is of this program")
    parser.add_argument("--list", action="store_true", help="say which there are and where they stand, and do no more")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(names)):
        parser.error(f"no such stack: {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [names[name] for name in options.names or names]
    if options.list:
        for stack in chosen:
            print(f"{stack.name:<18} {'recorded' if is_current(stack) else 'to record':<10} {stack.software}")
        return 0
    failed = [
        stack.name
        for number, stack in enumerate(chosen, 1)
        if not _record(stack, f"{number}/{len(chosen)}", options.again)
    ]
    if failed:
        print(f"not recorded: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _record(stack: Stack, place: str, again: bool) -> bool:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"[{place} {stack.name} {time.monotonic() - began:.0f} s] {what}", file=sys.stderr, flush=True)

    if is_current(stack) and not again:
        say("is recorded")
        return True
    try:
        text = recorded(stack, printed(stack, say))
    except InstallError as error:
        say(f"failed: {error}. What was installed stays in {folder_of(stack)}")
        return False
    (RECORDINGS / f"{stack.name}.prom").write_text(text, encoding="utf-8")
    say(f"recorded {len(text.splitlines())} lines")
    return True


if __name__ == "__main__":
    raise SystemExit(main())
