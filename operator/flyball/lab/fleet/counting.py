"""What a replica's exporter counts of each request: tokens, times, and their histograms."""

import math

import numpy as np

from flyball.lab.fleet.compiled import inner
from flyball.lab.fleet.samples import END_TO_END, FIRST_TOKEN, QUEUE_TIME, TOKEN_TIME, Column, HistogramColumns
from flyball.lab.fleet.state import State

# Compiled code takes plain numbers and arrays for constants.
_PROMPT = int(Column.PROMPT_TOKENS)
_FINISHED = int(Column.FINISHED)
_FINISHED_PROMPT = int(Column.FINISHED_PROMPT_TOKENS)
_FINISHED_OUTPUT = int(Column.FINISHED_OUTPUT_TOKENS)
_DECODE = int(Column.DECODE_SUM)

_HISTOGRAMS: tuple[HistogramColumns, ...] = (FIRST_TOKEN, TOKEN_TIME, END_TO_END, QUEUE_TIME)
_FIRST_TOKEN, _TOKEN_TIME, _END_TO_END, _QUEUE_TIME = range(4)
_STARTS = np.array([histogram.start for histogram in _HISTOGRAMS])
_SUMS = np.array([int(histogram.sum) for histogram in _HISTOGRAMS])
_FIRST_BUCKET = FIRST_TOKEN.start
_EDGES = np.array([edge for histogram in _HISTOGRAMS for edge in (*histogram.edges, math.inf)])
"""The upper edges of all buckets, in the order of the sample's columns from _FIRST_BUCKET on."""


@inner
def count_first_token(s: State, r: int, i: int) -> None:
    """Request `i` has its first token."""
    request = s.requests[i]
    s.counters[r, _PROMPT] += request.prompt
    _observe(s, r, _FIRST_TOKEN, request.first_token_at - request.submitted_at)


@inner
def count_finished(s: State, r: int, i: int) -> None:
    """Request `i` has its last token."""
    request = s.requests[i]
    s.counters[r, _FINISHED] += 1
    s.counters[r, _FINISHED_PROMPT] += request.prompt
    s.counters[r, _FINISHED_OUTPUT] += request.output
    decode_seconds = request.finished_at - request.first_token_at
    s.counters[r, _DECODE] += decode_seconds
    _observe(s, r, _TOKEN_TIME, decode_seconds / max(1, request.output - 1))
    _observe(s, r, _END_TO_END, request.finished_at - request.submitted_at)
    _observe(s, r, _QUEUE_TIME, request.scheduled_at - request.ready_at)


@inner
def _observe(s: State, r: int, histogram: int, value: float) -> None:
    column = _STARTS[histogram]
    while value > _EDGES[column - _FIRST_BUCKET]:
        column += 1
    s.counters[r, column] += 1
    s.counters[r, _SUMS[histogram]] += value
