"""The tab of neural style as its users meet it: through its API, and in a real browser, on small pictures."""

import dataclasses
import json
import re

import gradio as gr
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pipeline import regions
from pipeline.gatys import Settings
from pipeline.settings import defaults
from ui import gatys as tab
from ui.gatys import CONTROLS, FRAMES, LISTS, MORE, MOST, RESUMABLE, Session, Work, _continue, _hues, _run

from .conftest import CONTENT, STYLES, shoot
from .test_app import settle, unfold

PHOTO, AUVERS, WAVE = CONTENT / "chelsea.jpg", STYLES / "auvers.jpg", STYLES / "great_wave.jpg"
SMALL = dict(size=64, iterations=2, scales=1, init="content")


def files(*paths):
    return [handle_file(str(path)) for path in paths]


def test_the_endpoint_streams_every_step(client):
    job = client.submit(photo=files(PHOTO)[0], styles=files(AUVERS), **SMALL, api_name="/gatys")
    image, report = job.result(timeout=120)
    picture = Image.open(image)
    assert picture.size == (64, 43) and json.loads(picture.text["atelier"])["effect"] == "gatys"
    assert [r["iteration"] for _, r in job.outputs()] == [0, 1, 2] and report["total"] == 2
    assert {"total", "content relu4_2", "style relu1_1", "denoise"} <= set(report["losses"])
    assert "about" in job.outputs()[0][1]["note"]  # the expected time, before the first step


def test_the_endpoint_takes_regions_and_says_what_is_wrong_with_them(client, tmp_path):
    labels = np.zeros((43, 64, 3), np.uint8)
    labels[:, :32, 0] = 255
    path = tmp_path / "labels.png"
    Image.fromarray(labels).save(path)
    kwargs = dict(photo=files(PHOTO)[0], regions=files(path)[0], **SMALL, api_name="/gatys")
    image, _ = client.predict(styles=files(AUVERS), **kwargs)
    photo = Image.open(PHOTO).resize((64, 43), Image.Resampling.LANCZOS)
    change = np.abs(np.asarray(Image.open(image), float) - np.asarray(photo, float)).mean((0, 2))
    assert change[:24].mean() > 4 > 1 > change[40:].mean()  # what is not painted stays photo
    with pytest.raises(AppError, match="Painting 2 has no region"):
        client.predict(styles=files(AUVERS, WAVE), **kwargs)


def test_the_making_of_is_bounded_and_spans_the_run():
    class Step:
        losses = {}
        image = Image.new("RGB", (64, 48))
        iteration = 0

    work = Work(Step.image, "", False, {}, None)
    for Step.iteration in range(1000):
        work.add(Step)
        assert len(work.frames) <= FRAMES
    assert len(work.frames) >= FRAMES / 2 and work.stride * (len(work.frames) - 1) > 900
    assert Session().step is None


def values(*paintings, label_map=None, **options):
    """What the page sends on Run."""
    named = defaults(Settings) | SMALL | options | dict.fromkeys(LISTS, "")
    paths = [p and str(p) for p in paintings] + [None] * (len(regions.COLOURS) - len(paintings))
    return [*paths, *[1.0] * len(paths), None, label_map, None, False, *[named[name] for name in CONTROLS]]


def test_a_run_that_is_refused_leaves_the_last_one_to_continue(tmp_path):
    labels = Image.new("RGB", (64, 43))
    labels.paste(regions.COLOURS["red"], (0, 0, 32, 43))
    session = Session()
    list(_run(session, str(PHOTO), *values(AUVERS)))
    done = session.work
    with pytest.raises(gr.Error, match="Painting 2 has no region"):
        list(_run(session, str(PHOTO), *values(AUVERS, WAVE, label_map=labels)))
    with pytest.raises(gr.Error, match="Painting 2 is missing"):
        list(_run(session, str(PHOTO), *values(AUVERS, None, WAVE, label_map=labels)))
    with pytest.raises(gr.Error, match="Painting 2 has no region"):  # four are no gap
        list(_run(session, str(PHOTO), *values(*4 * [WAVE], label_map=labels)))
    assert session.work is done and session.step.iteration == 2
    for _ in range(RESUMABLE):  # none of which counts as another visitor
        list(_run(session, str(PHOTO), *values(None, WAVE)))
    going = _continue(session)
    next(going), next(going)
    assert session.step.iteration == 3 and session.step.total == 2 + MORE


def test_continuing_ends_at_the_most_iterations_there_can_be():
    session = Session()
    list(_run(session, str(PHOTO), *values(AUVERS)))
    session.work.settings = dataclasses.replace(session.work.settings, iterations=MOST)
    going = _continue(session)
    next(going), next(going)
    assert session.step.total == MOST


