"""Palettes: known ones, files of them, palettes made from a picture, and pictures drawn with nothing else.

A palette is a uint8 array (K, 3) of sRGB colours. Colours are compared in OKLab (Ottosson 2020) with a and b doubled,
where equal distances look about equally large: see ``to_lab``.
"""

import io
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from . import colour
from .errors import BadInput

MAX_COLOURS = 256  # what an indexed picture can hold
_KMEANS_PIXELS = 8192
_LAB_SCALE = np.array([1.0, 2.0, 2.0])
# Above this share of common direction, all chroma of a palette is of one hue.
_ONE_HUE = 0.95


@dataclass(frozen=True)
class Fixed:
    """A palette that everybody knows.

    Attributes:
        title: its name for people.
        source: where the numbers come from.
        codes: its colours as hex codes.
    """

    title: str
    source: str
    codes: str


FIXED: Mapping[str, Fixed] = {
    "1-bit": Fixed("1-bit", "Black and white.", "000000 ffffff"),
    "game-boy": Fixed(
        "Game Boy",
        "The DMG's four greens as emulators and artists have long written them.",
        "0f380f 306230 8bac0f 9bbc0f",
    ),
    "cga": Fixed(
        "CGA, 4 colours", "IBM Color Graphics Adapter, mode 4, palette 1, bright.", "000000 55ffff ff55ff ffffff"
    ),
    "cga-16": Fixed(
        "CGA, 16 colours",
        "IBM Color Graphics Adapter, text mode, with the 5153 monitor's brown.",
        "000000 0000aa 00aa00 00aaaa aa0000 aa00aa aa5500 aaaaaa "
        "555555 5555ff 55ff55 55ffff ff5555 ff55ff ffff55 ffffff",
    ),
    "c64": Fixed(
        "Commodore 64",
        "Philip 'Pepto' Timmermann 2001, Calculating the color palette of the VIC II.",
        "000000 ffffff 68372b 70a4b2 6f3d86 588d43 352879 b8c76f "
        "6f4f25 433900 9a6759 444444 6c6c6c 9ad284 6c5eb5 959595",
    ),
    "nes": Fixed(
        "NES",
        "NESdev wiki, PPU palettes, 2C02 (the console has no RGB of its own); the doubles left out.",
        "545454 001e74 081090 300088 440064 5c0030 540400 3c1800 202a00 083a00 004000 003c00 00323c 000000 "
        "989698 084cc4 3032ec 5c1ee4 8814b0 a01464 982220 783c00 545a00 287200 087c00 007628 006678 "
        "eceeec 4c9aec 787cec b062ec e454ec ec58b4 ec6a64 d48820 a0aa00 74c400 4cd020 38cc6c 38b4cc 3c3c3c "
        "a8ccec bcbcec d4b2ec ecaeec ecaed4 ecb4b0 e4c490 ccd278 b4de78 a8e290 98e2b4 a0d6e4 a0a2a0",
    ),
    "pico-8": Fixed(
        "PICO-8",
        "Lexaloffle, PICO-8 manual (CC0).",
        "000000 1d2b53 7e2553 008751 ab5236 5f574f c2c3c7 fff1e8 "
        "ff004d ffa300 ffec27 00e436 29adff 83769c ff77a8 ffccaa",
    ),
    "sweetie-16": Fixed(
        "Sweetie 16",
        "GrafxKid 2019, also the default palette of TIC-80.",
        "1a1c2c 5d275d b13e53 ef7d57 ffcd75 a7f070 38b764 257179 "
        "29366f 3b5dc9 41a6f6 73eff7 f4f4f4 94b0c2 566c86 333c57",
    ),
}


def fixed(name: str) -> np.ndarray:
    """Return a known palette, (K, 3) uint8, in its customary order.

    Raises:
        BadInput: there is no such palette.
    """
    if name not in FIXED:
        raise BadInput(f"There is no palette {name!r}: known are {', '.join(FIXED)}.")
    return from_codes(FIXED[name].codes)


def greys(count: int) -> np.ndarray:
    """Return ``count`` greys from black to white at equal steps of sRGB, (count, 3) uint8."""
    return np.repeat(np.linspace(0, 255, count).round().astype(np.uint8)[:, None], 3, axis=1)


def from_codes(text: str) -> np.ndarray:
    """Read pasted hex codes: 3 or 6 digits each, with or without #, between anything that is no letter or digit.

    Returns:
        (K, 3) uint8, in order, doubles left out.

    Raises:
        BadInput: a word that is no hex code, no colour at all, or over 256 of them.
    """
    return _distinct([_rgb(word) for word in re.findall(r"\w+", text)], "The text")


