"""Regions: a picture of labels, in fixed colours, becomes soft guides for every layer."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from . import images
from .errors import BadInput
from .images import ImageSource

# The first colour is for the first painting, and so on; black, or transparent, keeps the photo.
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
# A painting's statistics in fewer pixels than this part of the picture are noise.
SMALLEST = 0.005
# Painted strokes are antialiased and JPEG bleeds: so many pixels may be any colour, and go to the nearest.
UNCLEAR = 0.1
# Width of the transition between regions, as a part of the picture's longer side.
SOFTNESS = 0.015


def read(source: ImageSource, count: int, size: tuple[int, int]) -> np.ndarray:
    """Read a label map: ``COLOURS`` in order for the paintings, black or transparent for the photo.

    Args:
        source: the map, of any size.
        count: how many paintings there are.
        size: width and height to scale it to.

    Returns:
        Masks (count, H, W), float32, 0 or 1, at most one of them 1 at each pixel.

    Raises:
        BadInput: another colour, a painting without a region, a region too small, or a colour without a painting.
    """
    image = images.load(source, alpha=True)
    image = image.resize(size, Image.Resampling.NEAREST).convert("RGBA")
    pixels = np.asarray(image, np.int32)
    legal = np.array([(0, 0, 0), *COLOURS.values()])
    distance = np.abs(pixels[:, :, None, :3] - legal).max(-1)
    seen = pixels[:, :, 3] >= 128
    label = np.where(seen, distance.argmin(-1), 0)
    if np.mean(seen & (distance.min(-1) > 64)) > UNCLEAR:
        raise BadInput(f"The label map has other colours than {', '.join(COLOURS)} and black: paint it in those.")
    names = list(COLOURS)
    areas = np.bincount(label.ravel(), minlength=len(legal))[1:] / label.size
    for i, name in enumerate(names):
        if i < count and areas[i] < SMALLEST:
            what = "no region" if areas[i] == 0 else f"only {areas[i]:.2%} of the photo"
            raise BadInput(f"Painting {i + 1} has {what}: paint at least {SMALLEST:.1%} of it in {name}.")
        if i >= count and areas[i] >= SMALLEST:
            raise BadInput(f"There is {name} in the label map, but no painting {i + 1}: add one, or erase it.")
    return np.float32(label == np.arange(1, count + 1)[:, None, None])


def soften(masks: np.ndarray) -> np.ndarray:
    """Blur masks (N, H, W) over a fixed part of the picture, so that what they join meets without a seam."""
    from scipy.ndimage import gaussian_filter

    radius = SOFTNESS * max(masks.shape[1:])
    return np.stack([gaussian_filter(mask, radius, mode="nearest") for mask in masks])


def cover(masks: np.ndarray) -> np.ndarray:
    """Return how far the paintings cover the photo, (H, W, 1): 0 outside all masks, rising to 1 inside them."""
    painted = soften(masks.max(0, keepdims=True))[0]
    return np.clip(2 * painted - 1, 0, 1)[..., None]


def guides(masks: np.ndarray, taps: Sequence[str]) -> dict[str, np.ndarray]:
    """Propagate masks to layers: averaged wherever the network pools, which makes soft edges, then scaled to sum 1.

    Args:
        masks: (N, H, W).
        taps: layers as in ``vgg.layers``.

    Returns:
        Guides (N, H', W') by layer (Gatys et al. 2017, arXiv 1611.07865, section 4).
    """
    found = {}
    level = masks
    for block in range(1, 6):
        if block > 1:
            n, h, w = level.shape
            level = level[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2).mean((2, 4))
        for tap in taps:
            if tap.startswith(f"relu{block}_"):
                found[tap] = np.float32(level / (level.sum((1, 2), keepdims=True) + 1e-12))
    return found
