import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from pipeline import losses
from pipeline.losses import Statistics

CHANNELS = 5
STYLE_LOSSES = {
    "gram": losses.gram_loss,
    "covariance": losses.covariance_loss,
    "wasserstein": lambda s, t: losses.wasserstein_loss(s, t, losses.covariance_root(t)),
    "paper": losses.paper_gram_loss,
}


@pytest.fixture
def feature(rng):
    return np.maximum(rng.normal(0.5, 1, (1, 7, 6, CHANNELS)), 0).astype(np.float32)


@pytest.fixture
def target(rng):
    return losses.statistics(np.maximum(rng.normal(0, 2, (1, 9, 8, CHANNELS)), 0).astype(np.float32))


def pixels(feature):
    return np.float64(feature).reshape(-1, CHANNELS)


def test_statistics_are_the_mean_and_the_gram_matrix(feature):
    mean, second = losses.statistics(feature)
    x = pixels(feature)
    gram = sum(np.outer(p, p) for p in x) / len(x)
    np.testing.assert_allclose(mean[0], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(second[0], gram, rtol=1e-5)
    covariance = losses.covariance(Statistics(mean, second))[0]
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-4, atol=1e-5)


def test_guides_average_over_their_region_only(feature):
    left = np.zeros((1, 7, 6), np.float32)
    left[:, :, :3] = 1 / 21
    guided = losses.statistics(feature, np.concatenate([left, np.full((1, 7, 6), 1 / 42, np.float32)]))
    cut, whole = losses.statistics(feature[:, :, :3]), losses.statistics(feature)
    for i, wanted in enumerate((cut, whole)):
        np.testing.assert_allclose(guided.mean[i], wanted.mean[0], rtol=1e-5)
        np.testing.assert_allclose(guided.second[i], wanted.second[0], rtol=1e-5)


def test_the_squared_error_counts_what_is_inside(feature, rng):
    other = feature + rng.normal(0, 1, feature.shape).astype(np.float32)
    squares = (np.float64(other) - feature) ** 2
    assert float(losses.squared_error(other, feature)) == pytest.approx(squares.sum(), 1e-5)
    inside = rng.integers(0, 2, (1, 7, 6, 1)).astype(np.float32)
    assert float(losses.squared_error(other, feature, inside)) == pytest.approx((squares * inside).sum(), 1e-5)


def test_gram_losses_follow_their_formula(feature, target):
    a = pixels(feature).T @ pixels(feature) / 42
    b = np.float64(target.second[0])
    s = losses.statistics(feature)
    assert float(losses.gram_loss(s, target)[0]) == pytest.approx(((a - b) ** 2).sum() / (b**2).sum(), 1e-4)
    # As printed: unnormalised Gram matrices of M pixels, over 4 N² M².
    n, m = CHANNELS, 42
    printed = ((m * a - m * b) ** 2).sum() / (4 * n**2 * m**2)
    assert float(losses.paper_gram_loss(s, target)[0]) == pytest.approx(printed, 1e-4)


def test_the_covariance_loss_follows_its_formula(feature, target):
    c, ct = np.cov(pixels(feature).T, bias=True), np.float64(losses.covariance(target)[0])
    m, mt = pixels(feature).mean(0), np.float64(target.mean[0])
    wanted = (((c - ct) ** 2).sum() / (ct**2).sum() + ((m - mt) ** 2).sum() / (mt**2).sum()) / 2
    assert float(losses.covariance_loss(losses.statistics(feature), target)[0]) == pytest.approx(wanted, 1e-4)


def test_the_wasserstein_loss_follows_its_formula(feature, target):
    c, ct = np.cov(pixels(feature).T, bias=True), np.float64(losses.covariance(target)[0])
    m, mt = pixels(feature).mean(0), np.float64(target.mean[0])
    root = scipy.linalg.sqrtm(ct)
    distance = ((m - mt) ** 2).sum() + np.trace(c + ct - 2 * scipy.linalg.sqrtm(root @ c @ root).real)
    wanted = distance / np.trace(np.float64(target.second[0]))
    got = STYLE_LOSSES["wasserstein"](losses.statistics(feature), target)
    assert float(got[0]) == pytest.approx(wanted, 2e-3)


