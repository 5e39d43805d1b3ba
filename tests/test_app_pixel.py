"""The pixel art tab as its users meet it: through the API, and in a real browser."""

import json
import re

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw

from pipeline import images, palettes
from pipeline.pixel import PRESETS, Settings
from pipeline.settings import defaults
from ui import pixel

from .conftest import CONTENT, shoot
from .test_app import opened_by_link, settle, shown, unfold, wait_for_status, wait_until

PHOTO = CONTENT / "coffee.jpg"
NAMES = list(PRESETS)


@pytest.fixture
def gif(tmp_path):
    """A ball that rolls over a photo, in 24 frames."""
    ground = Image.open(PHOTO).resize((96, 64))
    frames = []
    for i in range(24):
        frames.append(ground.copy())
        ImageDraw.Draw(frames[-1]).ellipse((3 * i, 20, 3 * i + 24, 44), fill="blue")
    path = tmp_path / "ball.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)
    return path


def test_the_api_hands_back_an_indexed_png_at_the_scale_asked_for(client):
    kwargs = dict(photo=handle_file(str(PHOTO)), preset="PICO-8", width=64, height=48, api_name="/pixel")
    for upscale, size in ((1, (64, 48)), (3, (192, 144))):
        image, report = client.predict(upscale=upscale, **kwargs)
        with Image.open(image) as made:
            assert made.format == "PNG" and made.mode == "P" and made.size == size
            assert np.array_equal(palettes.of(made), palettes.fixed("pico-8"))
            recipe = json.loads(made.text["atelier"])
        assert recipe["effect"] == "pixel" and recipe["settings"]["preset"] == "PICO-8"
        assert "64x48 pixels, 16 colours" in report["note"]


def test_the_api_turns_an_animation_into_one(client, gif):
    image, report = client.predict(photo=handle_file(str(gif)), width=24, height=24, upscale=2, api_name="/pixel")
    assert report["iteration"] == report["total"] == 25
    with Image.open(image) as made:
        assert made.format == "GIF" and made.n_frames == 24 and made.size == (48, 32)


def test_the_api_takes_the_text_of_a_palette_file_but_no_path(client, tmp_path):
    path = palettes.save(palettes.fixed("sweetie-16"), tmp_path / "a.hex")
    kwargs = dict(photo=handle_file(str(PHOTO)), palette="own", api_name="/pixel")
    image, _ = client.predict(own_colours=path.read_text(), **kwargs)
    with Image.open(image) as made:
        assert np.array_equal(palettes.of(made), palettes.fixed("sweetie-16"))
    with pytest.raises(AppError, match="'red' is no colour"):
        client.predict(own_colours="red", **kwargs)
    with pytest.raises(TypeError, match="palette_file"):
        client.predict(palette_file=str(path), **kwargs)


def test_the_finished_pictures_are_what_their_looks_make_today():
    for name, look in pixel.FINISHED + pixel.LOOKS:
        settings = Settings(**(dict(PRESETS[look]) | dict(upscale=1)))
        *_, last = pixel._native(str(CONTENT / f"{name}.jpg"), settings)
        with Image.open(pixel._thumbnail(name, look)) as finished:
            assert finished.size == last.image.size, (name, look)
            before, after = (np.asarray(i.convert("RGB"), float) for i in (finished, last.image))
            assert np.abs(before - after).mean() < 4, (name, look)


def test_a_look_sets_every_control_but_the_colours_that_were_typed():
    size, *values = pixel._look("Game Boy")
    assert size == "Game Boy"
    chosen = dict(zip(pixel.CONTROLS, values, strict=True))
    assert chosen.pop("own_colours") != ""
    assert Settings(**chosen) == Settings(**PRESETS["Game Boy"])
    assert set(pixel.CONTROLS) == set(defaults(Settings)) - {"preset", "palette_file"}


def values(**changed):
    settings = Settings(**changed)
    return [getattr(settings, name) for name in pixel.CONTROLS]


