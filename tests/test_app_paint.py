"""The tab of paint to photo as its users meet it, with a small untrained painter: through the API, and in a browser."""

import base64
import io
import json

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pipeline import paint
from pipeline.spade import CLASSES, PALETTE

from .conftest import CONTENT, ROOT, serving, shoot
from .test_app import shown, unfold, wait_for_status, wait_until

DOODLES = ROOT / "examples" / "doodles"
LAKE = paint.read(DOODLES / "lake.png", 512)
SKY, TREE, SEA, SAND = map(CLASSES.index, ("sky", "tree", "sea", "sand"))


@pytest.fixture(scope="module")
def url(painter):
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


def test_the_api_paints_with_and_without_a_style_photo(client):
    label_map = handle_file(str(DOODLES / "beach.png"))
    image, report = client.predict(label_map=label_map, size=128, style=3, api_name="/paint")
    with Image.open(image) as made:
        assert made.size == (128, 128) and made.format == "PNG"
        assert json.loads(made.text["atelier"])["settings"]["style"] == 3
    assert "style 3" in report["note"] and report["iteration"] == report["total"] == 1
    photo = handle_file(str(CONTENT / "canyon.jpg"))
    _, report = client.predict(label_map=label_map, style_photo=photo, size=64, api_name="/paint")
    assert "the photo's style" in report["note"]
    with pytest.raises(AppError, match="16 stored styles"):
        client.predict(label_map=label_map, style=99, api_name="/paint")
    with pytest.raises(AppError, match="There is no label_map"):
        client.predict(label_map=None, api_name="/paint")


@pytest.fixture
def open_tab(open_page):
    def visit(*args, **kwargs):
        page = open_page(*args, **kwargs)
        page.set_default_timeout(60_000)
        page.get_by_role("tab", name="Paint to photo").click()
        wait_for_status(page, "512x512 in ", "#paint-status")
        return page

    return visit