def test_the_trace_of_a_root_and_its_gradient(rng):
    x = rng.normal(size=(2, 40, CHANNELS))
    matrix = np.float32(np.swapaxes(x, 1, 2) @ x)
    with tf.GradientTape() as tape:
        a = tf.constant(matrix)
        tape.watch(a)
        trace = losses.trace_root(a)
    gradient = tape.gradient(trace, a)
    for i in range(2):
        root = scipy.linalg.sqrtm(np.float64(matrix[i])).real
        assert float(trace[i]) == pytest.approx(np.trace(root), 1e-4)
        np.testing.assert_allclose(gradient[i], np.linalg.inv(root) / 2, rtol=1e-2, atol=1e-4)


def test_a_singular_covariance_has_a_finite_gradient(target, rng):
    flat = np.zeros((1, 3, 3, CHANNELS), np.float32)  # no variance at all
    with tf.GradientTape() as tape:
        x = tf.constant(flat)
        tape.watch(x)
        loss = STYLE_LOSSES["wasserstein"](losses.statistics(x), target)
    assert np.isfinite(loss[0]) and np.all(np.isfinite(tape.gradient(loss, x)))


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_style_gradients_agree_with_finite_differences(name, feature, target, rng):
    direction = rng.normal(size=feature.shape).astype(np.float32)

    def loss(x):
        return STYLE_LOSSES[name](losses.statistics(x), target)[0]

    with tf.GradientTape() as tape:
        x = tf.constant(feature)
        tape.watch(x)
        value = loss(x)
    slope = float(tf.reduce_sum(tape.gradient(value, x) * direction))
    h = 3e-3
    numeric = float(loss(feature + h * direction) - loss(feature - h * direction)) / (2 * h)
    assert slope == pytest.approx(numeric, rel=0.02)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_a_style_is_at_no_distance_from_itself_only(name, feature, target):
    s = losses.statistics(feature)
    assert float(STYLE_LOSSES[name](s, s)[0]) == pytest.approx(0, abs=2e-3)
    assert float(STYLE_LOSSES[name](s, target)[0]) > 0.05


@pytest.mark.parametrize("name", ["gram", "covariance", "wasserstein"])
def test_losses_do_not_depend_on_size_or_scale(name, feature, target):
    s = losses.statistics(feature)
    loss = float(STYLE_LOSSES[name](s, target)[0])
    tiled = losses.statistics(np.tile(feature, (1, 2, 3, 1)))
    assert float(STYLE_LOSSES[name](tiled, target)[0]) == pytest.approx(loss, 1e-3)
    louder = Statistics(7 * s.mean, 49 * s.second), Statistics(7 * target.mean, 49 * target.second)
    assert float(STYLE_LOSSES[name](*louder)[0]) == pytest.approx(loss, 1e-3)


def test_the_gradient_to_a_blend_is_the_blend_of_gradients(feature, target, rng):
    other = losses.statistics(rng.uniform(0, 2, (1, 5, 5, CHANNELS)).astype(np.float32))
    blend = Statistics(*(0.3 * a + 0.7 * b for a, b in zip(target, other, strict=True)))

    def gradient(aim):
        with tf.GradientTape() as tape:
            x = tf.constant(feature)
            tape.watch(x)
            loss = losses.paper_gram_loss(losses.statistics(x), aim)
        return tape.gradient(loss, x).numpy()

    np.testing.assert_allclose(gradient(blend), 0.3 * gradient(target) + 0.7 * gradient(other), rtol=1e-3, atol=1e-6)


def test_total_variation_is_the_mean_squared_difference(rng):
    image = rng.uniform(size=(1, 6, 5, 3)).astype(np.float32)
    wanted = (np.diff(image, axis=1) ** 2).mean() + (np.diff(image, axis=2) ** 2).mean()
    assert float(losses.total_variation(image)) == pytest.approx(wanted, 1e-5)
