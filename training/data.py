"""Pictures to learn from: read once into memory, cut at random."""

import io
import itertools
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline import images

ENDINGS = (".webp", ".jpg", ".jpeg", ".png")


def files(source: Path) -> dict[str, bytes]:
    """Read the picture files of a folder or a zip, in the order of their names; or of an .npz of many in one array.

    The .npz has ``data``, all files one after another (uint8), and ``off``, where each begins, and the end.
    """
    try:
        if source.suffix == ".npz":
            packed = np.load(source)
            data, ends = packed["data"].tobytes(), packed["off"]
            return {f"picture {i}": data[a:b] for i, (a, b) in enumerate(itertools.pairwise(ends))}
        if source.is_dir():
            read = {str(path): path.read_bytes() for path in source.rglob("*") if _is_picture(path)}
        else:
            with zipfile.ZipFile(source) as archive:
                read = {name: archive.read(name) for name in archive.namelist() if _is_picture(Path(name))}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{source} can't be read ({error}): give a folder or a zip of pictures.") from None
    if not read:
        raise SystemExit(f"There are no pictures in {source}: give a folder or a zip of {', '.join(ENDINGS)}.")
    return {name: read[name] for name in sorted(read)}


def _is_picture(path: Path) -> bool:
    # Macs put files of other content beside those of a zip, with a dot before their names.
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def pictures(source: Path, size: int) -> np.ndarray:
    """Read the pictures of a folder or a zip, in the order of their names, cut to squares: (N, size, size, 3) uint8."""

    def cut(image: Image.Image) -> np.ndarray:
        return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))

    return np.stack(_decoded(source, cut))


def drawings(source: Path, least: int) -> list[np.ndarray]:
    """Read pixel art as it is, (H, W, 3) uint8 each, without any that is smaller: resizing would spoil it."""
    found = [drawing for drawing in _decoded(source, np.asarray) if min(drawing.shape[:2]) >= least]
    if not found:
        raise SystemExit(f"There is no picture of {least}x{least} pixels or more in {source}: make --size smaller.")
    return found


def _decoded(source: Path, become: Callable[[Image.Image], np.ndarray]) -> list[np.ndarray]:
    def decode(name: str, data: bytes) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(data)) as image:
                return become(images.upright(image, name))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SystemExit(f"{name} of {source} is no picture, or damaged ({error}): take it out.") from None

    found = files(source)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(decode, found, found.values()))


def crops(pictures: Sequence[np.ndarray], rng: np.random.Generator, batch: int, size: int) -> np.ndarray:
    """Cut squares at random places out of random pictures, half of them mirrored: (batch, size, size, 3) float32."""
    cut = np.empty((batch, size, size, 3), np.float32)
    for i in range(batch):
        picture = pictures[rng.integers(len(pictures))]
        y, x = (rng.integers(side - size + 1) for side in picture.shape[:2])
        piece = picture[y : y + size, x : x + size]
        cut[i] = piece[:, ::-1] if rng.random() < 0.5 else piece
    return cut / 255
