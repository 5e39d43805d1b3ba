"""The app as its users meet it: through its API, and in a real browser."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from urllib.request import urlopen

import gradio as gr
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pipeline import effects
from pipeline.fast import MAX_STYLES, Settings
from ui.common import Session
from ui.fast import CONTROLS, _run

from .conftest import CONTENT, ROOT, STYLES, shoot

PHOTO, WAVE, AUVERS = CONTENT / "chelsea.jpg", STYLES / "great_wave.jpg", STYLES / "auvers.jpg"


def files(*paths):
    return [handle_file(str(path)) for path in paths]


def test_the_app_starts_by_its_one_command_and_stays_up():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    code = "import runpy, ui.common; warm = ui.common.warm_up\n"
    code += "ui.common.warm_up = lambda modules: (warm(modules), print('warm', flush=True))\n"
    code += "runpy.run_path('app.py', run_name='__main__')"
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert any(line == "warm\n" for line in process.stdout)
            with urlopen(f"http://127.0.0.1:{port}") as page:
                assert b"Atelier" in page.read()
        finally:
            process.terminate()


def test_exactly_the_effects_are_endpoints_with_every_setting_by_keyword(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {f"/{name}" for name in effects()}
    for name, module in effects().items():
        parameters = {p["parameter_name"]: p for p in endpoints[f"/{name}"]["parameters"]}
        for field in dataclasses.fields(module.Settings):
            if field.metadata["local"]:
                assert field.name not in parameters
                continue
            default = parameters[field.name]["parameter_default"]
            assert default == (list(field.default) if isinstance(field.default, tuple) else field.default)


def test_fast_streams_a_preview_and_the_result(client):
    job = client.submit(photo=files(PHOTO)[0], styles=files(WAVE), size=320, strength=0.9, api_name="/fast")
    image, report = job.result(timeout=120)
    assert Image.open(image).size == (320, 213)
    assert report["iteration"] == report["total"] == 2 and "bundled engine" in report["note"]
    previews = [Image.open(image).size for image, report in job.outputs() if report["iteration"] == 1]
    assert previews == [(256, 170)]
    recipe = json.loads(Image.open(image).text["atelier"])
    assert recipe["settings"]["strength"] == 0.9


def test_fast_mixes_styles(client):
    kwargs = dict(photo=files(PHOTO)[0], size=128, api_name="/fast")
    image, _ = client.predict(styles=files(WAVE, AUVERS), style_weights=[1, 3], **kwargs)
    assert Image.open(image).size == (128, 85)


def test_the_api_answers_bad_input_with_the_sentence(client, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(PHOTO.read_bytes()[:3000])
    kwargs = dict(photo=files(PHOTO)[0], styles=files(WAVE), size=128)
    for change, words in (
        (dict(photo=files(broken)[0]), "damaged"),
        (dict(styles=[]), "1 to 4 paintings"),
        (dict(styles=files(WAVE, AUVERS), style_weights=[1]), "one share to each"),
        (dict(style_weights=[-1]), "0 or more"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(**(kwargs | change), api_name="/fast")


def test_agents_find_the_effects_as_tools(url):
    with urlopen(f"{url}/gradio_api/mcp/schema") as answer:
        tools = json.load(answer)
    assert {tool["name"].split("_")[-1] for tool in tools} >= set(effects())


def wait_for_status(page, words, elem="#fast-status"):
    page.wait_for_function(
        "([e, w]) => document.querySelector(e).innerText.includes(w)", arg=[elem, words], timeout=60_000
    )


def wait_until(page, what):
    for _ in range(600):
        if what():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come to that within a minute")


def settle(page):
    """Wait some frames: Gradio draws what comes on screen, and a frame or two later sets all values there once more."""
    page.evaluate(
        """() => new Promise((done) => {
            let frames = 10;
            const next = () => (frames-- ? requestAnimationFrame(next) : done());
            next();
        })"""
    )


def unfold(page, elem):
    page.locator(f"{elem} > button").first.click()
    settle(page)


def shown(page, elem="#fast-result"):
    return page.locator(f"{elem} img").last.get_attribute("src")


def test_a_visitor_paints_a_photo(open_page, tmp_path):
    page = open_page()
    page.wait_for_selector("#fast-result img")
    shoot(page, "fast-first-visit")
    first = shown(page)

    # one's own photo, and a painting out of the gallery: it paints at once
    page.set_input_files("#fast-photo input[type=file]", str(CONTENT / "coffee.jpg"))
    page.wait_for_function("() => document.querySelector('#fast-photo img')?.src.includes('coffee')")
    page.locator("#fast-looks button.thumbnail-item").nth(6).click()
    wait_for_status(page, "600x400 in ")
    painted = shown(page)
    assert painted != first
    shoot(page, "fast-painted")

    # the slider
    slider = page.locator("#fast-strength input[type=range]")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
    page.wait_for_function("old => [...document.querySelectorAll('#fast-result img')].pop().src !== old", arg=painted)
    wait_for_status(page, "600x400 in ")

    # drag the line between before and after
    line = page.get_by_test_id("slider").first
    box = line.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 150, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert line.bounding_box()["x"] < box["x"] - 100

    with page.expect_download() as download:
        page.locator("#fast-download").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    image = Image.open(saved)
    assert image.format == "PNG" and image.size == (600, 400)
    assert json.loads(image.text["atelier"])["settings"]["strength"] == 0.5


def test_a_picture_that_no_browser_shows_is_shown(open_page, tmp_path):
    page = open_page()
    page.wait_for_selector("#fast-photo img")
    heic = tmp_path / "phone.heic"
    Image.open(PHOTO).save(heic)
    page.set_input_files("#fast-photo input[type=file]", str(heic))
    page.wait_for_function("() => document.querySelector('#fast-photo img')?.src.endsWith('.png')")
    page.wait_for_function("() => document.querySelector('#fast-photo img')?.naturalWidth == 451")
    page.locator("#fast-run").click()
    wait_for_status(page, "451x300 in ")


def test_magenta_out_of_reach_is_said_on_the_page(open_page, monkeypatch):
    monkeypatch.setenv("ATELIER_HUB_HANDLE", "/no/such/module")
    page = open_page()
    unfold(page, "#fast-advanced")
    page.locator("#fast-engine").get_by_text("magenta", exact=True).click()
    page.locator("#fast-run").click()
    page.get_by_text("or choose the bundled engine").wait_for()
    shoot(page, "fast-advanced")


def test_an_example_runs_on_click_and_stop_stops(open_page):
    page = open_page()
    page.locator("#fast-examples button.thumbnail-item").nth(1).click()
    wait_for_status(page, "451x300 in ")
    before = shown(page)
    page.locator("#fast-run").click()
    page.locator("#fast-stop").click()
    wait_for_status(page, "Stopped")
    assert shown(page)  # the last picture stays
    page.locator("#fast-run").click()  # and the next run is not blocked
    wait_for_status(page, "451x300 in ")
    assert before


def test_what_the_user_must_do_is_said_on_the_page(open_page, tmp_path):
    page = open_page()
    page.wait_for_selector("#fast-photo img")
    page.locator("#fast-photo button[aria-label='Remove Image']").click()
    page.locator("#fast-run").click()
    page.get_by_text("There is no photo").wait_for()
    fake = tmp_path / "fake.jpg"
    fake.write_text("not a picture")
    page.set_input_files("#fast-photo input[type=file]", str(fake))
    page.wait_for_function("() => document.querySelector('#fast-photo img')?.src.includes('fake')")
    page.locator("#fast-run").click()
    page.get_by_text("is not a picture that can be read").wait_for()


@pytest.mark.parametrize("width, query", [(390, ""), (1280, "?__theme=dark"), (390, "?__theme=dark")])
def test_phone_and_dark_mode(open_page, width, query):
    page = open_page(query, width=width, height=844, has_touch=width < 500)
    page.wait_for_selector("#fast-result img")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == bool(query)
    tops = [page.locator(f"#fast-{e}").bounding_box()["y"] for e in ("photo", "strength", "run", "result", "looks")]
    if width < 500:
        assert tops == sorted(tops)
    else:
        result = page.locator("#fast-result").bounding_box()
        assert result["y"] + result["height"] <= 844
    shoot(page, f"fast-{width}{'-dark' if query else ''}")


def opened_by_link(page, open_page):
    """What another visitor sees who opens the link that Share copies."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('')")
    page.locator(".share").click()
    wait_until(page, lambda: "deep_link=" in page.evaluate("navigator.clipboard.readText()"))
    other = open_page("?" + page.evaluate("navigator.clipboard.readText()").partition("?")[2])
    other.wait_for_selector("#fast-status")
    return other


