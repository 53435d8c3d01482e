"""Pieces of PromQL. Everything that users or answers bring is quoted here, and nowhere else.

Aggregations are by namespace, by group of pods (`pods`) and by the label names of users' selectors; selectors' values
are compared on our side and never reach a query.
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

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS = frozenset({"__name__", "le", GROUP_LABEL, SERIES_LABEL})


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series a batch is about: namespaces, and the label names by which users narrow them."""

    namespaces: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def by(self, *more: str) -> str:
        """The labels to aggregate by."""
        return ", ".join(dict.fromkeys(("namespace", GROUP_LABEL, *self.labels, *more)))

    def matcher(self, label: str = "namespace") -> str:
        """The matcher that keeps other namespaces' series out of the query, where that is cheap."""
        if len(self.namespaces) > MOST_NAMESPACES:
            return f'{label}!=""'
        return f"{label}=~{any_of(self.namespaces)}"


def usable_label(name: str) -> bool:
    """Whether series may be told apart by that label in our queries."""
    return bool(_LABEL_NAME.fullmatch(name)) and name not in _OWN_LABELS


def quote(text: str) -> str:
    """A PromQL string literal."""
    return json.dumps(text, ensure_ascii=False)


def any_of(texts: Iterable[str]) -> str:
    """A string literal with the regular expression that matches exactly these texts."""
    return quote("|".join(re.escape(text) for text in texts))


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


def tagged(expression: str, tag: str) -> str:
    """The expression's series, marked as one part of a query."""
    return f'label_replace({expression}, "{SERIES_LABEL}", {quote(tag)}, "namespace", ".*")'


def either(expressions: Iterable[str]) -> str:
    """The union, in which an earlier series hides later ones with the same labels."""
    return " or ".join(expressions)
