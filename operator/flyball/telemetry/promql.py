"""Pieces of PromQL. Everything that users or answers bring is quoted here, and nowhere else.

Aggregations are by namespace, by group of pods (`pods`) and by what users select: for each label of a selector there is
a label of ours that keeps the values that somebody asks for and folds all others into one. However many values the
label has, the answer stays small.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from flyball.telemetry.pods import DEPLOYMENT_GROUP, DEPLOYMENT_REGEX, GROUP_LABEL, OWNER_GROUP, OWNER_REGEX
from flyball.telemetry.profiles.model import Selector

SERIES_LABEL = "flyball_series"
"""Tells the parts of one query apart."""

MOST_NAMESPACES = 50
"""Up to this many namespaces are named in a query; beyond, all are asked for and sorted out on our side."""

SCRAPES = ("job", "prometheus", "prometheus_replica")
"""Labels that tell apart several scrapes of one pod: two monitors that select it, or a pair of Prometheus servers."""
_MONITORS = ("service", "endpoint", "container")
"""Labels that one kind of monitor adds to what it scrapes and another does not, as the Prometheus operator's do."""
_OTHERS = "!"
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS = frozenset({"__name__", "le", GROUP_LABEL, SERIES_LABEL})


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series a batch is about: namespaces, and for each label that users select by the values they ask for."""

    namespaces: tuple[str, ...]
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def by(self, *more: str) -> str:
        """The labels to aggregate by."""
        return ", ".join(
            dict.fromkeys(("namespace", GROUP_LABEL, *(own_label(name) for name, _ in self.labels), *more))
        )

    def of_pod(self, *more: str) -> str:
        """The labels that tell pods apart, and what of them is asked for."""
        return ", ".join(dict.fromkeys(("namespace", "pod", *(own_label(name) for name, _ in self.labels), *more)))

    def matcher(self, label: str = "namespace") -> str:
        """The matcher that keeps other namespaces' series out of the query, where that is cheap."""
        if len(self.namespaces) > MOST_NAMESPACES:
            return f'{label}!=""'
        return f"{label}=~{any_of(self.namespaces)}"

    def narrowed(self, expression: str) -> str:
        """The expression's series with our label for each that users select by."""
        for name, values in self.labels:
            marked = f'label_replace({expression}, "{own_label(name)}", "{_OTHERS}", "{name}", "(?s:.+)")'
            wanted = quote(f"({_alternatives(values)})")
            expression = f'label_replace({marked}, "{own_label(name)}", "={"$1"}", "{name}", {wanted})'
        return expression


def own_label(name: str) -> str:
    """Our label for one that users select by."""
    return f"flyball_of_{name}"


def own_value(value: str) -> str:
    """What our label holds for series whose label has that value; a label without a value is one that is not there."""
    return f"={value}" if value else ""


def usable_label(name: str) -> bool:
    """Whether series may be told apart by that label in our queries."""
    return bool(_LABEL_NAME.fullmatch(name)) and name not in _OWN_LABELS


def quote(text: str) -> str:
    """A PromQL string literal."""
    return json.dumps(text, ensure_ascii=False)


def any_of(texts: Iterable[str]) -> str:
    """A string literal with the regular expression that matches exactly these texts."""
    return quote(_alternatives(texts))


def _alternatives(texts: Iterable[str]) -> str:
    return "|".join(re.escape(text) for text in texts)


def duration(seconds: float) -> str:
    """A PromQL duration."""
    return f"{round(seconds)}s" if seconds == round(seconds) else f"{round(seconds * 1000)}ms"


def series(selector: Selector, *matchers: str) -> str:
    """An instant vector selector with further matchers."""
    own = (f"{label}{operator}{quote(value)}" for label, operator, value in selector.matchers)
    return f"{selector.name}{{{','.join((*matchers, *own))}}}"


def grouped(expression: str) -> str:
    """The expression's series with the group of their pod."""
    owner = f'label_replace({expression}, "{GROUP_LABEL}", "{OWNER_GROUP}", "pod", {quote(OWNER_REGEX)})'
    return f'label_replace({owner}, "{GROUP_LABEL}", "{DEPLOYMENT_GROUP}", "pod", {quote(DEPLOYMENT_REGEX)})'


def folded(expression: str, scope: Scope, repeated: Iterable[str] = (), *more: str, aggregation: str = "sum") -> str:
    """One value for each pod (and each of the further labels).

    Series of one scrape are added up, those that repeat a value count once, and of several scrapes of the same pod the
    highest value counts: a second scraper doubles nothing.
    """
    once = ", ".join(repeated)
    found = f"max without ({once}) ({expression})" if once else expression
    by = scope.of_pod(*more)
    return grouped(f"max by ({by}) ({aggregation} by ({by}, {', '.join(SCRAPES)}) ({scope.narrowed(found)}))")


def summed(expression: str, by: Iterable[str]) -> str:
    """The sum by those labels of series that are of no known pod, in which a second scraper doubles nothing.

    Series that differ by what tells scrapes apart count once, whichever labels each of the monitors adds: those of one
    scrape are added up first.
    """
    kept = tuple(by)
    monitors, scrapes = (", ".join(name for name in names if name not in kept) for names in (_MONITORS, SCRAPES))
    found = f"sum without ({monitors}) ({expression})" if monitors else expression
    return f"sum by ({', '.join(kept)}) (max without ({scrapes}) ({found}))"


def tagged(expression: str, tag: str) -> str:
    """The expression's series, marked as one part of a query."""
    return f'label_replace({expression}, "{SERIES_LABEL}", {quote(tag)}, "namespace", ".*")'


def either(expressions: Iterable[str]) -> str:
    """The union, in which an earlier series hides later ones with the same labels."""
    return " or ".join(expressions)
