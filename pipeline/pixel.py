"""Pixel art: a photo as a few hundred cells a side, in a few colours.

The photo is cut into a grid of cells, each cell becomes one pixel, and each pixel one colour of a palette. All that
makes pixel art is done at the small size; only the finished picture is enlarged, by a whole factor.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from math import ceil, isqrt
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from . import colour, images, palettes, unet, weights
from .errors import BadInput
from .images import ImageSource
from .precision import compute_dtype
from .settings import Settings as Base
from .settings import setting
from .step import Step, last

TITLE = "Pixel art"
NETWORKS = ()
# One cell colour is drawn by a network. Where its weights are not bundled, that choice is missing, and all else works.
ARTIST = "pixel_artist"
NEURAL = weights.available(ARTIST)

# Photos are shrunk so far that all cells together have at most this many pixels: no control then takes longer.
MAX_SAMPLES = 1_200_000
# An enlargement chosen by us keeps the result's longest side within this.
VIEW_SIDE = 1024
# All enlarged pictures of a result have at most this many pixels, of a byte each.
MAX_ENLARGED = 100_000_000
# Cells narrower than this would be all grid line.
MIN_GRID_FACTOR = 3
GRID_LINE = (128, 128, 128)
# A thin line counts where it differs by this much luma from all around, and fills this share of its cell.
LOST_CONTRAST = 0.1
LOST_SHARE = 0.1
TWO_MEANS_ITERATIONS = 3
# Groups are formed for so many values at a time: they stay in the processor's cache.
_BAND = 1 << 18
# The blocks of the classical method: tf.nn.avg_pool over 8x8 pixels.
POOL = 8

# Screens of old machines, and sizes that are usual.
SIZES: Mapping[str, tuple[int, int]] = {
    "small icon": (16, 16),
    "icon": (32, 32),
    "large icon": (64, 64),
    "thumbnail": (128, 96),
    "PICO-8": (128, 128),
    "Game Boy": (160, 144),
    "NES": (256, 240),
    "VGA": (320, 200),
}

# Whole looks: what they do not mention keeps its default.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "Studio": {},
    "Game Boy": dict(width=160, height=144, fit="crop", palette="game-boy", stretch=True, dither="bayer4"),
    "NES": dict(width=256, height=240, fit="crop", palette="nes", dither="bayer2"),
    "PICO-8": dict(width=128, height=128, fit="crop", palette="pico-8", dither="bayer4"),
    "Commodore 64": dict(width=160, height=200, palette="c64", dither="bayer4"),
    "CGA": dict(width=320, height=200, fit="crop", palette="cga", dither="bayer4", dither_strength=1.0),
    "Newspaper": dict(width=256, height=256, palette="1-bit", stretch=True, dither="floyd-steinberg"),
    "Icon": dict(width=32, height=32, fit="crop", method="k-centroid"),
    # Greyscale, 128x96, 8x8 averages, shown at 128x96 again: what this effect began as.
    "Block averages": dict(
        width=16, height=12, fit="crop", method="pooling", palette="greys", colours=256, upscale=POOL
    ),
}
if NEURAL:
    PRESETS |= {
        "Pixel artist": dict(method="neural"),
        # What the article wanted to end with: grey, 128x96. Its network was to see 256x256 pixels; ours sees 256x192.
        "As in the article": dict(width=128, height=96, fit="crop", method="neural", palette="greys"),
    }


@dataclass(frozen=True)
class Settings(Base):
    """What a user can choose; the defaults are those of page, command line and API alike."""

    presets: ClassVar = PRESETS
    preset: Literal[tuple(PRESETS)] = setting(
        "Studio", "Look", "A machine or a manner to begin from: it fills in what you do not set yourself (preset)."
    )
    width: int = setting(
        128, "Width", "Pixels of the result from left to right, at most.", minimum=8, maximum=512, step=4
    )
    height: int = setting(
        128, "Height", "Pixels of the result from top to bottom, at most.", minimum=8, maximum=512, step=4
    )
    fit: Literal["keep", "crop", "pad"] = setting(
        "keep",
        "Shape",
        "Keep the photo's shape inside width and height, or fill them: crop the photo, or pad it transparently.",
    )
    cell: int = setting(
        0,
        "Cell size",
        "Pixels of the photo per pixel of the result, instead of width and height; 0: not.",
        minimum=0,
        maximum=128,
        step=1,
    )
    method: Literal[("contrast", "k-centroid", "mean", "median", "centre", "pooling", *["neural"] * NEURAL)] = setting(
        "contrast",
        "Cell colour",
        "How a cell becomes one pixel: sharp with thin lines kept (contrast), larger group of colours (k-centroid), "
        "mean in linear light, median, middle pixel (centre), or grey 8x8 averages (pooling)"
        + ("; or drawn anew (neural)." if NEURAL else "."),
    )
    outline: float = setting(
        0.0,
        "Outlines",
        "How far thin lines are widened before classical cells are formed, so that they survive (outline expansion).",
        minimum=0,
        maximum=1,
        step=0.1,
    )
    palette: Literal[
        "auto", "greys", "1-bit", "game-boy", "cga", "cga-16", "c64", "nes", "pico-8", "sweetie-16", "own"
    ] = setting(
        "auto",
        "Palette",
        "Colours from the photo (auto, k-means), greys, those of an old machine or of an artist, or your own.",
    )
    colours: int = setting(
        16, "Colours", "How many, where the palette is auto or greys (k).", minimum=2, maximum=256, step=1
    )
    own_colours: str = setting("", "Own colours", "Hex codes such as 1d2b53 ff004d, for the palette 'own'.")
    palette_file: str = setting(
        "", "Palette file", "A .hex, .gpl, .pal, .txt or .png file of the palette 'own'.", local=True
    )
    swaps: str = setting("", "Swapped colours", "Pairs of hex codes, such as 1d2b53=ff0000: old colour and new.")
    stretch: bool = setting(
        False, "Full contrast", "Stretch the photo's lightness to the range of a palette that is not the photo's own."
    )
    dither: Literal["none", "bayer2", "bayer4", "bayer8", "floyd-steinberg"] = setting(
        "none",
        "Dithering",
        "Mix colours by a pattern: Bayer's of 2, 4 or 8 pixels, or error diffusion (Floyd-Steinberg).",
    )
    dither_strength: float = setting(
        0.5, "Dithering strength", "How far the pattern goes; 0: no dithering.", minimum=0, maximum=1, step=0.05
    )
    upscale: int = setting(
        0,
        "Enlarge",
        f"Whole factor (nearest neighbour); 1: native size, 0: as fits {VIEW_SIDE} pixels.",
        minimum=0,
        maximum=64,
        step=1,
    )
    grid: bool = setting(False, "Grid lines", "Draw a line between pixels of the enlarged picture.")


def pixelate(photo: ImageSource, **options: Any) -> Image.Image:
    """Turn a photo into pixel art.

    Args:
        photo: the picture.
        options: any field of ``Settings``; ``upscale=1`` gives the native size.

    Returns:
        An indexed picture, mode P; of an animation, the first frame.

    Raises:
        AtelierError: see ``run``.
    """
    return last(run(photo, Settings(**options))).image


def run(photo: ImageSource, settings: Settings | None = None) -> Iterator[Step]:
    """Turn a photo, or an animation, into pixel art.

    Args:
        photo: the picture; an animated GIF, WebP or PNG gives an animation, with one palette for all frames.
        settings: defaults where None.

    Yields:
        The result: its pictures have mode P, the chosen palette and nothing else, and one transparent entry behind it
        where the photo or the padding is transparent; then one for the grid lines. For an animation one step per
        frame comes before it, with the frame at native size in all its colours (mode RGBA).

    Raises:
        BadInput: a picture or a palette can't be used, or settings exclude each other.
    """
    settings = settings or Settings()
    started = time.perf_counter()
    fixed = _fixed_palette(settings)
    count, frames = images.frames(photo, alpha=True)
    small, durations = [], []
    for i, frame in enumerate(frames, 1):
        small.append(shrink(frame, settings))
        durations.append(frame.info["duration"])
        if count > 1:
            yield Step(Image.fromarray(small[-1]), i, count + 1, seconds=time.perf_counter() - started)
    visible = np.concatenate([frame[frame[..., 3] > 0][:, :3] for frame in small])
    if not len(visible):
        raise BadInput("This picture is transparent all over: use one that shows something.")
    clear = any((frame[..., 3] == 0).any() for frame in small)
    palette = palettes.kmeans(visible, settings.colours) if fixed is None else fixed
    tones = palettes.tones(visible) if settings.stretch and fixed is not None else None
    shown = palettes.swapped(palette, settings.swaps)
    pictures = []
    for frame, duration in zip(small, durations, strict=True):
        index = quantise(frame, palette, settings, tones)
        picture = palettes.indexed(index, shown, frame[..., 3] > 0 if clear else None)
        picture = enlarge(picture, settings.upscale, grid=settings.grid, frames=count)
        picture.info["duration"] = duration
        pictures.append(picture)
    height, width = small[0].shape[:2]
    seconds = time.perf_counter() - started
    note = f"{width}x{height} pixels, {len(palette)} colours, in {seconds * 1000:.0f} ms"
    end = count + 1 if count > 1 else 1
    yield Step(pictures[0], end, end, seconds=seconds, note=note, frames=tuple(pictures) if count > 1 else ())


def warm_up() -> None:
    """Load what SciPy is needed for, and the network, so that a user's first picture does not wait for that."""
    for method in ("contrast", *["neural"] * NEURAL):
        pixelate(np.zeros((64, 64, 3)), method=method)


