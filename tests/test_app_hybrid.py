"""The hybrid tab and its endpoint, as their users meet them."""

import json
import threading

import gradio as gr
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageOps

from pipeline import hybrid
from pipeline.hybrid import Settings
from pipeline.settings import defaults
from ui import hybrid as tab

from .conftest import CONTENT, shoot
from .test_app import opened_by_link, settle, shown, unfold, wait_for_status, wait_until

NEAR, FAR = CONTENT / "chelsea.jpg", CONTENT / "astronaut.jpg"
EYES = dict(near=((0.382, 0.375), (0.707, 0.455)), far=((0.381, 0.209), (0.482, 0.209)))
STATUS, RESULT = "#hybrid-status", "#hybrid-result"


@pytest.fixture
def open_tab(open_page):
    def visit(query="", **options):
        page = open_page(query, **options)
        page.get_by_role("tab", name="Hybrid").click()
        page.wait_for_selector(f"{RESULT} img")
        settle(page)
        return page

    return visit


def choose(page, preset):
    page.locator("#hybrid-preset input").click()
    page.get_by_role("option", name=preset).click()


def slide(page, name, key, times):
    slider = page.locator(f"#hybrid-{name} input[type=range]")
    slider.focus()
    for _ in range(times):
        slider.press(key)


def wait_for_new(page, old, elem=RESULT):
    """Wait for another picture; one on its way (JPEG) is no result yet."""
    unfinished = ".jpg" if elem == RESULT else "none"
    page.wait_for_function(
        """([e, old, unfinished]) => {
            const src = document.querySelector(e + ' img')?.src;
            return src && src !== old && !src.endsWith(unfinished);
        }""",
        arg=[elem, old, unfinished],
        timeout=60_000,
    )
    return shown(page, elem)


def saved(page, path, elem="#hybrid-download"):
    with page.expect_download() as download:
        page.locator(elem).click()
    download.value.save_as(path)
    return Image.open(path)


def click_on(page, side, spot):
    picture = page.locator(f"#hybrid-{side}-view img").first
    before = picture.get_attribute("src")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.click(box["x"] + spot[0] * box["width"], box["y"] + spot[1] * box["height"])
    return wait_for_new(page, before, f"#hybrid-{side}-view")


def test_the_endpoint_streams_and_aligns(client):
    points = {f"{side}_points": [x for spot in spots for x in spot] for side, spots in EYES.items()}
    pictures = dict(near=handle_file(str(NEAR)), far=handle_file(str(FAR)))
    job = client.submit(**pictures, **points, size=128, preset="as in the article", steps=5, api_name="/hybrid")
    image, report = job.result(timeout=120)
    assert Image.open(image).size == (128, 85)
    assert report["iteration"] == report["total"] == 5 and set(report["losses"]) == {"total", "precise", "blurred"}
    assert [report["iteration"] for _, report in job.outputs()] == [1, 2, 3, 4, 5]
    with pytest.raises(AppError, match="click as many"):
        client.predict(**pictures, near_points=[0.1, 0.1, 0.5, 0.5], api_name="/hybrid")


def test_two_clicks_on_each_picture_align_a_pair(open_tab, tmp_path):
    # as phones store photos: lying on its side, with a tag that says so
    turned = Image.open(NEAR).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert ImageOps.exif_transpose(Image.open(tmp_path / "turned.jpg")).size == (451, 300)

    page = open_tab()
    old = shown(page)
    page.locator("#hybrid-near button[aria-label='Remove Image']").click()
    page.set_input_files("#hybrid-near input[type=file]", str(tmp_path / "turned.jpg"))
    old = wait_for_new(page, old)  # fit and cropped
    unfold(page, "#hybrid-align")
    page.wait_for_function("() => document.querySelector('#hybrid-near-view img')?.naturalWidth === 451")
    overlay = shown(page, "#hybrid-overlay")
    for number in range(2):
        for side in ("near", "far"):
            click_on(page, side, EYES[side][number])
    overlay = wait_for_new(page, overlay, "#hybrid-overlay")
    wait_for_status(page, "Aligned by two points", "#hybrid-hint")
    old = wait_for_new(page, old)
    shoot(page, "hybrid-aligned")

    recipe = json.loads(saved(page, tmp_path / "aligned.png").text["atelier"])["settings"]
    for side, spots in EYES.items():
        np.testing.assert_allclose(recipe[f"{side}_points"], np.ravel(spots), atol=0.01)

    slide(page, "nudge-x", "ArrowRight", 8)
    wait_for_new(page, overlay, "#hybrid-overlay")
    old = wait_for_new(page, old)
    page.locator("#hybrid-clear").click()
    wait_for_status(page, "Click a place", "#hybrid-hint")
    wait_for_new(page, old)
    assert json.loads(saved(page, tmp_path / "cleared.png").text["atelier"])["settings"]["near_points"] == []


