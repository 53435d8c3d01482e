"""Presets say what the sources say, and parameter files are checked field by field."""

import json
from pathlib import Path

import pytest

from flyball.lab.presets import ACCELERATORS, PRESETS, accelerator, load_parameters, parse_parameters, preset

DOCUMENT = {
    "baseMs": 77,
    "perSequenceMs": 0.14,
    "perContextTokenMs": 0.00055,
    "perPrefillTokenMs": 0.265,
    "requestOverheadMs": 12,
    "kvTokens": 38000,
    "maxBatch": 256,
    "maxBatchedTokens": 2048,
}


@pytest.mark.parametrize(
    ("name", "product", "gpus", "lone_decode_ms"),
    [
        pytest.param("h100_8b", "NVIDIA-H100-80GB-HBM3", 1, 6.45, id="8B on an H100"),
        pytest.param("h100x4_70b_fp8", "NVIDIA-H100-80GB-HBM3", 4, 11.083, id="70B on four H100"),
        pytest.param("h200_70b_fp8", "NVIDIA-H200", 1, 20.532, id="70B on an H200"),
        pytest.param("h100x2_32b", "NVIDIA-H100-80GB-HBM3", 2, 13.911, id="32B on two H100"),
        pytest.param("a100_8b", "NVIDIA-A100-SXM4-80GB", 1, 11.964, id="8B on an A100"),
        pytest.param("l4_8b", "NVIDIA-L4", 1, 77.94, id="8B on an L4"),
    ],
)
def test_a_preset_decodes_a_lone_sequence_of_1000_tokens_at_its_published_speed(
    name: str, product: str, gpus: int, lone_decode_ms: float
) -> None:
    chosen = preset(name)
    assert chosen.parameters.iteration_seconds(1, 1000, 0) * 1000 == pytest.approx(lone_decode_ms)
    assert (chosen.accelerator.product, chosen.gpus) == (product, gpus)


def test_faster_accelerators_serve_the_same_model_faster() -> None:
    times = [
        PRESETS[name].parameters.iteration_seconds(16, 16_000, 256)
        for name in ("h100_8b", "a100_8b", "l40s_8b", "l4_8b")
    ]
    assert times == sorted(times)


def test_names_that_do_not_exist_are_answered_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="no engine preset 'b200'; choose one of h100_8b, "):
        preset("b200")
    with pytest.raises(ValueError, match="no accelerator 'TPU'; choose one of NVIDIA-L4, "):
        accelerator("TPU")
    assert accelerator("NVIDIA-L4") is ACCELERATORS["NVIDIA-L4"]


def test_parameters_are_read_in_the_scenario_format() -> None:
    parameters = parse_parameters(DOCUMENT)
    assert parameters.base_ms == 77
    assert parameters.request_overhead_ms == 12
    assert (parameters.kv_tokens, parameters.max_batch, parameters.max_batched_tokens) == (38_000, 256, 2048)
    assert parameters.block_tokens == 16


def test_request_overhead_may_be_left_out() -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != "requestOverheadMs"}
    assert parse_parameters(document).request_overhead_ms == 16


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param([1], "must be a mapping", id="a list"),
        pytest.param(DOCUMENT | {"baseMS": 1}, "unknown engine parameter baseMS", id="a misspelt field"),
        pytest.param({"baseMs": 1}, "lack perSequenceMs, ", id="missing fields"),
        pytest.param(DOCUMENT | {"baseMs": "77"}, "baseMs is '77'; give a number", id="a number as text"),
        pytest.param(DOCUMENT | {"baseMs": True}, "baseMs is True; give a number", id="a truth value"),
        pytest.param(DOCUMENT | {"kvTokens": 1.5}, "kvTokens is 1.5; give a whole number", id="half a token"),
        pytest.param(DOCUMENT | {"baseMs": float("inf")}, "baseMs is inf", id="infinite time"),
        pytest.param(DOCUMENT | {"maxBatch": 0}, "max_batch is 0", id="an impossible value"),
    ],
)
def test_bad_parameters_name_the_field(document: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_parameters(document)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_parameters_load_from_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"engine.{suffix}"
    path.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    assert load_parameters(path) == parse_parameters(DOCUMENT)


@pytest.mark.parametrize("content", ["{", "baseMs: x", ""])
def test_a_bad_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"engine\.yaml"):
        load_parameters(path)