def _fixed_palette(settings: Settings) -> np.ndarray | None:
    """Return the palette that does not depend on the photo, or None."""
    if (settings.palette_file or settings.own_colours) and settings.palette != "own":
        raise BadInput("Colours of your own count only with the palette 'own': choose that too.")
    if settings.palette == "auto":
        return None
    if settings.palette == "greys":
        return palettes.greys(settings.colours)
    if settings.palette != "own":
        return palettes.fixed(settings.palette)
    if settings.own_colours.strip():
        return palettes.from_codes(settings.own_colours)
    if settings.palette_file:
        return palettes.load(settings.palette_file)
    raise BadInput("Your own palette is empty: paste hex codes such as 1d2b53 ff004d, or choose a palette file.")


def layout(
    size: tuple[int, int], settings: Settings
) -> tuple[tuple[int, int], tuple[float, float, float, float], tuple[int, int]]:
    """Lay the grid of cells over a photo.

    Args:
        size: width and height of the photo.
        settings: ``cell``, or ``width``, ``height`` and ``fit``, count.

    Returns:
        How many cells there are (width, height); the part of the photo that they cover (left, top, right, bottom);
        and the result's size (width, height), larger than the cells where it is padded.

    Raises:
        BadInput: a cell is larger than the photo, or there are over ``MAX_SAMPLES``.
    """
    wide, high = size
    if settings.cell:
        cells = wide // settings.cell, high // settings.cell
        if not all(cells):
            raise BadInput(f"Cells of {settings.cell} pixels do not fit a photo of {wide}x{high}: make them smaller.")
        if cells[0] * cells[1] > MAX_SAMPLES:
            least = ceil((wide * high / MAX_SAMPLES) ** 0.5)
            raise BadInput(f"Cells of {settings.cell} pixels are too many in this photo: make them {least} or larger.")
        return cells, _centred(size, [n * settings.cell for n in cells]), cells
    wanted = settings.width, settings.height
    if settings.fit == "crop":
        scale = min(wide / settings.width, high / settings.height)
        return wanted, _centred(size, [n * scale for n in wanted]), wanted
    scale = min(settings.width / wide, settings.height / high)
    cells = max(1, round(wide * scale)), max(1, round(high * scale))
    return cells, (0, 0, wide, high), wanted if settings.fit == "pad" else cells


