"""`flyball cost` by tenant and by other labels: from pods to the table and FOCUS, what it says is the bill."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ledger.entries import DAY, HOUR, MIDNIGHT, charge, entry

from flyball.cli.main import main
from flyball.core.money.bill import Correction, PathUse
from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse
from flyball.core.names import WorkloadKey
from flyball.ledger import segments
from flyball.ledger.focus import MANDATORY
from flyball.ledger.store import Ledger

RANGE = ("--from", "2025-11-25T00:10", "--to", "2025-11-26T00:00")


def of(label: str, value: str, dollars: str, requests: int, basis: Basis = Basis.WORK) -> SegmentUse:
    kind = SegmentKind.NAMED if value else SegmentKind.OTHER
    return SegmentUse(Segment(label, value, kind, basis), Decimal(requests), dollars=Decimal(dollars))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A busy hour of one workload by tenant and model, and an hour of another that nothing splits."""
    url = str(tmp_path / "ledger.db")
    ledger = Ledger(url)
    use = PathUse("gpu", 0, 1_800_000, 3_600_000, 0, Decimal(0), Decimal("1.5"), Decimal(3), requests=Decimal(900))
    busy = replace(entry(MIDNIGHT, MIDNIGHT + HOUR), uses=(use,), charges=(charge(dollars="0.9"),))
    other = PathUse("gpu", loading_ms=3_600_000, serving_ms=1_800_000, loading=Decimal(2), serving=Decimal(1))
    plain = replace(entry(MIDNIGHT, uid="u-2"), key=WorkloadKey("lab", "batch"), uses=(other,), charges=())
    ledger.append([busy, plain])
    tenants = [of("team_alias", "acme", "2.4", 500), of("team_alias", "", "0.6", 200)]
    splits = {"u-1": [*tenants, of("gen_ai_request_model", "large", "3.9", 900, Basis.REQUESTS)]}
    segments.append(ledger, MIDNIGHT, splits, 10)
    ledger.correct(WorkloadKey("shop", "chat"), Correction(MIDNIGHT, MIDNIGHT + HOUR, "gpu", Decimal("-0.4"), "credit"))
    ledger.close()
    return url


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cost", *arguments])


def shown(url: str, *arguments: str) -> Sequence[str]:
    done = invoke("show", "--ledger", url, *RANGE, *arguments)
    assert done.exit_code == 0, done.output
    lines: Sequence[str] = done.output.splitlines()
    return lines


def test_the_table_by_tenant_adds_up_to_the_bill(url: str) -> None:
    """$3.90 of serving: 0.90 of it nobody split. Idle and the credit, $1.10, are shared by what each caused."""
    assert shown(url, "--by", "tenant") == [
        "2025-11-25 00:00 to 2025-11-26 00:00 UTC",
        "workload   tenant          caused $  in full $  requests  $/request  $/1M tokens",
        "shop/chat  acme                2.40       3.08       500     0.0062            -",
        "shop/chat  (other)             0.60       0.77       200     0.0038            -",
        "shop/chat  (unattributed)      0.90       1.15       200     0.0058            -",
        "shop/chat  idle                1.50",
        "shop/chat  corrected          -0.40",
        "shop/chat  bill                5.00                  900     0.0056",
        "lab/batch  (unattributed)      1.00       3.00         0          -            -",
        "lab/batch  loading             2.00",
        "lab/batch  bill                3.00                    0          -",
        "note: nothing tells lab/batch by tenant: name its label in spec.telemetry.segmentBy",
    ]


def test_what_is_split_by_requests_says_so_and_a_label_is_as_good_as_a_word(url: str) -> None:
    lines = shown(url, "chat", "-n", "shop", "--by", "gen_ai_request_model")
    by_word = shown(url, "chat", "-n", "shop", "--by", "model")
    assert [line.split() for line in lines[2:]] == [line.split() for line in by_word[2:]]
    assert lines[-1] == "note: shop/chat is split by requests: its tokens are not counted by gen_ai_request_model"


