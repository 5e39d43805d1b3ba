"""Training the painter: its parts against second computations, and small trainings on landscapes of two classes."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from keras import ops
from PIL import Image

from pipeline import paint, spade, weights
from training import augment, core, discriminators, landscapes, painter

from .conftest import ROOT
from .test_training import JAX

SKY, GRASS = spade.CLASSES.index("sky"), spade.CLASSES.index("grass")
COLOURS = {SKY: (70, 130, 230), GRASS: (60, 150, 40)}
TINY = dict(size=32, batch=4, minutes=5, channels=(8, 8, 8), critic_width=4)


@pytest.fixture(scope="session")
def two_class_landscape(tmp_path_factory):
    """A zip of 24 photos of 32 px, blue above a horizon and green below it with noise, and 3 held-out, 2 doodles."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("painter") / "landscapes.zip"
    names = [f"{i:05}" for i in range(29)]
    index = {"train": names[:24], "eval": names[24:27], "doodles": names[27:], "classes": spade.CLASSES}
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            horizon = rng.integers(8, 24) + np.round(2 * np.sin(np.arange(32) / 5 + rng.uniform(0, 6)))
            labels = np.where(np.arange(32)[:, None] < horizon, SKY, GRASS).astype(np.uint8)
            photo = np.zeros((32, 32, 3)) + rng.normal(0, 8, (32, 32, 3))
            for c, colour in COLOURS.items():
                photo += (labels == c)[..., None] * np.array(colour)
            for folder, image in (("p", photo.clip(0, 255).astype(np.uint8)), ("l", 16 * labels)):
                data = io.BytesIO()
                Image.fromarray(image).save(data, "webp", lossless=True)
                archive.writestr(f"{folder}/{name}.webp", data.getvalue())
        archive.writestr("index.json", json.dumps(index))
    return path


def test_spectral_norm_divides_by_the_largest_singular_value():
    tensors, vectors = discriminators.initialise(0, width=4)
    iterate = core.compiled(discriminators.spectral_norm)
    for _ in range(200):  # random kernels have no direction that stands out, so the iteration takes long
        normalised, vectors = iterate(tensors, vectors)
    for name, kernel in tensors.items():
        if name.endswith(".kernel"):
            largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
            np.testing.assert_allclose(normalised[name], kernel / largest, rtol=0.01)
            assert np.linalg.norm(vectors[name]) == pytest.approx(1, abs=1e-5)
        else:
            np.testing.assert_array_equal(normalised[name], kernel)


def test_gradients_of_spectral_norm_leave_the_scale_of_a_kernel_alone(rng):
    """W / sigma does not change when W grows, so the gradient is orthogonal to W."""
    tensors, vectors = discriminators.initialise(0, width=4)
    targets = {name: rng.normal(size=tensors[name].shape).astype(np.float32) for name in vectors}

    def loss(params):
        normalised, _ = discriminators.spectral_norm(params, vectors)
        return sum(ops.sum(normalised[name] * target) for name, target in targets.items()), {}

    _, gradients = core.value_and_grad(loss)(core.tensors(tensors))
    for name in vectors:
        inner = float(ops.sum(gradients[name] * tensors[name]))
        assert abs(inner) < 1e-3 * np.linalg.norm(gradients[name]) * np.linalg.norm(tensors[name]), name


def test_discriminators_judge_whether_picture_and_labels_belong_together(rng):
    tensors, _ = discriminators.initialise(0, width=4)
    image = rng.random((2, 32, 32, 3)).astype(np.float32)
    label_map = np.eye(16, dtype=np.float32)[np.repeat([SKY, GRASS], 32 * 32).reshape(2, 32, 32)]
    features = {
        "relu3_3": rng.random((2, 8, 8, 256)).astype(np.float32),
        "relu5_1": rng.random((2, 2, 2, 512)).astype(np.float32),
    }
    logits, maps = discriminators.judge(image, label_map, features, tensors, "float32")
    assert [logits[name].shape[1] for name in ("fine", "coarse", "relu3_3", "relu5_1")] == [4, 2, 4, 1]
    assert [m.shape[1] for m in maps] == [16, 8, 4, 4, 8, 4, 2, 2]
    other, _ = discriminators.judge(image, label_map[::-1], features, tensors, "float32")
    for name in logits:
        assert np.abs(np.asarray(other[name]) - np.asarray(logits[name])).max() > 1e-3, name