def test_a_visitor_moves_the_flip_distance_swaps_and_downloads(open_tab, tmp_path):
    page = open_tab()
    shoot(page, "hybrid-first-visit")
    first, strip, scores = shown(page), shown(page, "#hybrid-strip"), page.locator("#hybrid-scores").inner_text()
    assert scores.count("✓") == 2 and "takes over" in scores

    slide(page, "flip-distance", "ArrowRight", 20)
    wait_for_new(page, first)
    wait_for_new(page, strip, "#hybrid-strip")
    wait_for_status(page, "451x300 in ", STATUS)
    assert page.locator("#hybrid-scores").inner_text() != scores
    image = saved(page, tmp_path / "saved.png")
    assert image.format == "PNG" and image.size == (451, 300)
    settings = json.loads(image.text["atelier"])["settings"]
    assert settings["flip_distance"] == 16 and len(settings["near_points"]) == 4

    page.locator("#hybrid-animate").click()
    page.wait_for_selector("#hybrid-zoom-view img")
    gif = saved(page, tmp_path / "walk.gif", "#hybrid-download-gif")
    assert gif.format == "GIF" and gif.n_frames > 10

    unfold(page, "#hybrid-spectra")
    page.wait_for_function("() => document.querySelectorAll('#hybrid-spectra-view img').length === 3")

    page.locator("#hybrid-swap").click()
    wait_for_status(page, "512x512 in ", STATUS)
    swapped = saved(page, tmp_path / "swapped.png")
    assert swapped.size == (512, 512)
    page.wait_for_selector("#hybrid-zoom-view", state="hidden")  # it showed another picture


def test_a_setting_that_fails_says_what_to_change(open_tab):
    page = open_tab()
    old = shown(page)
    unfold(page, "#hybrid-advanced")
    unfold(page, "#hybrid-expert")
    slide(page, "sigma", "End", 1)
    wait_for_new(page, old)
    wait_for_status(page, "set the blur (sigma) to 32", "#hybrid-scores")
    assert "✗" in page.locator("#hybrid-scores").inner_text()
    # the main control takes over again
    slide(page, "flip-distance", "ArrowLeft", 1)
    wait_for_status(page, "takes over", "#hybrid-scores")
    assert page.locator("#hybrid-sigma input[type=range]").input_value() == "0"


def test_the_scores_are_those_of_the_newest_picture(open_tab, monkeypatch):
    """Though it came while the scores of the one before were still on their way."""
    page, score, hold, asked = open_tab(), hybrid.score, threading.Event(), []

    def slow(*given):
        asked.append(given[-1].flip_distance)
        assert hold.wait(60)
        return score(*given)

    monkeypatch.setattr(hybrid, "score", slow)
    first = shown(page)
    slide(page, "flip-distance", "ArrowRight", 4)
    second = wait_for_new(page, first)
    wait_until(page, lambda: asked)
    slide(page, "flip-distance", "End", 1)
    wait_for_new(page, second)
    page.wait_for_timeout(300)
    hold.set()
    wait_until(page, lambda: asked[-1] == 16)


def test_the_articles_descent_streams_and_stop_keeps_the_last_picture(open_tab, tmp_path):
    page = open_tab()
    choose(page, "as in the article")
    wait_for_status(page, "Step ", STATUS)
    page.locator("#hybrid-stop").click()
    wait_for_status(page, "Stopped", STATUS)
    kept = saved(page, tmp_path / "kept.png")
    settings = json.loads(kept.text["atelier"])["settings"]
    assert settings["solver"] == "descent" and settings["sigma"] == 3 and kept.size == (451, 300)
    stopped = shown(page)
    page.wait_for_timeout(1500)
    assert shown(page) == stopped and "Stopped" in page.locator(STATUS).inner_text()

    page.locator("#hybrid-run").click()  # the next run is not blocked
    wait_for_status(page, "Step ", STATUS)
    choose(page, "classic")  # and gives way to a change
    wait_for_status(page, "classic", STATUS)
    assert page.locator("#hybrid-flip-distance input[type=range]").is_disabled()


def test_what_the_visitor_must_do_is_said_on_the_page(open_tab, tmp_path):
    page = open_tab()
    first = shown(page)
    page.locator("#hybrid-far button[aria-label='Remove Image']").click()
    page.wait_for_selector("#hybrid-far input[type=file]", state="attached")
    page.locator("#hybrid-run").click()
    page.get_by_text("There is no far picture").first.wait_for()
    page.wait_for_timeout(1000)
    assert shown(page) == first  # nothing that was made is lost
    fake = tmp_path / "fake.jpg"
    fake.write_text("not a picture")
    page.set_input_files("#hybrid-far input[type=file]", str(fake))
    page.get_by_text("is not a picture that can be read").first.wait_for()
    assert shown(page) == first