def _centred(size: Sequence[float], part: Sequence[float]) -> tuple[float, float, float, float]:
    # Whole pixels, as a fraction would blur every cell.
    # Rounding may make the part larger than the whole by a hair.
    left, top = (max(0, (a - b) // 2) for a, b in zip(size, part, strict=True))
    return left, top, min(size[0], left + part[0]), min(size[1], top + part[1])


def shrink(photo: Image.Image, settings: Settings) -> np.ndarray:
    """Turn a photo into one pixel per cell.

    Args:
        photo: mode RGB or RGBA.
        settings: the grid, ``method`` and ``outline`` count.

    Returns:
        uint8 (height, width, 4), RGBA, alpha 0 or 255: a cell is transparent where most of it is.
    """
    cells, box, size = layout(photo.size, settings)
    small = np.full((cells[1], cells[0], 4), 255, np.uint8)
    small[..., :3] = (METHODS[settings.method](photo, cells, box, settings) * 255).clip(0, 255).round()
    if photo.mode == "RGBA":
        alpha = np.asarray(photo.getchannel("A").resize(cells, Image.Resampling.BOX, box))
        small[alpha < 128] = 0
    left, top = (size[0] - cells[0]) // 2, (size[1] - cells[1]) // 2
    return np.pad(small, [(top, size[1] - cells[1] - top), (left, size[0] - cells[0] - left), (0, 0)])


def samples(photo: Image.Image, cells: tuple[int, int], box: tuple[float, ...], outline: float = 0.0) -> np.ndarray:
    """Cut a photo into cells, resampled where they are no whole number of pixels, or too many.

    Args:
        photo: mode RGB or RGBA; of a cell, transparent pixels become the mean of the others.
        cells: how many, (width, height).
        box: the part of the photo that they cover.
        outline: see ``expand_outlines``.

    Returns:
        uint8 (3, height, n, width): the pixels of each cell, row by row. Cells side by side are neighbours in memory,
        so that NumPy computes a whole row of them at once.
    """
    wide, high = cells
    side = max(1, min(ceil((box[2] - box[0]) / wide), isqrt(MAX_SAMPLES // (wide * high))))
    size = wide * side, high * side
    covered = box[2] - box[0], box[3] - box[1]
    if covered == size:
        photo = photo.crop(tuple(map(int, box)))
    else:
        # Where cells have room for every pixel, all stay as they are: sharper than resampled, and 20 times faster.
        exact = wide < covered[0] <= size[0]
        how = Image.Resampling.NEAREST if exact else Image.Resampling.BILINEAR
        photo = photo.resize(size, how, box, reducing_gap=2)
    found = _in_cells(np.asarray(photo).transpose(2, 0, 1), side)
    if photo.mode == "RGBA":
        shown = found[3] >= 128
        share = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
        inside = (found[:3] * share).sum(axis=2, keepdims=True)
        found = np.where(shown, found[:3], inside).astype(np.uint8)
    if outline:
        found = expand_outlines(found, side, outline)
    return found


def _in_cells(pixels: np.ndarray, side: int) -> np.ndarray:
    """Turn (C, H side, W side) into (C, H, side², W)."""
    channels, high, wide = pixels.shape
    cut = pixels.reshape(channels, high // side, side, wide // side, side)
    return cut.swapaxes(3, 4).reshape(channels, high // side, side * side, wide // side)


def _out_of_cells(cells: np.ndarray, side: int) -> np.ndarray:
    """Turn (C, H, side², W) into (C, H side, W side)."""
    channels, high, _, wide = cells.shape
    cut = cells.reshape(channels, high, side, side, wide)
    return cut.swapaxes(3, 4).reshape(channels, high * side, wide * side)


def mean(cells: np.ndarray) -> np.ndarray:
    """Average in linear light, as the eye does from afar.

    Args:
        cells: uint8 sRGB (3, H, n, W).

    Returns:
        sRGB in [0, 1], (H, W, 3).
    """
    return colour.linear_to_srgb(np.moveaxis(colour.LINEAR[cells].mean(axis=2), 0, -1))


def median(cells: np.ndarray) -> np.ndarray:
    """Take the median of each channel; shapes as in ``mean``."""
    # Sorting floats is 10 times faster than sorting bytes, or than np.median.
    ordered = np.sort(cells.astype(np.float32), axis=2)
    n = ordered.shape[2]
    return np.moveaxis((ordered[:, :, (n - 1) // 2] + ordered[:, :, n // 2]) / 510, 0, -1)


def centre(cells: np.ndarray) -> np.ndarray:
    """Take the pixel in the middle; shapes as in ``mean``."""
    side = isqrt(cells.shape[2])
    return np.moveaxis(cells[:, :, side // 2 * side + side // 2] / 255, 0, -1)


def contrast(cells: np.ndarray) -> np.ndarray:
    """Keep thin lines: the mean of the larger of two groups, or of the smaller where it would get lost.

    The smaller group gets lost where it is darker, or lighter, than everything that the 3x3 cells around would show:
    a line or a dot. Beside an edge it shows up next door. PixelOE chooses between the extremes of a cell alone,
    by the skewness of its lightness, and needs outline expansion for lines; this needs it less.

    Shapes as in ``mean``.
    """
    from scipy import ndimage

    large, small, share = _two_groups(cells)
    shown, hidden = colour.luma(large)[..., 0], colour.luma(small)[..., 0]
    darkest, lightest = ndimage.minimum_filter(shown, 3), ndimage.maximum_filter(shown, 3)
    lost = (hidden < darkest - LOST_CONTRAST) | (hidden > lightest + LOST_CONTRAST)
    return np.where((lost & (share > LOST_SHARE))[..., None], small, large)


def k_centroid(cells: np.ndarray) -> np.ndarray:
    """Take the mean of the larger of two groups (k-means, k = 2); shapes as in ``mean``."""
    return _two_groups(cells)[0]


def _two_groups(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split each cell by k-means with k = 2, started from the pixels above and below its mean luma.

    Args:
        cells: uint8 sRGB (3, H, n, W).

    Returns:
        The means of the larger and of the smaller group, sRGB in [0, 1], (H, W, 3); the latter's share, (H, W).
    """
    rows = max(1, _BAND // cells[:, 0].size)
    bands = [_two_means(cells[:, y : y + rows].astype(np.float32)) for y in range(0, cells.shape[1], rows)]
    first, second, size = (np.concatenate(parts, axis=-2) for parts in zip(*bands, strict=True))
    n = cells.shape[2]
    swap = size < n / 2
    large, small = (np.moveaxis(np.where(swap, *pair), 0, -1) / 255 for pair in ((second, first), (first, second)))
    return large, small, np.minimum(size, n - size) / n


def _two_means(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the means of both groups, (3, H, W), and how many pixels the first has, (H, W)."""
    total, n = pixels.sum(axis=2), pixels.shape[2]
    axis = np.broadcast_to(colour.LUMA[:, None, None], total.shape)
    middle = np.einsum("chw,chw->hw", axis, total) / n
    for _ in range(TWO_MEANS_ITERATIONS):
        first = (np.einsum("chnw,chw->hnw", pixels, axis) > middle[:, None]).astype(np.float32)
        size = first.sum(axis=1)
        summed = np.einsum("chnw,hnw->chw", pixels, first)
        a, b = summed / np.maximum(size, 1), (total - summed) / np.maximum(n - size, 1)
        # The plane halfway between the two means.
        axis, middle = a - b, (a**2 - b**2).sum(axis=0) / 2
    return a, b, size


def expand_outlines(cells: np.ndarray, side: int, amount: float) -> np.ndarray:
    """Widen thin lines: dark ones on light ground by erosion, light ones on dark ground by dilation.

    After PixelOE's outline expansion, with its weights: which of the two is taken follows from the lightness of the
    surroundings and from which extreme is farther from it.

    Args:
        cells: uint8 sRGB (3, H, side², W).
        side: of a cell, in pixels.
        amount: 1 widens by half a cell to each side, 0 by nothing.

    Returns:
        uint8 of the same shape.
    """
    from scipy import ndimage

    radius = round(amount * side / 2)
    if not radius:
        return cells
    luma = np.einsum("chnw,c->hnw", cells.astype(np.float32), colour.LUMA / 255)
    ground = ndimage.median_filter(np.sort(luma, axis=1)[:, luma.shape[1] // 2], 3)
    light, dark = ndimage.maximum_filter(luma.max(axis=1), 3), ndimage.minimum_filter(luma.min(axis=1), 3)
    erode = 1 / (1 + np.exp(4 * ((light - ground) - (ground - dark)) - 9 * (ground - 0.5)))
    pixels = _out_of_cells(cells, side)
    erode = np.asarray(Image.fromarray(erode).resize(pixels.shape[:0:-1], Image.Resampling.BILINEAR))
    eroded, dilated = _extreme(pixels, radius, np.minimum), _extreme(pixels, radius, np.maximum)
    return _in_cells((dilated + erode * (eroded.astype(np.float32) - dilated)).round().astype(np.uint8), side)


def _extreme(pixels: np.ndarray, radius: int, choose: np.ufunc) -> np.ndarray:
    """Erode or dilate (C, H, W) by a square; 10 times faster on bytes than a rank filter."""
    for axis in (1, 2):
        length = pixels.shape[axis]
        padding = [(radius, radius) if i == axis else (0, 0) for i in range(3)]
        padded = np.moveaxis(np.pad(pixels, padding, mode="edge"), axis, 0)
        pixels = np.moveaxis(reduce(choose, (padded[i : i + length] for i in range(2 * radius + 1))), 0, axis)
    return pixels


def pool(photo: Image.Image, cells: tuple[int, int], box: tuple[float, ...], settings: Settings) -> np.ndarray:
    """Average blocks of 8x8 pixels of a greyscale picture, in TensorFlow: what this effect began as.

    Where the original stopped: ``tf.nn.avg_pool`` wants a batch, so a picture alone raises; and the blocks were left
    as a picture of an 8th of the size, so that 128x96 became 16x12 for good. Here the result is enlarged again.
    It was also cut, not rounded, to whole numbers.

    Args:
        photo: mode RGB or RGBA; transparent parts count as white.
        cells: how many, (width, height).
        box: the part of the photo that they cover.
        settings: not needed.

    Returns:
        sRGB in [0, 1], (height, width, 1).
    """
    import tensorflow as tf

    left, top, right, bottom = map(round, box)
    image = images.to_array(images.load(photo).crop((left, top, max(left + 1, right), max(top + 1, bottom))))
    image = tf.image.rgb_to_grayscale(image)
    image = tf.image.resize(image, [cells[1] * POOL, cells[0] * POOL])
    return tf.nn.avg_pool(image[None], ksize=POOL, strides=POOL, padding="VALID")[0].numpy()


def redraw(photo: Image.Image, cells: tuple[int, int], box: tuple[float, ...], settings: Settings) -> np.ndarray:
    """Let the pixel artist draw a photo, which it sees at twice the grid; arguments and result as in ``pool``.

    Raises:
        WeightsError: the bundled weights are missing or altered.
    """
    # Pillow weights colours by their alpha, so that hidden ones do not show.
    seen = photo.resize([2 * n for n in cells], Image.Resampling.LANCZOS, box)
    if settings.palette == "greys":
        seen = seen.convert("L")
    return _artist(compute_dtype())(images.to_array(seen.convert("RGB")))


@cache
def _artist(dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network, traced once for pictures of any size."""
    import tensorflow as tf

    tensors = weights.load(ARTIST)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)], autograph=False)
    def to_art(photo: Any) -> Any:
        return unet.to_art(photo, tensors, dtype)

    return lambda photo: unet.framed(photo, to_art)


def _by_cell(colour_of: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    def method(photo: Image.Image, cells: tuple[int, int], box: tuple[float, ...], settings: Settings) -> np.ndarray:
        return colour_of(samples(photo, cells, box, settings.outline))

    return method


# From a photo and its grid to one colour per cell: sRGB in [0, 1], (height, width, 3 or 1).
METHODS: Mapping[str, Callable[[Image.Image, tuple[int, int], tuple[float, ...], Settings], np.ndarray]] = {
    "contrast": _by_cell(contrast),
    "k-centroid": _by_cell(k_centroid),
    "mean": _by_cell(mean),
    "median": _by_cell(median),
    "centre": _by_cell(centre),
    "pooling": pool,
    **({"neural": redraw} if NEURAL else {}),
}


def quantise(
    pixels: np.ndarray, palette: np.ndarray, settings: Settings, tones: tuple[float, float] | None = None
) -> np.ndarray:
    """Choose a colour of the palette for each pixel.

    Args:
        pixels: uint8 RGBA (H, W, 4).
        palette: uint8 (K, 3).
        settings: ``dither`` and ``dither_strength`` count.
        tones: the lightness to stretch to the palette's darkest and lightest, see ``palettes.stretched``; None: don't.

    Returns:
        uint8 (H, W) of indices.
    """
    lab, opaque = palettes.to_lab(pixels[..., :3]), pixels[..., 3] > 0
    if tones:
        lab = palettes.stretched(lab, palette, tones)
    if settings.dither == "none" or settings.dither_strength == 0:
        return palettes.nearest(lab, palette)
    if settings.dither == "floyd-steinberg":
        return palettes.diffuse(lab, opaque, palette, settings.dither_strength)
    return palettes.ordered(lab, palette, int(settings.dither.removeprefix("bayer")), settings.dither_strength)


def largest_factor(size: tuple[int, int], frames: int = 1) -> int:
    """Return how far so many pictures of this size can be enlarged within ``MAX_ENLARGED``; 1 is always possible."""
    return max(1, isqrt(MAX_ENLARGED // (frames * size[0] * size[1])))


def enlarge(picture: Image.Image, factor: int = 0, *, grid: bool = False, frames: int = 1) -> Image.Image:
    """Enlarge an indexed picture by a whole factor, pixel for pixel.

    Args:
        picture: mode P.
        factor: 0: as large as fits ``VIEW_SIDE``.
        grid: draw a line along the top and left of each pixel, in a colour added to the palette.
        frames: how many pictures of this size there are.

    Returns:
        A picture of mode P.

    Raises:
        BadInput: there is no room for grid lines, in the palette or between pixels; or all would be too large.
    """
    most = largest_factor(picture.size, frames)
    factor = factor or max(1, min(most, VIEW_SIDE // max(picture.size)))
    if factor > most:
        raise BadInput(f"Enlarged {factor} times, this would be over 100 megapixels: choose at most {most}.")
    large = picture.resize([n * factor for n in picture.size], Image.Resampling.NEAREST)
    if not grid:
        return large
    if factor < MIN_GRID_FACTOR:
        raise BadInput(f"Grid lines need an enlargement of {MIN_GRID_FACTOR} or more, not {factor}.")
    index = np.array(large)
    palette = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    index[::factor] = index[:, ::factor] = min(len(palette), palettes.MAX_COLOURS - 1)
    lined = palettes.indexed(index, palettes.with_entry(palette, GRID_LINE, "the grid"))
    lined.info.update(large.info)
    return lined
