"""Every hour is split once, when all that it cost is known, and the parts are what the pods' lifetimes cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from core.cases import KEY, observation, running, signals, spec, variant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.pods import Pod

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.money.bill import Entry, PathUse
from flyball.core.money.meter import begin, close, milliseconds, read
from flyball.core.money.segment_bill import LabelTraffic, SegmentKind, Traffic
from flyball.core.money.segment_statement import SegmentStatement, by_segment
from flyball.core.names import WorkloadKey
from flyball.core.ports import Unavailable
from flyball.core.spec import Component, Prices, TelemetrySource, Unit, WorkloadSpec
from flyball.ledger import segments
from flyball.ledger.accounts import statement_of
from flyball.ledger.queries import total
from flyball.ledger.store import Ledger
from flyball.runtime.advice import Seen
from flyball.runtime.segment_accounts import SegmentAccountant, works_of

HOUR, HOUR_MS = 3600.0, 3_600_000
MIDNIGHT = 1_800_000_000.0 // 86_400 * 86_400
NOON = MIDNIGHT + 12 * HOUR
BEGAN = NOON - 3 * HOUR
LOOK = NOON + 660
"""Eleven minutes after an hour's end: its last five minutes are written by then."""
CHAT = spec(telemetry=TelemetrySource(gateway="LiteLLM", segment_by=("team",)))
HALVES = LabelTraffic("team", (("acme", Traffic(50, 5000, 500)), ("globex", Traffic(50, 5000, 500))))


class Source:
    """The same traffic in every hour; `asked` are the ends of the hours asked for."""

    def __init__(self, *found: LabelTraffic) -> None:
        self.found = found
        self.asked: list[float] = []
        self.fails = False

    async def read_hour(
        self, workloads: Sequence[WorkloadSpec], end: float
    ) -> Mapping[WorkloadKey, Sequence[LabelTraffic]]:
        if self.fails:
            raise Unavailable("prometheus is away")
        self.asked.append(end)
        return {spec.key: self.found for spec in workloads}