def test_augmented_labels_stay_with_their_pictures(rng):
    """A picture that shows its own labels still does after a shift; all else only changes colours and one square."""
    labels = rng.random((3, 20, 20, 3)).astype(np.float32)
    drawn = augment.draw(rng, 3, 20, probability=0)
    moved, picture = np.asarray(augment.labels(labels, drawn)), np.asarray(augment.pictures(labels + 0.5, drawn))
    np.testing.assert_allclose(picture - 0.5, moved, atol=1e-6)
    _, down, right, _ = drawn["shift"]
    np.testing.assert_array_equal(
        moved, np.pad(labels, [(0, 0), (2, 2), (2, 2), (0, 0)])[:, down:, right:][:, :20, :20]
    )


def test_augmented_pictures_follow_the_draws(rng):
    image = rng.random((2, 20, 20, 3)).astype(np.float32)
    drawn = augment.draw(rng, 2, 20, probability=1)
    still = drawn | {"shift": np.int32([0, 2, 2, 0])}
    found = np.asarray(augment.pictures(image, still))
    for i in range(2):
        x = image[i] - 0.5 + drawn["brightness"][i, 0, 0, 0]
        x = x.mean(-1, keepdims=True) + (x - x.mean(-1, keepdims=True)) * drawn["saturation"][i, 0, 0, 0]
        x = 0.5 + x.mean() + (x - x.mean()) * drawn["contrast"][i, 0, 0, 0]
        y, c = (np.abs(np.arange(20) - drawn[k][i, 0, 0, 0]) < 3.5 for k in ("row", "column"))
        x[np.ix_(y, c)] = 0.5
        np.testing.assert_allclose(found[i], x, atol=1e-5)
        assert 9 <= (found[i] == 0.5).all(-1).sum() <= 49


def test_coarse_labels_lose_specks_and_keep_areas():
    labels = np.full((64, 64), SKY, np.uint8)
    labels[32:] = GRASS
    speckled = labels.copy()
    speckled[10, 10] = speckled[50, 50] = 3
    np.testing.assert_array_equal(landscapes.coarse(speckled), labels)


def test_photos_with_rare_classes_are_drawn_more_often():
    shares = np.zeros((10, 16), np.float32)
    shares[:9, SKY] = shares[9, GRASS] = 1
    odds = landscapes.odds(shares, 1)
    assert odds.sum() == pytest.approx(1) and odds[9] > 5 * odds[0]
    np.testing.assert_allclose(landscapes.odds(shares, 0), 0.1)


def test_crops_cut_photo_and_labels_alike(rng):
    labels = np.repeat(np.arange(4, dtype=np.uint8), 8)[:, None] * np.ones(32, np.uint8)
    photo = np.uint8(60) * labels[..., None].repeat(3, -1)
    zoomed = 0
    for _ in range(8):
        image, cut = landscapes.crop(photo, labels, 32, rng)
        assert np.mean(np.abs(image[..., 0] / 60 - cut) > 0.6) < 0.05
        zoomed += not np.array_equal(cut, labels)
    assert 0 < zoomed < 8
    heights = [np.ptp(landscapes.crop(photo, labels, 16, rng)[0][..., 0]) for _ in range(16)]
    assert max(heights) == 180 and min(heights) < 140  # of the whole, and of little more than half


