"""Shared fixtures: seeded pictures, the app on a free port, a real browser that must not err or phone out."""

import os
import shutil
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path

# Read when gradio, keras and TensorFlow are imported.
os.environ |= {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_TEMP_DIR": tempfile.mkdtemp(prefix="atelier-tests-"),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTENT = ROOT / "examples" / "content"
STYLES = ROOT / "examples" / "styles"
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@contextmanager
def serving():
    """The app on a free port."""
    import app

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    page = app.build()
    _, address, _ = page.launch(
        server_name="127.0.0.1",
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        inbrowser=False,
        **app.LAUNCH,
    )
    yield address.rstrip("/")
    page.close()


@pytest.fixture(scope="session")
def url():
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def client(url):
    from gradio_client import Client

    return Client(url, verbose=False)


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium here")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, url):
    """A function that opens the app; at the end no page may have raised an error or asked another host."""
    contexts, errors, outside = [], [], []

    def visit(query="", width=1280, height=800, **options):
        context = chromium.new_context(viewport=dict(width=width, height=height), **options)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda r: outside.append(r.url) if not local(r.url) else None)
        page.goto(f"{url}/{query}")
        return page

    def local(address):
        return address.startswith((url, url.replace("http", "ws"), "data:", "blob:"))

    yield visit
    for context in contexts:
        context.close()
    assert not errors
    assert not outside


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """A small, untrained painter among the bundled weights, for one module; its tensors."""
    from pipeline import paint, spade, weights
    from ui import paint as tab

    folder = tmp_path_factory.mktemp("weights") / "models"
    shutil.copytree(weights.MODELS, folder)
    rng = np.random.default_rng(0)
    tensors = spade.initialise(0, channels=(16, 16, 16, 16, 16, 8, 8), hidden=4, encoder=(4, 8, 8, 8, 8))
    tensors["output.kernel"] *= 6  # so that each pixel, and each level of grey, tells of what went in
    count = len(spade.CLASSES)
    tensors["styles.codes"] = rng.standard_normal((count, spade.CODE))
    tensors["styles.shares"] = 0.9 * np.eye(count) + 0.1 / count  # style k + 1 is of photos full of class k
    weights.save("painter", tensors, licence="CC0-1.0", origin="untrained, made by a test", folder=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "MODELS", folder)
        for cached in (paint._network, tab._style_files):
            cached.cache_clear()
        yield weights.load("painter")
    for cached in (paint._network, tab._style_files):
        cached.cache_clear()


def shoot(page, name):
    """Keep what the page looks like, for a person to see."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
