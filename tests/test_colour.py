import numpy as np
import pytest
from PIL import Image

from pipeline import BadInput, colour


def test_srgb_and_linear_light_are_inverse_and_meet_known_points():
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(colour.linear_to_srgb(colour.srgb_to_linear(values)), values, atol=1e-9)
    np.testing.assert_allclose(colour.srgb_to_linear(np.array([0.5, 188 / 255])), [0.21404, 0.5029], atol=1e-4)


def test_luma_is_that_of_pillow(rng):
    pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), float)
    np.testing.assert_allclose(colour.luma(pixels / 255)[..., 0] * 255, grey, atol=1)


def test_with_luma_keeps_chroma_as_ycbcr_does(rng):
    photo = 0.3 + 0.4 * rng.random((10, 10, 3))
    wanted = 0.3 + 0.4 * rng.random((10, 10, 1))
    mixed = colour.with_luma(photo, wanted)
    inside = ((mixed > 0) & (mixed < 1)).all(-1)
    assert inside.any()
    np.testing.assert_allclose(colour.luma(mixed)[inside], wanted[inside], atol=1e-6)
    blue, red = (lambda p: p[..., 2:] - colour.luma(p), lambda p: p[..., :1] - colour.luma(p))
    np.testing.assert_allclose(blue(mixed)[inside], blue(photo)[inside], atol=1e-6)
    np.testing.assert_allclose(red(mixed)[inside], red(photo)[inside], atol=1e-6)


def test_oklab_round_trip_and_published_values(rng):
    srgb = rng.random((100, 3))
    np.testing.assert_allclose(colour.oklab_to_srgb(colour.srgb_to_oklab(srgb)), srgb, atol=1e-6)
    np.testing.assert_allclose(colour.srgb_to_oklab(np.ones(3)), [1, 0, 0], atol=1e-4)
    red = colour.srgb_to_oklab(np.array([1.0, 0, 0]))  # https://bottosson.github.io/posts/oklab
    np.testing.assert_allclose(red, [0.62796, 0.22486, 0.12585], atol=1e-4)


@pytest.mark.parametrize("method", ["cholesky", "pca", "symmetric"])
def test_match_colours_gives_the_target_mean_and_covariance(rng, method):
    image = rng.random((30, 20, 3)) @ (np.eye(3) + 0.3 * rng.random((3, 3)))
    target = rng.random((500, 3)) @ (np.eye(3) + 0.3 * rng.random((3, 3))) + 0.2
    matched = colour.match_colours(image, target, method)
    assert matched.shape == image.shape
    np.testing.assert_allclose(matched.reshape(-1, 3).mean(0), target.mean(0), atol=1e-9)
    covariance = np.cov(matched.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance, np.cov(target, rowvar=False, bias=True), atol=2e-4)


def test_match_colours_survives_grey_and_flat_pictures(rng):
    flat = np.full((8, 8, 3), 0.5)
    assert np.isfinite(colour.match_colours(flat, rng.random((8, 8, 3)))).all()
    np.testing.assert_allclose(colour.match_colours(rng.random((8, 8, 3)), flat).std(), 0, atol=0.02)
    with pytest.raises(BadInput):
        colour.match_colours(flat, flat, "magic")


def test_matched_histograms_have_the_targets_quantiles(rng):
    image, target = rng.uniform(0, 0.5, (40, 30, 3)), rng.beta(2, 5, (25, 60, 3))
    matched = colour.match_histograms(image, target)
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        np.quantile(matched, quantiles, (0, 1)), np.quantile(target, quantiles, (0, 1)), atol=0.01
    )
    order = np.argsort(image[..., 0].ravel())
    assert (np.diff(matched[..., 0].ravel()[order]) >= 0).all()
