"""Weeks of two workloads in a ledger: one that pays and is busy, one that idles, with an objective each."""

from decimal import Decimal

from ledger.entries import DAY, HOUR

from flyball.core.money.bill import Charge, Entry, PathUse
from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger import segments
from flyball.ledger.attainment import add_hours
from flyball.ledger.store import Ledger

CHAT, BATCH = WorkloadKey("shop", "chat"), WorkloadKey("lab", "batch")
MONDAY = 20_416 * DAY
"""2025-11-24T00:00:00Z."""


def fill(ledger: Ledger, begin: int, end: int) -> None:
    """Rows of an hour for each hour of the two workloads; chat grows by a tenth a week, and batch stands still."""
    entries, counts = [], {}
    for start in range(begin, end, HOUR):
        week = (start - begin) // (7 * DAY)
        grown = Decimal(str(round(1.1**week, 4)))
        gpu = PathUse(
            "gpu", 60_000, 540_000, 3_000_000, 0, Decimal("0.05"), Decimal("0.45"), Decimal("2.5"),
            requests=(1000 * grown).quantize(Decimal("0.001")), output_tokens=Decimal(200_000), measured_ms=HOUR,
        )  # fmt: skip
        old = PathUse(
            "previous", serving_ms=600_000, idle_ms=600_000, serving=Decimal("0.5"), idle=Decimal("0.5"),
            requests=Decimal(100), measured_ms=HOUR,
        )  # fmt: skip
        logs = Charge("logs", "Observability", "(all)", Unit.HOUR, Decimal(1), Decimal("0.2"))
        entries.append(Entry(CHAT, "u-1", start, start + HOUR, (gpu, old), (logs,)))
        idle = PathUse(
            "gpu", 0, 3_300_000, 300_000, 0, idle=Decimal("2.75"), serving=Decimal("0.25"), requests=Decimal(10),
            measured_ms=HOUR,
        )  # fmt: skip
        entries.append(Entry(BATCH, "u-2", start, start + HOUR, (idle,), ()))
        good = 960.0 if week % 2 else 940.0
        counts[CHAT, "first-token", start] = (good, 1000.0)
        counts[BATCH, "whole", start] = (10.0, 10.0)
    ledger.append(entries)
    add_hours(ledger, counts)


def split(ledger: Ledger, begin: int, end: int, tenants: int = 12) -> None:
    """Split what chat served by tenant once a day: the first has most, and doubles each week; one more has no name."""
    for start in range(begin, end, DAY):
        week = (start - begin) // (7 * DAY)
        named = [f"tenant-{n:02}" for n in range(tenants)]
        uses = [
            SegmentUse(
                Segment("tenant", name, SegmentKind.NAMED, Basis.WORK),
                Decimal(100), Decimal(1000), Decimal(500), Decimal(2 ** week if n == 0 else 1) / (n + 1),
            )
            for n, name in enumerate(named)
        ]  # fmt: skip
        uses.append(SegmentUse(Segment("tenant", "", SegmentKind.UNATTRIBUTED, Basis.WORK), dollars=Decimal("0.5")))
        segments.append(ledger, start, {"u-1": uses}, 100)