def to_codes(palette: np.ndarray) -> list[str]:
    """Return the hex codes, 6 digits each without #, of a palette (K, 3)."""
    return [bytes(rgb).hex() for rgb in np.asarray(palette, np.uint8)]


def load(path: str | PathLike) -> np.ndarray:
    """Read a palette file: .hex, .gpl (GIMP), .pal (JASC or RIFF), .txt (Paint.NET, or hex codes), or .png.

    Returns:
        (K, 3) uint8, in the file's order, doubles left out.

    Raises:
        BadInput: another ending, a file that can't be read or is broken, no colour, or over 256 of them.
    """
    path = Path(path)
    read, _ = _format(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} can't be read ({error.strerror}): check the path.") from None
    try:
        return _distinct(read(data), path.name)
    except (ValueError, IndexError, struct.error) as error:
        if isinstance(error, BadInput):
            raise BadInput(f"{path.name}: {error}") from None
        raise BadInput(
            f"{path.name} is no palette in {path.suffix} format: save it again or paste its codes."
        ) from None


def save(palette: np.ndarray, path: str | PathLike) -> Path:
    """Write a palette file; its ending, as for ``load``, is the format (.pal: JASC).

    Raises:
        BadInput: another ending, or the file can't be written.
    """
    path = Path(path)
    _, write = _format(path)
    try:
        path.write_bytes(write(np.asarray(palette, np.uint8), path.stem))
    except OSError as error:
        raise BadInput(f"{path} can't be written ({error.strerror}): choose another place.") from None
    return path


def _distinct(colours: list[tuple[int, ...]], name: str) -> np.ndarray:
    colours = list(dict.fromkeys(colours))
    if not colours:
        raise BadInput(f"{name} holds no colour: give hex codes such as 1d2b53, one per colour.")
    if len(colours) > MAX_COLOURS:
        raise BadInput(f"{name} holds {len(colours)} colours: {MAX_COLOURS} are the most in one palette.")
    return np.array(colours, np.uint8)


def _rgb(word: str) -> tuple[int, ...]:
    digits = "".join(2 * digit for digit in word) if len(word) == 3 else word
    if not re.fullmatch("[0-9a-fA-F]{6}", digits):
        raise BadInput(f"{word!r} is no colour: write each as 6 hex digits, such as 1d2b53.")
    return tuple(bytes.fromhex(digits))


def _triple(line: str) -> tuple[int, ...]:
    values = tuple(int(value) for value in line.split()[:3])
    if len(values) < 3 or not all(0 <= value <= 255 for value in values):
        raise BadInput(f"{line.strip()!r} is no colour: three numbers from 0 to 255 are expected.")
    return values


def _lines(data: bytes, comment: str) -> list[str]:
    lines = (line.strip() for line in data.decode("utf-8-sig").splitlines())
    return [line for line in lines if line and not line.startswith(comment)]


def _read_hex(data: bytes) -> list[tuple[int, ...]]:
    return [_rgb(line.removeprefix("#")) for line in _lines(data, ";")]


def _write_hex(palette: np.ndarray, title: str) -> bytes:
    return "".join(f"{code}\n" for code in to_codes(palette)).encode()


def _read_gpl(data: bytes) -> list[tuple[int, ...]]:
    head, *lines = _lines(data, "#")
    if head != "GIMP Palette":
        raise BadInput("It does not begin with 'GIMP Palette': save it again or paste its codes.")
    return [_triple(line) for line in lines if not re.match(r"(Name|Columns|Channels):", line)]


def _write_gpl(palette: np.ndarray, title: str) -> bytes:
    colours = (f"{r:3} {g:3} {b:3}\t{code}" for (r, g, b), code in zip(palette, to_codes(palette), strict=True))
    return "\n".join(["GIMP Palette", f"Name: {title}", "#", *colours, ""]).encode()


def _read_pal(data: bytes) -> list[tuple[int, ...]]:
    if data[:4] == b"RIFF":  # Microsoft: a header of 22 bytes, the count, then R, G, B and flags of each colour
        (count,) = struct.unpack_from("<H", data, 22)
        return [struct.unpack_from("3B", data, 24 + 4 * i) for i in range(count)]
    head, version, count, *lines = _lines(data, ";")
    if head != "JASC-PAL":
        raise BadInput("It begins neither with 'JASC-PAL' nor with 'RIFF': save it again or paste its codes.")
    if len(lines) != int(count):
        raise BadInput(f"It announces {count} colours and holds {len(lines)}: it was cut off, save it again.")
    return [_triple(line) for line in lines]


