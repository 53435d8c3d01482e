"""Pods whose whole lives are known, so that what they cost can be reckoned apart from the bill."""

from collections.abc import Sequence
from dataclasses import dataclass

from flyball.core.observation import PodSpan


@dataclass(frozen=True)
class Pod:
    """A pod of the world, in seconds after its beginning: bound, ready after a while, gone; `target` is its variant."""

    target: str
    bound: int
    loads: int
    lives: int

    def span(self, at: float, began: float) -> PodSpan | None:
        """What a look sees of it, that many seconds after the world `began`."""
        if not self.bound <= at < self.bound + self.lives:
            return None
        ready = self.bound + self.loads
        return PodSpan(f"{self.target}{self.bound}", began + self.bound, began + ready if ready <= at else None)

    def recorded(self, looks: Sequence[float]) -> float:
        """Seconds from bound to the first look that misses it, as far as any look saw it."""
        seen = [at for at in looks if self.bound <= at < self.bound + self.lives]
        return min((at for at in looks if at > seen[-1]), default=looks[-1]) - self.bound if seen else 0.0
