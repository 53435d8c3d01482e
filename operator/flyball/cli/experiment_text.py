"""An experiment in words: for the terminal, as Markdown for finance, and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from flyball.cli.markdown import escaped, table
from flyball.core.evidence.experiment import Arm, Design, Evidence, Measured, Metric, Plan
from flyball.core.evidence.experiment_verdict import claim_of, value_of
from flyball.core.units import counted, format_duration, format_ratio
from flyball.core.value.outcomes import Counted
from flyball.ledger.experiment_kpis import written
from flyball.ledger.experiments import Decided, Registered, to_json
from flyball.runtime.experiment_status import change, effect, kpi_guard

DESIGNS = {
    Design.SWITCHBACK: "all traffic goes to one arm for a block of time, by a fair coin for each pair of blocks",
    Design.SIDE_BY_SIDE: "both arms serve at the same time, by whatever splits the traffic",
    Design.BEFORE_AFTER: "two stretches of time are compared, the same hours of each",
}
MEANS = {
    Evidence.RANDOMIZED: "Randomized: chance alone decided which blocks were treated, so that the treatment made the "
    "difference, and nothing that merely happened at the time.",
    Evidence.OBSERVATIONAL: "Observational: nobody decided by chance who was treated. What else was different is not "
    "known, so this is a comparison, and does not show what made the difference.",
}


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one experiment; `judgement` is the decision's, or what is known now. `late` are, by KPI, the
    blocks whose outcomes changed after they were measured, and the cases that came then.
    """

    plan: Plan
    known: Registered
    blocks: Sequence[Measured]
    judgement: Mapping[str, Any]
    decided: Decided | None
    zone: tzinfo
    late: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def claim(self) -> str:
        """The hypothesis in words."""
        return f"{self.metric}: {str(self.plan.direction).lower()} by {claim_of(self.plan)} or more"

    @property
    def metric(self) -> str:
        """What it speaks of."""
        if self.plan.metric is Metric.KPI:
            return f"KPI {self.plan.kpi}"
        return f"{self.plan.metric}{f' of {self.plan.objective}' if self.plan.objective else ''}"

    @property
    def statement(self) -> str:
        """What its owner wrote of it; empty where nothing."""
        return str(json.loads(self.known.spec)["hypothesis"].get("statement", ""))

    def time(self, at: int) -> str:
        """A time for people."""
        return f"{datetime.fromtimestamp(at / 1000, self.zone):%Y-%m-%d %H:%M %Z}"

    @property
    def found(self) -> str:
        """The effect with its interval."""
        judgement = self.judgement
        if judgement["effect"] is None:
            return "no pair of blocks yet"
        part = effect(judgement)
        interval = f"{part.get('low', 'not bounded')} to {part.get('high', 'not bounded')}"
        return f"{part['estimate']} ({1 - self.plan.alpha:.0%} interval: {interval}, at all looks together)"


def lines(story: Story) -> Iterator[str]:
    """For the terminal."""
    judgement, plan = story.judgement, story.plan
    yield f"{story.known.key}: {story.claim}"
    if story.statement:
        yield f"  {story.statement}"
    yield f"{plan.design}: {DESIGNS[plan.design]}"
    yield f"registered {story.time(story.known.registered_at)}, first block {story.time(story.known.start)}"
    yield f"verdict: {judgement['verdict']} ({judgement['reason']}): {judgement['text']}"
    yield f"effect: {story.found}"
    yield f"evidence: {MEANS[plan.evidence]}"
    yield f"{counted(judgement['pairs'], 'pair')} compared, {judgement['unusable']} could not be"
    for guard in judgement["guards"]:
        yield f"guard {guard['objective']}: {_guard(guard)}"
    for name, text in _kpi_guards(judgement):
        yield f"{name}: {text}"
    yield from _waited(story)
    for reason, number in _unusable(story.blocks).items():
        yield f"unusable: {counted(number, 'block')}: {reason}"


def document(story: Story) -> dict[str, Any]:
    """As JSON."""
    return {
        "namespace": story.known.key.namespace,
        "name": story.known.key.name,
        "uid": story.known.uid,
        "registeredAt": _utc(story.known.registered_at),
        "firstBlockAt": _utc(story.known.start),
        "specHash": story.known.spec_hash,
        "spec": json.loads(story.known.spec),
        "decidedAt": _utc(story.decided.decided_at) if story.decided else None,
        "judgement": {**story.judgement, "high": min(story.judgement["high"], 1e6)},
        "kpis": json.loads(written(story.known.kpis)),
        "late": {name: {"blocks": blocks, "cases": cases} for name, (blocks, cases) in story.late.items()},
        "blocks": [{"pair": each.block.pair, "place": each.block.place, **to_json(each)} for each in story.blocks],
    }


