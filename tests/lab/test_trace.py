import gzip
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.trace import LARGEST_SHIFT_SECONDS, InvalidTraceError, Trace, read_trace, write_trace
from flyball.lab.trace_command import trace as trace_group

HEADER = "t_seconds,input_tokens,output_tokens\n"


def made(count: int = 1000, span: float = 7200.0, seed: int = 3) -> Trace:
    draw = np.random.default_rng(seed)
    t_seconds = np.sort(draw.uniform(0, span, count)).round(3)
    inputs = draw.integers(1, 1000, count)
    return Trace("made", t_seconds, inputs, inputs * 7, span)


def written(tmp_path: Path, text: str, name: str = "trace.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_a_trace_is_read_plain_and_gzipped(tmp_path: Path, name: str) -> None:
    trace = read_trace(written(tmp_path, HEADER + "0,374,44\n4.315,396,109\n", name))
    assert trace.t_seconds.tolist() == [0.0, 4.315]
    assert trace.input_tokens.tolist() == [374, 396]
    assert trace.output_tokens.tolist() == [44, 109]
    assert (trace.span_seconds, trace.cached_tokens, trace.tenants) == (4.315, None, None)


def test_columns_may_stand_in_any_order_among_others_with_blank_lines_quotes_and_carriage_returns(
    tmp_path: Path,
) -> None:
    text = '\ufefftenant,output_tokens,x,"input_tokens",t_seconds,cached_tokens,media_tokens\r\n'
    text += 'acme,5,?,"10",0,4,0\r\n\r\nzeta,6,?,11,2.5,0,3\r\n'
    trace = read_trace(written(tmp_path, text))
    assert trace.t_seconds.tolist() == [0.0, 2.5]
    assert trace.input_tokens.tolist() == [10, 11]
    assert trace.output_tokens.tolist() == [5, 6]
    assert trace.cached_tokens is not None
    assert trace.cached_tokens.tolist() == [4, 0]
    assert trace.media_tokens is not None
    assert trace.media_tokens.tolist() == [0, 3]
    assert trace.tenants is not None
    assert trace.tenants.tolist() == ["acme", "zeta"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "line 1: column t_seconds, input_tokens, output_tokens is missing", id="an empty file"),
        pytest.param(HEADER, "no requests; a trace has a header and at least one line", id="a header alone"),
        pytest.param("t_seconds,input_tokens\n0,1\n", "line 1: column output_tokens is missing", id="a missing column"),
        pytest.param("0,1,1\n1,1,1\n", r"found: 0, 1, 1\); the header must name t_seconds", id="no header"),
        pytest.param(
            HEADER + "0,1,1\n\n2,1,1\n1,1,1\n", "line 5, column t_seconds: is 1; .*sort the file", id="unsorted"
        ),
        pytest.param(HEADER + "-1,1,1\n", "line 2, column t_seconds: is -1; .*subtract", id="a negative time"),
        pytest.param(
            HEADER + "0,1,1\n1,-5,1\n", "line 3, column input_tokens: is -5; give at least 1", id="negative tokens"
        ),
        pytest.param(HEADER + "0,1,0\n", "line 2, column output_tokens: is 0; give at least 1", id="no output"),
        pytest.param(HEADER + "0,1,1\n1,two,1\n", "line 3, column input_tokens: is 'two'; give a number", id="a word"),
        pytest.param(
            HEADER + "0,1,1\n1,2\n", "line 3, column output_tokens: is missing, .*only 2 fields", id="a short line"
        ),
        pytest.param(HEADER + "0,1,1.5\n", "column output_tokens: is 1.5; give a whole number", id="half a token"),
        pytest.param(
            HEADER + "0,1,1e12\n", "column output_tokens: is 1000000000000; no model takes", id="a gigantic count"
        ),
        pytest.param(HEADER + "nan,1,1\n", "column t_seconds: is nan; give a finite number", id="not a number"),
        pytest.param(HEADER + "0,inf,1\n", "column input_tokens: is inf; give a finite number", id="infinite"),
        pytest.param(
            "t_seconds,input_tokens,output_tokens,cached_tokens\n0,5,1,6\n",
            "column cached_tokens: is 6; it is a part of input_tokens",
            id="more cached than there are",
        ),
    ],
)
def test_bad_content_is_refused_by_file_line_and_column(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidTraceError, match=complaint) as caught:
        read_trace(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        pytest.param(
            "t.csv.gz", gzip.compress((HEADER + "0,1,1\n" * 999).encode())[:-20], "was cut off", id="truncated gzip"
        ),
        pytest.param("t.csv.gz", HEADER.encode(), "not valid gzip data", id="plain text named gz"),
        pytest.param("t.csv", gzip.compress(HEADER.encode()), "rename it to end in .csv.gz", id="gzip named csv"),
        pytest.param("t.csv", HEADER.encode() + b"0,1,1\n\xff\xfe", "line 3: not UTF-8 text", id="binary data"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidTraceError, match=complaint):
        read_trace(tmp_path / name)


@pytest.mark.parametrize("name", ["none.csv", "."])
def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidTraceError, match=r"no such file|cannot be read"):
        read_trace(tmp_path / name)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    tenants = np.array(["a", "b"])
    trace = Trace("x", np.array([0.0, 1.5]), np.array([9, 8]), np.array([7, 6]), 1.5, np.array([1, 0]), None, tenants)
    write_trace(trace, tmp_path / name)
    again = read_trace(tmp_path / name)
    for column in ("t_seconds", "input_tokens", "output_tokens", "cached_tokens", "tenants"):
        assert getattr(again, column).tolist() == getattr(trace, column).tolist()
    assert again.media_tokens is None