def test_colours_that_were_typed_stay_while_another_palette_is_looked_at():
    typed = [*values(palette="own", own_colours="fff 000")]
    typed[pixel.CONTROLS.index("palette")] = "auto"
    ((note, _, shown),) = pixel._run(str(PHOTO), typed)
    assert "16 colours, in" in note and shown
    code = re.findall(r'data-code="(\w+)"', shown["swatches"]["value"])[0]
    assert pixel._replaced(code, "00ff00", str(PHOTO), typed)[2] == f"{code}=00ff00"


def test_replacing_a_colour_of_the_photo_keeps_all_others():
    ((_, _, before),) = pixel._run(str(PHOTO), values(colours=4))
    codes = re.findall(r'data-code="(\w+)"', before["swatches"]["value"])
    palette, own, swaps = pixel._replaced(codes[1], "00ff00", str(PHOTO), values(colours=4))
    assert (palette, own, swaps) == ("own", " ".join(codes), f"{codes[1]}=00ff00")
    ((_, _, after),) = pixel._run(str(PHOTO), values(colours=4, palette=palette, own_colours=own, swaps=swaps))
    one, other = (Image.open(made["native"]["value"]) for made in (before, after))
    assert np.array_equal(one, other)
    assert palettes.to_codes(palettes.of(other)) == [codes[0], "00ff00", *codes[2:]]
    assert not before["reset"]["visible"] and after["reset"]["visible"]


def test_the_page_shows_whole_pixels_and_offers_files_that_others_read(gif):
    ((_, _, made),) = pixel._run(str(PHOTO), values(width=96, height=96, palette="cga", upscale=2, grid=False))
    with Image.open(made["result"]["value"]) as view, Image.open(made["native"]["value"]) as native:
        factor = view.width // native.width
        assert native.size == (96, 64) and view.size == (96 * factor, 64 * factor) and factor == 7
    for ending in ("hex", "gpl"):
        assert np.array_equal(palettes.load(made[ending]["value"]), palettes.fixed("cga"))
    *_, (_, moving, made) = pixel._run(str(gif), values(upscale=2))
    assert not moving and made["enlarged"]["label"] == "↓ GIF 256x170"
    assert images.frames(made["result"]["value"])[0] == images.frames(made["native"]["value"])[0] == 24


def test_what_can_not_be_drawn_is_told_and_the_picture_stays():
    for change, words in (
        (dict(palette="own"), "Your own palette is empty"),
        (dict(cell=8, upscale=2, grid=True), "Grid lines need an enlargement of 3"),
        (dict(width=512, height=512, upscale=64), "choose at most"),
    ):
        ((message, moving, updates),) = pixel._run(str(PHOTO), values(**change))
        assert words in message and not moving and updates == {}
    assert "no photo" in next(pixel._run(None, values()))[0]


@pytest.fixture
def open_tab(open_page):
    def visit(*args, **kwargs):
        page = open_page(*args, **kwargs)
        page.set_default_timeout(60_000)
        page.get_by_role("tab", name="Pixel art").click()
        page.wait_for_selector("#pixel-result img")
        settle(page)
        return page

    return visit


def swatches(page):
    return page.evaluate("[...document.querySelectorAll('#pixel-swatches input')].map(e => e.dataset.code)")


def until_changed(page, old):
    page.wait_for_function("old => document.querySelector('#pixel-result img').src !== old", arg=old)


def download(page, name, folder):
    with page.expect_download() as found:
        page.locator(f"#pixel-{name}").click()
    path = folder / found.value.suggested_filename
    found.value.save_as(path)
    return path


def pick(page, menu, option):
    page.locator(f"#pixel-{menu} input").click()
    page.get_by_role("option", name=option).click()


