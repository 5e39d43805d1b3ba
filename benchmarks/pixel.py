"""Pixel art against Pillow's quantise and PixelOE: milliseconds and error, on the same pictures in one run.

    python -m benchmarks.pixel [photo ...] [--sheet sheet.png]

PixelOE is compared where it is installed (pip install pixeloe).
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import colour, images, palettes, pixel

from . import EXAMPLES, REPEATS, seconds

PHOTOS = [EXAMPLES / f"{name}.jpg" for name in ("content/astronaut", "styles/great_wave", "styles/arcimboldo_spring")]
COUNTS = (4, 8, 16, 32, 64, 256)
MEGAPIXEL = 1_000_000
CELLS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, default=PHOTOS)
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet of cell colours x palettes")
    args = parser.parse_args()
    photos = [_megapixel(images.load(path)) for path in args.photos]
    print(f"{len(photos)} photos of 1 megapixel; milliseconds: best of {REPEATS}, mean over photos; errors: RMS, mean")
    _compare_palettes(photos)
    _compare_whole(photos)
    _time_controls(photos[0])
    if args.sheet:
        _sheet(args.photos, args.sheet)


def _megapixel(photo: Image.Image) -> Image.Image:
    scale = (MEGAPIXEL / (photo.width * photo.height)) ** 0.5
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    return function(), 1000 * seconds(function)


def _errors(made: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
    """Root mean square of Delta E OK2 and Delta E OK, times 100, and of RGB in 0 ... 255; both uint8 (H, W, 3)."""

    def rms(difference: np.ndarray) -> float:
        return float(np.sqrt((difference**2).sum(axis=-1).mean()))

    lab = palettes.to_lab(made) - palettes.to_lab(wanted)
    ok = colour.srgb_to_oklab(made / 255) - colour.srgb_to_oklab(wanted / 255)
    return 100 * rms(lab), 100 * rms(ok), rms(made.astype(float) - wanted)


def _table(rows: dict[str, list[tuple[float, ...]]]) -> dict[str, tuple[float, ...]]:
    """Print one line per method: its means over the photos."""
    means = {name: tuple(map(statistics.mean, zip(*found, strict=True))) for name, found in rows.items()}
    for name, (ms, *errors) in means.items():
        print(f"  {name:32}{ms:8.1f}" + "".join(f"{error:12.3f}" for error in errors))
    return means


def _compare_palettes(photos: Sequence[Image.Image]) -> None:
    smalls = [
        pixel.shrink(photo, pixel.Settings(width=CELLS, height=CELLS, method="mean"))[..., :3] for photo in photos
    ]
    for count in COUNTS:
        print(f"\n{count} colours, {CELLS} pixels a side{'ms':>14}{'dE OK2':>12}{'dE OK':>12}{'RGB':>12}")
        methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {"ours: k-means": lambda a, k=count: _ours(a, k)}
        for method in (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE, Image.Quantize.FASTOCTREE):
            # Pillow's kmeans is the number of moves at which it stops: 1 runs to the end; FASTOCTREE ignores it.
            for kmeans in (0, 1) if method != Image.Quantize.FASTOCTREE else (0,):
                name = f"Pillow: {method.name}" + (", kmeans=1" if kmeans else "")
                methods[name] = lambda a, k=count, m=method, n=kmeans: _pillow(a, k, m, n)
        rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
        for small in smalls:
            for name, method in methods.items():
                made, ms = _timed(lambda method=method, small=small: method(small))
                rows[name].append((ms, *_errors(made, small)))
        ours, *pillow = _table(rows).values()
        better = [f"{min(p[i] for p in pillow) / ours[i]:.2f}" for i in (1, 2, 3)]
        print(f"  {'best of Pillow / ours':40}{better[0]:>12}{better[1]:>12}{better[2]:>12}")


def _ours(small: np.ndarray, count: int) -> np.ndarray:
    palette = palettes.kmeans(small.reshape(-1, 3), count)
    return palette[palettes.nearest(palettes.to_lab(small), palette)]


def _pillow(small: np.ndarray, count: int, method: Image.Quantize, kmeans: int) -> np.ndarray:
    made = Image.fromarray(small).quantize(count, method=method, kmeans=kmeans, dither=Image.Dither.NONE)
    return np.asarray(made.convert("RGB"))


def _compare_whole(photos: Sequence[Image.Image]) -> None:
    print(f"\nWhole effect, 16 colours{'ms':>24}{'dE OK2':>12}{'dE OK':>12}{'RGB':>12}  (to the cells' linear mean)")
    methods: dict[str, Callable[[Image.Image], Image.Image]] = {}
    for name in ("contrast", "k-centroid", "centre", "mean", *["neural"] * pixel.NEURAL):
        methods[f"ours: {name}"] = lambda photo, m=name: pixel.pixelate(photo, method=m, upscale=1)
    methods["ours: contrast, outlines"] = lambda photo: pixel.pixelate(photo, outline=0.5, upscale=1)
    try:
        from pixeloe.legacy.pixelize import pixelize
    except ImportError:
        print("  PixelOE is not installed: pip install pixeloe")
    else:
        for mode in ("contrast", "k-centroid", "center"):
            for thickness in (0, 2):
                name = f"PixelOE: {mode}" + (", outlines" if thickness else "")
                methods[name] = lambda photo, m=mode, t=thickness: _pixeloe(pixelize, photo, m, t)
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for photo in photos:
        wanted = pixel.shrink(photo, pixel.Settings(width=CELLS, height=CELLS, method="mean"))[..., :3]
        for name, method in methods.items():
            made, ms = _timed(lambda method=method, photo=photo: method(photo))
            # PixelOE's is a cell narrower at times.
            assert np.abs(np.subtract(made.size, wanted.shape[1::-1])).max() <= 1, (name, made.size)
            made = made.convert("RGB").resize(wanted.shape[1::-1], Image.Resampling.NEAREST)
            rows[name].append((ms, *_errors(np.asarray(made), wanted)))
    means = _table(rows)
    for name in means:
        if name.startswith("PixelOE"):
            ours = name.replace("PixelOE", "ours").replace("center", "centre")
            ours = "ours: contrast, outlines" if "outlines" in name else ours
            print(f"  {name} / {ours}: {means[name][0] / means[ours][0]:.1f} times as long")


def _pixeloe(pixelize: Callable, photo: Image.Image, mode: str, thickness: int) -> Image.Image:
    # It resizes to target_size x patch_size first: with these numbers, to about what the photo has already.
    size = images.fitted(photo.size, CELLS)
    patch = round(photo.width / size[0])
    bgr = np.ascontiguousarray(np.asarray(photo)[..., ::-1])
    made = pixelize(bgr, mode=mode, target_size=size, patch_size=patch, thickness=thickness, colors=16, no_upscale=True)
    return Image.fromarray(made[..., ::-1])


def _time_controls(photo: Image.Image) -> None:
    print("\nOurs, whatever control changes, enlarged picture included: ms")
    controls: list[dict[str, Any]] = [{}, *({"method": name} for name in pixel.METHODS)]
    controls += [{"outline": 0.5}, {"colours": 64}, {"colours": 256}, {"palette": "nes"}, {"stretch": True}]
    controls += [{"dither": "bayer8"}, {"dither": "floyd-steinberg"}, {"grid": True}, {"cell": 8}, {"upscale": 16}]
    controls += [{"width": side, "height": side} for side in (16, 256, 512)]
    for control in controls:
        _, ms = _timed(lambda control=control: pixel.pixelate(photo, **control))
        print(f"  {', '.join(f'{k}={v}' for k, v in control.items()) or 'defaults':32}{ms:8.1f}")


def _sheet(photos: Sequence[Path], path: Path) -> None:
    """Write one row per photo and cell colour, one column per palette, enlarged three times."""
    looks = [{}, {"palette": "sweetie-16"}, {"palette": "pico-8", "dither": "bayer4"}]
    looks += [{"palette": "game-boy", "stretch": True, "dither": "bayer4"}, {"palette": "nes"}, {"palette": "c64"}]
    looks += [{"palette": "1-bit", "stretch": True, "dither": "floyd-steinberg"}]
    rows = [
        [pixel.pixelate(photo, method=method, upscale=3, **look).convert("RGB") for look in looks]
        for photo in photos
        for method in ("contrast", "k-centroid", "mean", "median", "centre")
    ]
    gap, width = 6, max(tile.width for row in rows for tile in row)
    sheet = Image.new("RGB", ((width + gap) * len(looks), sum(row[0].height + gap for row in rows)), "white")
    top = 0
    for row in rows:
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * (width + gap), top))
        top += row[0].height + gap
    images.save(sheet, path)


if __name__ == "__main__":
    main()