def hours(begin: float, end: float) -> list[Entry]:
    """An entry for each hour of 100 requests and $10, 8 of it serving."""
    use = PathUse(
        "gpu", serving=Decimal(8), idle=Decimal(2), requests=Decimal(100), prompt_tokens=Decimal(10_000),
        output_tokens=Decimal(1000), serving_ms=3_000_000, measured_ms=HOUR_MS,
    )  # fmt: skip
    return [
        Entry(KEY, "uid-1", start, start + HOUR_MS, (use,))
        for start in range(milliseconds(begin), milliseconds(end), HOUR_MS)
    ]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger of the six hours before noon."""
    return filled(tmp_path / "ledger.db", hours(NOON - 6 * HOUR, NOON))


def filled(file: Path, entries: Sequence[Entry]) -> str:
    ledger = Ledger(str(file))
    ledger.append(entries)
    ledger.close()
    return str(file)


async def look(accountant: SegmentAccountant, at: float, declared: WorkloadSpec = CHAT) -> None:
    observed = observation(at=at)
    decision, memory = decide(declared, observed, Memory())
    accountant.look(at, [Seen(declared, observed, memory, decision)])
    await accountant.settled()


def told(url: str, begin: float = MIDNIGHT, end: float = MIDNIGHT + 24 * HOUR) -> SegmentStatement:
    ledger = Ledger(url)
    span = (milliseconds(begin), milliseconds(end), milliseconds(end + 3 * 24 * HOUR))
    lines = [line.use for line in segments.total(ledger, *span, ["team"])]
    found = by_segment(statement_of(total(ledger, *span)), "team", lines)
    ledger.close()
    return found


def caused(url: str) -> dict[str, Decimal]:
    return {each.name: each.use.dollars for each in told(url).segments}


async def test_hours_that_nobody_split_are_split_once_whoever_looks_and_how_often(url: str) -> None:
    source = Source(HALVES)
    accountant = SegmentAccountant(url, "", source)
    for seconds in (0, 15, 301, 2000):
        await look(accountant, LOOK + seconds)
    assert source.asked == [NOON - hour * HOUR for hour in range(5, -1, -1)]
    again = Source(HALVES)
    await look(SegmentAccountant(url, "", again), LOOK + 30)
    assert again.asked == []
    assert caused(url) == {"acme": 24, "globex": 24}
    assert told(url).dollars == 60


async def test_an_hour_is_split_when_its_last_costs_are_written(tmp_path: Path) -> None:
    url = filled(tmp_path / "ledger.db", hours(NOON - 2 * HOUR, NOON - HOUR))
    accountant, source = SegmentAccountant(url, "", Source(HALVES)), Source(HALVES)
    await look(accountant, LOOK)
    assert caused(url) == {"acme": 4, "globex": 4}
    filled(tmp_path / "ledger.db", hours(NOON - HOUR, NOON + HOUR))
    await look(SegmentAccountant(url, "", source), LOOK + HOUR)
    assert source.asked == [NOON, NOON + HOUR]
    assert caused(url) == {"acme": 12, "globex": 12}


async def test_a_source_that_fails_is_asked_again_and_costs_are_unattributed_until_then(url: str) -> None:
    source = Source(HALVES)
    source.fails = True
    accountant = SegmentAccountant(url, "", source)
    await look(accountant, LOOK)
    assert caused(url) == {"(unattributed)": 48}
    source.fails = False
    await look(accountant, LOOK + 299)
    assert source.asked == [], "not before five minutes have passed"
    await look(accountant, LOOK + 301)
    assert caused(url) == {"acme": 24, "globex": 24}


async def test_a_ledger_that_cannot_be_read_costs_nothing_else(tmp_path: Path) -> None:
    await look(SegmentAccountant(f"sqlite:///{tmp_path / 'no' / 'ledger.db'}", "", Source(HALVES)), LOOK)


async def test_workloads_that_name_no_label_are_not_asked_for(url: str) -> None:
    source = Source(HALVES)
    await look(SegmentAccountant(url, "", source), LOOK, spec())
    assert source.asked == []


def test_the_batch_is_that_of_the_hour() -> None:
    """$8 of 100 requests in 3000 s of one GPU: far from one request at a time, so that each bears all of the base."""
    decision, memory = decide(CHAT, observation(at=LOOK), Memory())
    seen = Seen(CHAT, observation(at=LOOK), memory, decision)
    alone = works_of(seen, hours(NOON - HOUR, NOON)[0].uses)["gpu"]
    full = replace(hours(NOON - HOUR, NOON)[0].uses[0], output_tokens=Decimal(1_000_000))
    assert alone.per_output_token == pytest.approx(0.020)
    assert works_of(seen, [full])["gpu"].per_output_token < 0.005


PODS = st.builds(Pod, st.sampled_from("ab"), st.integers(1, 9000), st.integers(0, 600), st.integers(1, 9000))
AMOUNT = st.floats(0, 50_000)
TRAFFIC = st.one_of(st.builds(Traffic, AMOUNT, AMOUNT, AMOUNT), st.builds(Traffic, AMOUNT, st.none(), st.none()))
LABELS = st.builds(
    LabelTraffic,
    st.just("team"),
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", "(other)"]), TRAFFIC), max_size=4, unique_by=lambda p: p[0]).map(
        tuple
    ),
    TRAFFIC,
    TRAFFIC,
)
PRICE = st.decimals("0.000000001", 40, places=9)
LOGS = Component("logs", "Observability", Unit.REQUEST, Decimal("0.000137"))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PODS, max_size=6, unique_by=lambda p: (p.target, p.bound)), PRICE, PRICE, st.floats(0, 1), LABELS)
async def test_segments_idle_and_loading_are_what_the_pods_lifetimes_cost_to_the_cent(
    tmp_path_factory: pytest.TempPathFactory,
    world: list[Pod],
    price_a: Decimal,
    price_b: Decimal,
    busy: float,
    traffic: LabelTraffic,
) -> None:
    """Three hours of looks through the meter, the ledger and the split; the bill is of lifetimes and prices alone."""
    workload = spec(
        variant("a", price=str(price_a), gpus_per_replica=2),
        variant("b", price=str(price_b)),
        telemetry=CHAT.telemetry,
        prices=Prices(components=(LOGS,)),
    )
    looks = [float(at) for at in range(613, 3 * 3600, 613)] + [3 * HOUR]
    began = BEGAN
    meter, entries = begin(milliseconds(began)), list[Entry]()
    for at in looks:
        states = tuple(
            running(0, name, pods=tuple(s for pod in world if pod.target == name and (s := pod.span(at, BEGAN))))
            for name in "ab"
        )
        found = (signals("a", gpu_utilization=busy), signals("b", gpu_utilization=busy))
        meter, ended = read(meter, workload, observation(at=began + at, state=states, signal=found), ())
        entries += ended
    url = filled(tmp_path_factory.mktemp("world") / "ledger.db", [*entries, *close(meter, workload)[1]])
    await look(SegmentAccountant(url, "", Source(traffic)), LOOK, workload)

    dearness = {"a": price_a * 2, "b": price_b}
    bill = sum((Decimal(str(pod.recorded(looks))) * dearness[pod.target] / 3600 for pod in world), Decimal(0))
    requests = sum((use.requests for entry in entries for use in entry.uses), Decimal(0))
    statement = told(url)
    segments_ = sum((each.use.dollars for each in statement.segments), Decimal(0))
    beside = sum((dollars for _, dollars in statement.beside), Decimal(0))
    assert abs(segments_ + beside - (bill + requests * LOGS.price)) < Decimal("0.01")
    assert all(each.use.dollars >= 0 for each in statement.segments)
    asked = sum(part.requests for part in traffic.parts)
    if not asked:
        assert {each.use.segment.kind for each in statement.segments} <= {SegmentKind.UNATTRIBUTED}