def test_an_example_brings_its_points(open_tab, tmp_path):
    page = open_tab()
    first = shown(page)
    page.locator("#hybrid-examples button.thumbnail-item").nth(1).click()
    second = wait_for_new(page, first)
    page.locator("#hybrid-examples button.thumbnail-item").nth(0).click()
    wait_for_new(page, second)
    wait_for_status(page, "451x300 in ", STATUS)
    again = saved(page, tmp_path / "again.png").convert("RGB")
    finished = Image.open(CONTENT.parent / "finished" / "hybrid_chelsea_astronaut.jpg")
    assert np.abs(np.asarray(again, float) - np.asarray(finished)).mean() < 2


def test_a_shared_link_brings_the_points_and_the_picture(open_tab, open_page, tmp_path):
    page = open_tab()
    first = shown(page)
    page.locator("#hybrid-examples button.thumbnail-item").nth(1).click()  # which has no points
    wait_for_new(page, first)
    wait_for_status(page, " in ", STATUS)
    other = opened_by_link(page, open_page)
    other.get_by_role("tab", name="Hybrid").click()
    other.wait_for_selector(f"{RESULT} img")
    wait_for_status(other, " in ", STATUS)
    made, again = (saved(p, tmp_path / f"{i}.png") for i, p in enumerate((page, other)))
    assert json.loads(again.text["atelier"])["settings"]["near_points"] == []
    assert np.array_equal(made, again)


@pytest.mark.parametrize("width, query", [(390, ""), (1280, "?__theme=dark"), (390, "?__theme=dark")])
def test_phone_and_dark_mode(open_tab, width, query):
    page = open_tab(query, width=width, height=844, has_touch=width < 500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.classList.contains('dark')") == bool(query)
    tops = [
        page.locator(f"#hybrid-{e}").bounding_box()["y"] for e in ("near", "flip-distance", "run", "result", "align")
    ]
    if width < 500:
        assert tops == sorted(tops)
        unfold(page, "#hybrid-align")
        boxes = [page.locator(f"#hybrid-{side}-view").bounding_box() for side in ("near", "far")]
        assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]  # one below the other, large enough to click
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    else:
        result = page.locator(RESULT).bounding_box()
        assert result["y"] + result["height"] <= 844
    shoot(page, f"hybrid-{width}{'-dark' if query else ''}")


def test_a_run_that_was_overtaken_during_its_last_step_says_nothing(monkeypatch):
    """Drawn to its end by hand: another run begins while the last picture is saved."""
    newest = {}
    saved = tab._png
    monkeypatch.setattr(tab, "_png", lambda result: newest.update(run="another") or saved(result))
    values = [getattr(Settings(size=64), name) for name in tab.CONTROLS]
    pictures = [str(CONTENT / f"{name}.jpg") for name in ("astronaut", "chelsea")]
    *_, end = tab._run(newest, *pictures, (), (), *values)
    assert end == (gr.skip(),) * 4


def test_what_was_shown_on_the_way_stays_where_the_next_run_is_refused(monkeypatch):
    monkeypatch.setattr(tab, "PAUSE", 0)
    newest, pictures = {}, [str(CONTENT / f"{name}.jpg") for name in ("astronaut", "chelsea")]

    def begin(**options):
        settings = Settings(size=64, **options)
        return tab._run(newest, *pictures, (), (), *(getattr(settings, name) for name in tab.CONTROLS))

    first = begin(preset="as in the article")
    shown, *_ = next(first)
    refused = begin(m_precise=5)
    png, status, download, _ = next(refused)
    assert "near weight must be below" in status and png == download
    difference = np.asarray(Image.open(png), float) - np.asarray(Image.open(shown))
    assert np.abs(difference).mean() < 5  # of JPEG
    assert json.loads(Image.open(png).text["atelier"])["settings"]["solver"] == "descent"
    with pytest.raises(gr.Error, match="near weight"):
        next(refused)
    assert [*first][-1] == (gr.skip(),) * 4


def test_points_that_can_not_align_are_shown_with_the_reason():
    line = (0.2, 0.2, 0.5, 0.5, 0.8, 0.8)
    near, far, overlay, hint = tab._aligning(
        str(NEAR), str(FAR), line, line, *(defaults(Settings)[n] for n in tab.ALIGN)
    )
    assert near and far and overlay is None and hint.startswith("⚠ ")
