"""Patch discriminators: whether each small square of a picture looks real.

PatchGAN (Isola et al. 2017, arXiv 1611.07004) with the loss of least squares (Mao et al. 2016, arXiv 1611.04076) and,
before it, a little of DiffAugment (Zhao et al. 2020, arXiv 2006.10738): colours, and noise. Translation is left out, as
these networks see every position alike.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from pipeline.stylizer import instance_norm

from . import augment

LEAK = 0.2
SIZE = 4
MOST_CHANNELS = 256


def initialise(seed: int, halvings: int, width: int) -> dict[str, np.ndarray]:
    """Draw the weights of a discriminator whose fields are 16, 34 or 70 pixels wide for 1, 2 or 3 halvings."""
    rng = np.random.default_rng(seed)
    widths = [3, *(min(width * 2**i, MOST_CHANNELS) for i in range(halvings + 1)), 1]
    tensors = {}
    for i, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        tensors[f"conv{i}.kernel"] = rng.normal(0, 0.02, (SIZE, SIZE, inputs, outputs)).astype(np.float32)
        if i in (0, len(widths) - 2):
            tensors[f"conv{i}.bias"] = np.zeros(outputs, np.float32)
        else:
            tensors[f"conv{i}.norm.scale"] = np.ones(outputs, np.float32)
            tensors[f"conv{i}.norm.shift"] = np.zeros(outputs, np.float32)
    return tensors


def realness(picture: Any, tensors: Mapping[str, Any], dtype: str) -> Any:
    """Return one score per patch of pictures (N, H, W, 3): near 1 looks real, near 0 made; (N, h, w, 1) float32."""
    last = sum(name.endswith("kernel") for name in tensors) - 1
    x = ops.cast(2 * picture - 1, dtype)
    for i in range(last + 1):
        kernel = ops.cast(tensors[f"conv{i}.kernel"], dtype)
        x = ops.conv(x, kernel, 2, "same") if i < last - 1 else ops.conv(x, kernel, 1, "valid")
        if f"conv{i}.bias" in tensors:
            x = x + ops.cast(tensors[f"conv{i}.bias"], dtype)
        else:
            x = instance_norm([x], tensors[f"conv{i}.norm.scale"][None], tensors[f"conv{i}.norm.shift"][None])[0]
        x = ops.leaky_relu(x, LEAK) if i < last else x
    return ops.cast(x, "float32")


def disguise(rng: np.random.Generator, shape: tuple[int, ...], noise: float) -> dict[str, np.ndarray]:
    """Draw what ``disguised`` needs for pictures of a shape (N, H, W, 3)."""

    def factors(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (shape[0], 1, 1, 1)).astype(np.float32)

    return {
        "brightness": factors(-0.15, 0.15),
        "saturation": factors(0.2, 1.6),
        "contrast": factors(0.75, 1.25),
        "noise": noise * rng.standard_normal(shape, np.float32),
    }


def disguised(picture: Any, how: Mapping[str, Any]) -> Any:
    """Change the colours of pictures, and hide under noise whether their pixels are exactly equal."""
    return augment.recoloured(picture, how) + how["noise"]
