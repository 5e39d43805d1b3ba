"""Coarse to fine: the sizes of a picture's pyramid, and resampling between them."""

import numpy as np

from .images import MIN_SIDE


def shapes(height: int, width: int, count: int) -> list[tuple[int, int]]:
    """Return (height, width) from coarse to fine, each smaller by sqrt 2 than the next; the last is the picture's.

    Args:
        height: of the picture.
        width: of the picture.
        count: how many; there are fewer where the shorter side would fall under ``images.MIN_SIDE``.
    """
    factors = [2 ** (-i / 2) for i in range(count)]
    levels = [(round(height * f), round(width * f)) for f in factors]
    return [level for i, level in enumerate(levels) if i == 0 or min(level) >= MIN_SIDE][::-1]


def resize(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resample (H, W, C) by a bicubic filter, smoothed first where it shrinks; values may overshoot."""
    import tensorflow as tf

    if array.shape[:2] == tuple(shape):
        return array
    return tf.image.resize(array, shape, "bicubic", antialias=True).numpy()