def _write_pal(palette: np.ndarray, title: str) -> bytes:
    colours = (f"{r} {g} {b}" for r, g, b in palette)
    return "\r\n".join(["JASC-PAL", "0100", str(len(palette)), *colours, ""]).encode()


def _read_txt(data: bytes) -> list[tuple[int, ...]]:
    words = [line.removeprefix("#") for line in _lines(data, ";")]
    return [_rgb(word[2:] if len(word) == 8 else word) for word in words]  # Paint.NET writes AARRGGBB


def _write_txt(palette: np.ndarray, title: str) -> bytes:
    return "\r\n".join([f"; {title}", *(f"FF{code.upper()}" for code in to_codes(palette)), ""]).encode()


def _read_png(data: bytes) -> list[tuple[int, ...]]:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > 1 << 20:
                raise BadInput("It has over a million pixels: a palette picture has one or a few per colour.")
            pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError from error
    return list(map(tuple, pixels[pixels[:, 3] > 0, :3].tolist()))


def _write_png(palette: np.ndarray, title: str) -> bytes:
    file = io.BytesIO()
    indexed(np.arange(len(palette))[None], palette).save(file, "PNG")
    return file.getvalue()


_FORMATS: dict[str, tuple[Callable[[bytes], list[tuple[int, ...]]], Callable[[np.ndarray, str], bytes]]] = {
    ".hex": (_read_hex, _write_hex),
    ".gpl": (_read_gpl, _write_gpl),
    ".pal": (_read_pal, _write_pal),
    ".txt": (_read_txt, _write_txt),
    ".png": (_read_png, _write_png),
}


def _format(path: Path) -> tuple[Callable, Callable]:
    if path.suffix.lower() not in _FORMATS:
        raise BadInput(f"{path.name} is no palette file: use {', '.join(_FORMATS)}.")
    return _FORMATS[path.suffix.lower()]


def kmeans(pixels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Make a palette for a picture: k-means in the space of ``to_lab``.

    Lloyd's iterations (1982) from a greedy k-means++ start (Arthur & Vassilvitskii 2007, section 2.2 and conclusion:
    of three draws the best is kept), on at most 8192 pixels: on more the palette is no better than by 2%. The first
    of these iterations, and the choice among several starts, need only a quarter of them.

    Args:
        pixels: uint8 (N, 3).
        count: how many colours at most.
        seed: of the random choices.

    Returns:
        (K, 3) uint8 from dark to light; K < ``count`` where the picture has fewer colours.
    """
    rng = np.random.default_rng(seed)
    pixels = np.asarray(pixels).reshape(-1, 3)
    drawn = pixels[rng.choice(len(pixels), min(len(pixels), _KMEANS_PIXELS), replace=False)]
    few = max(_KMEANS_PIXELS // 4, 16 * count)
    if len(_colours(drawn[:few])) <= count:
        if len(own := _colours(pixels)) <= count:
            return _by_lightness(own)
        few = len(drawn)  # the other colours are rare
    points = to_lab(drawn)
    # A few colours are found at once, and more often at a bad optimum; many take long, and only start well.
    starts = min(4, max(1, 32 // count))
    found = [_lloyd(points[:few], _kmeans_start(points[:few], count, rng), 8) for _ in range(starts)]
    _, centres = min(found, key=lambda pair: pair[0])
    _, centres = _lloyd(points, centres, 3)
    srgb = (colour.oklab_to_srgb(centres / _LAB_SCALE).clip(0, 1) * 255).round().astype(np.uint8)
    return _by_lightness(_colours(srgb))


def _lloyd(points: np.ndarray, centres: np.ndarray, iterations: int) -> tuple[float, np.ndarray]:
    """Return the sum of squared distances to the nearest of (K, 3) centres, before the last move, and the centres."""
    from scipy.cluster.vq import vq

    count = len(centres)
    for _ in range(iterations):
        index, distances = vq(points, centres, check_finite=False)
        sizes = np.bincount(index, minlength=count)[:, None]
        sums = np.stack([np.bincount(index, channel, count) for channel in points.T], axis=1)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
    return float(distances @ distances), centres


def _colours(pixels: np.ndarray) -> np.ndarray:
    """Return the distinct colours of (N, 3); numbers of 24 bits sort ten times faster than rows of three."""
    packed = np.unique(pixels.astype(np.uint32) @ np.uint32([1 << 16, 1 << 8, 1]))
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)


def _kmeans_start(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Pick centres one after another, each where the squared distance to those before is large; the first: the mean."""
    centres = [points.mean(axis=0)]
    distance = ((points - centres[0]) ** 2).sum(axis=1)
    while len(centres) < count:
        total = np.cumsum(distance)
        drawn = points[np.searchsorted(total, rng.random(3) * total[-1]).clip(max=len(points) - 1)]
        # Channel by channel, as that is three times faster than a sum over an axis of three.
        distances = sum((channel - new[:, None]) ** 2 for channel, new in zip(points.T, drawn.T, strict=True))
        distances = np.minimum(distances, distance)
        best = distances.sum(axis=1).argmin()
        centres.append(drawn[best])
        distance = distances[best]
    return np.stack(centres)