def test_a_slice_counts_time_from_its_start() -> None:
    trace = Trace("x", np.array([0.0, 10.0, 19.999, 20.0, 30.0]), np.arange(1, 6), np.arange(1, 6), 30.0)
    part = trace.slice(10.0, 10.0)
    assert part.t_seconds == pytest.approx([0.0, 9.999])
    assert part.input_tokens.tolist() == [2, 3]
    assert part.span_seconds == 10.0
    assert trace.slice(20.0).t_seconds.tolist() == [0.0, 10.0]


def test_a_slice_past_the_end_says_how_long_the_trace_is() -> None:
    with pytest.raises(InvalidTraceError, match="no requests from 3h on for 1m; the trace holds 1000 requests in 2h"):
        made().slice(10800.0, 60.0)


def test_a_scale_of_one_changes_nothing() -> None:
    trace = made()
    same = trace.scaled(1.0, seed=5)
    assert same.t_seconds.tolist() == trace.t_seconds.tolist()
    assert same.input_tokens.tolist() == trace.input_tokens.tolist()


def test_a_scale_below_one_thins_at_random() -> None:
    trace = made(20_000)
    thinned = trace.scaled(0.3, seed=5)
    assert abs(len(thinned) - 6000) < 4 * (20_000 * 0.3 * 0.7) ** 0.5
    assert set(thinned.t_seconds.tolist()) <= set(trace.t_seconds.tolist())
    rows = set(zip(trace.t_seconds.tolist(), trace.input_tokens.tolist(), strict=True))
    assert set(zip(thinned.t_seconds.tolist(), thinned.input_tokens.tolist(), strict=True)) <= rows


def test_a_scale_above_one_overlays_copies_shifted_by_up_to_ten_minutes() -> None:
    single = Trace("x", np.array([3000.0]), np.array([5]), np.array([6]), 7200.0)
    times = single.scaled(50.0, seed=5).t_seconds
    assert len(times) == 50
    assert times[0] == 3000.0
    assert 3000.0 + LARGEST_SHIFT_SECONDS / 2 < times[-1] <= 3000.0 + LARGEST_SHIFT_SECONDS
    assert len(set(times.tolist())) == 50


def test_the_first_copy_keeps_its_tokens_and_the_others_draw_pairs_afresh() -> None:
    trace = made(5000)
    scaled = trace.scaled(2.5, seed=5)
    assert abs(len(scaled) - 12_500) < 4 * (5000 * 0.25) ** 0.5
    assert (scaled.output_tokens == scaled.input_tokens * 7).all(), "input and output stay pairs"
    original = set(zip(trace.t_seconds.tolist(), trace.input_tokens.tolist(), strict=True))
    assert original <= set(zip(scaled.t_seconds.tolist(), scaled.input_tokens.tolist(), strict=True))
    assert scaled.input_tokens.mean() == pytest.approx(trace.input_tokens.mean(), rel=0.03)


def test_scaling_keeps_the_ramps_where_they_are_in_time() -> None:
    draw = np.random.default_rng(1)
    t_seconds = np.sort(np.concatenate([draw.uniform(0, 20_000, 500), draw.uniform(20_000, 40_000, 5000)]))
    trace = Trace("x", t_seconds, np.ones(5500, int), np.ones(5500, int), 40_000.0)
    early = np.searchsorted(trace.scaled(8.0, seed=1).t_seconds, 20_000.0) / (8 * 5500)
    assert early < 0.13


@given(scale=st.floats(0.2, 6.0), seed=st.integers(0, 2**32))
def test_scaling_is_sorted_within_the_span_and_repeatable(scale: float, seed: int) -> None:
    trace = made(200, span=900.0)
    scaled, again = trace.scaled(scale, seed), trace.scaled(scale, seed)
    assert (np.diff(scaled.t_seconds) >= 0).all()
    assert scaled.t_seconds[0] >= 0
    assert scaled.t_seconds[-1] <= trace.span_seconds
    assert scaled.span_seconds == trace.span_seconds
    assert scaled.t_seconds.tolist() == again.t_seconds.tolist()
    assert scaled.input_tokens.tolist() == again.input_tokens.tolist()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_scale_is_refused(scale: float) -> None:
    with pytest.raises(InvalidTraceError, match="give a number above 0"):
        made().scaled(scale, seed=1)


@pytest.mark.parametrize(
    ("scale", "complaint"),
    [pytest.param(1e6, "smaller scale", id="too large"), pytest.param(1e-12, "leaves no", id="too small")],
)
def test_a_scale_out_of_reach_is_refused(scale: float, complaint: str) -> None:
    with pytest.raises(InvalidTraceError, match=complaint):
        made().scaled(scale, seed=1)


def test_the_command_writes_a_trace_and_shows_it(tmp_path: Path) -> None:
    out = tmp_path / "made.csv.gz"
    result = CliRunner().invoke(trace_group, ["generate", "code?rate=2&duration=5m&seed=4", "--out", str(out)])
    assert result.exit_code == 0, result.output
    count = len(read_trace(out))
    assert f"{count} requests in 5m" in result.output
    assert f"{count} requests" in CliRunner().invoke(trace_group, ["show", str(out)]).output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["generate", "prose", "--out", "x.csv"], "there is no preset 'prose'", id="unknown preset"),
        pytest.param(["generate", "code", "--out", "x.txt"], "must end in .csv or .csv.gz", id="unknown suffix"),
        pytest.param(["generate", "code?duration=10s", "--out", "/nowhere/x.csv"], "No such file", id="no such folder"),
        pytest.param(["show", "nowhere.csv"], "no such file", id="no such trace"),
    ],
)
def test_the_command_refuses_with_status_2(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(trace_group, arguments)
    assert result.exit_code == 2
    assert complaint in result.output