def test_what_is_shown_is_what_there_is_to_download(monkeypatch):
    monkeypatch.setattr(tab, "NEWS", 0)
    first, *rest = _run(Session(), str(PHOTO), *values(AUVERS))
    assert len(rest) > 1 and all(shown[1] == download for shown, _, download, *_ in rest)


def test_every_loss_has_its_own_colour():
    names = ["content relu4_2", "denoise", "total", *(f"style relu{i}_1" for i in range(1, 6))]
    hues = _hues(names)
    assert list(hues)[0] == "total" and len(set(hues.values())) == len(names)


@pytest.fixture
def visit(open_page):
    """A function that opens the tab with settings for small pictures."""

    def visit(query="", iterations=2, **options):
        page = open_page(query, **options)
        page.set_default_timeout(60_000)
        page.get_by_role("tab", name="Neural style").click()
        page.wait_for_selector("#gatys-result img")
        settle(page)
        unfold(page, "#gatys-advanced")
        page.locator("#gatys-init").get_by_text("content", exact=True).click()
        for name, value in (("size", 128), ("iterations", iterations)):
            field = page.locator(f"#gatys-{name} input[type=number]")
            field.fill(str(value))
            field.press("Tab")
        return page

    return visit


def wait_for_status(page, pattern):
    page.wait_for_function(
        "words => new RegExp(words).test(document.querySelector('#gatys-status').innerText)",
        arg=pattern,
        timeout=60_000,
    )
    return page.locator("#gatys-status").inner_text()


def steps_in(words):
    return int(re.search(r"(\d+) steps|Step (\d+)", words).group(0).strip("Step s"))


def saved(page, tmp_path):
    with page.expect_download() as download:
        page.locator("#gatys-download").click()
    path = tmp_path / "saved.png"
    download.value.save_as(path)
    return Image.open(path)


def test_a_visitor_watches_stops_downloads_and_continues(visit, tmp_path):
    page = visit(iterations=5000)
    page.set_input_files("#gatys-photo input[type=file]", str(CONTENT / "coffee.jpg"))
    page.wait_for_function("() => document.querySelector('#gatys-photo img')?.src.includes('coffee')")
    page.locator("#gatys-looks button.thumbnail-item").nth(6).click()
    page.wait_for_function("() => document.querySelector('#gatys-painting img')?.src.includes('great_wave')")
    page.get_by_text("Show both").click()
    page.locator("#gatys-run").click()
    wait_for_status(page, r"Step \d+ of 5020, about .* to go")
    page.wait_for_selector("#gatys-curve svg path, #gatys-curve canvas")
    assert "style relu5_1" in page.locator("#gatys-legend").inner_text()
    live = page.locator("#gatys-result img").last.get_attribute("src")
    assert live.endswith(".jpg")
    shoot(page, "gatys-live")

    page.locator("#gatys-stop").click()
    kept = steps_in(wait_for_status(page, r"Stopped. Step \d+ of 5020 is kept"))
    picture = saved(page, tmp_path)
    recipe = json.loads(picture.text["atelier"])
    assert picture.size == (128, 85) and recipe["iteration"] == kept and recipe["settings"]["size"] == 128
    page.wait_for_selector("#gatys-making img")
    page.wait_for_selector("#gatys-both img")
    shoot(page, "gatys-stopped")

    page.locator("#gatys-continue").click()
    words = wait_for_status(page, "Done in")
    assert steps_in(words.partition("pixels,")[2]) == max(kept + 100, 21)
    assert json.loads(saved(page, tmp_path).text["atelier"])["iteration"] == max(kept + 100, 21)


def test_one_visitor_waits_for_another_whose_run_an_example_ends(visit):
    page, other = visit(iterations=5000), visit()
    page.locator("#gatys-run").click()
    wait_for_status(page, r"Step \d+ of")
    other.locator("#gatys-run").click()
    wait_for_status(other, "Waiting for its turn")
    other.locator("#gatys-stop").click()
    wait_for_status(other, "Stopped")
    assert "Step" in page.locator("#gatys-status").inner_text()  # nobody waited for that run, nor ended it

    page.locator("#gatys-examples button.thumbnail-item").nth(1).click()
    wait_for_status(page, "An example")
    finished = page.locator("#gatys-result img").last.get_attribute("src")
    page.wait_for_timeout(1000)  # nothing of the run comes after it
    assert page.locator("#gatys-result img").last.get_attribute("src") == finished
    assert "An example" in page.locator("#gatys-status").inner_text()