def test_json_has_the_parts_in_full_and_they_close(url: str) -> None:
    found = json.loads("\n".join(shown(url, "--by", "tenant", "-o", "json")))
    chat = found["workloads"][0]
    parts = chat["parts"]
    assert (parts["by"], parts["label"], parts["splitBy"]) == ("tenant", "team_alias", "Work")
    caused = sum(Decimal(each["dollars"]) for each in parts["segments"])
    beside = sum(Decimal(chat[part]) for part in ("idle", "loading", "unmeasured", "corrected"))
    assert caused + beside == Decimal(chat["dollars"]) == 5
    assert [(each["name"], each["kind"]) for each in parts["segments"]] == [
        ("acme", "Named"),
        ("", "Other"),
        ("", "Unattributed"),
    ]


def test_focus_rows_by_tenant_cost_what_those_without_cost(url: str) -> None:
    plain = list(csv.DictReader(io.StringIO(invoke("export", "--ledger", url, *RANGE).stdout)))
    rows = list(csv.DictReader(io.StringIO(invoke("export", "--ledger", url, *RANGE, "--by", "tenant").stdout)))
    assert (
        sum(Decimal(row["EffectiveCost"]) for row in rows) == sum(Decimal(row["EffectiveCost"]) for row in plain) == 8
    )
    assert {row["BilledCost"] for row in rows} == {"0.00"}
    acme = next(row for row in rows if json.loads(row["Tags"]).get("tenant") == "acme")
    assert (acme["EffectiveCost"], acme["ConsumedQuantity"], acme["ConsumedUnit"]) == ("2.4", "500", "Requests")
    assert (acme["x_FlyballSegmentLabel"], acme["x_FlyballSplitBy"]) == ("team_alias", "Work")
    assert (acme["ChargePeriodStart"], acme["ChargePeriodEnd"]) == ("2025-11-25T00:00:00Z", "2025-11-26T00:00:00Z")
    assert {row["x_FlyballState"] for row in rows} == {"", "idle", "loading"}
    adjusts = [row for row in rows if row["ChargeCategory"] == "Adjustment"]
    assert [row["EffectiveCost"] for row in adjusts] == ["-0.4"]
    nullable = {"ChargeClass"}
    for row in rows:
        assert [name for name in MANDATORY if not row[name] and name not in nullable] == [] or row in adjusts


def test_what_has_no_price_is_a_row_of_its_own_and_marks_the_segments(url: str) -> None:
    ledger = Ledger(url)
    unknown = replace(entry(MIDNIGHT + HOUR), uses=(), charges=(charge("clerk", dollars=None),))
    ledger.append([unknown])
    ledger.close()
    done = invoke("export", "chat", "-n", "shop", "--ledger", url, *RANGE, "--by", "tenant")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["EffectiveCost"] for row in rows if row["x_FlyballComponent"] == "clerk"] == ["0"]
    assert {row["x_FlyballPriceMissing"] for row in rows if row["x_FlyballSegment"]} == {"true"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ["show", "--by", "colour"], "the ledger knows no label 'colour'; write one of workload", id="label"
        ),
        pytest.param(
            ["export", "--by", "tenant", "--every", "hour"],
            "kept by the hour for two days: give --every day",
            id="hours",
        ),
    ],
)
def test_what_cannot_be_shown_is_said_with_the_fix(url: str, arguments: list[str], said: str) -> None:
    done = invoke(*arguments, "--ledger", url, *RANGE)
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", "").split())


def test_days_before_the_hours_kept_are_shown_whole(url: str) -> None:
    ledger = Ledger(url)
    segments.prune(ledger, MIDNIGHT + 10 * DAY)
    ledger.close()
    times = ("--from", "2025-11-25T00:20", "--to", "2025-11-25T00:40")
    done = invoke("show", "chat", "-n", "shop", "--ledger", url, *times, "--by", "tenant")
    assert done.output.splitlines()[0] == "2025-11-25 00:00 to 2025-11-26 00:00 UTC"
    assert "acme                2.40" in done.output
