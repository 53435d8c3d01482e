"""The live line: redrawn in place on a terminal, one line every ten seconds elsewhere."""

from typing import TextIO

from flyball.core.units import format_duration
from flyball.lab.load.runner import Progress

TERMINAL_SECONDS = 0.5
PLAIN_SECONDS = 10.0
_ERASE_LINE = "\r\x1b[2K"


class ProgressLine:
    """Writes Progress to a stream; `every_seconds` is how often it wants one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self.every_seconds = TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS

    def show(self, progress: Progress) -> None:
        line = format_progress(progress)
        if self._terminal:
            self._stream.write(_ERASE_LINE + line + ("\n" if progress.final else ""))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def format_progress(progress: Progress) -> str:
    """One line, of at most 120 columns."""
    ttft = "-" if progress.ttft_p95_seconds is None else f"{progress.ttft_p95_seconds * 1000:.0f} ms"
    elapsed = format_duration(max(1.0, float(round(progress.elapsed_seconds))))
    return (
        f"{elapsed}: sent {progress.sent}/{progress.planned}, in flight {progress.in_flight}, done {progress.done}, "
        f"errors {progress.errors}, {progress.requests_per_second:.1f} requests/s, TTFT p95 {ttft}"
    )
