"""Photos with label maps: read once into memory, cut at random.

The data is one zip: ``p/NAME.webp`` photos, ``l/NAME.webp`` label maps (lossless, 16 times the class in each channel),
both square, and ``index.json`` with ``classes`` (the painter's, in order) and the names in ``train``, ``eval``
(held-out) and ``doodles`` (label maps without a photo).
"""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from pipeline import spade

MIN_ZOOM = 0.875
COARSE_SIGMA = 5 / 256  # of the side


@dataclass(frozen=True)
class Landscapes:
    """uint8 photos (N, size, size, 3) and label maps (N, size, size) to learn from, and those kept apart."""

    photos: np.ndarray
    labels: np.ndarray
    held_photos: np.ndarray
    held_labels: np.ndarray
    doodles: np.ndarray


def read(source: Path, size: int) -> Landscapes:
    """Read a data set at a size."""

    def pictures(folder: str, which: str, how: Image.Resampling) -> np.ndarray:
        def decode(data: bytes) -> np.ndarray:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB").resize((size, size), how))

        files = [archive.read(f"{folder}/{name}.webp") for name in index[which]]
        with ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(decode, files)))

    def photos(which: str) -> np.ndarray:
        return pictures("p", which, Image.Resampling.LANCZOS)

    def maps(which: str) -> np.ndarray:
        return pictures("l", which, Image.Resampling.NEAREST)[..., 0] // 16

    try:
        with zipfile.ZipFile(source) as archive:
            index = json.loads(archive.read("index.json"))
            if tuple(index["classes"]) == spade.CLASSES:
                return Landscapes(photos("train"), maps("train"), photos("eval"), maps("eval"), maps("doodles"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise SystemExit(f"{source} can't be read ({error}): training/landscapes.py describes it.") from None
    raise SystemExit(f"The classes of {source} are not the painter's: make index.json list {spade.CLASSES}.")


def shares(labels: np.ndarray) -> np.ndarray:
    """Return how much of each label map (N, H, W) each class takes: (N, 16) float32, rows of sum 1."""
    counts = [np.bincount(one.ravel(), minlength=len(spade.CLASSES)) for one in labels]
    return np.float32(counts) / labels[0].size


def odds(shares: np.ndarray, balance: float) -> np.ndarray:
    """Return how often to draw each picture: those with much of a rare class more often, at most about 13 times.

    Args:
        shares: (N, 16).
        balance: 0: all alike but for those with much of "other"; 1: as if all classes were equally common.

    Returns:
        (N,), of sum 1.
    """
    rarity = 1 / (shares.mean(0) + 2e-3) ** balance
    weights = (shares * rarity)[:, 1:].sum(1)  # "other" is nothing to learn more of
    weights = (weights / weights.mean()).clip(0.3, 4)
    return weights / weights.sum()


def coarse(labels: np.ndarray) -> np.ndarray:
    """Round off a label map (H, W) until it looks as if drawn with a brush."""
    present = np.unique(labels)
    blur = ImageFilter.GaussianBlur(COARSE_SIGMA * labels.shape[0])
    blurred = [np.asarray(Image.fromarray(np.uint8(255 * (labels == c))).filter(blur)) for c in present]
    return present[np.argmax(blurred, axis=0)]


def crop(photo: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut the same square out of a photo and its labels and bring it to a size; half of them mirrored.

    Half of the squares are the whole photo, the others down to a piece of the size itself, or an eighth less.
    """
    whole = len(photo)
    side = rng.uniform(min(size, MIN_ZOOM * whole), whole) if rng.random() < 0.5 else whole
    left, top = rng.uniform(0, whole - side, 2)
    box = (left, top, left + side, top + side)
    photo, labels = (
        np.asarray(Image.fromarray(x).resize((size, size), how, box))
        for x, how in ((photo, Image.Resampling.BILINEAR), (labels, Image.Resampling.NEAREST))
    )
    return (photo[:, ::-1], labels[:, ::-1]) if rng.random() < 0.5 else (photo, labels)
