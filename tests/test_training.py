"""Training: the shared pieces against second computations, and each network for a few steps on both backends."""

import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pipeline import images, weights
from pipeline import stylizer as network
from training import core, data, stylizer

from .conftest import CONTENT, ROOT, STYLES

PARAMS = {"b": {"w": np.float32([[1, -2], [3, 0.5]])}, "a": np.float32([0.3, -0.1])}

# Most of what a few steps take is compilation.
JAX = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
JAX["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"


def loss(params, x):
    value = keras.ops.mean(keras.ops.square(x @ params["b"]["w"] + params["a"] - 1))
    return value, {"loss": value}


def test_gradients_are_finite_differences(rng):
    x = rng.normal(size=(4, 2)).astype(np.float32)
    (value, report), gradients = core.value_and_grad(loss)(core.tensors(PARAMS), x)
    assert float(value) == float(report["loss"]) == pytest.approx(float(loss(PARAMS, x)[0]))
    for i in (0, 1):
        a = {
            sign: PARAMS | {"a": PARAMS["a"] + sign * np.float32(1e-2) * np.eye(2, dtype=np.float32)[i]}
            for sign in (1, -1)
        }
        slope = (float(loss(a[1], x)[0]) - float(loss(a[-1], x)[0])) / 2e-2
        assert float(gradients["a"][i]) == pytest.approx(slope, rel=1e-3)


def test_adam_steps_as_that_of_keras_and_keeps_still_where_a_gradient_is_not_finite(rng):
    ours, theirs = (
        core.Adam(0.5, 0.9, clip=0.7),
        keras.optimizers.Adam(0.02, 0.5, 0.9, epsilon=1e-8, global_clipnorm=0.7),
    )
    params, state = core.tensors(PARAMS["b"]), ours.initial(PARAMS["b"])
    variable = keras.Variable(PARAMS["b"]["w"])
    for _ in range(5):
        gradient = rng.normal(size=(2, 2)).astype(np.float32)
        params, state = ours.update({"w": gradient}, state, params, 0.02)
        theirs.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    np.testing.assert_allclose(params["w"], variable, rtol=1e-4)
    gradient[0, 0] = np.nan
    same, unmoved = ours.update({"w": gradient}, state, params, 0.02)
    np.testing.assert_array_equal(same["w"], params["w"])
    keras.tree.map_structure(np.testing.assert_array_equal, unmoved, state)


def test_an_average_begins_at_once_and_then_hardly_moves():
    mean = {"w": np.float32([0.0])}
    assert float(core.average(mean, {"w": np.float32([1.0])}, np.float32(1))["w"][0]) == pytest.approx(9 / 11)
    assert float(core.average(mean, {"w": np.float32([1.0])}, np.float32(1e6))["w"][0]) == pytest.approx(
        0.001, rel=1e-3
    )


def test_crops_are_pieces_of_the_pictures_some_of_them_mirrored(rng):
    pictures = np.arange(2 * 6 * 6 * 3, dtype=np.uint8).reshape(2, 6, 6, 3)
    windows = {bytes(p[y : y + 4, x : x + 4]) for p in pictures for y in range(3) for x in range(3)}
    mirrored = {bytes(p[y : y + 4, x : x + 4][:, ::-1]) for p in pictures for y in range(3) for x in range(3)}
    cut = np.uint8(np.round(data.crops(pictures, rng, 64, 4) * 255))
    assert {bytes(c) for c in cut} <= windows | mirrored
    assert all({bytes(c) for c in cut} & found for found in (windows, mirrored))


def test_pictures_come_from_a_folder_or_a_zip_alike(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for path in CONTENT.glob("*.jpg"):
            archive.write(path, path.name)
    found = data.pictures(tmp_path / "some.zip", 16)
    assert found.shape == (len(list(CONTENT.glob("*.jpg"))), 16, 16, 3)
    np.testing.assert_array_equal(data.pictures(CONTENT, 16), found)
    with pytest.raises(SystemExit, match="no pictures"):
        data.pictures(ROOT / "tests", 16)
    (tmp_path / "._broken.png").write_bytes(b"what Macs put beside a picture")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for source, words in (
        (tmp_path, "/broken.png of .* is no picture"),
        (ROOT / "README.md", "can't be read"),
        (ROOT / "x", "can't be read"),
    ):
        with pytest.raises(SystemExit, match=words):
            data.pictures(source, 16)


def test_pictures_are_learnt_from_as_the_app_reads_them(tmp_path, rng):
    clear = np.full((40, 40, 4), (255, 0, 255, 0), np.uint8)
    clear[:20, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "1.png")
    grey = np.uint16(np.linspace(0, 65535, 1600).reshape(40, 40))
    Image.fromarray(grey).save(tmp_path / "2.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.uint8(rng.integers(0, 256, (40, 60, 3)))).save(tmp_path / "3.png", exif=turned)
    found = data.drawings(tmp_path, 8)
    assert found[2].shape == (60, 40, 3)
    for picture, path in zip(found, sorted(tmp_path.glob("*")), strict=True):
        np.testing.assert_array_equal(picture, np.asarray(images.load(path)))


def losses(out, name):
    """The values of one loss in the log."""
    return [
        float(w.partition("=")[2])
        for line in (out / "log.txt").open()
        for w in line.split()
        if w.startswith(f"{name}=")
    ]


@pytest.fixture
def tiny(tmp_path):
    return stylizer.Options(
        data=(CONTENT, STYLES),
        data_licence="the examples",
        out=tmp_path / "run",
        minutes=60,
        steps=40,
        size=32,
        batch=4,
        width=16,
        blocks=1,
        rate=3e-3,
    )


def test_the_stylizer_learns_and_exports_what_the_app_loads(tiny, monkeypatch):
    monkeypatch.setattr(stylizer, "WARM_UP", 1)
    monkeypatch.setattr(core, "LOG_SECONDS", 0)
    stylizer.train(tiny)
    style = losses(tiny.out, "style")
    assert len(style) == 40 and np.mean(style[-5:]) < 0.9 * np.mean(style[:5])
    card = (tiny.out / "stylizer.md").read_text()
    assert "the examples" in card and "40 steps" in card and "**Last losses**: style=" in card and "style loss" in card
    with Image.open(tiny.out / "stylizer.jpg") as sheet:
        assert sheet.size == (7 * 32, 7 * 32)
    tensors = weights.load("stylizer", tiny.out)
    assert tensors.keys() == network.initialise(0, 16, 1).keys()
    assert tensors["statistics.std"].std() > 0.01  # measured, not the ones it began with


def test_a_training_whose_machine_was_taken_away_goes_on_as_if_never_stopped(tiny, monkeypatch, capsys):
    monkeypatch.setattr(core, "SAVE_SECONDS", 0)
    monkeypatch.setattr(stylizer, "WARM_UP", 1)
    whole, parts = (replace(tiny, steps=6, out=tiny.out / run) for run in ("whole", "parts"))
    stylizer.train(whole)

    class Taken(BaseException):
        pass

    def save(run, state, save=core.Run.checkpoint):
        save(run, state)
        if run.step == 3:
            raise Taken

    with monkeypatch.context() as patch, pytest.raises(Taken):
        patch.setattr(core.Run, "checkpoint", save)
        stylizer.train(parts)
    began = load_file(parts.out / "checkpoint.safetensors")
    stylizer.train(parts)
    assert "resumed at step 3" in capsys.readouterr().out
    a, b = (load_file(run.out / "checkpoint.safetensors") for run in (whole, parts))
    assert a.keys() == b.keys() and a["adam/count"] == b["adam/count"] == 6
    for name in a.keys() - {"run.seconds", "run.step", "adam/count"}:
        error, way = (np.abs(x - a[name]).mean() for x in (b[name], began[name]))
        assert error <= 0.05 * way, name


def test_what_can_not_be_trained_is_said_in_a_sentence(tiny):
    with pytest.raises(SystemExit, match="multiple of 4"):
        stylizer.train(replace(tiny, size=30))
    stylizer.train(replace(tiny, steps=1))
    with pytest.raises(SystemExit, match="another size: choose another folder"):
        stylizer.train(replace(tiny, steps=2, width=8))


def test_jax_trains_the_same(tiny):
    stylizer.train(replace(tiny, steps=3, out=tiny.out / "tensorflow"))
    command = [
        "stylizer",
        "--data",
        str(CONTENT),
        str(STYLES),
        "--data-licence",
        "the examples",
        "--out",
        str(tiny.out / "jax"),
    ]
    command += ["--size", "32", "--batch", "4", "--width", "16", "--blocks", "1", "--rate", "3e-3"]
    train = [sys.executable, "-m", "training", *command, "--steps", "3"]
    subprocess.run(train, check=True, cwd=ROOT, timeout=300, env=os.environ | JAX)
    for name in ("style", "content"):
        found, wanted = losses(tiny.out / "jax", name), losses(tiny.out / "tensorflow", name)
        assert len(found) == 2 and np.isfinite(found + wanted).all()
        np.testing.assert_allclose(found, wanted, rtol=0.02)