def stroke_on(page):
    """Return the points of a stroke across the middle of the regions' canvas, after bringing it into view."""
    canvas = page.locator("#gatys-regions canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # the editor fits the photo to its box
    box = canvas.bounding_box()
    return [(box["x"] + t * box["width"], box["y"] + 0.42 * box["height"]) for t in np.linspace(0.3, 0.7, 9)]


def change_of(picture):
    """How far each pixel is from the example photo, in levels."""
    photo = Image.open(CONTENT / "city_skyline.jpg").resize(picture.size, Image.Resampling.LANCZOS)
    return np.abs(np.asarray(picture, float) - np.asarray(photo, float)).mean(-1)


def test_a_visitor_paints_regions_and_erases_them(visit, tmp_path):
    page = visit()
    unfold(page, "#gatys-more")
    page.set_input_files("#gatys-painting-2 input[type=file]", str(WAVE))

    def drag():
        stroke = stroke_on(page)
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke:
            page.mouse.move(*point)
        page.mouse.up()

    drag()
    page.locator("#gatys-run").click()
    page.get_by_text("Painting 2 has no region").wait_for()
    shoot(page, "gatys-regions")

    page.locator("#gatys-painting-2 button[aria-label='Remove Image']").click()
    page.locator("#gatys-run").click()
    wait_for_status(page, "Done in")
    change = change_of(saved(page, tmp_path))
    assert change[20:30, 50:78].mean() > 4 > 1 > change[52:].mean()

    page.locator("#gatys-regions button[aria-label=Erase]").click()
    drag()
    shoot(page, "gatys-erased")
    page.locator("#gatys-run").click()
    wait_for_status(page, "Loading|Step")
    wait_for_status(page, "Done in")
    assert change_of(saved(page, tmp_path))[52:].mean() > 4  # without regions all of it is painted


def test_a_visitor_paints_regions_by_touch(visit, tmp_path):
    page = visit(has_touch=True)
    unfold(page, "#gatys-more")
    stroke = stroke_on(page)
    touch = page.context.new_cdp_session(page)
    for kind, points in (("Start", stroke[:1]), *(("Move", [point]) for point in stroke), ("End", [])):
        points = [dict(x=x, y=y) for x, y in points]
        touch.send("Input.dispatchTouchEvent", dict(type=f"touch{kind}", touchPoints=points))
    page.locator("#gatys-run").click()
    wait_for_status(page, "Done in")
    change = change_of(saved(page, tmp_path))
    assert change[20:30, 50:78].mean() > 4 > 1 > change[52:].mean()


def test_a_visitor_brings_a_label_map(visit, tmp_path):
    labels = Image.new("RGB", (300, 150))
    labels.paste(regions.COLOURS["red"], (0, 0, 130, 150))
    labels.save(tmp_path / "labels.png")
    page = visit()
    unfold(page, "#gatys-more")
    page.set_input_files("#gatys-label-map input[type=file]", str(tmp_path / "labels.png"))
    page.wait_for_selector("#gatys-label-map img")
    page.locator("#gatys-run").click()
    wait_for_status(page, "Done in")
    change = change_of(saved(page, tmp_path))
    assert change[:, :48].mean() > 4 > 1 > change[:, 64:].mean()


def test_what_the_user_must_do_is_said_on_the_page(visit):
    page = visit()
    page.locator("#gatys-continue").click()
    page.get_by_text("There is nothing to go on from").wait_for()
    page.locator("#gatys-photo button[aria-label='Remove Image']").click()
    page.locator("#gatys-run").click()
    page.get_by_text("There is no photo").wait_for()


def test_a_result_to_wish_for_sets_the_controls(visit):
    page = visit()
    page.locator("#gatys-preset input").click()
    page.get_by_role("option", name="as in the VGG-16 report").click()
    page.wait_for_function("() => document.querySelector('#gatys-iterations input').value == 60")
    unfold(page, "#gatys-experts")
    assert page.locator("#gatys-scaling input:checked").get_attribute("value") == "adaptive"
    page.locator("#gatys-iterations input[type=number]").fill("4")
    page.locator("#gatys-iterations input[type=number]").press("Tab")
    page.locator("#gatys-run").click()
    wait_for_status(page, "Done in .*, 4 steps")
    page.locator("#gatys-examples button.thumbnail-item").first.click()
    wait_for_status(page, "An example")
    page.wait_for_function("() => document.querySelector('#gatys-iterations input').value == 8")


@pytest.mark.parametrize("width, query", [(390, ""), (1280, "?__theme=dark"), (390, "?__theme=dark")])
def test_phone_and_dark_mode(open_page, width, query):
    page = open_page(query, width=width, height=844, has_touch=width < 500)
    page.get_by_role("tab", name="Neural style").click()
    page.wait_for_selector("#gatys-result img")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [page.locator(f"#gatys-{e}").bounding_box()["y"] for e in ("photo", "preset", "run", "result", "looks")]
    if width < 500:
        assert tops == sorted(tops)
    else:
        for name in ("result", "run"):
            box = page.locator(f"#gatys-{name}").bounding_box()
            assert box["y"] + box["height"] <= 844
    shoot(page, f"gatys-{width}{'-dark' if query else ''}")
    for name in ("more", "advanced", "experts"):
        unfold(page, f"#gatys-{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"gatys-{width}{'-dark' if query else ''}-open")