def test_the_bank_of_styles_holds_real_codes_of_every_cluster(rng):
    centres = rng.normal(0, 10, (painter.STYLES, spade.CODE))
    codes = (centres[:, None] + rng.normal(0, 0.1, (painter.STYLES, 5, spade.CODE))).reshape(-1, spade.CODE)
    shares = rng.dirichlet(np.ones(16), len(codes)).astype(np.float32)
    bank = painter.style_bank(codes, shares)
    rows = [int(np.flatnonzero((codes == code).all(1))[0]) for code in bank["styles.codes"]]
    np.testing.assert_array_equal(bank["styles.shares"], shares[rows])
    assert len({row // 5 for row in rows}) > 0.8 * painter.STYLES
    np.testing.assert_array_equal(painter.alike(shares[rows[3]], bank, 1)[0], codes[rows[3]])


@pytest.fixture(scope="module")
def two_laps(two_class_landscape, tmp_path_factory):
    """The options of a run of 3 steps that was then resumed, and the log of each lap."""
    out = tmp_path_factory.mktemp("run")
    options = painter.Options(
        data=two_class_landscape, data_licence="drawn by the test", out=out, generator_rate=2e-3, **TINY
    )
    painter.train(replace(options, steps=3))
    first = (out / "log.txt").read_text()
    painter.train(replace(options, steps=70))
    return options, first, (out / "log.txt").read_text().removeprefix(first)


def losses(line):
    return {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", line)}


def test_losses_are_finite_and_a_resumed_run_goes_on(two_laps):
    _, first, second = two_laps
    for line in (first + second).splitlines():
        found = losses(line)
        assert {"adversarial", "matching", "kl", "critic", "fine_real", "relu5_1_painted"} <= set(found)
        assert np.isfinite(list(found.values())).all()
        assert found["skipped"] == 0
    steps = [int(step) for step in re.findall(r"^step (\d+)", first + second, re.MULTILINE)]
    assert steps[:2] == [0, 2] and min(steps[2:]) >= 3 and steps[-1] == 69
    assert losses(second.splitlines()[-1])["perceptual"] < 0.9 * losses(first.splitlines()[0])["perceptual"]


def test_what_training_exports_paints_any_size(two_laps):
    out = two_laps[0].out
    tensors = weights.load("painter", out)
    assert tensors["styles.codes"].shape[1] == spade.CODE
    np.testing.assert_allclose(tensors["styles.shares"].sum(1), 1, atol=1e-3)
    label_map = np.eye(16, dtype=np.float32)[np.full((1, 32, 48), SKY)]
    picture = spade.generate(label_map, tensors["styles.codes"][:1], np.zeros((1, 32, 48, 8), np.float32), tensors)
    assert picture.shape == (1, 32, 48, 3) and np.isfinite(picture).all()
    card = (out / "painter.md").read_text()
    assert "drawn by the test" in card and "70 steps" in card and "colour error" in card
    # Doodles go with the weights; held-out photos do not.
    with Image.open(out / "painter.jpg") as sheet, Image.open(out / "held_out.jpg") as private:
        assert (sheet.size, private.size) == ((4 * 32, 2 * 32), (5 * 32, 3 * 32))


def test_training_learns_the_colours_of_sky_and_grass(two_laps):
    options = two_laps[0]
    data = landscapes.read(options.data, 32)

    def distance(tensors):
        """How far the mean colours of both classes are from the data's, on label maps that were held out."""
        artist = painter.Painter(tensors, "float32")
        code = artist.codes(data.held_photos[:1])
        painted = [artist.paint(labels, code)[0] for labels in data.held_labels]
        return np.mean(
            [
                np.linalg.norm(image[labels == c].mean(0) - np.array(colour) / 255)
                for image, labels in zip(painted, data.held_labels, strict=True)
                for c, colour in COLOURS.items()
            ]
        )

    untrained = distance(painter.initial_state(options)["painter"])
    trained = distance(dict(weights.load("painter", options.out)))
    assert trained < untrained / 5


def test_the_effect_paints_what_training_exported(two_laps, monkeypatch, request):
    monkeypatch.setattr(weights, "MODELS", two_laps[0].out)
    paint._network.cache_clear()
    request.addfinalizer(paint._network.cache_clear)
    labels = np.repeat(np.uint8([SKY, GRASS]), 32)[:, None].repeat(64, 1)
    painted = np.asarray(paint.paint(paint.draw(labels), size=64), float)
    for c, colour in COLOURS.items():
        assert np.abs(painted[labels == c].mean(0) - colour).max() < 25, spade.CLASSES[c]


def test_what_can_not_be_trained_is_said_in_a_sentence(two_class_landscape, tmp_path):
    no_maps = tmp_path / "no_maps.zip"
    with zipfile.ZipFile(two_class_landscape) as whole, zipfile.ZipFile(no_maps, "w") as part:
        for name in whole.namelist():
            index = json.loads(whole.read(name)) if name == "index.json" else {}
            index.pop("doodles", None)
            part.writestr(name, json.dumps(index) if index else whole.read(name))
    for change, message in (
        (dict(size=100), "give a multiple of 64"),
        (dict(photo_size=300), "give a multiple of 64"),
        (dict(data=ROOT / "README.md"), "README.md can't be read"),
        (dict(data=no_maps), "can't be read .*doodles"),
    ):
        options = painter.Options(data=two_class_landscape, data_licence="drawn by the test", out=tmp_path)
        with pytest.raises(SystemExit, match=message):
            painter.train(replace(options, **change))


def test_jax_takes_the_same_steps(two_laps, tmp_path):
    options, first, _ = two_laps
    chosen = [
        "--data",
        options.data,
        "--data-licence",
        "none",
        "--out",
        tmp_path,
        "--channels",
        "8",
        "8",
        "8",
        "--minutes",
        "5",
        "--steps",
    ]
    chosen += ["3", "--size", "32", "--batch", "4", "--critic-width", "4", "--generator-rate", "2e-3"]
    command = [sys.executable, "-m", "training", "painter", *map(str, chosen)]
    subprocess.run(command, env=os.environ | JAX, cwd=ROOT, check=True, timeout=300)
    for line, wanted in zip((tmp_path / "log.txt").read_text().splitlines(), first.splitlines(), strict=True):
        found, wanted = losses(line), losses(wanted)
        # The logits of untrained discriminators are near 0.
        assert found == pytest.approx(wanted, rel=0.02, abs=0.01)
    assert weights.load("painter", tmp_path)["styles.codes"].shape[1] == spade.CODE