def test_a_visitor_makes_pixel_art(open_tab, tmp_path):
    page = open_tab()
    shoot(page, "pixel-first-visit")
    assert len(swatches(page)) == 16

    # a slider changes the picture without Run
    first = shown(page, "#pixel-result")
    page.locator("#pixel-colours input[type=range]").press("ArrowLeft")
    wait_for_status(page, "128x64 pixels, 15 colours", "#pixel-status")
    until_changed(page, first)

    # one's own photo, a look, a size
    page.locator("#pixel-photo button[aria-label='Remove Image']").click()
    wait_for_status(page, "There is no photo", "#pixel-status")
    page.set_input_files("#pixel-photo input[type=file]", str(PHOTO))
    wait_for_status(page, "128x85 pixels, 15 colours", "#pixel-status")
    page.locator("#pixel-looks button.thumbnail-item").nth(NAMES.index("Game Boy")).click()
    wait_for_status(page, "160x144 pixels, 4 colours", "#pixel-status")
    assert page.locator("#pixel-size input").input_value() == "160x144 Game Boy"
    assert swatches(page) == palettes.FIXED["game-boy"].codes.split()
    pick(page, "size", "16x16 small icon")
    wait_for_status(page, "16x16 pixels, 4 colours", "#pixel-status")
    shoot(page, "pixel-game-boy-icon")


def test_a_visitor_compares_the_network_with_the_classical_cells(open_tab):
    page = open_tab()
    looks = page.locator("#pixel-looks button.thumbnail-item")
    looks.nth(NAMES.index("Pixel artist")).click()
    page.wait_for_selector("#pixel-compare img")
    classical, drawn = page.evaluate("[...document.querySelectorAll('#pixel-compare img')].map(e => e.src)")
    assert classical != drawn == shown(page, "#pixel-result")
    shoot(page, "pixel-artist")
    looks.nth(NAMES.index("Studio")).click()
    page.wait_for_selector("#pixel-compare", state="hidden")


def test_a_visitor_replaces_a_colour_and_downloads(open_tab, tmp_path):
    page = open_tab()
    before, picture = swatches(page), shown(page, "#pixel-result")
    page.locator("#pixel-swatches input").nth(3).fill("#00ff00")
    until_changed(page, picture)
    page.wait_for_selector("#pixel-swatches input[data-code='00ff00']")
    after = [*before[:3], "00ff00", *before[4:]]
    assert swatches(page) == after
    shoot(page, "pixel-replaced")
    with Image.open(download(page, "native", tmp_path)) as native:
        assert native.format == "PNG" and native.mode == "P" and native.size == (128, 64)
        assert palettes.to_codes(palettes.of(native)) == after
    with Image.open(download(page, "enlarged", tmp_path)) as large:
        assert large.mode == "P" and large.size == (1024, 512)
    for name in ("hex", "gpl"):
        assert palettes.to_codes(palettes.load(download(page, name, tmp_path))) == after
    page.locator("#pixel-reset").click()
    page.wait_for_selector(f"#pixel-swatches input[data-code='{before[3]}']")
    assert swatches(page) == before


def test_a_number_is_typed_digit_by_digit(open_tab):
    page = open_tab()
    unfold(page, "#pixel-advanced")
    width = page.locator("#pixel-width input[type=number]")
    width.select_text()
    width.press_sequentially("512", delay=40)  # at first a 5, which is too small
    wait_for_status(page, "256x128 pixels", "#pixel-status")
    assert page.locator(".toast-body").count() == 0


def test_a_visitor_brings_a_palette(open_tab, tmp_path):
    page = open_tab()
    pick(page, "palette", "My own")
    wait_for_status(page, "Your own palette is empty", "#pixel-status")
    page.locator("#pixel-own-colours textarea").fill("#1d2b53 #ff004d fff")
    wait_for_status(page, "3 colours", "#pixel-status")
    for name, data, words in (("a.gpl", None, None), ("bad.hex", "zzz", "bad.hex: 'zzz' is no colour")):
        path = tmp_path / name
        path.write_text(data) if data else palettes.save(palettes.fixed("cga"), path)
        with page.expect_file_chooser() as chooser:
            page.locator("#pixel-palette-file").click()
        chooser.value.set_files(path)
        if words:
            page.get_by_text(words).wait_for()
        else:
            wait_for_status(page, "4 colours", "#pixel-status")
    assert swatches(page) == palettes.FIXED["cga"].codes.split()  # the last palette that could be read stays


