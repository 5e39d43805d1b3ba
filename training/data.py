"""Pictures to learn from: read once into memory, cut at random."""

import io
import itertools
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ENDINGS = (".webp", ".jpg", ".jpeg", ".png")


def files(source: Path) -> list[bytes]:
    """Read the picture files of a folder or a zip, in the order of their names; or of an .npz of many in one array.

    The .npz has ``data``, all files one after another (uint8), and ``off``, where each begins, and the end.
    """
    if source.suffix == ".npz":
        packed = np.load(source)
        data, ends = packed["data"].tobytes(), packed["off"]
        return [data[a:b] for a, b in itertools.pairwise(ends)]
    if source.is_dir():
        read = {str(path): path.read_bytes for path in source.rglob("*")}
    else:
        archive = zipfile.ZipFile(source)
        read = {name: lambda name=name: archive.read(name) for name in archive.namelist()}
    names = sorted(name for name in read if name.lower().endswith(ENDINGS))
    if not names:
        raise SystemExit(f"There are no pictures in {source}: give a folder or a zip of {', '.join(ENDINGS)}.")
    return [read[name]() for name in names]


def pictures(source: Path, size: int, limit: int | None = None) -> np.ndarray:
    """Read the pictures of a folder or a zip, in the order of their names, cut to squares: (N, size, size, 3) uint8."""

    def decode(one: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(one)) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(decode, files(source)[:limit])))


def drawings(source: Path, least: int) -> list[np.ndarray]:
    """Read pixel art as it is, (H, W, 3) uint8 each, without any that is smaller: resizing would spoil it."""

    def decode(one: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(one)) as image:
            return np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor() as pool:
        found = [drawing for drawing in pool.map(decode, files(source)) if min(drawing.shape[:2]) >= least]
    if not found:
        raise SystemExit(f"There is no picture of {least}x{least} pixels or more in {source}: make --size smaller.")
    return found


def crops(pictures: Sequence[np.ndarray], rng: np.random.Generator, batch: int, size: int) -> np.ndarray:
    """Cut squares at random places out of random pictures, half of them mirrored: (batch, size, size, 3) float32."""
    cut = np.empty((batch, size, size, 3), np.float32)
    for i in range(batch):
        picture = pictures[rng.integers(len(pictures))]
        y, x = (rng.integers(side - size + 1) for side in picture.shape[:2])
        piece = picture[y : y + size, x : x + size]
        cut[i] = piece[:, ::-1] if rng.random() < 0.5 else piece
    return cut / 255
