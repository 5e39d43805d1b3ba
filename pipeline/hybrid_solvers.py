"""The objective of a hybrid image, and the ways to minimise it.

One picture u, values in [0, 1], is to look like A sharply and, blurred in linear light, like B blurred:

    m_precise |u - A|² + m_blurred |G(u^γ)^(1/γ) - G(B^γ)^(1/γ)|²

summed over pixels and channels, G a Gaussian blur. Everything here works on float32 planes of shape (C, H, W). Each
solver is a generator of iterates with their losses, and runs until it is closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from .blur import Border, blur

# The slope of u^(1/γ) is infinite at 0, so pixels stop half an 8-bit value above it.
FLOOR = np.float32(1 / 512)

Losses = dict[str, float]
Iterates = Iterator[tuple[np.ndarray, Losses]]


@dataclass(frozen=True)
class Objective:
    """The weighted sum above.

    Attributes:
        near: A, the picture to see from close by, shape (C, H, W), float32 in [0, 1].
        far: B, the picture to see from afar, same shape.
        kernel: the blur, shape (2 r + 1,), float32.
        m_precise: weight of the likeness to A.
        m_blurred: weight of the blurred likeness to B.
        gamma: exponent from display values to linear light.
        border: what the blur sees beyond the border. The article's black pulls less at bright pixels there, so that
            they follow A, and a dark A draws a frame.
    """

    near: np.ndarray
    far: np.ndarray
    kernel: np.ndarray
    m_precise: float = 0.1
    m_blurred: float = 1.0
    gamma: float = 2.2
    border: Border = "mirror"

    @cached_property
    def far_blurred(self) -> np.ndarray:
        """B blurred in linear light, as display values."""
        return self._power(self._blur(self._power(self.far, self.gamma)), 1 / self.gamma)

    def losses(self, u: np.ndarray) -> Losses:
        """Return the losses of a picture by name: ``total``, and unweighted ``precise`` and ``blurred``."""
        blurred = self._power(self._blur(self._power(u, self.gamma)), 1 / self.gamma)
        return self._losses(u - self.near, blurred - self.far_blurred)

    def losses_and_gradient(self, u: np.ndarray) -> tuple[Losses, np.ndarray]:
        """Return the losses at ``u`` (values above 0) and the gradient of their total, an array of u's shape."""
        linear = self._power(u, self.gamma)
        light = self._blur(linear)
        seen = self._power(light, 1 / self.gamma)
        precise, blurred = u - self.near, seen - self.far_blurred
        # G is self-adjoint, so the chain rule through the blur is the blur again.
        pulled = self._blur(np.float32(2 * self.m_blurred) * blurred * seen / light)
        gradient = np.float32(2 * self.m_precise) * precise + pulled * linear / u  # γ cancels between both powers
        return self._losses(precise, blurred), gradient

    def _losses(self, precise: np.ndarray, blurred: np.ndarray) -> Losses:
        parts = {name: float(np.square(d).sum()) for name, d in (("precise", precise), ("blurred", blurred))}
        return {"total": self.m_precise * parts["precise"] + self.m_blurred * parts["blurred"]} | parts

    def _blur(self, planes: np.ndarray) -> np.ndarray:
        return blur(planes, self.kernel, self.border)

    @staticmethod
    def _power(values: np.ndarray, exponent: float) -> np.ndarray:
        return values ** np.float32(exponent)


def fourier(objective: Objective) -> np.ndarray:
    """Return the minimiser without gamma and without bounds: a Wiener filter (values may leave [0, 1]).

    With K the transfer function of the blur, (m_precise A + m_blurred K² B) / (m_precise + m_blurred K²). Cosine
    transforms mirror the pictures at their borders, where Fourier transforms would wrap them round.
    """
    o = objective
    height, width = o.near.shape[1:]
    power = o.m_blurred * np.outer(*(_transfer(o.kernel, side) for side in (height, width))) ** 2
    share = (power / (o.m_precise + power)).astype(np.float32)
    difference = scipy.fft.dctn(o.far - o.near, axes=(1, 2), overwrite_x=True)
    return o.near + scipy.fft.idctn(share * difference, axes=(1, 2), overwrite_x=True)


