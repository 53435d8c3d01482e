"""Reading measured rows, and how large a KV cache is."""

import gzip
from pathlib import Path

import pytest

from flyball.lab.validation.published import PUBLISHED
from flyball.lab.validation.rows import COLUMNS, EngineRow, EngineSet, InvalidRowsError, Load, by_engine, read_rows

VALUES = dict(
    zip(
        COLUMNS,
        ("m/Qwen3-32B", "h100_sxm", "vllm", "0.12.0", "", "2.0", "1024", "128", "8.0", "154.5", "18"),
        strict=True,
    )
)


def written(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    lines = [",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_row_is_read(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path / "rows.csv", VALUES))
    assert row == EngineRow(
        EngineSet("m/Qwen3-32B", "h100_sxm", "vllm", "0.12.0", "", 2), Load(8, 1024, 128), 154.5, 18.0
    )
    assert str(row.engine) == "Qwen3-32B 16-bit, 2 × h100_sxm, vllm 0.12.0"


def test_other_columns_and_gzip_do_not_matter(tmp_path: Path) -> None:
    plain = written(tmp_path / "rows.csv", VALUES | {"note": "x"}, columns=("note", *reversed(COLUMNS)))
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_rows(packed) == read_rows(plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"concurrency": "0"}, "line 2, column concurrency: '0'", id="no client"),
        pytest.param({"concurrency": "1.5"}, "give a whole number, 1 or more", id="half a client"),
        pytest.param({"osl": "1"}, "column osl: '1'; give a whole number, 2 or more", id="no token after the first"),
        pytest.param({"silicon_tpot_ms": "nan"}, "column silicon_tpot_ms: 'nan'", id="not a number"),
        pytest.param({"silicon_ttft_ms": "-3"}, "give a number of milliseconds", id="negative"),
        pytest.param({"tp_size": ""}, "column tp_size: ''", id="empty"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRowsError, match=r"rows\.csv") as raised:
        read_rows(written(tmp_path / "rows.csv", VALUES | changes))
    assert message in str(raised.value)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRowsError, match="lacks the columns isl, osl"):
        read_rows(written(tmp_path / "rows.csv", VALUES, columns=COLUMNS[:6] + COLUMNS[8:]))


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(InvalidRowsError, match="cannot be decoded"):
        read_rows(packed)


@pytest.mark.parametrize(
    ("engine", "bytes_per_number", "tokens"),
    [
        # (81559 MiB × 0.9 − 2 GiB − 8.03e9 × 2 B) / (2 × 32 layers × 8 heads × 128 × 2 B = 131072 B)
        pytest.param(EngineSet("Llama-3.1-8B-Instruct", "h100_sxm", "vllm", "", "", 1), 2, 448_312, id="8B, 16 bits"),
        # two GPUs, 70.6e9 × 1 B of weights, 327680 B a token, and half of that
        pytest.param(EngineSet("Llama-3.1-70B", "h100_sxm", "vllm", "", "fp8", 2), 2, 241_218, id="70B, 16-bit cache"),
        pytest.param(EngineSet("Llama-3.1-70B", "h100_sxm", "vllm", "", "fp8", 2), 1, 482_437, id="70B, 8-bit cache"),
        pytest.param(EngineSet("Llama-3.1-70B", "h100_sxm", "vllm", "", "", 1), 2, 0, id="does not fit at all"),
        pytest.param(EngineSet("gpt-oss-120b", "h100_sxm", "vllm", "", "", 1), 2, None, id="unknown model"),
        pytest.param(EngineSet("Llama-3.1-70B", "mi300x", "vllm", "", "", 1), 2, None, id="unknown GPU"),
    ],
)
def test_the_cache_is_what_memory_leaves(engine: EngineSet, bytes_per_number: int, tokens: int | None) -> None:
    assert engine.kv_tokens(bytes_per_number) == tokens


def test_quantized_checkpoints_are_assumed_to_quantize_the_cache() -> None:
    engine = EngineSet("Llama-3.1-70B", "h100_sxm", "vllm", "", "fp8", 4)
    assert engine.assumed_kv_tokens == engine.kv_tokens(1)
    assert EngineSet("Qwen3-32B", "h100_sxm", "vllm", "", "", 2).assumed_kv_tokens == 320_596


@pytest.mark.parametrize(
    ("model", "clients", "fits"),
    [
        pytest.param("Qwen3-32B", 278, True, id="320596 tokens, 278 × 1152 = 320256"),
        pytest.param("Qwen3-32B", 279, False, id="one client more"),
        pytest.param("unheard-of", 10_000, True, id="unknown caches are not short"),
    ],
)
def test_rows_fit_by_what_all_requests_hold_at_their_end(model: str, clients: int, fits: bool) -> None:
    engine = EngineSet(model, "h100_sxm", "vllm", "", "", 2)
    assert EngineRow(engine, Load(clients, 1024, 128), 1.0, 1.0).surely_fits is fits


def test_rows_are_gathered_by_engine_and_sorted(tmp_path: Path) -> None:
    rows = [VALUES | {"concurrency": "16"}, VALUES | {"tp_size": "4"}, VALUES]
    found = by_engine(read_rows(written(tmp_path / "rows.csv", *rows)))
    assert {engine.gpus: [row.load.concurrency for row in members] for engine, members in found.items()} == {
        2: [8, 16],
        4: [8],
    }


def test_the_published_rows_can_be_read() -> None:
    found = by_engine(read_rows(PUBLISHED))
    assert sorted(len(members) for members in found.values()) == [2, 39, 40]
    assert all(engine.assumed_kv_tokens for engine in found)
