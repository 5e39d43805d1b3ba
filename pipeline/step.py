"""The one thing every effect yields."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True)
class Step:
    """One state of a picture while it is computed; the last step is the result.

    Attributes:
        image: the picture so far (mode ``RGB``, or another where an effect says so).
        iteration: how many iterations are done, 1 … ``total``.
        total: how many there will be.
        losses: current value of every loss by name; the weighted sum is called ``total``.
        seconds: wall-clock seconds since the effect started.
        note: what happened in plain words, for a status line.
        frames: where the result moves, all its pictures, ``image`` being the first; each has ``info["duration"]`` in
            milliseconds.
    """

    image: Image.Image
    iteration: int
    total: int
    losses: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    note: str = ""
    frames: tuple[Image.Image, ...] = ()

    @property
    def eta(self) -> float:
        """Seconds still to go, at the mean pace so far."""
        return self.seconds / self.iteration * (self.total - self.iteration) if self.iteration else float("inf")


def last(steps: Iterable[Step]) -> Step:
    """Run to the end and return the last step; ``*_, step = steps`` would keep all others in memory until then."""
    return deque(steps, maxlen=1).pop()
