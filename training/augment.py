"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): discriminators see real and painted pictures through the same
random changes, so that they can't learn a few thousand photos by heart; gradients flow through the changes.

NumPy draws the numbers, the device applies them: the same batch gives the same pictures on any backend.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

SHIFT = 0.1  # of the side
CUTOUT = 0.35


def draw(rng: np.random.Generator, count: int, size: int, probability: float) -> dict[str, np.ndarray]:
    """Draw the changes of a batch; each picture's colours and its cutout with the given probability."""

    def some(low: float, high: float, on: np.ndarray) -> np.ndarray:
        return (on * rng.uniform(low, high, on.shape)).astype(np.float32)

    colours, cut = (rng.random((count, 1, 1, 1)) < probability for _ in range(2))
    reach = max(1, round(SHIFT * size))
    return {
        "brightness": some(-0.2, 0.2, colours),
        "saturation": 1 + some(-0.8, 0.8, colours),
        "contrast": 1 + some(-0.4, 0.4, colours),
        # One shift per batch: a slice is much faster than a gather per picture, and batches are many.
        "shift": np.int32([0, *rng.integers(0, 2 * reach + 1, 2), 0]),
        "cutout": (size * CUTOUT * cut).astype(np.float32),
        "row": some(0, size, np.ones_like(cut)),
        "column": some(0, size, np.ones_like(cut)),
    }


def labels(label_map: Any, drawn: Mapping[str, Any]) -> Any:
    """Shift label maps (N, H, H, C) as ``pictures`` shifts pictures; beyond the edge is no class."""
    reach = max(1, round(SHIFT * label_map.shape[1]))
    padded = ops.pad(label_map, [[0, 0], [reach, reach], [reach, reach], [0, 0]])
    return ops.slice(padded, drawn["shift"], label_map.shape)


def recoloured(image: Any, drawn: Mapping[str, Any]) -> Any:
    """Change brightness, saturation and contrast of pictures (N, H, W, 3); the result may leave their range."""
    x = image + drawn["brightness"]
    grey = ops.mean(x, axis=-1, keepdims=True)
    x = grey + (x - grey) * drawn["saturation"]
    grey = ops.mean(x, axis=(1, 2, 3), keepdims=True)
    return grey + (x - grey) * drawn["contrast"]


def pictures(image: Any, drawn: Mapping[str, Any]) -> Any:
    """Change pictures (N, H, H, 3) in [0, 1]: colours, a shift, a grey square; the result may leave [0, 1]."""
    x = labels(recoloured(image - 0.5, drawn), drawn)
    place = np.arange(image.shape[1], dtype=np.float32)
    rows = ops.abs(place[None, :, None, None] - drawn["row"]) < drawn["cutout"] / 2
    columns = ops.abs(place[None, None, :, None] - drawn["column"]) < drawn["cutout"] / 2
    return ops.where(ops.logical_and(rows, columns), 0.0, x) + 0.5
