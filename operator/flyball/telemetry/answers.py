"""Prometheus' answers as rows, indexed by the groups of pods that they speak of. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flyball.core.spec import Variant, WorkloadSpec
from flyball.telemetry.pods import GROUP_LABEL, groups_of, worker_groups
from flyball.telemetry.promql import SERIES_LABEL, own_label, own_value


class MalformedAnswer(ValueError):
    """An answer that no Prometheus gives."""


@dataclass(frozen=True, slots=True)
class Row:
    """One series of an instant vector. The value may be NaN or infinite: readings judge that."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one query; `failure` is a sentence where there was no answer."""

    rows: tuple[Row, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """The rows of one range query by their time (epoch seconds); `failure` is a sentence where there was no answer."""

    rows: Mapping[float, tuple[Row, ...]] = field(default_factory=dict)
    failure: str = ""


def parse_matrix(result: object) -> dict[float, tuple[Row, ...]]:
    """The rows of a range query's `data.result` by time, oldest first. Raises MalformedAnswer for anything else."""
    if not isinstance(result, list):
        raise MalformedAnswer(f"result is {type(result).__name__}, not a list")
    found: dict[float, list[Row]] = defaultdict(list)
    for entry in result:
        if not isinstance(entry, dict) or not isinstance(entry.get("values"), list):
            raise MalformedAnswer("an entry has no values")
        for sample in entry["values"]:
            row = _row({"metric": entry.get("metric"), "value": sample})
            found[float(sample[0])].append(row)
    return {at: tuple(found[at]) for at in sorted(found)}


def parse_rows(result: object) -> tuple[Row, ...]:
    """The rows of an instant query's `data.result`, vector or scalar. Raises MalformedAnswer for anything else."""
    if not isinstance(result, list):
        raise MalformedAnswer(f"result is {type(result).__name__}, not a list")
    if len(result) == 2 and isinstance(result[1], str):
        return (Row({}, _number(result)),)
    rows = tuple(_row(entry) for entry in result)
    if len({frozenset(row.labels.items()) for row in rows}) < len(rows):
        raise MalformedAnswer("two series have the same labels")
    return rows


def _row(entry: object) -> Row:
    if not isinstance(entry, dict) or not isinstance(entry.get("metric"), dict):
        raise MalformedAnswer("an entry has no labels")
    labels = entry["metric"]
    if not all(isinstance(text, str) for pair in labels.items() for text in pair):
        raise MalformedAnswer("a label is no text")
    return Row(labels, _number(entry.get("value")))


def _number(sample: object) -> float:
    if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str):
        raise MalformedAnswer("a sample is not a pair of time and value")
    try:
        return float(sample[1])
    except ValueError:
        raise MalformedAnswer("a sample's value is no number") from None


class Table:
    """The rows of one query's answer by part, namespace and group of pods."""

    __slots__ = ("_rows", "failure")

    def __init__(self, answer: Answer) -> None:
        self.failure = answer.failure
        self._rows: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in answer.rows:
            place = row.labels.get(SERIES_LABEL, ""), row.labels.get("namespace", "")
            self._rows[place][row.labels.get(GROUP_LABEL, "")].append(row)

    def everywhere(self, part: str) -> list[Row]:
        """All rows of that part, whatever they are about."""
        return [
            row for (name, _), groups in self._rows.items() if name == part for rows in groups.values() for row in rows
        ]

    def rows(self) -> list[Row]:
        """All rows."""
        return [row for groups in self._rows.values() for rows in groups.values() for row in rows]

    def of_target(self, spec: WorkloadSpec, variant: Variant, part: str) -> list[Row]:
        """All rows of that part about the variant's pods."""
        groups = self._rows.get((part, spec.key.namespace), {})
        workers = worker_groups(variant.target)
        names = [*groups_of(variant.target), *(g for g in groups if workers and workers.fullmatch(g))]
        return [row for name in names for row in groups.get(name, ())]

    def of_variant(self, spec: WorkloadSpec, variant: Variant, part: str) -> list[Row]:
        """The rows of that part about the variant's pods that the workload's selector keeps."""
        return [row for row in self.of_target(spec, variant, part) if _selected(row, spec.telemetry.selector)]

    def of_workload(self, spec: WorkloadSpec, part: str) -> list[Row]:
        """The rows of that part about all variants."""
        return [row for variant in spec.variants for row in self.of_variant(spec, variant, part)]


def _selected(row: Row, selector: Iterable[tuple[str, str]]) -> bool:
    return all(row.labels.get(own_label(name), "") == own_value(value) for name, value in selector)
