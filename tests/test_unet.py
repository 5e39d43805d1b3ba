"""The pixel artist's network against a plain definition of it in NumPy and SciPy, on both backends."""

import numpy as np
import pytest
from scipy.ndimage import correlate, uniform_filter

from pipeline import unet


def disturbed(seed, **options):
    """Weights of which none is 0 or 1, so that each counts."""
    rng = np.random.default_rng(seed)
    return {
        name: value + rng.normal(0, 0.1, value.shape).astype(np.float32)
        for name, value in unet.initialise(seed, **options).items()
    }


def conv(x, tensors, name, stride=1, active=True):
    kernel = tensors[f"{name}.kernel"].astype(float)
    maps = [
        sum(correlate(x[..., c], kernel[:, :, c, o], mode="mirror") for c in range(x.shape[-1]))
        for o in range(kernel.shape[-1])
    ]
    x = np.stack(maps, -1)[::stride, ::stride]
    if f"{name}.bias" in tensors:
        x = x + tensors[f"{name}.bias"]
    else:
        x = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5)
        x = x * tensors[f"{name}.norm.scale"] + tensors[f"{name}.norm.shift"]
    return np.where(x > 0, x, 0.1 * x) if active else x


def twice(x):
    return x.repeat(2, 0).repeat(2, 1)


def expanded(grid, t, blocks):
    half = conv(conv(grid, t, "contract2a", 2), t, "contract2b")
    x = conv(half, t, "contract3", 2)
    for i in range(1, blocks + 1):
        x = x + conv(conv(x, t, f"residual{i}a"), t, f"residual{i}b", active=False)
    x = conv(conv(np.concatenate([twice(x), half], -1), t, "expand3a"), t, "expand3b")
    return conv(conv(np.concatenate([twice(x), grid], -1), t, "expand2a"), t, "expand2b")


def painted(x, colours, t):
    mean5, mean11 = (uniform_filter(colours, (side, side, 1), mode="mirror") for side in (5, 11))
    x = np.concatenate([x, 2 * colours - 1, 2 * mean5 - 1, 2 * mean11 - 1], -1)
    return mean5 + np.tanh(conv(conv(conv(x, t, "paint1"), t, "paint2"), t, "paint3", active=False))


def box(x):
    return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, 3).mean((1, 3))


def test_to_art_is_its_definition(rng):
    t = disturbed(1, width=2, blocks=2)
    photo = rng.random((2, 32, 48, 3)).astype(np.float32)
    found = unet.to_art(photo, t)
    assert found.shape == (2, 16, 24, 3)
    for one, art in zip(photo.astype(float), found, strict=True):
        grid = conv(conv(conv(2 * one - 1, t, "stem"), t, "contract1a", 2), t, "contract1b")
        np.testing.assert_allclose(art, painted(expanded(grid, t, 2), box(one), t), atol=2e-4)


def test_to_photo_is_its_definition(rng):
    t = disturbed(2, width=2, blocks=1, back=True)
    art = rng.random((2, 16, 24, 3)).astype(np.float32)
    found = unet.to_photo(art, t)
    assert found.shape == (2, 32, 48, 3)
    for one, photo in zip(art.astype(float), found, strict=True):
        x = conv(twice(expanded(conv(2 * one - 1, t, "stem"), t, 1)), t, "expand1")
        np.testing.assert_allclose(photo, painted(x, twice(one), t), atol=2e-4)


def test_bfloat16_is_near_float32(rng):
    t = unet.initialise(0, width=8)
    photo = rng.random((1, 64, 64, 3)).astype(np.float32)
    difference = unet.to_art(photo, t, "bfloat16") - unet.to_art(photo, t)
    assert 0 < np.abs(difference).max() < 0.05


@pytest.mark.parametrize("height, width", [(2, 2), (2, 70), (18, 22), (66, 34)])
def test_photos_of_any_even_size_are_redrawn(rng, height, width):
    photo = rng.random((height, width, 3)).astype(np.float32)
    tensors = disturbed(3, width=2, blocks=1)
    art = unet.framed(photo, lambda x: unet.to_art(x, tensors))
    assert art.shape == (height // 2, width // 2, 3)
    assert art.dtype == np.float32 and art.min() >= 0 and art.max() <= 1 and np.isfinite(art).all()


def test_the_rim_is_cut_off_where_it_was_put_on(rng):
    """With no difference painted, the drawing is the photo's local mean: also at its edges."""
    t = unet.initialise(4, width=2, blocks=1)
    t["paint3.kernel"] = np.zeros_like(t["paint3.kernel"])
    photo = rng.random((38, 50, 3)).astype(np.float32)
    art = unet.framed(photo, lambda x: unet.to_art(x, t))
    # The photo is mirrored about a pixel's centre and then averaged, not averaged and then mirrored: inside only.
    wanted = uniform_filter(box(photo), (5, 5, 1), mode="mirror")
    np.testing.assert_allclose(art[2:-2, 2:-2], wanted[2:-2, 2:-2], atol=1e-5)


def test_weights_are_a_function_of_the_seed_and_the_widths():
    a, b, other = (unet.initialise(seed, width=4) for seed in (5, 5, 6))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["stem.kernel"], other["stem.kernel"])
    assert a["residual3b.kernel"].shape == (3, 3, 24, 24) and "residual4a.kernel" not in a
    # What is bundled must fit into one file of 10 MB in float16.
    assert 2 * sum(value.size for value in unet.initialise(0).values()) < 5_000_000