def _transfer(kernel: np.ndarray, side: int) -> np.ndarray:
    """Return the gain of a symmetric kernel at each of ``side`` cosines, k / (2 side) cycles per pixel."""
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    return np.cos(np.pi / side * np.outer(np.arange(side), offsets)) @ kernel


def classic(objective: Objective, low: float, high: float) -> np.ndarray:
    """Return B through a low-pass plus A through a high-pass (Oliva, Torralba & Schyns 2006, section 2).

    Args:
        objective: its two pictures are all that counts.
        low: where the gain of the Gaussian low-pass is a half, in cycles per longest side.
        high: where that of the high-pass is.

    Returns:
        Planes of the shape of the pictures; values may leave [0, 1].
    """
    o = objective
    height, width = o.near.shape[1:]
    cycles = [np.arange(side) / 2 * max(height, width) / side for side in (height, width)]
    square = np.add.outer(cycles[0] ** 2, cycles[1] ** 2)
    low_pass, stopped = (np.exp2(-square / cutoff**2).astype(np.float32) for cutoff in (low, high))
    near, far = (scipy.fft.dctn(planes, axes=(1, 2)) for planes in (o.near, o.far))
    return scipy.fft.idctn(low_pass * far + (1 - stopped) * near, axes=(1, 2), overwrite_x=True)


def fista(objective: Objective, start: np.ndarray, learning_rate: float = 0) -> Iterates:
    """Projected FISTA on the pixels (Beck & Teboulle 2009), restarted where momentum points uphill.

    Restarting is O'Donoghue & Candès 2015, section 3.2, the gradient scheme. The pixels need no sigmoid: projecting
    on [0, 1] is one clip.

    Args:
        objective: what to minimise.
        start: the first iterate, before it is clipped.
        learning_rate: 0: 0.5 / (m_precise + m_blurred), the inverse of the curvature of both squares.

    Yields:
        Pictures and their losses, the start first.
    """
    rate = np.float32(learning_rate or 0.5 / (objective.m_precise + objective.m_blurred))
    u = ahead = np.clip(start, FLOOR, 1)
    momentum = 0
    while True:
        yield u, objective.losses(u)
        _, gradient = objective.losses_and_gradient(ahead)
        last, u = u, np.clip(ahead - rate * gradient, FLOOR, 1)
        step = u - last
        momentum = 0 if (gradient * step).sum() > 0 else momentum + 1
        ahead = np.clip(u + np.float32(momentum / (momentum + 3)) * step, FLOOR, 1)


def descent(objective: Objective, start: np.ndarray, learning_rate: float = 0.3) -> Iterates:
    """Plain gradient descent on the logits of the pixels.

    Yields:
        Pictures and their losses, the start first.
    """
    logits = _logit(start)
    while True:
        u = _sigmoid(logits)
        losses, gradient = objective.losses_and_gradient(u)
        yield u, losses
        logits -= np.float32(learning_rate) * gradient * u * (1 - u)


def adam(objective: Objective, start: np.ndarray, learning_rate: float = 0.05) -> Iterates:
    """Adam on the logits of the pixels (Kingma & Ba 2015, algorithm 1, with its decay rates).

    Each pixel steps on its own scale: at the article's rate of 0.3 the loss falls fastest, and colours swing about.

    Yields:
        Pictures and their losses, the start first.
    """
    logits = _logit(start)
    mean, square = np.zeros_like(logits), np.zeros_like(logits)
    iteration = 0
    while True:
        u = _sigmoid(logits)
        losses, gradient = objective.losses_and_gradient(u)
        yield u, losses
        iteration += 1
        gradient *= u * (1 - u)
        mean += np.float32(0.1) * (gradient - mean)
        square += np.float32(0.001) * (gradient**2 - square)
        rate = np.float32(learning_rate * np.sqrt(1 - 0.999**iteration) / (1 - 0.9**iteration))
        logits -= rate * mean / (np.sqrt(square) + np.float32(1e-8))
        np.clip(logits, _logit(np.float32(0)), _logit(np.float32(1)), out=logits)  # further out, u would be 0


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _logit(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, FLOOR, 1 - FLOOR)
    return np.log(u / (1 - u))