def markdown(story: Story) -> Iterator[str]:
    """For finance: what was claimed and registered, what was found, and how to check it."""
    judgement, plan, known = story.judgement, story.plan, story.known
    yield f"# Experiment {escaped(str(known.key))}"
    yield ""
    yield f"**{judgement['verdict']}**, {judgement['evidence']}: {escaped(judgement['text'])}."
    yield ""
    yield f"- Claim: {escaped(story.claim)}"
    if story.statement:
        yield f"- In its owner's words: {escaped(story.statement)}"
    yield f"- Effect: {escaped(story.found)}"
    yield f"- Evidence: {MEANS[plan.evidence]}"
    yield f"- Design: {plan.design}; {DESIGNS[plan.design]}; blocks of {format_duration(plan.block_ms / 1000)}"
    yield f"- Registered {story.time(known.registered_at)}, before the first block at {story.time(known.start)}"
    if story.decided is not None:
        yield f"- Decided {story.time(story.decided.decided_at)}; the decision cannot be changed"
    else:
        yield "- Not decided yet: these figures are a look at a running experiment"
    yield f"- Pairs: {judgement['pairs']} compared, {judgement['unusable']} could not be"
    yield from (f"- {escaped(line)}" for line in _waited(story))
    rows = [[f"objective {each['objective']}", _guard(each)] for each in judgement["guards"]]
    rows += [list(each) for each in _kpi_guards(judgement)]
    if rows:
        yield from ("", "## Guards", "", *table(["guard", "how it stands"], rows, names=2))
    yield from ("", "## Sums", "", *_sums(story))
    yield from ("", "## Blocks", "", *_blocks(story))
    yield from ("", "## How to check it", "")
    yield f"- SHA-256 of the registered spec: `{known.spec_hash}`. The spec, as JSON:"
    yield from ("", "  ```json", f"  {known.spec.replace('`', chr(92) + 'u0060')}", "  ```", "")
    if plan.design is Design.SWITCHBACK:
        yield (
            f"- The coin of pair n (from 0) is the last bit of SHA-256 of `{escaped(known.uid)}:n`: 1 means that its "
            "first block is the treated one."
        )
    yield (
        "- The interval holds the effects that no look ruled out: exact for a treatment that changes every block by "
        "the same share, without assumptions on how costs scatter, however often somebody looked (docs/experiments.md)."
    )


def _sums(story: Story) -> list[str]:
    rows = []
    for arm in Arm:
        found = [each for each in story.blocks if each.block.arm is arm and not each.unusable]
        dollars, requests = sum(each.dollars for each in found), sum(each.requests for each in found)
        unit = f"{dollars / requests:.6f}" if requests else "-"
        cells = [str(arm), str(len(found)), f"{dollars:.2f}", f"{requests:.0f}", unit]
        rows.append(cells + _outcomes(story, found))
    head = ["arm", "usable blocks", "dollars", "requests", "dollars per request"]
    return table(head + (list(_OUTCOMES) if story.plan.metric is Metric.KPI else []), rows)


_OUTCOMES = ("outcomes", "cases", "minutes", "came back", "failed a check")


def _outcomes(story: Story, blocks: Sequence[Measured]) -> list[str]:
    if story.plan.metric is not Metric.KPI:
        return []
    total = Counted()
    for each in blocks:
        total = total.plus(each.kpis[story.plan.kpi])
    return [f"{part:,f}" for part in (total.outcomes, total.cases, total.minutes, total.came_back, total.failed)]


def _blocks(story: Story) -> list[str]:
    rows = []
    for each in story.blocks:
        value = "" if each.unusable else f"{value_of(story.plan, each, story.known.kpis.known):.6g}"
        block = each.block
        cells = [str(block.pair), str(block.arm), story.time(block.start), value, each.unusable]
        rows.append(cells)
    return table(["pair", "arm", "begins", story.metric, "not usable because"], rows, names=3)


def _kpi_guards(judgement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How KPIs stand by their guards: name and text."""
    guards = [("KPI", each) for each in judgement.get("kpi_guards", ())]
    if judgement.get("quality"):
        guards.append(("quality: KPI", judgement["quality"]))
    for what, each in guards:
        part = kpi_guard(each)
        figures = [f"{part[arm]} {said}" for arm, said in (("treatment", "treated"), ("baseline", "baseline"))
                   if arm in part]  # fmt: skip
        text = "; ".join([f"{each['state']}; wanted {each['wanted']}", *figures])
        yield f"{what} {each['kpi']}", f"{text}; {each['cases']:g} cases"


def _waited(story: Story) -> Iterator[str]:
    """How long outcomes were waited for, and what came all the same."""
    if not story.plan.by_outcomes:
        return
    wait = format_duration(story.plan.settle_ms / 1000)
    yield f"outcomes count in the block in which their case began, and were waited for {wait} after it"
    for name, (blocks, cases) in story.late.items():
        of = f"{counted(cases, 'case')} in {counted(blocks, 'block')}"
        yield f"KPI {name}: {of} came or changed later, and do not count"


def _guard(guard: Mapping[str, Any]) -> str:
    shares = [
        f"{format_ratio(share, 2)} {arm}"
        for arm, share in (("treated", guard["attained"]), ("baseline", guard["baseline"]))
        if share is not None
    ]
    return f"{guard['state']}; wanted {format_ratio(guard['target'], 2)}" + (f", {', '.join(shares)}" if shares else "")


def _unusable(blocks: Sequence[Measured]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in blocks:
        if each.unusable:
            found[each.unusable] = found.get(each.unusable, 0) + 1
    return found


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def row(known: Registered, decided: Decided | None, zone: tzinfo) -> list[str]:
    """One line of the list."""
    at = f"{datetime.fromtimestamp(known.registered_at / 1000, zone):%Y-%m-%d %H:%M}"
    if decided is None:
        return [str(known.key), known.uid, at, "no decision", ""]
    found = decided.judgement
    shown = change(found["effect"], bool(found.get("points"))) if found["effect"] is not None else ""
    return [str(known.key), known.uid, at, f"{decided.verdict} ({found['evidence']})", shown]