def _by_lightness(palette: np.ndarray) -> np.ndarray:
    return palette[np.argsort(to_lab(palette)[:, 0], kind="stable")]


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 sRGB (..., 3) to OKLab with a and b doubled, float64.

    Euclidean distance is then Delta E OK2: on data of perceived differences, a factor of 2.02 to 2.05 fits best
    (Ottosson, w3c/csswg-drafts issue 6642). Without it, light skin turns grey, or the yellow-green of a C64.
    """
    return colour.linear_to_oklab(colour.LINEAR[pixels]) * _LAB_SCALE


def nearest(lab: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return for each pixel which colour of the palette is nearest.

    Args:
        lab: as from ``to_lab``, (..., 3).
        palette: uint8 (K, 3).

    Returns:
        uint8 (...) of indices.
    """
    from scipy.cluster.vq import vq

    index, _ = vq(lab.reshape(-1, 3), to_lab(palette), check_finite=False)
    return index.reshape(lab.shape[:-1]).astype(np.uint8)


def tones(pixels: np.ndarray) -> tuple[float, float]:
    """Return the lightness of uint8 (N, 3), all but its outermost hundredths: what ``stretched`` stretches."""
    some = pixels[:: max(1, len(pixels) >> 16)]  # more than 65 536 tell no more
    low, high = np.percentile(to_lab(some)[:, 0], [1, 99])
    return float(low), float(high)


def stretched(lab: np.ndarray, palette: np.ndarray, tones: tuple[float, float]) -> np.ndarray:
    """Stretch lightness to the range that the palette has.

    A palette of one hue is taken for a ramp of equal steps, which is what the Game Boy's is meant to be, and pixels
    get its chroma: their own would only draw grey things to the dullest of its colours.

    Args:
        lab: as from ``to_lab``, (..., 3).
        palette: uint8 (K, 3).
        tones: the lightness that becomes the palette's darkest and lightest; where they are equal, nothing changes.

    Returns:
        An array like ``lab``.
    """
    if tones[0] >= tones[1]:
        return lab
    colours = to_lab(palette)
    ramp = colours[np.argsort(colours[:, 0])]
    chroma = ramp[:, 1:]
    if np.linalg.norm(chroma.sum(axis=0)) >= _ONE_HUE * np.linalg.norm(chroma, axis=1).sum():
        place = np.interp(lab[..., 0], tones, [0, len(ramp) - 1])
        return np.stack([np.interp(place, np.arange(len(ramp)), channel) for channel in ramp.T], axis=-1)
    lightness = np.interp(lab[..., 0], tones, ramp[[0, -1], 0])
    return np.concatenate([lightness[..., None], lab[..., 1:]], axis=-1)


def bayer_matrix(side: int) -> np.ndarray:
    """Return Bayer's threshold matrix (1973), (side, side), of the numbers 0 … side² - 1; side is a power of two."""
    matrix = np.zeros((1, 1), int)
    while len(matrix) < side:
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return matrix


