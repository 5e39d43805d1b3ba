"""The painter's network against the plain definition in NumPy, and what users rely on: any size, local strokes."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from pipeline import spade

SMALL = dict(channels=(6, 4), hidden=3, encoder=(4, 5))


@pytest.fixture
def tensors(rng):
    """A small network of which no part is negligible: biases and modulations are as large as kernels."""
    drawn = spade.initialise(0, **SMALL)
    return {name: value + rng.normal(0, 0.2, value.shape).astype(np.float32) for name, value in drawn.items()}


def inputs(rng, height, width, count=1):
    labels = rng.integers(0, len(spade.CLASSES), (count, height, width))
    label_map = np.eye(len(spade.CLASSES), dtype=np.float32)[labels]
    code, noise = rng.normal(size=(count, spade.CODE)), rng.normal(size=(count, height, width, spade.NOISE))
    return label_map, code.astype(np.float32), noise.astype(np.float32)


def conv(x, tensors, name):
    """(H, W, C) -> (H, W, D), the edge repeated around."""
    kernel = tensors[f"{name}.kernel"].astype(float)
    m = kernel.shape[0] // 2
    windows = sliding_window_view(np.pad(x, [(m, m), (m, m), (0, 0)], mode="symmetric"), kernel.shape[:2], axis=(0, 1))
    return np.einsum("hwcij,ijcd->hwd", windows, kernel) + tensors.get(f"{name}.bias", 0)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def spade_norm(x, hidden, tensors, block, part):
    """Park et al. 2019, equation 1."""
    gamma, beta = (conv(hidden, tensors, f"{block}.{name}{part}") for name in ("scale", "shift"))
    return gamma * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + beta


def plain_generator(labels, code, noise, tensors):
    """One picture by a network of two blocks, enlarged first and computed in float64."""
    style = code.astype(float)
    for i in (1, 2):
        style = leaky(style @ tensors[f"style{i}.kernel"] + tensors[f"style{i}.bias"])
    h, w, c = labels.shape
    half = labels.reshape(h // 2, 2, w // 2, 2, c).mean((1, 3))
    seen = [np.concatenate([half, noise[::2, ::2]], -1), np.concatenate([labels, noise], -1)]
    x = conv(seen[0], tensors, "start") + style @ tensors["start.style.kernel"]
    for i in (1, 2):
        if i > 1:
            x = x.repeat(2, 0).repeat(2, 1)
        hidden = conv(seen[i - 1], tensors, f"block{i}.labels") + style @ tensors[f"block{i}.labels.style.kernel"]
        hidden = np.maximum(hidden, 0)
        half = hidden.shape[-1] // 2
        y = conv(leaky(spade_norm(x, hidden[..., :half], tensors, f"block{i}", 1)), tensors, f"block{i}.conv1")
        y = conv(leaky(spade_norm(y, hidden[..., half:], tensors, f"block{i}", 2)), tensors, f"block{i}.conv2")
        x = y + (conv(x, tensors, f"block{i}.skip") if f"block{i}.skip.kernel" in tensors else x)
    return np.tanh(conv(leaky(x), tensors, "output")) / 2 + 0.5


def test_generate_follows_its_definition(rng, tensors):
    label_map, code, noise = inputs(rng, 6, 10, count=2)
    found = np.asarray(spade.generate(label_map, code, noise, tensors))
    wanted = [plain_generator(*one, tensors) for one in zip(label_map, code, noise, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert found.std() > 0.05


@pytest.mark.parametrize("axes", [-1, (1, 2)])
def test_normalise_leaves_mean_0_and_deviation_1(rng, axes):
    x = rng.normal(3, 2, (2, 8, 6, 16)).astype(np.float32)
    wanted = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(spade.normalise(x, axes), wanted, atol=1e-5)


def test_encode_follows_its_definition(rng, tensors):
    import tensorflow as tf

    image = rng.random((2, 12, 20, 3)).astype(np.float32)
    mean, log_variance = spade.encode(image, tensors)
    x, statistics = 2 * image - 1, []
    for i in (1, 2):
        x = tf.nn.conv2d(x, tensors[f"encoder{i}.kernel"], 2, "SAME").numpy() + tensors[f"encoder{i}.bias"]
        statistics.append(x.mean((1, 2)))
        x = leaky((x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5))
    x = np.concatenate([*statistics, x.mean((1, 2)), x.max((1, 2))], -1)
    x = leaky(x @ tensors["encoder.summary.kernel"] + tensors["encoder.summary.bias"])
    for found, name in [(mean, "mean"), (log_variance, "log_variance")]:
        wanted = x @ tensors[f"encoder.{name}.kernel"] + tensors[f"encoder.{name}.bias"]
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_whole_network_paints_sizes_that_are_not_square(rng, dtype):
    tensors = spade.initialise(0)
    label_map, code, noise = inputs(rng, spade.MULTIPLE, 2 * spade.MULTIPLE, count=2)
    found = spade.generate(label_map, code, noise, tensors, dtype)
    assert found.shape == (2, 64, 128, 3) and found.dtype == "float32"
    assert 0 <= np.min(found) < np.max(found) <= 1
    for code in spade.encode(found, tensors, dtype):
        assert code.shape == (2, spade.CODE) and code.dtype == "float32"


def test_bfloat16_is_close_to_float32(rng, tensors):
    arguments = inputs(rng, 16, 16)
    full, half = (np.asarray(spade.generate(*arguments, tensors, dtype)) for dtype in ("float32", "bfloat16"))
    assert 0 < np.abs(full - half).mean() < 0.01


def test_a_stroke_changes_what_is_near_and_nothing_far_away(rng, tensors):
    label_map, code, noise = inputs(rng, 64, 64)
    painted = label_map.copy()
    painted[:, 4:6, 4:6] = np.roll(label_map[:, 4:6, 4:6], 1, axis=-1)
    before, after = (np.asarray(spade.generate(m, code, noise, tensors)) for m in (label_map, painted))
    changed = np.abs(before - after)[0].max(-1)
    assert changed[3:7, 3:7].mean() > 0.01
    # Between a label and a pixel lie at most four convolutions at half size and three at full size: 11 pixels, and
    # one more where cells of the pooling are cut.
    assert changed[18:].max() == changed[:, 18:].max() == 0


def test_style_and_noise_change_the_picture(rng, tensors):
    label_map, code, noise = inputs(rng, 16, 16)
    found = np.asarray(spade.generate(label_map, code, noise, tensors))
    for other in (
        spade.generate(label_map, code + 1, noise, tensors),
        spade.generate(label_map, code, -noise, tensors),
    ):
        assert np.abs(found - np.asarray(other)).mean() > 0.01


def test_initialise_is_seeded_and_ready_to_learn():
    one, same, other = (spade.initialise(seed, **SMALL) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["start.kernel"], other["start.kernel"])
    assert {value.dtype for value in one.values()} == {np.dtype(np.float32)}
    kernel = one["block1.conv1.kernel"]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * (6 + 6))), rel=0.1)
    _, log_variance = spade.encode(np.zeros((1, 32, 32, 3), np.float32), one)
    np.testing.assert_array_equal(log_variance, np.full((1, spade.CODE), -3.5))


def test_a_palette_colour_per_class():
    assert len(spade.CLASSES) == len(set(spade.CLASSES)) == len(np.unique(spade.PALETTE, axis=0)) == 16
