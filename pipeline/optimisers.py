"""Optimisers as values: a step returns the next point and the next optimiser, so that any state can be kept.

One step costs one evaluation of the loss, whatever the optimiser: a picture can be shown after each, and a run stopped
between two goes on exactly as one that was not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

Resize = Callable[[np.ndarray], np.ndarray]


class Optimiser(Protocol):
    """What each of them can do."""

    def step(self, x: np.ndarray, value: float, gradient: np.ndarray) -> tuple[np.ndarray, Self]:
        """Return the next point to evaluate, and the optimiser that has seen this one.

        Args:
            x: the point, of any shape.
            value: the loss there.
            gradient: its gradient there, of the shape of ``x``.
        """

    def resized(self, resize: Resize) -> Self:
        """Return the optimiser for a picture of another size."""


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2014 (arXiv 1412.6980), algorithm 1."""

    learning_rate: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    count: int = 0
    first: np.ndarray | None = None
    second: np.ndarray | None = None

    def step(self, x: np.ndarray, value: float, gradient: np.ndarray) -> tuple[np.ndarray, Self]:
        """See ``Optimiser``."""
        count = self.count + 1
        first = (1 - self.beta1) * gradient + (0 if self.first is None else self.beta1 * self.first)
        second = (1 - self.beta2) * gradient**2 + (0 if self.second is None else self.beta2 * self.second)
        step = first / (1 - self.beta1**count) / (np.sqrt(second / (1 - self.beta2**count)) + self.epsilon)
        return x - self.learning_rate * step, replace(self, count=count, first=first, second=second)

    def resized(self, resize: Resize) -> Self:
        """Enlarge both moments and keep their age; a resampling filter can undershoot, a second moment can't."""
        if self.first is None or self.second is None:
            return self
        return replace(self, first=resize(self.first), second=np.maximum(resize(self.second), 0))


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS (Nocedal & Wright 2006, algorithm 7.4), one evaluation a step.

    Instead of a line search, a step that raised the loss is halved at the next call.

    Attributes:
        first_step: mean change, per element that moves, of the first step, which has no curvature to go by; no more at
            the first of another size, whose curvature is that of the size before.
        max_step: greatest mean change per element that moves.
        tolerance: by what part of itself the loss may rise; bfloat16 rounds to about 1e-3.
        memory: how many pairs of steps and gradient differences are kept.
    """

    first_step: float = 0.02
    max_step: float = 0.05
    tolerance: float = 1e-3
    memory: int = 10
    last: tuple[np.ndarray, float, np.ndarray] | None = None
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    def step(self, x: np.ndarray, value: float, gradient: np.ndarray) -> tuple[np.ndarray, Self]:
        """See ``Optimiser``."""
        pairs = self.pairs
        if self.last is not None:
            last_x, last_value, last_gradient = self.last
            if not value <= last_value + self.tolerance * abs(last_value):
                return last_x + (x - last_x) / 2, self
            s, y = x - last_x, gradient - last_gradient
            if _dot(s, y) > 1e-10 * _dot(y, y):
                pairs = (*pairs, (s, y))[-self.memory :]
        step = -_two_loops(gradient, pairs)
        largest = self.max_step if pairs and self.last is not None else self.first_step
        # Over what moves at all: outside the painted regions nothing does.
        length = float(np.sum(np.abs(step)) / max(1, np.count_nonzero(step)))
        if length > largest or not pairs:
            step = step * np.float32(largest / (length + 1e-30))
        return x + step, replace(self, last=(x, value, gradient), pairs=pairs)

    def resized(self, resize: Resize) -> Self:
        """Enlarge the last pair, whose curvature sets the length of the next step; older ones are found anew.

        The loss is a mean over pixels, so the gradient at each pixel falls as their number grows.
        """
        pairs = []
        for step, change in self.pairs[-1:]:
            step, larger = resize(step), resize(change)
            change = larger * np.float32(change.size / larger.size)
            if _dot(step, change) > 0:
                pairs.append((step, change))
        return replace(self, last=None, pairs=tuple(pairs))


@dataclass(frozen=True)
class NormalisedGradient:
    """Gradient descent by steps of one size: the gradient is divided by its standard deviation."""

    step_size: float = 10 / 255

    def step(self, x: np.ndarray, value: float, gradient: np.ndarray) -> tuple[np.ndarray, Self]:
        """See ``Optimiser``."""
        return x - self.step_size * gradient / (np.std(gradient) + 1e-8), self

    def resized(self, resize: Resize) -> Self:
        """There is no state."""
        return self


def _two_loops(gradient: np.ndarray, pairs: tuple[tuple[np.ndarray, np.ndarray], ...]) -> np.ndarray:
    q = gradient
    kept = []
    for s, y in reversed(pairs):
        rho = 1 / _dot(s, y)
        alpha = rho * _dot(s, q)
        q = q - alpha * y
        kept.append((rho, alpha))
    if pairs:
        s, y = pairs[-1]
        q = q * (_dot(s, y) / _dot(y, y))
    for (s, y), (rho, alpha) in zip(pairs, reversed(kept), strict=True):
        q = q + s * (alpha - rho * _dot(y, q))
    return q


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # A Python float would turn float32 pictures into float64 under NumPy's rules for 0-d arrays; a scalar does not.
    return np.vdot(a, b)
