"""Palettes: data, files, k-means, dithering; each against a second way of getting the same numbers."""

import io
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import BadInput, colour, palettes

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
COUNTS = {"1-bit": 2, "game-boy": 4, "cga": 4, "cga-16": 16, "c64": 16, "nes": 54, "pico-8": 16, "sweetie-16": 16}
RGB = [(29, 43, 83), (255, 0, 77), (0, 0, 0)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_fixed_palettes_are_whole():
    assert {name: len(palettes.fixed(name)) for name in palettes.FIXED} == COUNTS
    for name, known in palettes.FIXED.items():
        assert known.title and known.source.endswith(".")
        assert palettes.to_codes(palettes.fixed(name)) == known.codes.split()  # no doubles


def test_unknown_palette_is_refused():
    with pytest.raises(BadInput, match="no palette 'msx'"):
        palettes.fixed("msx")


def test_greys():
    assert palettes.greys(2).tolist() == [[0, 0, 0], [255, 255, 255]]
    assert palettes.greys(4)[:, 1].tolist() == [0, 85, 170, 255]
    assert (palettes.greys(256) == np.arange(256)[:, None]).all()


@pytest.mark.parametrize("text", ["#1d2b53, #FF004D; #000", "1d2b53 ff004d 000000", "1d2b53\nff004d\n#1D2B53\n000"])
def test_pasted_codes(text):
    assert palettes.from_codes(text).tolist() == [list(rgb) for rgb in RGB]


@pytest.mark.parametrize(
    "text, sentence",
    [("", "holds no colour"), ("1d2b5", "'1d2b5' is no colour"), ("red", "'red' is no"), ("12345678", "no colour")],
)
def test_bad_codes(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        palettes.from_codes(text)


def test_over_256_colours_are_refused():
    with pytest.raises(BadInput, match="257 colours: 256 are the most"):
        palettes.from_codes(" ".join(f"{i:06x}" for i in range(257)))


@pytest.mark.parametrize("ending", [".hex", ".gpl", ".pal", ".txt", ".png"])
@pytest.mark.parametrize("name", ["pico-8", "nes"])
def test_files_round_trip(tmp_path, ending, name):
    palette = palettes.fixed(name)
    path = palettes.save(palette, tmp_path / f"{name}{ending}")
    assert np.array_equal(palettes.load(path), palette)


def _riff(count: int) -> bytes:
    entries = b"".join(struct.pack("4B", *rgb, 0) for rgb in RGB)
    data = struct.pack("<HH", 0x0300, count) + entries
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"PAL data" + struct.pack("<I", len(data)) + data


def _png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


FOREIGN = {
    "bom.hex": b"\xef\xbb\xbf1D2B53\r\nFF004D\r\n\r\n000000\r\n",
    "aseprite.gpl": b"GIMP Palette\nChannels: RGBA\n#\n 29  43  83 255 Blue\n255 0 77 255 Red 2\n0 0 0 0 Black\n",
    "gimp.gpl": b"GIMP Palette\r\nName: x\r\nColumns: 4\r\n# hi\r\n29 43 83\tUntitled\r\n255 0 77\r\n0 0 0\r\n",
    "jasc.pal": b"JASC-PAL\n0100\n3\n29 43 83\n255 0 77 255\n0 0 0\n",
    "microsoft.pal": _riff(3),
    "paint.net.txt": b"; paint.net Palette File\n; Colors: 3\nFF1D2B53\nFFFF004D\n00000000\n",
    "codes.txt": b"#1d2b53\n#ff004d\n#000000\n",
    "pixels.png": _png(
        [[[29, 43, 83, 255], [9, 9, 9, 0], [255, 0, 77, 255]], [[29, 43, 83, 255], *[[0, 0, 0, 255]] * 2]]
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_programs(tmp_path, name):
    (tmp_path / name).write_bytes(FOREIGN[name])
    assert palettes.load(tmp_path / name).tolist() == [list(rgb) for rgb in RGB]


BROKEN = {
    "empty.hex": (b"", "holds no colour"),
    "words.hex": (b"red\nblue\n", "'red' is no colour"),
    "head.gpl": (b"29 43 83\n", "does not begin with 'GIMP Palette'"),
    "empty.gpl": (b"", "no palette in .gpl format"),
    "range.gpl": (b"GIMP Palette\n300 0 0\n", "three numbers from 0 to 255"),
    "word.gpl": (b"GIMP Palette\nred\n", "no palette in .gpl format"),
    "cut.pal": (b"JASC-PAL\n0100\n16\n0 0 0\n", "announces 16 colours and holds 1"),
    "head.pal": (b"RIFX\n0100\n0\n", "neither with 'JASC-PAL' nor with 'RIFF'"),
    "cut-riff.pal": (_riff(16), "no palette in .pal format"),
    "binary.txt": (b"\xff\xfe\x00", "no palette in .txt format"),
    "cut.png": (FOREIGN["pixels.png"][:40], "no palette in .png format"),
    "photo.png": (_png(np.random.default_rng(0).integers(0, 256, (20, 20, 3))), "colours: 256 are the most"),
    "colours.ase": (b"ASEF", "use .hex, .gpl, .pal, .txt, .png"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_a_sentence(tmp_path, name):
    data, sentence = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=sentence) as error:
        palettes.load(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match="can't be read"):
        palettes.load(tmp_path / "none.hex")
    with pytest.raises(BadInput, match="can't be written"):
        palettes.save(palettes.greys(2), tmp_path / "none" / "a.hex")


def test_oklab_round_trip_and_reference(rng):
    srgb = rng.random((100, 3))
    assert np.allclose(colour.oklab_to_srgb(colour.srgb_to_oklab(srgb)), srgb, atol=1e-6)
    # Ottosson's values for sRGB red, as CSS Color 4 lists them: oklab(62.8% 0.22 0.13).
    assert np.allclose(palettes.to_lab(np.uint8([255, 0, 0])), [0.628, 2 * 0.2249, 2 * 0.1258], atol=5e-4)


@pytest.mark.parametrize("count", [1, 16, 100])
def test_nearest_against_brute_force(rng, count):
    palette = rng.integers(0, 256, (count, 3), np.uint8)
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    distance = palettes.to_lab(pixels)[:, :, None] - palettes.to_lab(palette)
    assert np.array_equal(palettes.nearest(palettes.to_lab(pixels), palette), (distance**2).sum(-1).argmin(-1))


def test_kmeans_finds_clusters(rng):
    centres = np.uint8([[20, 20, 20], [200, 30, 40], [40, 180, 60], [240, 240, 230]])
    pixels = (centres[rng.integers(0, 4, 20_000)] + rng.integers(-3, 4, (20_000, 3))).astype(np.uint8)
    found = palettes.kmeans(pixels, 4)
    assert np.abs(found.astype(int) - centres).max() <= 1  # dark to light, as the centres are


def test_kmeans_is_repeatable_sorted_and_keeps_few_colours(rng):
    pixels = rng.integers(0, 256, (9000, 3), np.uint8)
    first, second = palettes.kmeans(pixels, 16), palettes.kmeans(pixels, 16)
    assert np.array_equal(first, second) and first.shape == (16, 3)
    assert (np.diff(palettes.to_lab(first)[:, 0]) >= 0).all()
    own = palettes.fixed("pico-8")
    assert set(palettes.to_codes(palettes.kmeans(own[rng.integers(0, 16, 30_000)], 16))) == set(palettes.to_codes(own))
    assert len(palettes.kmeans(own, 256)) == 16


def test_kmeans_finds_rare_colours(rng):
    common, rare = rng.integers(0, 256, (3, 3), np.uint8), rng.integers(0, 256, (80, 3), np.uint8)
    pixels = np.concatenate([common[rng.integers(0, 3, 9000)], rare])  # 18 of the rare among 2048 pixels
    assert len(palettes.kmeans(pixels, 48)) == 48


def _rms(made: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(((palettes.to_lab(made) - palettes.to_lab(wanted)) ** 2).sum(-1).mean()))


@pytest.mark.parametrize("count", [4, 16, 64])
def test_kmeans_is_closer_than_pillows_best(count):
    small = Image.open(EXAMPLES / "styles/great_wave.jpg").reduce(5)
    pixels = np.asarray(small)
    palette = palettes.kmeans(pixels, count)
    ours = _rms(palette[palettes.nearest(palettes.to_lab(pixels), palette)], pixels)
    methods = itertools.product((Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE), (0, 1))
    for method, kmeans in methods:
        made = small.quantize(count, method=method, kmeans=kmeans, dither=Image.Dither.NONE)
        assert ours < _rms(np.asarray(made.convert("RGB")), pixels)


def test_bayer_matrices():
    assert palettes.bayer_matrix(2).tolist() == [[0, 2], [3, 1]]
    assert palettes.bayer_matrix(4).tolist() == [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]
    assert sorted(palettes.bayer_matrix(8).ravel()) == list(range(64))


def _grey(*lightness: float) -> np.ndarray:
    """A picture of one row in the space of to_lab."""
    return np.array([[[value, 0, 0] for value in lightness]])


def test_ordered_by_hand():
    # Black and white are 1 apart; thresholds are -3/8, 1/8 and 3/8, -1/8: half-way, white is where they exceed 0.
    half = np.broadcast_to(_grey(0.5), (2, 2, 3))
    assert palettes.ordered(half, palettes.greys(2), 2).tolist() == [[0, 1], [1, 0]]
    # 0.3 - 3/8, 0.3 + 1/8, 0.3 + 3/8, 0.3 - 1/8: one is above a half; at half strength 0.3 + 3/16 is not.
    dark = np.broadcast_to(_grey(0.3), (3, 2, 3))
    assert palettes.ordered(dark, palettes.greys(2), 2).tolist() == [[0, 0], [1, 0], [0, 0]]
    assert palettes.ordered(dark, palettes.greys(2), 2, 0.5).sum() == 0


@pytest.mark.parametrize("side", [2, 4, 8])
def test_ordered_shows_the_share_of_white_that_lightness_asks_for(side):
    for share in np.arange(1, 2 * side**2, 2) / (2 * side**2):
        flat = np.broadcast_to(_grey(share), (side, side, 3))
        assert abs(palettes.ordered(flat, palettes.greys(2), side).mean() - share) <= 0.5 / side**2 + 1e-9


def test_diffuse_by_hand():
    # 0.4 -> 0, passes 7/16 of 0.4 on: 0.575 -> 1, passes -0.425 * 7/16: 0.214 -> 0, then 0.4937 -> 0.
    opaque = np.ones((1, 4), bool)
    row = _grey(0.4, 0.4, 0.4, 0.4)
    assert palettes.diffuse(row, opaque, palettes.greys(2)).tolist() == [[0, 1, 0, 0]]
    # A transparent pixel passes nothing on.
    opaque[0, 0] = False
    assert palettes.diffuse(row, opaque, palettes.greys(2)).tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize("shape", [(7, 5), (4, 9), (1, 6), (6, 1)])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_diffuse_against_pixel_by_pixel(rng, shape, strength):
    palette = palettes.fixed("pico-8")
    lab = palettes.to_lab(rng.integers(0, 256, (*shape, 3), np.uint8))
    opaque = rng.random(shape) < 0.9
    colours = palettes.to_lab(palette)
    wanted, expected = lab.copy(), np.zeros(shape, int)
    for y, x in itertools.product(*map(range, shape)):
        value = wanted[y, x].clip(colours.min(0), colours.max(0))
        expected[y, x] = ((value - colours) ** 2).sum(-1).argmin()
        error = strength * opaque[y, x] * (value - colours[expected[y, x]])
        for down, right, sixteenths in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
            if y + down < shape[0] and 0 <= x + right < shape[1]:
                wanted[y + down, x + right] += sixteenths / 16 * error
    assert np.array_equal(palettes.diffuse(lab, opaque, palette, strength), expected)


def test_stretched_uses_every_tone_of_one_hue():
    pixels = np.repeat(np.arange(60, 180, dtype=np.uint8)[:, None], 3, axis=1)
    greys = palettes.to_lab(pixels)
    palette = palettes.fixed("game-boy")
    assert len(np.unique(palettes.nearest(greys, palette))) < 4
    shares = np.bincount(
        palettes.nearest(palettes.stretched(greys, palette, palettes.tones(pixels)), palette), minlength=4
    ) / len(greys)
    assert np.allclose(shares, [1 / 6, 1 / 3, 1 / 3, 1 / 6], atol=0.04)  # equal steps, the outer ones half as wide


def test_stretched_keeps_chroma_of_many_hues(rng):
    pixels = rng.integers(80, 160, (500, 3), np.uint8)
    lab = palettes.to_lab(pixels)
    made = palettes.stretched(lab, palettes.fixed("pico-8"), palettes.tones(pixels))
    assert np.array_equal(made[:, 1:], lab[:, 1:])
    assert made[:, 0].min() == 0 and made[:, 0].max() > 0.95
    assert palettes.stretched(lab, palettes.fixed("pico-8"), palettes.tones(pixels[:1])) is lab


def test_indexed_pictures_hold_their_palette(rng):
    palette = palettes.fixed("sweetie-16")
    index = rng.integers(0, 16, (8, 9)).astype(np.uint8)
    image = palettes.indexed(index, palette)
    assert image.mode == "P" and np.array_equal(palettes.of(image), palette)
    assert np.array_equal(np.asarray(image.convert("RGB")), palette[index])
    opaque = index != 3
    clear = palettes.indexed(index, palette, opaque)
    assert np.array_equal(palettes.of(clear), palette)
    pixels = np.asarray(clear.convert("RGBA"))
    assert np.array_equal(pixels[..., 3] == 255, opaque) and np.array_equal(pixels[opaque, :3], palette[index[opaque]])


def test_no_room_for_transparency():
    with pytest.raises(BadInput, match="at most 255 colours: transparency"):
        palettes.indexed(np.zeros((2, 2), np.uint8), palettes.greys(256), np.eye(2) > 0)


def test_swapped():
    palette = palettes.fixed("1-bit")
    assert palettes.to_codes(palettes.swapped(palette, "#000000=#112233, 112233=f00")) == ["ff0000", "ffffff"]
    assert palettes.to_codes(palettes.swapped(palette, "")) == palettes.to_codes(palette) == ["000000", "ffffff"]
    assert np.array_equal(palettes.swapped(palette, "abcdef=ff0000"), palette)
    for bad in ("000000", "000000=", "000000=red"):
        with pytest.raises(BadInput):
            palettes.swapped(palette, bad)