def test_an_animation_stays_one_on_the_page(open_tab, gif, tmp_path):
    page = open_tab()
    page.locator("#pixel-photo button[aria-label='Remove Image']").click()
    page.set_input_files("#pixel-photo input[type=file]", str(gif))
    wait_for_status(page, "128x85 pixels", "#pixel-status")
    page.wait_for_function("() => document.querySelector('#pixel-result img').src.endsWith('.gif')")
    assert not page.locator("#pixel-stop").is_visible()
    with Image.open(download(page, "native", tmp_path)) as made:
        assert made.format == "GIF" and made.n_frames == 24 and made.size == (128, 85)


def test_a_long_animation_can_be_stopped(open_tab, tmp_path):
    page = open_tab()
    before = shown(page, "#pixel-result")
    frames = [Image.new("L", (1000, 700), i) for i in range(250)]
    frames[0].save(tmp_path / "long.gif", save_all=True, append_images=frames[1:], duration=40)
    page.locator("#pixel-photo button[aria-label='Remove Image']").click()
    page.set_input_files("#pixel-photo input[type=file]", str(tmp_path / "long.gif"))
    wait_for_status(page, " of 250", "#pixel-status")
    page.locator("#pixel-stop").click()
    wait_for_status(page, "Stopped.", "#pixel-status")
    assert shown(page, "#pixel-result") == before
    page.locator("#pixel-photo button[aria-label='Remove Image']").click()
    page.set_input_files("#pixel-photo input[type=file]", str(tmp_path / "long.gif"))
    wait_for_status(page, " of 250", "#pixel-status")
    page.locator("#pixel-examples button.thumbnail-item").nth(1).click()  # which ends it as well
    wait_for_status(page, "160x144 pixels, 4 colours", "#pixel-status")
    page.wait_for_timeout(500)
    assert "160x144 pixels, 4 colours" in page.locator("#pixel-status").inner_text()


def test_a_shared_link_shows_what_was_drawn(open_tab, open_page, tmp_path):
    page = open_tab()
    page.locator("#pixel-examples button.thumbnail-item").nth(1).click()
    wait_for_status(page, "160x144 pixels, 4 colours", "#pixel-status")
    other = opened_by_link(page, open_page)
    other.get_by_role("tab", name="Pixel art").click()
    wait_for_status(other, "160x144 pixels, 4 colours", "#pixel-status")
    wait_until(other, lambda: other.evaluate("document.querySelector('#pixel-result img')?.naturalWidth"))
    with Image.open(download(other, "native", tmp_path)) as made:
        assert made.size == (160, 144)


@pytest.mark.parametrize("width, query", [(390, ""), (1280, "?__theme=dark"), (390, "?__theme=dark")])
def test_phone_and_dark_mode(open_tab, width, query):
    page = open_tab(query, width=width, height=844, has_touch=width < 500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    order = ("photo", "dither", "result", "swatches", "enlarged", "looks", "advanced", "examples")
    tops = [page.locator(f"#pixel-{name}").bounding_box()["y"] for name in order]
    if width < 500:
        assert tops == sorted(tops)
    else:
        result = page.locator("#pixel-result").bounding_box()
        assert result["y"] + result["height"] <= 800
    # Whoever turns the last control still sees the picture.
    unfold(page, "#pixel-advanced")
    page.locator("#pixel-upscale").scroll_into_view_if_needed()
    result = page.locator("#pixel-result").bounding_box()
    assert 0 < result["y"] + result["height"] / 2 < 844 / 2
    page.evaluate("window.scrollTo(0, 0)")
    shoot(page, f"pixel-{width}{'-dark' if query else ''}")
