"""Pixel art by the network: offered exactly where its weights are listed. Here with small weights of the test's own."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline import BadInput, palettes, pixel, unet, weights
from pipeline.settings import choices

from .conftest import CONTENT, ROOT

PHOTO = CONTENT / "coffee.jpg"


def imported(monkeypatch, *listed, folder=weights.MODELS):
    """A second copy of the effect, as imported where the manifest lists these networks."""
    monkeypatch.setattr(weights, "available", lambda name: name in listed)
    monkeypatch.setattr(weights, "load", partial(weights.load, folder=folder))
    spec = importlib.util.spec_from_file_location("pipeline.pixel_again", pixel.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    tensors = unet.initialise(0, width=4, blocks=1)
    tensors["paint3.kernel"] *= 20  # an untrained network paints next to nothing
    weights.save("pixel_artist", tensors, licence="CC0-1.0", origin="made by a test", folder=path)
    return path


@pytest.fixture
def artist(monkeypatch, folder):
    return imported(monkeypatch, "pixel_artist", folder=folder)


def test_what_is_bundled_decides(monkeypatch):
    bundled = weights.available("pixel_artist")
    without = imported(monkeypatch)
    for module, there in ((without, False), (pixel, bundled)):
        assert ("neural" in choices(module.Settings, "method")) is there
        assert choices(module.Settings, "method") == tuple(module.METHODS)
        assert ("As in the article" in choices(module.Settings, "preset")) is there
    with pytest.raises(BadInput, match="method must be one of"):
        without.Settings(method="neural")


def test_the_network_sees_the_photo_at_twice_the_grid(artist):
    photo = Image.open(PHOTO).convert("RGB").resize((160, 120))
    settings = artist.Settings(cell=5, method="neural")
    found = artist.shrink(photo, settings)[..., :3]
    seen = np.asarray(photo.resize((64, 48), Image.Resampling.LANCZOS), np.float32) / 255
    tensors = weights.load("pixel_artist")
    wanted = unet.framed(seen, lambda x: unet.to_art(x, tensors)) * 255
    assert found.shape == (24, 32, 3)
    assert np.abs(found - wanted).mean() < 1.5  # convolutions may compute in bfloat16
    means = artist.shrink(photo, artist.Settings(cell=5, method="mean"))[..., :3]
    assert np.abs(found - wanted).mean() < np.abs(means - wanted).mean() / 3


def test_any_size_any_palette(artist):
    for options, size in (
        (dict(width=8, height=8), (8, 5)),
        (dict(width=200, height=200, palette="pico-8", dither="bayer4"), (200, 133)),
        (dict(width=33, height=512, fit="pad", outline=0.5), (33, 512)),
        (dict(preset="As in the article"), (128, 96)),
    ):
        made = artist.pixelate(PHOTO, upscale=1, **({"method": "neural"} | options))
        assert made.size == size and made.mode == "P"
    grey = np.asarray(made.convert("RGB"))
    assert (grey == grey[..., :1]).all() and len(np.unique(grey)) > 8


def test_transparency_is_kept_and_hidden_colours_do_not_show(artist):
    photo = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    ImageDraw.Draw(photo).rectangle((16, 16, 47, 47), fill=(0, 200, 0, 255))
    made = np.asarray(artist.pixelate(photo, cell=4, method="neural", upscale=1).convert("RGBA"))
    opaque = np.zeros((16, 16), bool)
    opaque[4:12, 4:12] = True
    assert ((made[..., 3] == 255) == opaque).all()
    hidden = photo.copy()
    hidden.paste((0, 0, 255, 0), (0, 0, 16, 64))
    assert np.array_equal(made, artist.pixelate(hidden, cell=4, method="neural", upscale=1).convert("RGBA"))


def test_animations_stay_animations_with_one_palette(artist, tmp_path):
    frames = [Image.open(PHOTO).resize((96, 64)) for _ in range(3)]
    for i, frame in enumerate(frames):
        ImageDraw.Draw(frame).ellipse((20 * i, 10, 20 * i + 30, 50), fill="blue")
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=80)
    *_, last = artist.run(tmp_path / "in.gif", artist.Settings(width=24, height=24, method="neural", upscale=1))
    assert len({f.tobytes() for f in last.frames}) == 3
    assert all(np.array_equal(palettes.of(f), palettes.of(last.image)) for f in last.frames)


def test_page_and_command_line_offer_it(folder, tmp_path):
    """In a process of its own, as all of them read what is offered when they are imported."""
    program = f"""
import json, sys
from functools import partial
from pathlib import Path
from pipeline import weights
folder, load, available = Path({str(folder)!r}), weights.load, weights.available
weights.available = lambda name: name == "pixel_artist" or available(name)
weights.load = lambda name: load(name, folder) if name == "pixel_artist" else load(name)
from pipeline import cli
code = cli.main(["pixel", {str(PHOTO)!r}, "-o", {str(tmp_path / "out.png")!r}, "--preset", "As in the article"])
from ui import pixel
values = [getattr(pixel.Settings(method="neural", width=32, height=32), name) for name in pixel.CONTROLS]
((note, _, shown),) = pixel._run({str(PHOTO)!r}, values)
from ui.common import control
offered = control(pixel.Settings, "method").choices
classical, network = shown["compare"]["value"]
from PIL import Image
sizes = [Image.open(path).size for path in (classical, network, shown["result"]["value"])]
json.dump(dict(code=code, note=note, offered=offered, sizes=sizes), open({str(tmp_path / "told")!r}, "w"))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, env=environment)
    told = json.loads((tmp_path / "told").read_text())
    assert told["code"] == 0 and "32x21 pixels" in told["note"]
    assert ["neural", "neural"] in told["offered"] and ["contrast", "contrast"] in told["offered"]
    assert told["sizes"][0] == told["sizes"][1] == told["sizes"][2]
    with Image.open(tmp_path / "out.png") as made:
        assert made.size == (1024, 768)
