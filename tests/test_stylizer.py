"""The network's fast forms against the plain definition of the layers they replace."""

import numpy as np
import pytest
from scipy.ndimage import correlate

from pipeline import stylizer, weights


def plain_conv(x, kernel):
    """(H, W, C) and (K, K, C, D) -> (H - K + 1, W - K + 1, D)."""
    m = kernel.shape[0] // 2
    maps = [
        sum(correlate(x[..., c], kernel[:, :, c, o], mode="constant") for c in range(x.shape[-1]))
        for o in range(kernel.shape[-1])
    ]
    return np.stack(maps, -1)[m:-m, m:-m]


def test_upsample_conv_is_enlarge_reflect_convolve(rng):
    x, kernel = rng.random((5, 4, 2)), rng.random((3, 3, 2, 3))
    large = np.pad(x.repeat(2, 0).repeat(2, 1), [(1, 1), (1, 1), (0, 0)], mode="reflect")
    (block,) = stylizer.with_margins([np.float32(x)[None]], 1, "symmetric")
    found = stylizer.upsample_conv(block, np.float32(kernel))
    np.testing.assert_allclose(found[0], plain_conv(large, kernel), rtol=1e-5)


def test_output_conv_is_a_convolution(rng):
    x, kernel = rng.random((14, 16, 2)), rng.random((9, 9, 2, 3))
    found = stylizer.output_conv(np.float32(x)[None], np.float32(kernel))
    np.testing.assert_allclose(found[0], plain_conv(x, kernel), rtol=1e-5)


@pytest.mark.parametrize("margin, mode", [(1, "symmetric"), (4, "reflect")])
def test_strips_with_margins_are_windows_of_the_padded_picture(rng, margin, mode):
    x = rng.random((1, 14, 6, 2))
    padded = np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)], mode=mode)
    for strips in ([x], [x[:, :5], x[:, 5:10], x[:, 10:]]):
        top = 0
        for strip, block in zip(strips, stylizer.with_margins(strips, margin, mode), strict=True):
            np.testing.assert_array_equal(block, padded[:, top : top + strip.shape[1] + 2 * margin])
            top += strip.shape[1]


def test_instance_norm_of_a_picture_a_batch_and_strips_follows_the_formula(rng):
    import tensorflow as tf

    x = rng.normal(3, 2, (2, 6, 7, 4)).astype(np.float32)
    scale, shift = rng.random((2, 2, 4)).astype(np.float32)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    wanted = (x - mean) / np.sqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]
    for strips in ([x], [x[:, :4], x[:, 4:]]):
        found = stylizer.instance_norm([tf.constant(s) for s in strips], scale, shift)
        np.testing.assert_allclose(np.concatenate(found, 1), wanted, atol=1e-5)
    for i in (0, 1):
        one = slice(i, i + 1)
        (found,) = stylizer.instance_norm([tf.constant(x[one])], scale[one], shift[one], relu=True)
        np.testing.assert_allclose(found, np.maximum(wanted[one], 0), atol=1e-5)


def test_style_statistics_are_mean_and_deviation_of_each_layer(rng):
    maps = {tap: rng.random((2, 4, 4, 3)).astype(np.float32) for tap in stylizer.TAPS}
    found = stylizer.style_statistics(maps)
    wanted = [v for tap in stylizer.TAPS for v in (maps[tap].mean((1, 2)), np.sqrt(maps[tap].var((1, 2)) + 1e-5))]
    np.testing.assert_allclose(found, np.concatenate(wanted, -1), rtol=1e-5)


@pytest.mark.parametrize("layout", ["paper", "shuffled"])
@pytest.mark.parametrize("rows", [16, 32, 64])
def test_strips_give_the_same_picture_as_the_whole(rng, rows, layout):
    tensors = weights.load("stylizer") if layout == "paper" else stylizer.initialise(0, width=8, blocks=2, expanded=8)
    image = rng.random((1, 72, 40, 3)).astype(np.float32)
    code = rng.normal(size=(1, 256)).astype(np.float32)
    whole = stylizer.transform(image, code, tensors)
    strips = stylizer.transform(image, code, tensors, rows=rows)
    assert whole.shape == image.shape
    np.testing.assert_allclose(strips, whole, atol=1e-4)


def test_a_shuffled_pixel_becomes_a_channel_and_back(rng):
    x = rng.random((1, 8, 12, 3)).astype(np.float32)
    blocks = stylizer.space_to_depth(x, 4)
    assert blocks.shape == (1, 2, 3, 48)
    np.testing.assert_array_equal(np.reshape(blocks[0, 1, 2], (4, 4, 3)), x[0, 4:8, 8:12])
    np.testing.assert_array_equal(stylizer.depth_to_space(stylizer.space_to_depth(x, 2)), x)


def test_what_an_untrained_network_paints_depends_on_picture_and_style(rng):
    tensors = stylizer.initialise(0, width=16, blocks=2, expanded=16)
    image = rng.random((2, 32, 32, 3)).astype(np.float32)
    codes = rng.normal(size=(2, 256)).astype(np.float32)
    painted = np.asarray(stylizer.transform(image, codes, tensors))
    assert 0.05 < painted.std() < 0.4  # neither flat nor saturated
    for other in (stylizer.transform(image[::-1], codes, tensors), stylizer.transform(image, codes[::-1], tensors)):
        assert np.abs(np.asarray(other) - painted).mean() > 0.01