def canvas(page):
    """What is on the canvas: labels, read off its pixels."""
    data = page.evaluate("document.querySelector('#paint-canvas canvas').toDataURL()").partition(",")[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    found = (pixels[:, :, None] == PALETTE).all(-1)
    assert found.any(-1).all()  # no colour in between
    return found.argmax(-1)


def brush(page, name):
    page.locator("#paint-canvas .brushes label", has_text=name).click()


def tool(page, name):
    page.locator("#paint-canvas .tools label", has_text=name).click()


def drag(page, *points):
    """Draw through points, as shares of the canvas."""
    box = page.locator("#paint-canvas canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def until_changed(page, old):
    page.wait_for_function("old => document.querySelector('#paint-result img').src !== old", arg=old)


def fetched(page, elem):
    """The pixels of the picture that is shown."""
    return np.asarray(Image.open(io.BytesIO(page.request.get(shown(page, elem)).body())).convert("RGB"))


def download(page, name, folder):
    with page.expect_download() as found:
        page.locator(f"#paint-{name}").click()
    path = folder / found.value.suggested_filename
    found.value.save_as(path)
    return path


def test_a_visitor_paints_and_the_picture_follows(open_tab, tmp_path):
    page = open_tab()
    first = shown(page, "#paint-result")
    page.wait_for_selector("#paint-styles img")
    assert page.locator("#paint-styles button.thumbnail-item").count() == 16
    shoot(page, "paint-first-visit")
    assert np.array_equal(canvas(page), LAKE)

    brush(page, "sand")
    drag(page, (0.2, 0.2), (0.8, 0.2))
    until_changed(page, first)
    wait_for_status(page, "256x256 in ", "#paint-status")
    painted = canvas(page)
    stroke = painted == SAND
    assert stroke[102, 110:400].all() and not stroke[130:].any() and not stroke[:74].any()
    assert np.array_equal(painted[~stroke], LAKE[~stroke])
    shoot(page, "paint-stroke")

    # what is downloaded is what is on the canvas and on the screen
    assert np.array_equal(paint.read(download(page, "download-map", tmp_path), 512), painted)
    with Image.open(download(page, "download", tmp_path)) as saved:
        assert saved.size == (256, 256) and json.loads(saved.text["atelier"])["settings"]["size"] == 256
        live = np.asarray(saved)
    assert np.array_equal(live, np.asarray(paint.paint(paint.draw(painted), size=256)))

    page.locator("#paint-run").click()
    wait_for_status(page, "512x512 in ", "#paint-status")
    with Image.open(download(page, "download", tmp_path)) as saved:
        assert saved.size == (512, 512)


def test_fill_eraser_undo_redo_and_clear(open_tab):
    page = open_tab()
    brush(page, "sea")
    tool(page, "Fill")
    drag(page, (0.5, 0.9))
    filled = canvas(page)
    water = np.isin(LAKE, CLASSES.index("water"))
    assert np.array_equal(filled == SEA, water) and np.array_equal(filled[~water], LAKE[~water])
    brush(page, "tree")
    tool(page, "Brush")
    drag(page, (0.1, 0.1), (0.9, 0.9))
    stroked = canvas(page)
    assert (stroked == TREE).sum() > (filled == TREE).sum() + 10_000
    # the eraser brings back the doodle below, not the fill, which is a stroke too
    tool(page, "Eraser")
    drag(page, (0.1, 0.1), (0.9, 0.9))
    assert np.array_equal(np.where(stroked != filled, canvas(page), LAKE), LAKE)

    undo, redo = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
    undo.click()
    assert np.array_equal(canvas(page), stroked)
    page.keyboard.press("Control+z")
    assert np.array_equal(canvas(page), filled)
    redo.click()
    assert np.array_equal(canvas(page), stroked)
    for _ in range(2):
        undo.click()
    assert undo.is_disabled() and np.array_equal(canvas(page), LAKE)
    page.get_by_role("button", name="Start over").click()
    assert np.all(canvas(page) == SKY)
    wait_for_status(page, "256x256 in ", "#paint-status")
    undo.click()
    assert np.array_equal(canvas(page), LAKE)


def test_the_canvas_works_without_a_mouse(open_tab):
    page = open_tab()
    page.get_by_label("snow").focus()
    page.keyboard.press("ArrowLeft")  # native radio buttons: rock
    assert page.get_by_label("rock").is_checked()
    page.locator("#paint-canvas input[type=range]").fill("20")
    page.locator("#paint-canvas canvas").focus()
    for key in ("ArrowUp", "Shift+ArrowRight", "Space"):
        page.keyboard.press(key)
    wait_for_status(page, "256x256 in ", "#paint-status")
    rock = canvas(page) == CLASSES.index("rock")
    rows, columns = np.nonzero(rock)
    assert abs(rows.mean() - 240) < 1 and abs(columns.mean() - 320) < 1 and 280 < rock.sum() < 350  # pi 10^2 = 314


def test_doodles_shapes_and_maps_from_files(open_tab, tmp_path):
    page = open_tab()
    page.locator("#paint-examples button.thumbnail-item").nth(4).click()
    page.wait_for_function("() => !document.querySelector('[data-part=undo]').disabled")
    wait_for_status(page, "256x256 in ", "#paint-status")
    names = sorted((path.stem for path in DOODLES.glob("*.png")), key=lambda name: name != "lake")
    doodle = paint.read(DOODLES / f"{names[4]}.png", 512)
    assert np.array_equal(canvas(page), doodle)
    page.get_by_label("Shape").select_option("Wide")
    wait_for_status(page, "256x192 in ", "#paint-status")
    wide = canvas(page)
    assert wide.shape == (384, 512) and np.array_equal(wide, doodle[(np.arange(384) * 4 // 3)])

    def open_map(path):
        with page.expect_file_chooser() as chooser:
            page.locator("#paint-label-map").click()
        chooser.value.set_files(path)

    labels = np.repeat(np.uint8([SKY, TREE]), 100)[:, None].repeat(300, 1)
    Image.fromarray(PALETTE[labels] ^ 1).save(tmp_path / "map.png")  # nearly the right colours
    open_map(tmp_path / "map.png")
    wait_for_status(page, "256x170 in ", "#paint-status")
    opened = canvas(page)
    assert opened.shape == (341, 512) and np.all(opened[:165] == SKY) and np.all(opened[175:] == TREE)
    (tmp_path / "fake.png").write_text("no picture")
    open_map(tmp_path / "fake.png")
    page.get_by_text("is not a picture that can be read").wait_for()
    assert np.array_equal(canvas(page), opened)
    page.get_by_role("button", name="Undo", exact=True).click()
    assert np.array_equal(canvas(page), wide)


def test_styles_to_click_to_draw_at_random_and_from_a_photo(open_tab):
    page = open_tab()
    page.wait_for_selector("#paint-styles img")
    page.locator("#paint-styles button.thumbnail-item").nth(6).click()
    wait_for_status(page, ", style 7, ", "#paint-status")
    page.locator("#paint-surprise").click()
    wait_for_status(page, "random style ", "#paint-status")
    unfold(page, "#paint-advanced")
    seed = page.locator("#paint-style-seed input").input_value()
    wait_for_status(page, f"random style {seed}, ", "#paint-status")
    page.set_input_files("#paint-photo input[type=file]", str(CONTENT / "canyon.jpg"))
    wait_for_status(page, "the photo's style", "#paint-status")
    page.locator("#paint-second-style input").fill("2")
    page.locator("#paint-blend input[type=number]").fill("0.25")
    wait_for_status(page, "75% the photo's style and 25% style 2", "#paint-status")
    shoot(page, "paint-advanced")
    page.locator("#paint-blend input[type=number]").fill("0")
    page.locator("#paint-suit").click()
    wait_for_status(page, "a style that suits", "#paint-status")
    before = shown(page, "#paint-result")
    page.locator("#paint-other-details").click()
    until_changed(page, before)
    page.locator("#paint-style input").fill("99")
    wait_for_status(page, "There are 16 stored styles", "#paint-status")
    assert shown(page, "#paint-result")  # the last picture stays


def test_a_landscape_is_painted_and_then_stylised(open_tab, tmp_path):
    page = open_tab()
    saved = download(page, "download", tmp_path)
    page.locator("#paint-send input").click()
    page.get_by_role("option", name="Fast style").click()
    wait_for_status(page, "512x512 in ", "#fast-status")
    assert np.array_equal(fetched(page, "#fast-photo"), np.asarray(Image.open(saved)))
    page.get_by_role("tab", name="Paint to photo").click()  # and what was painted is still there
    assert np.array_equal(canvas(page), LAKE)
    assert page.locator("#paint-send input").input_value() == "Send to …"


def test_a_canvas_that_became_lower_is_filled_by_keyboard(open_tab):
    page = open_tab()
    page.locator("#paint-canvas canvas").focus()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    page.get_by_label("Shape of the canvas").select_option(label="Wide")
    page.locator("#paint-canvas").get_by_text("Fill", exact=True).click()
    page.locator("#paint-canvas canvas").focus()
    page.keyboard.press("Space")
    wait_until(page, lambda: canvas(page)[-1, 256] == CLASSES.index("sky"))


def test_two_strokes_in_a_row_end_with_the_picture_of_both(open_tab, tmp_path):
    page = open_tab()
    brush(page, "tree")
    drag(page, (0.2, 0.2), (0.4, 0.2))
    drag(page, (0.6, 0.2), (0.8, 0.2))
    painted = canvas(page)
    page.wait_for_timeout(200)
    wait_for_status(page, "256x256 in ", "#paint-status")
    wanted = np.asarray(paint.paint(paint.draw(painted), size=256))
    wait_until(page, lambda: np.array_equal(fetched(page, "#paint-result"), wanted))


def test_what_is_no_map_is_told(client):
    from ui import paint as tab

    for url, words in (
        ("data:image/png;base64,@@", "reload the page"),
        ("data:image/png;base64,AAAA", "not a picture"),
    ):
        ((_, message, *_),) = tab._run(1, url, None, 0, 0, 0, 0, 0)
        assert words in message


@pytest.mark.parametrize("width, query", [(390, ""), (1280, "?__theme=dark"), (390, "?__theme=dark")])
def test_phone_and_dark_mode(open_tab, width, query):
    page = open_tab(query, width=width, height=844, has_touch=width < 500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    order = ("canvas", "result", "run", "surprise", "styles", "advanced", "examples")
    tops = [page.locator(f"#paint-{name}").bounding_box()["y"] for name in order]
    if width < 500:
        assert tops == sorted(tops)
        box = page.locator("#paint-canvas canvas").bounding_box()
        scrolled = page.evaluate("scrollY")
        brush(page, "sand")
        finger = page.context.new_cdp_session(page)
        for kind, y in (("Start", 0.25), ("Move", 0.4), ("Move", 0.75), ("End", None)):
            at = [dict(x=box["x"] + box["width"] / 2, y=box["y"] + y * box["height"])] if y else []
            finger.send("Input.dispatchTouchEvent", dict(type=f"touch{kind}", touchPoints=at))
        wait_for_status(page, "256x256 in ", "#paint-status")
        assert np.all(canvas(page)[130:380, 256] == SAND) and page.evaluate("scrollY") == scrolled
    else:
        for name in ("canvas canvas", "result"):
            box = page.locator(f"#paint-{name}").bounding_box()
            assert box["y"] + box["height"] <= 800
    page.wait_for_selector("#paint-styles img")
    shoot(page, f"paint-{width}{'-dark' if query else ''}")
