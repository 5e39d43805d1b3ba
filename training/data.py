"""Pictures to learn from: read once into memory, cut at random."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ENDINGS = (".webp", ".jpg", ".jpeg", ".png")


def pictures(source: Path, size: int, limit: int | None = None) -> np.ndarray:
    """Read the pictures of a folder or a zip, in the order of their names, cut to squares: (N, size, size, 3) uint8."""
    if source.is_dir():
        read = {str(path): path.read_bytes for path in source.rglob("*")}
    else:
        archive = zipfile.ZipFile(source)
        read = {name: lambda name=name: archive.read(name) for name in archive.namelist()}
    names = sorted(name for name in read if name.lower().endswith(ENDINGS))[:limit]
    if not names:
        raise SystemExit(f"There are no pictures in {source}: give a folder or a zip of {', '.join(ENDINGS)}.")
    data = [read[name]() for name in names]

    def decode(one: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(one)) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(decode, data)))


def crops(pictures: np.ndarray, rng: np.random.Generator, batch: int, size: int) -> np.ndarray:
    """Cut squares at random places out of random pictures, half of them mirrored: (batch, size, size, 3) float32."""
    cut = np.empty((batch, size, size, 3), np.float32)
    for i in range(batch):
        picture = pictures[rng.integers(len(pictures))]
        y, x = (rng.integers(side - size + 1) for side in picture.shape[:2])
        piece = picture[y : y + size, x : x + size]
        cut[i] = piece[:, ::-1] if rng.random() < 0.5 else piece
    return cut / 255