def test_a_shared_link_shows_what_was_made(open_page, tmp_path):
    page = open_page()
    page.set_input_files("#fast-photo input[type=file]", str(CONTENT / "coffee.jpg"))
    page.wait_for_function("() => document.querySelector('#fast-photo img')?.src.includes('coffee')")
    page.locator("#fast-looks button.thumbnail-item").nth(6).click()
    wait_for_status(page, "600x400 in ")
    made = page.request.get(shown(page)).body()
    other = opened_by_link(page, open_page)
    wait_for_status(other, "600x400 in ")
    assert other.request.get(shown(other)).body() == made
    with other.expect_download() as download:
        other.locator("#fast-download").click()
    download.value.save_as(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == made
    old = shown(other)
    other.locator("#fast-looks button.thumbnail-item").nth(2).click()
    wait_until(other, lambda: shown(other) != old)
    wait_for_status(other, "600x400 in ")


def test_a_result_goes_to_another_tab_and_is_worked_on_there(open_page, tmp_path):
    page = open_page()
    with page.expect_download() as found:
        page.locator("#fast-download").click()
    with Image.open(found.value.path()) as sent:
        size = sent.size
    targets = (("Pixel art", "#pixel-status", " pixels, 16 colours"), ("Hybrid", "#hybrid-status", "fista"))
    for tab, status, words in targets:  # of which none was open before
        page.get_by_role("tab", name="Fast style").click()
        page.locator("#fast-send input").click()
        page.get_by_role("option", name=tab).click()
        page.wait_for_selector(status)
        wait_for_status(page, words, status)
        photo = page.locator(f"{status.partition('-')[0]}-{'near' if tab == 'Hybrid' else 'photo'} img")
        assert photo.evaluate("image => [image.naturalWidth, image.naturalHeight]") == list(size)
    assert page.locator("#hybrid-send input").input_value() == "Send to …"
    page.locator("#hybrid-send input").click()
    options = page.get_by_role("option").all_inner_texts()
    assert [text.strip("✓ \n") for text in options][1:] == ["Fast style", "Neural style", "Pixel art"]


def test_what_is_wrong_with_one_network_does_not_end_the_app():
    from types import SimpleNamespace

    from pipeline import WeightsError
    from ui.common import warm_up

    warmed = []

    def broken():
        raise WeightsError("The weight file is missing.")

    warm_up([SimpleNamespace(warm_up=broken), SimpleNamespace(), SimpleNamespace(warm_up=lambda: warmed.append(True))])
    assert warmed


def test_stopped_at_the_preview_that_is_what_there_is_to_download(monkeypatch):
    options = [getattr(Settings(), name) for name in ("strength", *CONTROLS)]
    others = [None] * (MAX_STYLES - 1)
    run = _run(Session(), str(PHOTO), str(WAVE), *others, *[1.0] * MAX_STYLES, *options)
    next(run)
    (_, painted), status, download = next(run)
    run.close()
    assert status == "Painting …" and painted == download
    with Image.open(download) as picture:
        assert max(picture.size) == Settings().preview_size
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    *_, (_, status, _) = _run(
        Session(), None, str(WAVE), *others, *[1.0] * MAX_STYLES, *options
    )  # ends without an error
    assert status == "Nothing was painted." and "There is no photo" in said[0]
