"""What judgements come to, as JSON-ready values: errors are shares, times milliseconds; None where nothing is known."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from flyball.lab.validation.judgement import TPOT_TARGET, JudgedRow, Judgement, median_error

Found = dict[str, Any]


def summarize(judgements: Sequence[Judgement]) -> Found:
    """All engines, at least one: each one's figures, and those of all rows together."""
    judged = [row for judgement in judgements for row in judgement.judged]
    short = [row for judgement in judgements for row in judgement.short_of_cache]
    medians = [median_error([row.tpot_error for row in judgement.judged]) or 0.0 for judgement in judgements]
    between = [
        min(row.predicted.ttft_ms, row.in_step_ttft_ms)
        <= row.row.ttft_ms
        <= max(row.predicted.ttft_ms, row.in_step_ttft_ms)
        for row in judged
    ]
    return {
        "engines": [engine_figures(judgement) for judgement in judgements],
        "tpotMedianError": median_error([row.tpot_error for row in judged]),
        "tpotUnder5Percent": float(np.mean([abs(row.tpot_error) < 0.05 for row in judged])),
        "tpotUnder10Percent": float(np.mean([abs(row.tpot_error) < 0.10 for row in judged])),
        "enginesUnder5Percent": sum(median < TPOT_TARGET for median in medians),
        "ttftMedianErrorOutOfStep": float(np.median([row.ttft_error for row in judged])),
        "ttftMedianErrorInStep": float(np.median([row.in_step_ttft_error for row in judged])),
        "ttftBetween": float(np.mean(between)),
        "judgedRows": len(judged),
        "unseenPromptMedianError": median_error([e for one in judgements for e in one.unseen_prompt_errors]),
        "unseenConcurrencyMedianError": median_error([e for one in judgements for e in one.unseen_concurrency_errors]),
    } | error_figures("shortOfCache", short)


def engine_figures(judgement: Judgement) -> Found:
    """One engine, with every row."""
    return (
        {
            "engine": str(judgement.engine),
            "coefficients": asdict(judgement.coefficients),
            "rows": [row_figures(row) for row in judgement.rows],
            "seenMedianError": median_error(judgement.seen_tpot_errors),
            "unseenPromptMedianError": median_error(judgement.unseen_prompt_errors),
            "unseenConcurrencyMedianError": median_error(judgement.unseen_concurrency_errors),
            "ttftMedianErrorOutOfStep": float(np.median([row.ttft_error for row in judgement.judged])),
            "ttftMedianErrorInStep": float(np.median([row.in_step_ttft_error for row in judgement.judged])),
        }
        | error_figures("judged", judgement.judged)
        | error_figures("shortOfCache", judgement.short_of_cache)
    )


def error_figures(name: str, found: Sequence[JudgedRow]) -> Found:
    """Count and errors of some rows, under keys that begin with `name`; time to first token with clients in step."""
    tpot = [row.tpot_error for row in found]
    return {
        f"{name}Count": len(tpot),
        f"{name}TpotMedianError": median_error(tpot),
        f"{name}TpotLargestError": max(map(abs, tpot), default=None),
        f"{name}TtftMedianError": median_error([row.in_step_ttft_error for row in found]),
    }


def row_figures(row: JudgedRow) -> Found:
    """JSON has no NaN: what could not be predicted is null."""
    figures = {
        "concurrency": row.row.load.concurrency,
        "promptTokens": row.row.load.prompt_tokens,
        "outputTokens": row.row.load.output_tokens,
        "fitsCache": row.fits,
        "tpotMs": row.row.tpot_ms,
        "predictedTpotMs": row.predicted.tpot_ms,
        "tpotError": row.tpot_error,
        "ttftMs": row.row.ttft_ms,
        "outOfStepTtftMs": row.predicted.ttft_ms,
        "inStepTtftMs": row.in_step_ttft_ms,
    }
    return {key: value if math.isfinite(value) else None for key, value in figures.items()}
