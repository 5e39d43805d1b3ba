"""The losses of neural style: how far a picture is from a photo's content and from a painting's style.

A style is two moments of a layer's features, ``Statistics``; each style loss compares two of them. Moments are means
over pixels, so they blend linearly (several styles), add up over tiles, and become those of a region under a guide.
Everything is in float32. A style loss is divided by the size of its target: it is of order one for any picture, size,
layer and network, so that weights mean the same everywhere. ``paper_gram_loss`` is as published.
"""

from typing import Any, NamedTuple

import numpy as np

# Newton-Schulz iterations: enough for a condition number of about 1e5, which the ridge below guarantees.
ROOT_ITERATIONS = 15
RIDGE = 1e-5


class Statistics(NamedTuple):
    """Moments of features under N guides.

    Attributes:
        mean: E[x], (N, C).
        second: E[x xᵀ], (N, C, C): the Gram matrix over the number of pixels.
    """

    mean: Any
    second: Any


def statistics(feature: Any, guides: Any = None) -> Statistics:
    """Average features and their products over pixels.

    ``second`` is the Gram matrix of Gatys et al. 2015 (arXiv 1508.06576, equation 3) over the number of pixels; under
    guides it is the guided Gram matrix of Gatys et al. 2017 (arXiv 1611.07865, section 4).

    Args:
        feature: (1, H, W, C).
        guides: weights of the pixels, (N, H, W), each of sum 1; None: one guide, equal everywhere.

    Returns:
        The moments in float32, one row per guide.
    """
    from keras import ops

    x = ops.reshape(ops.cast(feature, "float32"), (-1, feature.shape[-1]))
    if guides is None:
        pixels = ops.cast(ops.shape(x)[0], "float32")
        return Statistics(ops.mean(x, axis=0)[None], (ops.matmul(ops.transpose(x), x) / pixels)[None])
    rows = ops.reshape(guides, (guides.shape[0], -1))
    second = [ops.matmul(ops.transpose(rows[i][:, None] * x), x) for i in range(guides.shape[0])]
    return Statistics(ops.matmul(rows, x), ops.stack(second))


def covariance(s: Statistics) -> Any:
    """Return E[x xᵀ] - E[x] E[x]ᵀ, (N, C, C)."""
    return s.second - s.mean[:, :, None] * s.mean[:, None, :]


def squared_error(feature: Any, target: Any, inside: Any = None) -> Any:
    """Return Σ (F - P)², a scalar: twice the content loss of Gatys et al. 2015, equation 1.

    Args:
        feature: (1, H, W, C).
        target: (1, H, W, C).
        inside: which pixels count, (1, H, W, 1); None: all.
    """
    from keras import ops

    difference = ops.cast(feature, "float32") - target
    return ops.sum(ops.square(difference if inside is None else difference * inside))


def gram_loss(s: Statistics, target: Statistics) -> Any:
    """Return |G - A|² / |A|² for each guide, (N,): Gatys et al. 2015, equation 4, in units of the target."""
    return _relative(s.second, target.second)


def covariance_loss(s: Statistics, target: Statistics) -> Any:
    """Return the mean of the relative squared distances of covariance and of mean, (N,)."""
    return (_relative(covariance(s), covariance(target)) + _relative(s.mean, target.mean)) / 2


def wasserstein_loss(s: Statistics, target: Statistics, root: Any) -> Any:
    """Return the squared Wasserstein-2 distance of two normal distributions over the target's E[|x|²], (N,).

    |m - m'|² + tr(C + C' - 2 (C'^½ C C'^½)^½): Dowson & Landau 1982, equation 4; as a style loss Vacher et al. 2020
    (arXiv 2006.03698).

    Args:
        s: moments of the picture.
        target: moments of the painting.
        root: ``covariance_root(target)``.
    """
    from keras import ops

    c = covariance(s)
    middle = ops.matmul(ops.matmul(root, c), root)
    spread = _trace(c) + _trace(covariance(target)) - 2 * trace_root(middle)
    distance = ops.sum(ops.square(s.mean - target.mean), axis=-1) + spread
    return distance / (_trace(target.second) + 1e-12)


def covariance_root(target: Statistics) -> np.ndarray:
    """Return the symmetric square root of the covariance, (N, C, C) float32, as a constant."""
    values, vectors = np.linalg.eigh(np.asarray(covariance(target), np.float64))
    roots = np.sqrt(np.maximum(values, 0))[:, None, :]
    return np.float32((vectors * roots) @ np.swapaxes(vectors, -1, -2))


def trace_root(matrix: Any) -> Any:
    """Return tr(A^½) of symmetric positive matrices (N, C, C), by coupled Newton-Schulz iteration (Higham 2008, 6.35).

    The iteration yields A^-½ as well, and ∂ tr(A^½) / ∂A = ½ A^-½: the gradient costs nothing more.
    """
    from keras import ops

    @ops.custom_gradient
    def apply(a: Any) -> Any:
        one = ops.eye(a.shape[-1])
        # Features are linearly dependent, and a covariance of few pixels has no full rank.
        a = (a + ops.transpose(a, (0, 2, 1))) / 2
        a = a + (RIDGE * _trace(a)[:, None, None] / a.shape[-1] + 1e-12) * one
        norm = ops.sqrt(ops.sum(ops.square(a), axis=(1, 2), keepdims=True))
        y, z = a / norm, one + ops.zeros_like(a)
        for _ in range(ROOT_ITERATIONS):
            t = 1.5 * one - 0.5 * ops.matmul(z, y)
            y, z = ops.matmul(y, t), ops.matmul(t, z)
        scale = ops.sqrt(norm)

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            return upstream[:, None, None] * z / (2 * scale)

        return _trace(y) * scale[:, 0, 0], gradient

    return apply(matrix)


def paper_gram_loss(s: Statistics, target: Statistics) -> Any:
    """Return Σ (G - A)² / (4 C²), (N,): Gatys et al. 2015, equation 4, whose 1 / M² is in the moments already."""
    from keras import ops

    return ops.sum(ops.square(s.second - target.second), axis=(1, 2)) / (4 * s.second.shape[-1] ** 2)


def total_variation(image: Any) -> Any:
    """Return the mean squared difference of neighbours, down plus across, of (1, H, W, 3): a scalar."""
    from keras import ops

    down = ops.mean(ops.square(image[:, 1:] - image[:, :-1]))
    return down + ops.mean(ops.square(image[:, :, 1:] - image[:, :, :-1]))


def _relative(a: Any, b: Any) -> Any:
    from keras import ops

    axes = tuple(range(1, len(b.shape)))
    return ops.sum(ops.square(a - b), axis=axes) / (ops.sum(ops.square(b), axis=axes) + 1e-12)


def _trace(matrix: Any) -> Any:
    from keras import ops

    return ops.trace(matrix, axis1=-2, axis2=-1)
