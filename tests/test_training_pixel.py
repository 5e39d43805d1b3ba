"""Training the pixel artist on tiles and blobs: for a few steps, on both backends."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline import unet, weights
from training import core, data, patch, pixel

from .conftest import CONTENT, ROOT
from .test_training import JAX, losses


def tiles(rng, side):
    """Pixel art as any network learns it: squares of 4 pixels, each of one of six colours."""
    palette = rng.integers(0, 256, (6, 3), np.uint8)
    return palette[rng.integers(0, 6, (side // 4, side // 4))].repeat(4, 0).repeat(4, 1)


def blobs(rng, side):
    """Photos that have nothing of it: smooth colours and some grain."""
    x = ndimage.gaussian_filter(rng.standard_normal((side, side, 3)), (6, 6, 0))
    return np.uint8((x / x.std() * 50 + rng.normal(0, 8, x.shape) + 128).clip(0, 255))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    rng, found = np.random.default_rng(0), []
    for name, make, side, count in (("photos", blobs, 144, 12), ("art", tiles, 48, 80)):
        found.append(tmp_path_factory.mktemp(name))
        for i in range(count):
            Image.fromarray(make(rng, side)).save(found[-1] / f"{i:02}.png")
    return tuple(found)


@pytest.fixture
def tiny(folders, tmp_path):
    return pixel.Options(
        data=folders,
        data_licence="tiles and blobs",
        out=tmp_path / "run",
        size=64,
        batch=2,
        width=4,
        blocks=1,
        back_width=4,
        judge_width=4,
        rate=2e-3,
    )


def test_it_learns_to_draw_tiles_and_exports_what_the_app_loads(tiny, monkeypatch):
    monkeypatch.setattr(pixel, "HELD_PHOTOS", 2)
    monkeypatch.setattr(pixel, "HELD_ART", 4)
    monkeypatch.setattr(core, "LOG_SECONDS", 0)
    monkeypatch.setattr(pixel, "WARM_UP", 1)
    options = replace(tiny, steps=120, pairs=0.75, width=8, batch=4, rate=5e-3)
    pixel.train(options)
    pair, judged = (losses(options.out, name) for name in ("pair", "gan_photo"))
    assert len(pair) == 120 and len(judged) == 30 and np.isfinite(judged).all()
    assert np.mean(pair[-5:]) < 0.7 * np.mean(pair[:5])

    # On tiles that it has not seen, it is nearer to what was there than the cells' means are.
    rng = np.random.default_rng(1)
    art = np.float32([tiles(rng, 48) for _ in range(8)]) / 255
    worn = pixel.worn(art, np.float32([blobs(rng, 96) for _ in range(8)]) / 255, rng)
    tensors = weights.load(pixel.NETWORK, options.out)
    assert tensors.keys() == unet.initialise(0, 8, 1).keys()
    drawn = np.stack([unet.framed(x, lambda x: unet.to_art(x, tensors)) for x in worn])
    assert np.abs(drawn - art).mean() < 0.95 * np.abs(pixel.halved(worn) - art).mean()

    card = (options.out / f"{pixel.NETWORK}.md").read_text()
    assert "tiles and blobs" in card and "120 steps" in card and "network: run" in card
    report = json.loads((options.out / "report.json").read_text())
    assert report["art"]["orphan"] == 0 and 0 < report["network"]["to art"] < 1
    with Image.open(options.out / "pixel_artist.jpg") as sheet:
        assert sheet.size == (4 * 4 * pixel.SHEET_CELLS, 2 * 4 * pixel.SHEET_CELLS)


def test_jax_trains_the_same(tiny):
    pixel.train(replace(tiny, steps=3, pairs=0.0, out=tiny.out / "tensorflow"))
    command = ["pixel", "--data", *map(str, tiny.data), "--data-licence", "x", "--out", str(tiny.out / "jax")]
    for name in ("size", "batch", "width", "blocks", "back_width", "judge_width", "rate"):
        command += [f"--{name.replace('_', '-')}", str(getattr(tiny, name))]
    command += ["--steps", "3", "--pairs", "0"]
    subprocess.run(
        [sys.executable, "-m", "training", *command], check=True, cwd=ROOT, timeout=300, env=os.environ | JAX
    )
    for name in ("pair", "near", "low", "gan_art", "gan_photo", "cycle_art", "cycle_photo"):
        found, wanted = (losses(tiny.out / run, name) for run in ("jax", "tensorflow"))
        assert len(found) == len(wanted) == 2 and np.isfinite(found + wanted).all(), name
        assert found[0] == pytest.approx(wanted[0], rel=0.05), name


def test_patches_are_as_large_as_they_say():
    """The side of what one score depends on, found by moving one pixel."""
    for halvings, field in ((1, 16), (2, 34), (3, 70)):
        tensors = patch.initialise(0, halvings, 4)
        # Instance norm would let every score depend on every pixel.
        plain = {n: v for n, v in tensors.items() if "norm" not in n}
        plain |= {
            f"conv{i}.bias": np.zeros(tensors[f"conv{i}.kernel"].shape[-1], np.float32) for i in range(halvings + 2)
        }
        x = keras.ops.convert_to_tensor(np.full((1, 128, 1, 3), 0.5, np.float32).repeat(128, 2))

        def middle(picture, plain=plain):
            scores = patch.realness(picture, plain, "float32")
            return keras.ops.sum(scores[0, scores.shape[1] // 2, scores.shape[2] // 2]), {}

        _, gradient = core.value_and_grad(middle)(x)
        seen = np.abs(np.asarray(gradient)[0]).sum(-1) > 0
        assert seen.any(0).sum() == seen.any(1).sum() == field


def test_disguise_changes_colours_by_formula_and_hides_equal_pixels(rng):
    x = np.full((2, 8, 8, 3), 0.4, np.float32)
    x[:, :4] = (0.6, 0.2, 0.1)
    how = patch.disguise(rng, x.shape, 0.01)
    found = np.asarray(patch.disguised(x, how))
    for i in range(2):
        y = x[i] + how["brightness"][i]
        y = y.mean(-1, keepdims=True) + (y - y.mean(-1, keepdims=True)) * how["saturation"][i]
        y = y.mean() + (y - y.mean()) * how["contrast"][i] + how["noise"][i]
        np.testing.assert_allclose(found[i], y, atol=1e-5)
    assert (np.diff(found, axis=1) != 0).all() and 0.005 < how["noise"].std() < 0.015


def test_worn_art_keeps_its_colours_and_its_clean_share(rng):
    art = np.float32([tiles(rng, 48) for _ in range(40)]) / 255
    photo = np.float32([blobs(rng, 96) for _ in range(40)]) / 255
    made = pixel.worn(art, photo, rng)
    assert made.shape == (40, 96, 96, 3) and made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1
    errors = np.abs(pixel.halved(made) - art).mean((1, 2, 3))
    assert 3 <= (errors < 1e-6).sum() <= 20 and errors.max() < 0.3
    assert np.abs(made.mean((1, 2)) - art.mean((1, 2))).max() < 0.1


def test_measures_of_small_pictures_by_hand():
    flat, board = np.zeros((4, 6, 3)), np.indices((4, 6)).sum(0)[..., None] % 2 * np.ones(3)
    dot = flat.copy()
    dot[1, 1] = 1
    assert pixel.measures([flat]) == {"run": 2 * 24 / 10, "orphan": 0}
    assert pixel.measures([board]) == {"run": 1, "orphan": 1}
    # The dot cuts one row and one column into three runs each.
    assert pixel.measures([dot]) == {"run": round(2 * 24 / 14, 2), "orphan": round(1 / 24, 3)}
    assert pixel.measures([flat], [flat])["to art"] == 0 and pixel.measures([flat], [board])["to art"] == 1
    assert pixel.measures([dot], [flat])["to art"] == pytest.approx(4 / 15, abs=1e-3)  # four of 3x5 squares touch it


def test_the_pool_takes_in_what_was_made(tiny, folders):
    photos = [data.pictures(folders[0], side) for side in (144, 72)]
    art = data.drawings(folders[1], 32)
    drawn = pixel.batch(np.random.default_rng(0), photos, art, tiny)
    state = core.tensors(pixel.untrained(tiny, drawn))
    after, report = pixel.Steps(tiny, "float32").way(state, drawn, np.float32(0))
    before, pool = (np.asarray(s["pool"]["art"]) for s in (state, after))
    changed = np.flatnonzero(np.abs(pool - before).max((1, 2, 3)))
    assert changed.tolist() == drawn["slots"].tolist()
    made = unet.to_art(drawn["photo"], state["params"]["art"])
    np.testing.assert_allclose(pool[changed], made[: len(changed)], atol=1e-5)
    np.testing.assert_array_equal(state["pool"]["photo"], after["pool"]["photo"])  # on this way no photo is made
    assert report.keys() >= {"gan_art", "right_art34"} and "gan_photo" not in report


def test_a_generator_that_joins_late_starts_no_faster(tiny, folders):
    photos = [data.pictures(folders[0], side) for side in (144, 72)]
    drawn = pixel.batch(np.random.default_rng(0), photos, data.drawings(folders[1], 32), tiny)
    steps, rate = pixel.Steps(tiny, "float32"), np.float32(1e-3)
    state = core.tensors(pixel.untrained(tiny, drawn))
    for kind in ("art", "photo"):
        assert state["adam"][kind]["count"] == 0
    for _ in range(20):
        state, _ = steps.pair(state, drawn, rate)
    assert state["adam"]["art"]["count"] == 20 and state["adam"]["photo"]["count"] == 0
    before = core.arrays(state["params"]["photo"])
    after = core.arrays(steps.cycle(state, drawn, rate)[0]["params"]["photo"])
    assert max(np.abs(after[name] - before[name]).max() for name in before) < 1.1e-3  # Adam's first step is its rate


def test_who_judges_learns_to_tell_art_from_means(tiny, folders):
    photos = [data.pictures(folders[0], side) for side in (144, 72)]
    drawn = pixel.batch(np.random.default_rng(0), photos, data.drawings(folders[1], 32), tiny)
    steps, made = pixel.Steps(tiny, "float32"), {"art": pixel.halved(drawn["photo"])}
    judges = core.tensors(pixel.untrained(tiny, drawn)["judges"])
    judges = {name: judge for name, judge in judges.items() if name.startswith("art")}
    state, found = steps.adam.initial(judges), []
    for _ in range(25):
        (loss, report), gradients = core.value_and_grad(steps.judges_loss)(judges, made, drawn)
        judges, state = steps.adam.update(gradients, state, judges, 5e-3)
        found.append(float(loss))
    assert found[-1] < 0.5 * found[0] and float(report["right_art16"]) > 0.75


def test_data_that_can_not_do_is_refused(tiny, folders):
    for change in (dict(size=72), dict(size=48), dict(batch=102), dict(cycle_every=0)):
        with pytest.raises(SystemExit, match="a multiple of 16 and at least 64, a --batch of at most 100, and --cyc"):
            pixel.train(replace(tiny, **change))
    with pytest.raises(SystemExit, match="held back"):
        pixel.train(replace(tiny, data=(folders[0], CONTENT)))
    with pytest.raises(SystemExit, match="no picture of 1000x1000"):
        data.drawings(folders[1], 1000)


def test_packed_drawings_come_back(tmp_path, rng):
    pictures, packed = [tiles(rng, side) for side in (16, 24)], []
    for picture in pictures:
        Image.fromarray(picture).save(tmp_path / "one.webp", lossless=True)
        packed.append((tmp_path / "one.webp").read_bytes())
    ends = np.cumsum([0, *map(len, packed)])
    np.savez(tmp_path / "art.npz", data=np.frombuffer(b"".join(packed), np.uint8), off=ends)
    found = data.drawings(tmp_path / "art.npz", 16)
    assert all(np.array_equal(a, b) for a, b in zip(found, pictures, strict=True))
    assert len(data.drawings(tmp_path / "art.npz", 20)) == 1