def ordered(lab: np.ndarray, palette: np.ndarray, side: int, strength: float = 1.0) -> np.ndarray:
    """Dither by Bayer's matrix: shift the lightness of each pixel by its threshold, then take the nearest colour.

    Only lightness is shifted, so that a hue is not mixed from unrelated ones. At strength 1 the shifts span the mean
    distance between neighbouring colours of the palette, which for equally spaced greys is exact ordered dithering.

    Args:
        lab: as from ``to_lab``, (..., H, W, 3).
        palette: uint8 (K, 3).
        side: 2, 4 or 8.
        strength: 0 (none) to 1.

    Returns:
        uint8 (..., H, W) of indices.
    """
    from scipy.spatial.distance import cdist

    colours = to_lab(palette)
    distances = cdist(colours, colours)
    np.fill_diagonal(distances, np.inf)
    spacing = distances.min(axis=1).mean() if len(colours) > 1 else 0.0
    height, width = lab.shape[-3:-1]
    threshold = (bayer_matrix(side) + 0.5) / side**2 - 0.5
    threshold = np.tile(threshold, (-(-height // side), -(-width // side)))[:height, :width]
    shift = np.stack([strength * spacing * threshold, *2 * [np.zeros_like(threshold)]], axis=-1)
    return nearest(lab + shift, palette)


def diffuse(lab: np.ndarray, opaque: np.ndarray, palette: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Dither by error diffusion (Floyd & Steinberg 1976), rows from left to right.

    A pixel needs its left neighbour and three above it. So all pixels with the same x + 2y can be computed at once:
    they are one row of an array in which each row of the picture is shifted by two more than the one above.

    Args:
        lab: as from ``to_lab``, (H, W, 3).
        opaque: bool (H, W); where False, no error is passed on.
        palette: uint8 (K, 3).
        strength: share of the error that is passed on, 0 to 1.

    Returns:
        uint8 (H, W) of indices.
    """
    height, width = lab.shape[:2]
    colours = to_lab(palette)
    squares = (colours**2).sum(axis=1)
    # An error that no colour of the palette can pay back (the hue of a photo in greens alone) must not pile up.
    lowest, highest = colours.min(axis=0), colours.max(axis=0)
    y, x = np.mgrid[:height, :width]
    when = x + 2 * y
    steps = width + 2 * (height - 1)
    # Room for what is passed beyond the last step and the last row.
    wave = np.zeros((steps + 3, height + 1, 3))
    wave[when, y] = lab
    share = np.zeros((steps, height, 1))
    share[when, y, 0] = strength * opaque
    index = np.zeros((steps, height), np.uint8)
    for step in range(steps):
        # At any step only some rows have a pixel.
        rows = slice(max(0, (step - width + 2) // 2), min(height, step // 2 + 1))
        below = slice(rows.start + 1, rows.stop + 1)
        wanted = wave[step, rows].clip(lowest, highest)
        chosen = (squares - 2 * wanted @ colours.T).argmin(axis=1)
        index[step, rows] = chosen
        error = share[step, rows] * (wanted - colours[chosen]) / 16
        wave[step + 1, rows] += 7 * error
        wave[step + 1, below] += 3 * error
        wave[step + 2, below] += 5 * error
        wave[step + 3, below] += error
    return index[when, y]


def indexed(index: np.ndarray, palette: np.ndarray, opaque: np.ndarray | None = None) -> Image.Image:
    """Make an indexed picture.

    Args:
        index: uint8 (H, W).
        palette: uint8 (K, 3).
        opaque: bool (H, W); where False, the picture is transparent. None: nowhere.

    Returns:
        A picture of mode P with exactly this palette, and with ``opaque`` a last, transparent entry behind it.

    Raises:
        BadInput: there is no room for it.
    """
    if opaque is not None:
        index = np.where(opaque, index, len(palette))
        palette = with_entry(palette, (0, 0, 0), "transparency")
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(palette.tobytes())
    if opaque is not None:
        image.info["transparency"] = len(palette) - 1
    return image


def with_entry(palette: np.ndarray, rgb: tuple[int, int, int], purpose: str) -> np.ndarray:
    """Append a colour to a palette.

    Raises:
        BadInput: it holds 256 already.
    """
    if len(palette) >= MAX_COLOURS:
        raise BadInput(f"Choose at most {MAX_COLOURS - 1} colours: {purpose} takes one of {MAX_COLOURS}.")
    return np.vstack([palette, np.uint8(rgb)])


def of(image: Image.Image) -> np.ndarray:
    """Return the palette (K, 3) of an indexed picture, without the transparent entry that ``indexed`` appends."""
    palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    return np.delete(palette, image.info["transparency"], axis=0) if "transparency" in image.info else palette


def swapped(palette: np.ndarray, swaps: str) -> np.ndarray:
    """Replace colours of a palette, one pair after another.

    Args:
        palette: uint8 (K, 3).
        swaps: pairs of hex codes such as ``1d2b53=ff0000 008751=00ff00``; a first code that the palette does not have
            changes nothing.

    Returns:
        uint8 (K, 3).

    Raises:
        BadInput: something else than pairs of hex codes.
    """
    palette = palette.copy()
    for pair in re.split(r"[\s,;]+", swaps.strip()) if swaps.strip() else ():
        old, equals, new = pair.partition("=")
        if not equals:
            raise BadInput(f"{pair!r} swaps no colours: write pairs such as 1d2b53=ff0000.")
        old, new = (_rgb(code.removeprefix("#")) for code in (old, new))
        palette[(palette == old).all(axis=1)] = new
    return palette
