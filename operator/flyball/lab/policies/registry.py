"""Which rivals there are, how each is built, and which of its knobs are searched in hindsight and swept.

`grid` holds the coarse grid of NAME* (all combinations); `sweep` the values of the main knob along which the frontier
of attainment and cost is drawn, the others at their defaults. What a knob means is said by the policy it belongs to.
"""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flyball.lab.policies.aibrix import Apa
from flyball.lab.policies.dynamo import Dynamo
from flyball.lab.policies.hpa_policies import GpuHpa, QueueHpa
from flyball.lab.policies.keda import ConcurrencyKeda
from flyball.lab.policies.kpa import Kpa
from flyball.lab.policies.llmd_keda import QueueKeda, SloKeda
from flyball.lab.policies.model import Policy, Setting
from flyball.lab.policies.ray import RayServe
from flyball.lab.policies.skyserve import SkyServe
from flyball.lab.policies.static import Static
from flyball.lab.policies.wva import Wva

Value = float | str | bool | None
Factory = Callable[[Setting, Mapping[str, Value]], Policy]

ELSEWHERE = ("flyball", "static-peak", "oracle", "floor")
"""Policies that a run knows beside the rivals; whoever has them passes their factories to `build`."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """`main` is the knob of the frontier, `sweep` its values there; `grid` the values searched, by knob."""

    main: str
    sweep: tuple[Value, ...]
    grid: Mapping[str, tuple[Value, ...]]

    def combinations(self) -> Iterator[dict[str, Value]]:
        for values in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


@dataclass(frozen=True, slots=True)
class Rival:
    """How a rival is built: its class, what its name fixes, its knobs."""

    kind: Callable[..., Policy]
    knobs: Knobs
    preset: Mapping[str, Value] = field(default_factory=dict)

    def defaults(self) -> dict[str, Value]:
        """The knobs that may be set, with their defaults."""
        parameters = inspect.signature(self.kind).parameters
        return {
            name: parameter.default
            for name, parameter in parameters.items()
            if name not in ("setting", "name") and name not in self.preset
        }


_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35)
_FEW_SHARES = (0.7, 0.85, 1.0, 1.15)
_SHARE_SWEEP = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5)
_STABILIZATIONS = (None, 60.0, 900.0)

_GPU = Knobs(
    "target_percent",
    # From 91 on full utilization is within the tolerance, and nothing is ever added.
    (20, 30, 40, 50, 60, 70, 75, 80, 84, 87, 90),
    {"target_percent": (40, 50, 60, 70, 80, 85, 90), "stabilization_seconds": _STABILIZATIONS},
)
_QUEUE = Knobs(
    "target",
    (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
    {"target": (0.1, 0.25, 0.5, 1, 2, 5, 10), "stabilization_seconds": (None, 60.0, 900.0, 3600.0)},
)
_KEDA = Knobs("target_share", _SHARE_SWEEP, {"target_share": _SHARES, "stabilization_seconds": _STABILIZATIONS})
_LLMD_SLO = Knobs(
    "up",
    (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0),
    {"up": (0.4, 0.55, 0.7, 0.8, 0.9, 1.0), "down": (0.2, 0.4, 0.6), "smoothing_seconds": (45.0, 120.0)},
)
_LLMD_QUEUE = Knobs(
    "running_target",
    (2, 4, 6, 8, 12, 16, 24, 32, 48),
    {
        "running_target": (4, 8, 12, 16, 24, 32),
        "queue_target": (1.0, 4.0),
        "stabilization_seconds": (60.0, 300.0),
    },
)
_KPA = Knobs(
    "target_share",
    _SHARE_SWEEP,
    {
        "target_share": _FEW_SHARES,
        "stable_seconds": (60.0, 180.0, 600.0),
        "scale_down_delay_seconds": (0.0, 300.0),
    },
)
_KPA_DEFAULT = Knobs("stable_seconds", (30, 60, 120, 300, 600), {"stable_seconds": (60.0, 180.0, 600.0)})
_APA = Knobs(
    "target",
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    {"target": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), "down_cooldown_seconds": (60.0, 300.0, 900.0)},
)
_WVA = Knobs(
    "kv_spare",
    (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6),
    {
        "kv_spare": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
        "queue_spare": (1.0, 3.0, 4.5),
        "up_stabilization_seconds": (0.0, 120.0),
    },
)
_WVA_TOKENS = Knobs(
    "up_threshold",
    (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0),
    {
        "up_threshold": (0.4, 0.55, 0.7, 0.85, 0.9, 0.95),
        "down_boundary": (0.3, 0.5, 0.7),
        "up_stabilization_seconds": (0.0, 120.0),
    },
)
_DYNAMO = Knobs(
    "sla_scale",
    (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5),
    {"sla_scale": (0.5, 0.6, 0.7, 0.8, 1.0), "sensitivity": (0.5, 0.8, 0.95), "predictor": ("constant", "kalman")},
)
_EASY_TARGETS = ("throughput", "latency")
_DYNAMO_EASY = Knobs("easy_target", _EASY_TARGETS, {"easy_target": _EASY_TARGETS})
_NOT_EASY: Mapping[str, Value] = MappingProxyType({"easy_target": "throughput"})
_EASY: Mapping[str, Value] = MappingProxyType(
    {"rule": "easy", "loops": "both", "predictor": "constant", "sensitivity": 0.8, "sla_scale": 1.0}
)
_RAY = Knobs(
    "target_share",
    _SHARE_SWEEP,
    {
        "target_share": _FEW_SHARES,
        "upscale_delay_seconds": (0.0, 30.0),
        "downscale_delay_seconds": (120.0, 300.0, 600.0),
    },
)
_RAY_DEFAULT = Knobs(
    "downscale_delay_seconds",
    (60, 120, 300, 600, 1200),
    {"upscale_delay_seconds": (0.0, 30.0), "downscale_delay_seconds": (120.0, 300.0, 600.0)},
)
_SKYSERVE = Knobs(
    "target_share",
    _SHARE_SWEEP,
    {
        "target_share": _FEW_SHARES,
        "upscale_delay_seconds": (20.0, 60.0, 300.0),
        "downscale_delay_seconds": (300.0, 1200.0),
    },
)
_STATIC_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 50, 60)
_STATIC = Knobs("replicas", _STATIC_COUNTS, {"replicas": _STATIC_COUNTS})

RIVALS: Mapping[str, Rival] = MappingProxyType(
    {
        "static": Rival(Static, _STATIC),
        "hpa-gpu": Rival(GpuHpa, _GPU),
        "hpa-queue": Rival(QueueHpa, _QUEUE),
        "keda-concurrency": Rival(ConcurrencyKeda, _KEDA),
        "llmd-keda": Rival(SloKeda, _LLMD_SLO, {"fixed": False}),
        "llmd-keda-fixed": Rival(SloKeda, _LLMD_SLO, {"fixed": True}),
        "llmd-queue": Rival(QueueKeda, _LLMD_QUEUE),
        "kpa": Rival(Kpa, _KPA, {"target": None}),
        "kpa-default": Rival(Kpa, _KPA_DEFAULT, {"target": 70.0, "target_share": 0.7}),
        "aibrix-apa": Rival(Apa, _APA, {"fixed": False}),
        "aibrix-apa-fixed": Rival(Apa, _APA, {"fixed": True}),
        "wva": Rival(Wva, _WVA, {"version": 1, "tolerance": 0.1}),
        "wva-fixed": Rival(Wva, _WVA, {"version": 1, "tolerance": 0.0}),
        "wva-v2": Rival(Wva, _WVA_TOKENS, {"version": 2, "tolerance": 0.1}),
        "wva-v2-fixed": Rival(Wva, _WVA_TOKENS, {"version": 2, "tolerance": 0.0}),
        "dynamo": Rival(Dynamo, _DYNAMO, {"rule": "consolidation", **_NOT_EASY}),
        "dynamo-flat80": Rival(Dynamo, _DYNAMO, {"rule": "flat80", **_NOT_EASY}),
        "dynamo-easy": Rival(Dynamo, _DYNAMO_EASY, _EASY),
        "ray": Rival(RayServe, _RAY, {"target_ongoing": None}),
        "ray-default": Rival(RayServe, _RAY_DEFAULT, {"target_ongoing": 2.0, "target_share": 0.7}),
        "skyserve": Rival(SkyServe, _SKYSERVE),
    }
)

KNOBS: Mapping[str, Knobs] = MappingProxyType({name: rival.knobs for name, rival in RIVALS.items()})


def names() -> tuple[str, ...]:
    """The rivals built here, and the policies that are provided elsewhere."""
    return (*RIVALS, *ELSEWHERE)


def default_knobs(name: str) -> dict[str, Value]:
    """The knobs of a rival that may be set, with their defaults. Raises ValueError for an unknown name."""
    return _rival(name).defaults()


def build(
    name: str,
    setting: Setting,
    knobs: Mapping[str, Value] = MappingProxyType({}),
    elsewhere: Mapping[str, Factory] = MappingProxyType({}),
) -> Policy:
    """A fresh policy for one run. Raises ValueError that names what is wrong with the name or a knob.

    `elsewhere` holds factories of the policies in ELSEWHERE, which check their own knobs.
    """
    if name in elsewhere:
        return elsewhere[name](setting, knobs)
    rival = _rival(name)
    defaults = rival.defaults()
    for knob, value in knobs.items():
        if knob not in defaults:
            known = ", ".join(defaults) or "none"
            raise ValueError(f"policy {name!r} has no knob {knob!r}; its knobs are {known}")
        _check(name, knob, value, defaults[knob])
    named = {"name": name} if "name" in inspect.signature(rival.kind).parameters else {}
    return rival.kind(setting, **rival.preset, **knobs, **named)


def _rival(name: str) -> Rival:
    if name in ELSEWHERE:
        raise ValueError(f"policy {name!r} is not a rival; pass the factory that builds it as `elsewhere`")
    if name not in RIVALS:
        raise ValueError(f"there is no policy {name!r}; choose from {', '.join(names())}")
    return RIVALS[name]


def _check(name: str, knob: str, value: Value, default: Value) -> None:
    """A knob takes what its default is: a number, a word, true or false; None where that is the default."""
    where = f"policy {name!r}, knob {knob!r}: {value!r}"
    if value is None and default is None:
        return
    if isinstance(default, (bool, str)):
        if type(value) is not type(default):
            raise ValueError(f"{where} is no {'word' if isinstance(default, str) else 'true or false'}")
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{where} is no number")
    may_be_zero = knob.endswith("_seconds") or knob == "replicas"
    if value < 0 or (value == 0 and not may_be_zero):
        raise ValueError(f"{where} is too small; give {'0 or more' if may_be_zero else 'more than 0'}")
