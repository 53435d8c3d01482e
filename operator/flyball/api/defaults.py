"""What holds where a WorkloadSLO says nothing: objectives by workload type, and the windows.

The schema itself defaults only what a user must see in the object (`mode`, `precedence`, `minReplicas`). These are
applied when the spec is converted, and reported in status, so that better ones reach old objects too.

Every threshold is a bucket edge of vLLM's histograms, so that it is counted and never interpolated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from flyball.api.v1alpha1.words import WorkloadType
from flyball.core.names import Indicator
from flyball.core.spec import Objective
from flyball.core.units import parse_duration_seconds, parse_ratio

DEFAULT_TARGET = "95%"
"""A p95: what the published presets promise, and a budget large enough to steer by within minutes."""
DEFAULT_WINDOW = "28d"
"""Four whole weeks, so that every window holds the same weekdays."""
DEFAULT_ROI_WINDOW = "7d"
"""One whole week, the rhythm of most businesses."""


@dataclass(frozen=True, slots=True)
class DefaultObjective:
    """One default objective, with the reason and the source of its threshold."""

    name: str
    indicator: Indicator
    threshold: str
    target: str
    reason: str

    def resolved(self) -> Objective:
        """The objective as the core sees it."""
        return Objective(
            name=self.name,
            indicator=self.indicator,
            threshold_seconds=parse_duration_seconds(self.threshold),
            target=parse_ratio(self.target),
            window_seconds=parse_duration_seconds(DEFAULT_WINDOW),
        )


def _first_token(threshold: str, reason: str, target: str = DEFAULT_TARGET) -> DefaultObjective:
    return DefaultObjective("time-to-first-token", Indicator.TIME_TO_FIRST_TOKEN, threshold, target, reason)


def _token_gap(threshold: str, reason: str, target: str = DEFAULT_TARGET) -> DefaultObjective:
    return DefaultObjective("inter-token-latency", Indicator.INTER_TOKEN_LATENCY, threshold, target, reason)


def _whole_answer(threshold: str, reason: str, target: str = DEFAULT_TARGET) -> DefaultObjective:
    return DefaultObjective("end-to-end", Indicator.END_TO_END, threshold, target, reason)


DEFAULT_OBJECTIVES: Mapping[WorkloadType, tuple[DefaultObjective, ...]] = MappingProxyType(
    {
        WorkloadType.SUPPORT_BOT: (
            _first_token("500ms", "a person waits in a chat: llm-d-planner ChatbotConversational, 100 to 500 ms"),
            _token_gap("50ms", "faster than people read: llm-d-planner ChatbotConversational, 15 to 50 ms"),
            _whole_answer("15s", "short answers of about 256 tokens: llm-d-planner's 13.3 s, to the next edge"),
        ),
        WorkloadType.ASSISTANT: (
            _first_token("1s", "prompts with retrieved context: llm-d-planner DocumentAnalysisRAG, 0.4 to 1.2 s"),
            _token_gap("50ms", "people read along: llm-d-planner DocumentAnalysisRAG, 25 to 60 ms"),
        ),
        WorkloadType.RESEARCH: (
            _first_token("5s", "very long prompts: llm-d-planner ResearchLegalAnalysis, 1.5 to 5 s"),
            _token_gap("75ms", "long answers that are skimmed: llm-d-planner ResearchLegalAnalysis, 30 to 80 ms"),
            _whole_answer("240s", "llm-d-planner ResearchLegalAnalysis, 60 to 300 s, to the edge below"),
        ),
        WorkloadType.AUTOMATION: (
            _whole_answer("30s", "a program waits for the whole answer: llm-d-planner SummarizationShort, 10 to 26 s"),
        ),
        WorkloadType.BATCH: (
            _whole_answer(
                "480s",
                "nobody waits, jobs have deadlines: four times llm-d-planner LongDocumentSummarization, 47 to 111 s",
                "90%",
            ),
        ),
    }
)


def default_objectives(workload_type: WorkloadType) -> tuple[Objective, ...]:
    """The objectives of a workload that declares none."""
    return tuple(objective.resolved() for objective in DEFAULT_OBJECTIVES[workload_type])
