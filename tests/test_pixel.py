"""Pixel art: cells by formula, palettes exact, alpha, animations, the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline import BadInput, cli, colour, effects, images, palettes, pixel
from pipeline.settings import choices

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ASTRONAUT = EXAMPLES / "content/astronaut.jpg"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def photo():
    return Image.open(ASTRONAUT).convert("RGB").resize((96, 64))


def colours_of(image: Image.Image) -> set[tuple[int, ...]]:
    pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    shown = pixels[pixels[:, 3] > 0, :3] @ np.array([1 << 16, 1 << 8, 1])
    return {(n >> 16, n >> 8 & 255, n & 255) for n in np.unique(shown).tolist()}


def shrunk(photo: Image.Image, **options) -> np.ndarray:
    return pixel.shrink(photo, pixel.Settings(cell=8, **options))


def blocks(array: np.ndarray, side: int = 8) -> np.ndarray:
    """(H, W, C) to (H/side, W/side, side², C)."""
    high, wide, channels = array.shape
    cut = array.reshape(high // side, side, wide // side, side, channels).swapaxes(1, 2)
    return cut.reshape(high // side, wide // side, side * side, channels)


def test_it_is_offered_and_its_choices_match_what_there_is():
    assert effects()["pixel"] is pixel
    assert choices(pixel.Settings, "method") == tuple(pixel.METHODS)
    assert set(choices(pixel.Settings, "palette")) == {"auto", "greys", "own", *palettes.FIXED}


def test_mean_is_the_mean_of_linear_light(rng):
    pixels = rng.integers(0, 256, (64, 96, 3), np.uint8)
    linear = ((pixels / 255 + 0.055) / 1.055) ** 2.4
    linear = np.where(pixels / 255 <= 0.04045, pixels / 255 / 12.92, linear)
    average = blocks(linear).mean(axis=2)
    expected = 1.055 * average ** (1 / 2.4) - 0.055  # all averages are far above the linear part
    assert np.abs(shrunk(Image.fromarray(pixels), method="mean")[..., :3] / 255 - expected).max() <= 0.5 / 255 + 1e-4


def test_mean_of_black_and_white_is_lighter_than_grey():
    board = Image.fromarray(np.uint8(np.indices((64, 64)).sum(0) % 2 * 255)).convert("RGB")
    assert (shrunk(board, method="mean")[..., :3] == 188).all()


def test_median_and_centre(rng):
    pixels = rng.integers(0, 256, (64, 96, 3), np.uint8)
    image = Image.fromarray(pixels)
    median = np.median(blocks(pixels), axis=2)
    assert np.abs(shrunk(image, method="median")[..., :3] - median).max() <= 0.5
    assert np.array_equal(shrunk(image, method="centre")[..., :3], pixels[4::8, 4::8])


def test_k_centroid_takes_the_larger_group(rng):
    red, blue = np.array([200, 40, 30]), np.array([30, 50, 190])
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:] = red + rng.integers(-5, 6, (64, 64, 3))
    many = np.zeros((64, 64), bool)
    many[:, 32:] = rng.random((64, 32)) < 0.75  # the right half is mostly blue
    many[:, :32] = rng.random((64, 32)) < 0.25
    pixels[many] = (blue + rng.integers(-5, 6, (64, 64, 3)))[many]
    made = shrunk(Image.fromarray(pixels), method="k-centroid")[..., :3].astype(int)
    assert np.abs(made[:, :4] - red).max() <= 3 and np.abs(made[:, 4:] - blue).max() <= 3


def test_two_groups_are_two_means_of_each_cell(rng, monkeypatch):
    monkeypatch.setattr(pixel, "_BAND", 3 * 16 * 6 * 2)  # two rows of cells at a time
    cells = rng.integers(0, 256, (3, 5, 16, 6), np.uint8)
    large, small, share = pixel._two_groups(cells)
    for y, x in np.ndindex(5, 6):
        pixels = cells[:, y, :, x].T / 255
        first = pixels @ colour.LUMA > pixels.mean(0) @ colour.LUMA
        for _ in range(pixel.TWO_MEANS_ITERATIONS):
            means = pixels[first].mean(0), pixels[~first].mean(0)
            size = first.sum()
            first = ((pixels - means[0]) ** 2).sum(1) < ((pixels - means[1]) ** 2).sum(1)
        means = means if size >= 8 else means[::-1]
        assert np.allclose(large[y, x], means[0], atol=1e-5) and np.allclose(small[y, x], means[1], atol=1e-5)
        assert np.isclose(share[y, x], min(size, 16 - size) / 16)


@pytest.mark.parametrize("line, ground", [(20, 230), (230, 20)])
def test_contrast_keeps_a_thin_line_that_others_lose(line, ground):
    pixels = np.full((64, 64, 3), ground, np.uint8)
    pixels[:, 27] = line  # one pixel wide, in the fourth column of cells
    image = Image.fromarray(pixels)
    kept = shrunk(image, method="contrast")[..., 0]
    assert (kept[:, 3] == line).all() and (np.delete(kept, 3, axis=1) == ground).all()
    for method in ("k-centroid", "median", "centre"):
        assert (shrunk(image, method=method)[..., 0] == ground).all()


def test_contrast_leaves_an_edge_alone():
    pixels = np.full((64, 64, 3), 230, np.uint8)
    pixels[:, :27] = 20  # the fourth column of cells is 3 pixels dark, 5 light
    image = Image.fromarray(pixels)
    made = shrunk(image, method="contrast")
    assert np.array_equal(made, shrunk(image, method="k-centroid")) and (made[:, 3, 0] == 230).all()


@pytest.mark.parametrize("line, ground", [(20, 230), (230, 20)])
def test_outline_expansion_widens_lines(line, ground):
    pixels = np.full((64, 64, 3), ground, np.uint8)
    pixels[:, 27] = line
    image = Image.fromarray(pixels)
    seen = [shrunk(image, method="mean", outline=amount)[4, 3, 0] for amount in (0, 0.3, 0.6, 1)]
    assert np.all(np.diff(np.abs(np.array(seen, int) - ground)) > 20)
    cells = pixel.samples(image, (8, 8), (0, 0, 64, 64))
    assert pixel.expand_outlines(cells, 8, 0.01) is cells


def test_pooling_is_the_mean_of_grey_blocks(rng):
    pixels = rng.integers(0, 256, (96, 128, 3), np.uint8)
    made = pixel.pixelate(Image.fromarray(pixels), preset="Block averages")
    assert made.size == (128, 96)
    grey = pixels @ np.array([0.2989, 0.587, 0.114])  # tf.image.rgb_to_grayscale
    averages = blocks(grey[..., None]).mean(axis=2)
    shown = np.asarray(made.convert("RGB"))
    assert np.abs(shown[::8, ::8] - averages).max() <= 0.6
    assert np.array_equal(shown, np.repeat(np.repeat(shown[::8, ::8], 8, 0), 8, 1))


@pytest.mark.parametrize(
    "options, cells, box, size",
    [
        (dict(width=128, height=128), (128, 64), (0, 0, 800, 400), (128, 64)),
        (dict(width=64, height=96, fit="pad"), (64, 32), (0, 0, 800, 400), (64, 96)),
        (dict(width=64, height=64, fit="crop"), (64, 64), (200, 0, 600, 400), (64, 64)),
        (dict(cell=16), (50, 25), (0, 0, 800, 400), (50, 25)),
        (dict(cell=30), (26, 13), (10, 5, 790, 395), (26, 13)),
    ],
)
def test_layout(options, cells, box, size):
    assert pixel.layout((800, 400), pixel.Settings(**options)) == (cells, box, size)


def test_cells_larger_than_the_photo_are_refused():
    with pytest.raises(BadInput, match="Cells of 128 pixels do not fit a photo of 800x100"):
        pixel.layout((800, 100), pixel.Settings(cell=128))


def test_too_many_cells_are_refused():
    with pytest.raises(BadInput, match="Cells of 2 pixels are too many in this photo: make them 6 or larger"):
        pixel.layout((8000, 5000), pixel.Settings(cell=2))
    pixel.layout((8000, 5000), pixel.Settings(cell=6))


def test_samples_are_the_pixels_of_each_cell(rng):
    pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
    found = pixel.samples(Image.fromarray(pixels), (4, 3), (0, 0, 32, 24))
    assert np.array_equal(found, blocks(pixels).transpose(3, 0, 2, 1))


def test_samples_of_uneven_cells_are_pixels_of_the_photo(rng):
    photo = Image.fromarray(rng.integers(0, 256, (22, 30, 3), np.uint8))
    found = pixel.samples(photo, (8, 6), (0, 0, 30, 22))
    assert found.shape == (3, 6, 16, 8)
    assert set(map(tuple, found.reshape(3, -1).T.tolist())) == colours_of(photo)


def test_large_photos_are_sampled_to_a_bound():
    photo = Image.new("RGB", (4000, 2000), (10, 200, 30))
    cells, box, _ = pixel.layout(photo.size, pixel.Settings())
    found = pixel.samples(photo, cells, box)
    assert found.shape[1::2] == (64, 128) and 0.5 * pixel.MAX_SAMPLES < found[0].size <= pixel.MAX_SAMPLES
    assert (shrunk(photo)[..., :3] == (10, 200, 30)).all()


@pytest.mark.parametrize("dither", choices(pixel.Settings, "dither"))
@pytest.mark.parametrize("palette", ["auto", "greys", "pico-8", "1-bit", "game-boy"])
def test_no_colour_outside_the_palette(photo, palette, dither):
    made = pixel.pixelate(photo, width=32, height=32, palette=palette, dither=dither, colours=5, stretch=True)
    allowed = {"auto": palettes.of(made), "greys": palettes.greys(5)}.get(palette)
    allowed = palettes.fixed(palette) if allowed is None else allowed
    assert made.mode == "P" and len(palettes.of(made)) == len(allowed)
    assert colours_of(made) <= set(map(tuple, allowed.tolist()))
    assert len(colours_of(made)) > 1


def test_dithering_mixes_what_nearest_cannot(photo):
    flat = Image.new("RGB", (64, 64), (120, 120, 120))
    plain, mixed = (
        pixel.pixelate(flat, width=32, height=32, palette="1-bit", dither=d, dither_strength=1.0)
        for d in ("none", "floyd-steinberg")
    )
    assert len(colours_of(plain)) == 1
    lightness = colour.srgb_to_oklab(np.array([120 / 255] * 3))[0]
    assert abs(np.asarray(mixed.resize((32, 32), 0).convert("L")).mean() / 255 - lightness) < 0.02


def test_native_file_is_indexed_with_its_palette(photo, tmp_path):
    native = pixel.pixelate(photo, upscale=1, palette="sweetie-16")
    images.save(native, tmp_path / "a.png", effect="pixel")
    images.save(native, tmp_path / "a.webp")
    images.save(native, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.png") as read:
        assert read.mode == "P" and np.array_equal(palettes.of(read), palettes.fixed("sweetie-16"))
        assert json.loads(read.text["atelier"]) == {"effect": "pixel"}
    for ending in (".png", ".webp"):
        with Image.open(tmp_path / f"a{ending}") as read:
            assert np.array_equal(read.convert("RGB"), native.convert("RGB"))
    assert np.array_equal(palettes.load(tmp_path / "a.png"), palettes.from_codes(" ".join(_in_order(native))))


def _in_order(image: Image.Image) -> list[str]:
    return [bytes(rgb).hex() for rgb in np.asarray(image.convert("RGB")).reshape(-1, 3)]


def test_enlargement_is_whole_and_exact(photo):
    native = pixel.pixelate(photo, width=32, height=32, upscale=1)
    large = pixel.pixelate(photo, width=32, height=32, upscale=3)
    assert native.size == (32, 21) and large.size == (96, 63)
    assert np.array_equal(np.asarray(large), np.repeat(np.repeat(np.asarray(native), 3, 0), 3, 1))
    assert pixel.enlarge(native).size == (1024, 32 * 21)


def test_enlargement_is_bounded_for_all_frames_together(photo):
    native = pixel.pixelate(photo, width=500, height=400, upscale=1)
    assert native.size == (500, 333) and pixel.largest_factor((500, 400)) == 22
    with pytest.raises(BadInput, match="Enlarged 64 times, .* choose at most 24"):
        pixel.enlarge(native, 64)
    assert pixel.enlarge(native, frames=400).size == native.size  # 66 megapixels already
    assert pixel.enlarge(native, 1, frames=10_000).size == native.size
    with pytest.raises(BadInput, match="choose at most 1"):
        pixel.enlarge(native, 2, frames=400)


def test_grid_lines(photo):
    native = pixel.pixelate(photo, width=32, height=32, upscale=1)
    lined = np.asarray(pixel.enlarge(native, 5, grid=True).convert("RGB"))
    plain = np.asarray(pixel.enlarge(native, 5).convert("RGB"))
    line = (np.arange(160) % 5 == 0) | (np.arange(105)[:, None] % 5 == 0)
    assert (lined[line] == pixel.GRID_LINE).all() and np.array_equal(lined[~line], plain[~line])
    with pytest.raises(BadInput, match="enlargement of 3 or more, not 2"):
        pixel.enlarge(native, 2, grid=True)
    with pytest.raises(BadInput, match="at most 255 colours: the grid"):
        pixel.pixelate(photo, palette="greys", colours=256, grid=True)


def test_transparency_is_kept_and_hidden_colours_do_not_show():
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[...] = (255, 0, 0, 0)  # red, but transparent
    pixels[:, 20:] = (0, 200, 0, 255)  # the third column of cells is half covered: 4 of 8,
    pixels[:, 8:11] = (0, 200, 0, 255)  # and the second less than that: 3 of 8
    photo = Image.fromarray(pixels)
    for method in pixel.METHODS:
        native = pixel.pixelate(photo, cell=8, method=method, upscale=1)
        made = np.asarray(native.convert("RGBA"))
        assert (made[:, :2, 3] == 0).all() and (made[:, 2:, 3] == 255).all()
        if method not in ("pooling", "neural"):
            assert colours_of(native) == {(0, 200, 0)} and len(palettes.of(native)) == 1
    lined = np.asarray(pixel.enlarge(native, 4, grid=True).convert("RGBA"))
    assert (lined[1::4, 1, 3] == 0).all() and (lined[:, 0, 3] == 255).all()


def test_padding_is_transparent(photo):
    native = pixel.pixelate(photo, width=48, height=48, fit="pad", upscale=1, palette="pico-8")
    alpha = np.asarray(native.convert("RGBA"))[..., 3]
    assert native.size == (48, 48) and (alpha[8:40] == 255).all() and alpha[:8].max() == alpha[40:].max() == 0


def test_a_transparent_picture_is_refused():
    with pytest.raises(BadInput, match="transparent all over"):
        pixel.pixelate(Image.new("RGBA", (64, 64), (255, 0, 0, 0)))


def test_own_palette(photo, tmp_path):
    path = palettes.save(palettes.fixed("cga"), tmp_path / "a.gpl")
    by_file = pixel.pixelate(photo, palette="own", palette_file=str(path))
    by_codes = pixel.pixelate(photo, palette="own", own_colours="#000, 55ffff, ff55ff, fff")
    assert np.array_equal(by_file.convert("RGB"), by_codes.convert("RGB"))
    with pytest.raises(BadInput, match="Your own palette is empty"):
        pixel.pixelate(photo, palette="own")


def test_swapping_a_colour_changes_it_and_nothing_else(photo):
    before = pixel.pixelate(photo, palette="pico-8")
    after = pixel.pixelate(photo, palette="pico-8", swaps="000000=123456")
    assert np.array_equal(before, after)
    assert palettes.to_codes(palettes.of(after))[0] == "123456"
    assert palettes.to_codes(palettes.of(after))[1:] == palettes.to_codes(palettes.of(before))[1:]


@pytest.mark.parametrize("name", pixel.PRESETS)
def test_presets_run(photo, name):
    made = pixel.pixelate(photo, preset=name)
    assert made.mode == "P" and len(colours_of(made)) > 1
    assert np.array_equal(made, pixel.pixelate(photo, **pixel.PRESETS[name]))
    assert all(8 <= side <= 512 for size in pixel.SIZES.values() for side in size)


def test_settings_that_are_not_left_alone_win_over_the_preset(photo):
    made = pixel.pixelate(photo, preset="Game Boy", width=32, palette="pico-8", upscale=1)
    assert made.size == (32, 144) and np.array_equal(palettes.of(made), palettes.fixed("pico-8"))
    plain = pixel.pixelate(photo, preset="NES", dither="none")  # which is the default
    assert np.array_equal(plain, pixel.pixelate(photo, **(pixel.PRESETS["NES"] | dict(dither="none"))))
    assert not np.array_equal(plain, pixel.pixelate(photo, preset="NES"))


@pytest.mark.parametrize("own", [dict(own_colours="fff"), dict(palette_file="none.gpl", preset="Game Boy")])
def test_a_palette_of_ones_own_is_not_passed_over(photo, own):
    with pytest.raises(BadInput, match="only with the palette 'own'"):
        pixel.pixelate(photo, **own)


def test_a_photo_is_one_step(photo):
    (step,) = pixel.run(photo)
    assert (step.iteration, step.total, step.frames) == (1, 1, ())
    assert "128x85 pixels, 16 colours" in step.note


@pytest.fixture(scope="module")
def frames():
    ground = Image.open(ASTRONAUT).convert("RGBA").resize((96, 64))
    made = []
    for i, fill in enumerate(("red", "yellow", "blue")):
        frame = ground.copy()
        ImageDraw.Draw(frame).ellipse((20 * i, 10, 20 * i + 30, 50), fill=fill)
        frame.paste((0, 0, 0, 0), (0, 48, 24 + 8 * i, 64))
        made.append(frame)
    return made


DURATIONS = [100, 200, 50]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animations_stay_animations_with_one_palette(frames, tmp_path, ending):
    path = tmp_path / f"in.{ending}"
    options = dict(disposal=2) if ending == "gif" else dict(lossless=True) if ending == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DURATIONS, **options)
    *way, last = pixel.run(path, pixel.Settings(width=24, height=24, colours=6, upscale=3))
    assert [(step.iteration, step.total, step.image.size) for step in way] == [(i, 4, (24, 16)) for i in (1, 2, 3)]
    assert last.image is last.frames[0] and [f.info["duration"] for f in last.frames] == DURATIONS
    assert len({f.tobytes() for f in last.frames}) == 3
    assert all(np.array_equal(palettes.of(f), palettes.of(last.image)) for f in last.frames)
    wanted = [np.asarray(f.convert("RGBA")) for f in last.frames]
    shown = set().union(*map(colours_of, last.frames))
    assert len(shown) <= 6
    for output in ("gif", "webp", "png"):
        images.save(last.image, tmp_path / f"out.{output}", last.frames, effect="pixel")
        count, read = images.frames(tmp_path / f"out.{output}", alpha=True)
        read = list(read)
        assert count == 3 and [f.info["duration"] for f in read] == DURATIONS
        for frame, expected in zip(read, wanted, strict=True):
            made, opaque = np.asarray(frame.convert("RGBA")), expected[..., 3] > 0
            assert not opaque.all() and np.array_equal(made[..., 3], expected[..., 3])
            assert np.array_equal(made[opaque], expected[opaque])


def test_an_animation_written_as_jpeg_is_its_first_frame(frames, tmp_path):
    frames[0].save(tmp_path / "in.webp", save_all=True, append_images=frames[1:], duration=DURATIONS)
    *_, last = pixel.run(tmp_path / "in.webp", pixel.Settings(width=24, height=24, upscale=1))
    images.save(last.image, tmp_path / "out.jpg", last.frames)
    with Image.open(tmp_path / "out.jpg") as read:
        assert read.size == (24, 16) and read.mode == "RGB"


def test_a_cut_off_animation_is_one_sentence(frames, tmp_path):
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=DURATIONS, disposal=2)
    data = (tmp_path / "in.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadInput, match="cut.gif is damaged or incomplete"):
        list(pixel.run(tmp_path / "cut.gif"))


def test_frames_of_a_still(photo):
    count, frames = images.frames(photo)
    (frame,) = frames
    assert count == 1 and np.array_equal(frame, photo)


def test_command_line(tmp_path, capsys):
    out = tmp_path / "out.png"
    assert cli.main(["pixel", str(ASTRONAUT), "-o", str(out), "--palette", "pico-8", "--upscale", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["width"] == 128
    with Image.open(out) as read:
        assert read.mode == "P" and colours_of(read) <= set(map(tuple, palettes.fixed("pico-8").tolist()))
    assert cli.main(["pixel", str(ASTRONAUT), "-o", str(out), "--palette", "own", "--own-colours", "red"]) == 2
    assert capsys.readouterr().err == "error: 'red' is no colour: write each as 6 hex digits, such as 1d2b53.\n"


@pytest.mark.parametrize("method", ["contrast", "pooling"])
def test_crops_of_any_size_stay_inside_the_photo(method):
    """The sizes are some at which rounding made the crop larger than the photo, or left nothing of it."""
    for size, cells in (((640, 480), (116, 116)), ((1000, 1000), (60, 60)), ((2002, 32), (8, 512))):
        width, height = cells
        picture = pixel.pixelate(
            Image.new("RGB", size, "red"), width=width, height=height, fit="crop", method=method, upscale=1
        )
        assert picture.size == cells
        levels = np.asarray(picture.convert("RGB"))
        assert np.ptp(levels, axis=(0, 1)).max() == 0  # no black edge
