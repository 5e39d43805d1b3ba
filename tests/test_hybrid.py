"""Hybrid: the article's picture, the faster ways to it, alignment, and whether the results read as they should."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from pipeline import BadInput, align, cli, distance, hybrid, hybrid_solvers, images, last
from pipeline.blur import blur, gaussian_kernel
from pipeline.hybrid import Settings
from pipeline.hybrid_solvers import Objective

CONTENT = Path(__file__).parents[1] / "examples" / "content"
PAIRS = [("astronaut", "chelsea"), ("city_skyline", "matterhorn"), ("coffee", "rocket")]


def photo(name):
    return CONTENT / f"{name}.jpg"


def smooth(seed, height=60, width=48, channels=3):
    """A random picture without detail finer than a few pixels, in [0, 1], (C, H, W)."""
    noise = np.random.default_rng(seed).standard_normal((channels, height, width))
    planes = scipy.ndimage.gaussian_filter(noise, (0, 3, 3))
    return (0.5 + 0.16 * planes / planes.std()).clip(0.02, 0.98).astype(np.float32)


def picture(planes):
    return images.to_image(planes.transpose(1, 2, 0))


def objective(gamma=2.2, border="mirror"):
    return Objective(smooth(0), smooth(1), gaussian_kernel(2, 9), 0.3, 1.0, gamma, border)


def planes_of(near, far, size):
    pair = hybrid.aligned(photo(near), photo(far), Settings(size=size))
    return [np.ascontiguousarray(images.to_array(p).transpose(2, 0, 1)) for p in (pair.near, pair.far)]


class Article:
    """The article's algorithm in float64: blurs as dense matrices, the gradient through them by the chain rule."""

    def __init__(self, near, far, sigma, size, m_precise, m_blurred):
        self.near, self.m_precise, self.m_blurred = near.astype(float), m_precise, m_blurred
        weights = [np.exp(-(((size - 1) // 2 - i) ** 2) / (2 * sigma**2)) for i in range(size)]
        weights = np.array(weights) / sum(weights)
        self.rows, self.columns = (
            sum(np.eye(side, k=k - size // 2) * w for k, w in enumerate(weights)) for side in near.shape[1:]
        )
        self.label = self.blur(far.astype(float) ** 2.2) ** (1 / 2.2)

    def blur(self, planes):
        return self.rows @ planes @ self.columns.T

    def step(self, logits, rate):
        u = 1 / (1 + np.exp(-logits))
        light = self.blur(u**2.2)
        difference = light ** (1 / 2.2) - self.label
        precise, blurred = ((u - self.near) ** 2).sum(), (difference**2).sum()
        d_light = 2 * self.m_blurred * difference / 2.2 * light ** (1 / 2.2 - 1)
        pulled = self.rows.T @ d_light @ self.columns
        d_u = 2 * self.m_precise * (u - self.near) + pulled * 2.2 * u**1.2
        losses = {"total": self.m_precise * precise + self.m_blurred * blurred, "precise": precise, "blurred": blurred}
        return losses, u, logits - rate * d_u * u * (1 - u)


# The blur


@pytest.mark.parametrize(("shape", "sigma", "size"), [((3, 65, 50), 3, 15), ((1, 20, 33), 8, 0), ((2, 7, 200), 1.2, 0)])
@pytest.mark.parametrize(("border", "mode"), [("mirror", "reflect"), ("black", "constant")])
def test_blur_is_scipys_correlation_borders_included(shape, sigma, size, border, mode):
    planes = np.random.default_rng(0).random(shape, np.float32)
    kernel = gaussian_kernel(sigma, size)
    expected = scipy.ndimage.correlate1d(planes, kernel, 1, mode=mode)
    expected = scipy.ndimage.correlate1d(expected, kernel, 2, mode=mode)
    np.testing.assert_allclose(blur(planes, kernel, border), expected, atol=1e-6)


@pytest.mark.parametrize("border", ["mirror", "black"])
def test_blur_is_its_own_adjoint(border):
    a, b = np.random.default_rng(0).random((2, 3, 37, 41), np.float32)
    kernel = gaussian_kernel(4)
    assert np.vdot(blur(a, kernel, border), b) == pytest.approx(np.vdot(a, blur(b, kernel, border)), rel=1e-5)


def test_the_kernel_is_the_articles():
    expected = [0.00881223, 0.02714358, 0.06511406, 0.12164907, 0.17699836, 0.20056541]  # printed there, to the centre
    np.testing.assert_allclose(gaussian_kernel(2, 11)[:6], expected, atol=1e-7)
    with pytest.raises(BadInput, match="odd"):
        gaussian_kernel(2, 10)
    with pytest.raises(BadInput, match="more than 0"):
        gaussian_kernel(0)


# The objective


def test_the_far_picture_is_blurred_in_linear_light():
    black_and_white = np.indices((64, 64)).sum(0)[None] % 2 + np.float32(1e-6)
    seen = Objective(black_and_white, black_and_white, gaussian_kernel(3)).far_blurred
    # Half the light is much brighter than half the display value.
    np.testing.assert_allclose(seen[0, 20:44, 20:44], 0.5 ** (1 / 2.2), atol=2e-3)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
@pytest.mark.parametrize("border", ["mirror", "black"])
def test_gradient_is_that_of_finite_differences(gamma, border):
    o = objective(gamma, border)
    u, direction = smooth(7), np.random.default_rng(3).standard_normal((3, 60, 48)).astype(np.float32)
    losses, gradient = o.losses_and_gradient(u)
    assert losses == pytest.approx(o.losses(u))
    h = 5e-3
    slope = (o.losses(u + h * direction)["total"] - o.losses(u - h * direction)["total"]) / (2 * h)
    assert np.vdot(gradient, direction) == pytest.approx(slope, rel=2e-3)


def test_gradient_is_that_of_a_gradient_tape():
    import tensorflow as tf

    o, u = objective(border="black"), smooth(7)
    taps = tf.constant(np.tile(o.kernel.astype(float)[:, None, None, None], (1, 1, 3, 1)))

    def gauss(x):
        x = tf.nn.depthwise_conv2d(x, tf.transpose(taps, (1, 0, 2, 3)), [1] * 4, "SAME")
        return tf.nn.depthwise_conv2d(x, taps, [1] * 4, "SAME")

    near, far, x = (tf.constant(p.transpose(1, 2, 0)[None], tf.float64) for p in (o.near, o.far, u))
    with tf.GradientTape() as tape:
        tape.watch(x)
        precise = tf.reduce_sum((x - near) ** 2)
        blurred = tf.reduce_sum((gauss(x**2.2) ** (1 / 2.2) - gauss(far**2.2) ** (1 / 2.2)) ** 2)
        total = o.m_precise * precise + o.m_blurred * blurred
    losses, gradient = o.losses_and_gradient(u)
    assert losses == pytest.approx({"total": float(total), "precise": float(precise), "blurred": float(blurred)}, 1e-4)
    np.testing.assert_allclose(gradient, tape.gradient(total, x)[0].numpy().transpose(2, 0, 1), atol=1e-5)


def test_the_preset_is_the_articles_descent_loss_by_loss():
    near, far = picture(smooth(0, 48, 64)), picture(smooth(1, 48, 64))
    article = Article(*(images.to_array(p).transpose(2, 0, 1) for p in (near, far)), 3, 15, 0.1, 1.0)
    logits = np.zeros((3, 48, 64))
    steps = list(hybrid.run(near, far, Settings(preset="as in the article")))
    assert [s.iteration for s in steps] == list(range(1, 201))
    for step in steps:
        losses, u, logits = article.step(logits, 0.3)
        assert dict(step.losses) == pytest.approx(losses, rel=1e-4)
    difference = np.abs(images.to_array(steps[-1].image) - u.transpose(1, 2, 0))
    assert difference.max() < 1.5 / 255


# The solvers


@pytest.mark.parametrize(("near", "far"), PAIRS)
@pytest.mark.parametrize("m_precise", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("start", ["grey", "near", "fourier"])
def test_fista_reaches_the_articles_loss_within_ten_iterations(near, far, m_precise, start):
    a, b = planes_of(near, far, 160)
    o = Objective(a, b, gaussian_kernel(3, 15), m_precise, 1.0, border="black")
    goal = next(itertools.islice(hybrid_solvers.descent(o, np.full_like(a, 0.5), 0.3), 199, None))[1]["total"]
    begin = {"grey": np.full_like(a, 0.5), "near": a, "fourier": hybrid_solvers.fourier(o)}[start]
    reached = [losses["total"] for _, losses in itertools.islice(hybrid_solvers.fista(o, begin), 11)]
    assert min(reached) <= goal


def test_adam_is_the_textbooks():
    o = objective()
    found = [
        losses["total"] for _, losses in itertools.islice(hybrid_solvers.adam(o, np.full_like(o.near, 0.5), 0.3), 6)
    ]
    x, m, v = np.zeros(o.near.shape), 0.0, 0.0
    for t, loss in enumerate(found, 1):
        u = 1 / (1 + np.exp(-x))
        losses, gradient = o.losses_and_gradient(u.astype(np.float32))
        assert loss == pytest.approx(losses["total"], rel=1e-4)
        gradient = gradient * u * (1 - u)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        x = x - 0.3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert found[-1] < 0.6 * found[0]


def test_the_fourier_filter_solves_the_problem_without_gamma():
    o = objective(gamma=1.0)
    _, gradient = o.losses_and_gradient(hybrid_solvers.fourier(o))
    np.testing.assert_allclose(gradient, 0, atol=3e-6)


def test_classic_halves_each_picture_at_its_cutoff():
    x = np.arange(128)
    low, high = (np.tile(np.cos(np.pi * 2 * k * (x + 0.5) / 128), (1, 96, 1)).astype(np.float32) for k in (8, 20))
    mixed = hybrid_solvers.classic(Objective(high, low, gaussian_kernel(2)), low=8, high=20)
    np.testing.assert_allclose(mixed, 0.5 * low + 0.5 * high, atol=1e-5)


def test_early_stopping_keeps_the_near_pictures_detail():
    near, far = photo("astronaut"), photo("coffee")
    options = dict(size=256, start="grey", headroom=False, steps=100)
    stopped = list(hybrid.run(near, far, Settings(**options)))
    converged = list(hybrid.run(near, far, Settings(**options, stop_at_best=False)))
    assert len(stopped) < 30 and len(converged) == 100
    likeness = [
        hybrid.score(steps[-1].image, near, far, Settings(size=256))[0].near[0] for steps in (stopped, converged)
    ]
    assert likeness[0] > likeness[1] + 0.05
    assert converged[-1].losses["total"] < stopped[-1].losses["total"]


def test_no_frame_is_drawn_where_a_dark_picture_meets_a_bright_one():
    dark, bright = (Image.new("RGB", (128, 96), (v, v, v)) for v in (20, 230))
    frame = {}
    for border in ("mirror", "black"):
        result = images.to_array(
            hybrid.combine(dark, bright, start="grey", steps=10, stop_at_best=False, border=border)
        )
        frame[border] = abs(float(result[0].mean() - result[48, 64].mean()))
    assert frame["mirror"] < 0.01 < 0.1 < frame["black"]


def test_headroom_leaves_almost_nothing_clipped():
    def clipped(**options):
        result = np.asarray(hybrid.combine(photo("city_skyline"), photo("matterhorn"), size=256, **options))
        return np.mean((result == 0) | (result == 255))

    for solver in ("fista", "fourier", "classic"):
        assert clipped(solver=solver) < 0.004 < clipped(solver=solver, headroom=False)


# How results read


@pytest.mark.parametrize(("near", "far"), PAIRS)
def test_the_defaults_pass_near_and_far_and_flip_where_they_say(near, far):
    takeovers = []
    for flip in (4, hybrid.Settings().flip_distance, 9):
        settings = Settings(flip_distance=flip)
        scores, sentence = hybrid.score(
            hybrid.combine(photo(near), photo(far), flip_distance=flip), photo(near), photo(far)
        )
        assert scores.near_passes and scores.far_passes and "takes over" in sentence, settings
        assert scores.near[0] > 0.9
        assert scores.takeover == pytest.approx(flip, rel=0.3)
        takeovers.append(scores.takeover)
    assert takeovers == sorted(takeovers)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(size=256, sigma=24), "From afar the near picture still wins: set the blur (sigma) to 12."),
        (Settings(size=256, sigma=0.5), "From close by the far picture still wins: set the blur (sigma) to 1."),
        (
            Settings(size=256, sigma=12, m_precise=2),
            "From afar the near picture still wins: set the near weight (m_precise) to 0.1.",
        ),
        (
            Settings(size=256, flip_distance=16, balance=1),
            "From afar the near picture still wins: set the flip distance to 8.",
        ),
        (
            Settings(size=256, solver="classic", low_cutoff=100, high_cutoff=128),
            "From close by the far picture still wins: set the cutoffs to 50 and 64.",
        ),
    ],
)
def test_a_failing_test_says_what_to_change(settings, words):
    *_, last = hybrid.run(photo("astronaut"), photo("chelsea"), settings)
    scores, sentence = hybrid.score(last.image, photo("astronaut"), photo("chelsea"), settings)
    assert not (scores.near_passes and scores.far_passes)
    assert words in sentence


@pytest.mark.parametrize("balance", [-1, 0, 1])
def test_the_crossover_is_where_the_blurs_squared_gain_is_the_ratio_of_weights(balance):
    settings = Settings(flip_distance=5, balance=balance)
    precise, blurred = hybrid.weights(settings)
    frequency = hybrid.crossover(settings, 1024) / 1024
    gain = np.exp(-2 * (np.pi * frequency * hybrid.sigma(settings, 1024)) ** 2)
    assert gain**2 == pytest.approx(precise / blurred)
    assert hybrid.crossover(settings, 512) == pytest.approx(frequency * 1024)


def test_a_small_picture_reads_as_a_large_one_does():
    small, large = (hybrid.combine(photo("astronaut"), photo("chelsea"), size=size) for size in (256, 512))
    shrunk = images.to_array(large.resize(small.size, Image.Resampling.BOX))
    assert np.abs(shrunk - images.to_array(small)).mean() < 0.03


# Colours and roles


def test_colours_are_those_of_the_picture_asked_for():
    def result(colours):
        return images.to_array(hybrid.combine(photo("coffee"), photo("rocket"), size=128, colours=colours))

    pair = hybrid.aligned(photo("coffee"), photo("rocket"), Settings(size=128))
    near, far = images.to_array(pair.near), images.to_array(pair.far)
    assert np.ptp(result("grey"), axis=-1).max() == 0

    def redness(a):
        return float((a[..., 0] - a[..., 2]).mean())

    assert redness(near) > 0.2 > redness(far)
    assert redness(result("near")) > redness(result("both")) > redness(result("far")) - 0.01


def test_swap_exchanges_the_pictures_with_their_points():
    a, b = photo("astronaut"), photo("chelsea")
    eyes = (0.38, 0.21, 0.48, 0.21), (0.38, 0.38, 0.71, 0.46)
    plain = hybrid.combine(a, b, near_points=eyes[0], far_points=eyes[1], size=128)
    swapped = hybrid.combine(b, a, near_points=eyes[1], far_points=eyes[0], size=128, swap=True)
    assert np.array_equal(plain, swapped)


# Alignment


@pytest.mark.parametrize("count", [2, 3])
def test_points_recover_a_known_map(count):
    rng = np.random.default_rng(count)
    angle, scale = 0.4, 1.7
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if count == 3:
        linear = linear @ np.array([[1, 0.3], [0, 0.8]])
    known = np.column_stack([linear, [12, -7]])
    points = rng.uniform(0, 100, (count, 2))
    np.testing.assert_allclose(align.match(points, points @ linear.T + known[:, 2]), known, atol=1e-9)


def test_a_mirrored_similarity_keeps_its_two_points_and_turns_the_picture_over():
    points, targets = np.array([[10, 20], [40, 30]]), np.array([[5, 5], [25, 8]])
    matrix = align.match(points, targets, mirrored=True)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], targets)
    assert np.linalg.det(matrix[:, :2]) < 0


@pytest.mark.parametrize("count", [2, 3])
def test_a_moved_copy_comes_back_by_its_points(count):
    whole = smooth(5, 200, 240)
    far = picture(whole)
    linear = np.array([[0.8, -0.2], [0.2, 0.8]]) if count == 2 else np.array([[0.8, -0.1], [0.3, 0.9]])
    shift = np.array([50.0, 20.0])
    # The near picture shows, at its (x, y), what the far one has at linear (x, y) + shift.
    near = Image.new("RGB", (120, 100))
    near = far.transform(
        near.size, Image.Transform.AFFINE, np.column_stack([linear, shift]).ravel(), Image.Resampling.BICUBIC
    )
    targets = np.array([[20, 30], [100, 35], [50, 90]])[:count]
    points = targets @ linear.T + shift
    settings = Settings(near_points=(targets / near.size).ravel(), far_points=(points / far.size).ravel())
    pair = hybrid.aligned(near, far, settings)
    assert pair.near.size == near.size and np.array_equal(pair.near, near)
    np.testing.assert_allclose(pair.marks, targets, atol=1e-6)
    assert np.abs(np.asarray(pair.far, float) - np.asarray(near)).mean() < 2


def test_mirroring_keeps_the_eyes_in_place():
    eyes = dict(near_points=(0.3, 0.4, 0.7, 0.4), far_points=(0.3, 0.4, 0.7, 0.4))
    flat = picture(smooth(1, 64, 64))
    dots = np.asarray(flat).copy()
    dots[23:28, 17:22], dots[23:28, 42:47] = (255, 0, 0), (0, 0, 255)
    for options in ({}, eyes):
        mirrored = np.asarray(hybrid.aligned(flat, dots, Settings(**options, flip=True)).far)
        np.testing.assert_allclose(mirrored.astype(float), dots[:, ::-1].astype(float), atol=3)


def test_fit_and_crop_covers_the_near_picture():
    far = picture(smooth(2, 64, 128))
    pair = hybrid.aligned(picture(smooth(1, 64, 64)), far)
    np.testing.assert_array_equal(pair.far, far.crop((32, 0, 96, 64)))


def test_a_nudge_crops_to_what_both_fill_or_leaves_the_near_picture_alone():
    near, far = picture(smooth(1, 64, 80)), picture(smooth(2, 64, 80))
    cropped = hybrid.aligned(near, far, Settings(nudge_x=0.25))
    assert cropped.near.size == near.size
    np.testing.assert_allclose(
        np.asarray(cropped.near.resize((60, 48), Image.Resampling.BOX), float),
        np.asarray(near.crop((20, 8, 80, 56))),
        atol=6,
    )
    whole = hybrid.aligned(near, far, Settings(nudge_x=0.25, frame="near"))
    np.testing.assert_array_equal(np.asarray(whole.near), near)
    np.testing.assert_array_equal(np.asarray(whole.far)[:, :20], np.asarray(near)[:, :20])
    np.testing.assert_array_equal(np.asarray(whole.far)[:, 20:], np.asarray(far)[:, :60])


def test_the_common_rectangle_is_the_largest_inside_a_turned_picture():
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, [200, 0]])  # a picture of 200 x 200 with its corner at (200, 0)
    left, top, right, bottom = align.common((200, 200), matrix, (400, 400), np.array([200, 100]))
    assert right - left == pytest.approx(200 / (np.cos(angle) + np.sin(angle)), abs=2)  # a square in a turned square
    assert bottom - top == right - left
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) - [200, 0]
    assert np.all(np.abs(corners @ turn - 100) <= 100.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(near_points=(0.1, 0.1, 0.5, 0.5)), "click as many"),
        (dict(near_points=(0.1, 0.1), far_points=(0.1, 0.1)), "two or three points"),
        (dict(near_points=(0.1, 0.1, 0.5), far_points=(0.1, 0.1, 0.5)), "pairs x y"),
        (dict(near_points=(0.1, 0.1, 0.5, 1.5), far_points=(0.1, 0.1, 0.5, 0.5)), "between 0 and 1"),
        (dict(near_points=(0.5, 0.5, 0.5, 0.5), far_points=(0.1, 0.1, 0.5, 0.5)), "further apart"),
        (dict(near_points=(0.1, 0.1, 0.5, 0.5, 0.9, 0.9), far_points=(0.1, 0, 0.5, 0.5, 0.2, 0.9)), "one line"),
        (dict(near_points=(0.0, 0.0, 0.02, 0.0), far_points=(0.0, 0.0, 1.0, 0.0)), "share almost nothing"),
        (dict(m_precise=1), "lower it"),
        (dict(kernel_size=8), "odd"),
    ],
)
def test_bad_input_gets_one_sentence(options, words):
    with pytest.raises(BadInput, match=words):
        hybrid.combine(picture(smooth(1)), picture(smooth(2)), **options)


# Seeing it


def test_shrinking_averages_light():
    checkerboard = Image.fromarray(np.uint8(255 * (np.indices((512, 512)).sum(0) % 2))).convert("RGB")
    assert np.all(np.asarray(distance.seen_from(checkerboard, 2)) == 188)  # sRGB of half the light
    assert distance.seen_from(checkerboard.crop((0, 0, 100, 50)), 2).size == (100, 50)
    assert distance.seen_from(checkerboard.crop((0, 0, 100, 50)), 16).size == (32, 16)


def test_the_strip_walks_away_by_halves():
    result = picture(smooth(1, 256, 512))
    assert distance.strip(result).size == (512 + 256 + 128 + 64 + 32 + 4 * 16, 256)


def test_the_animation_goes_away_and_comes_back():
    result = picture(smooth(1, 128, 256))
    with Image.open(io.BytesIO(distance.walk(result, frames=5))) as gif:
        assert gif.format == "GIF" and gif.size == (256, 128) and gif.info["loop"] == 0
        white = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            white.append(np.all(np.asarray(gif.convert("RGB")) == 255, axis=-1).mean())
    assert white[0] == 0 and max(white) == pytest.approx(1 - 32 * 16 / (256 * 128), abs=0.01)
    assert white.index(max(white)) == len(white) // 2


def test_the_spectrum_peaks_at_a_waves_frequency():
    wave = 0.5 + 0.4 * np.cos(2 * np.pi * 32 * np.arange(512) / 512)
    shown = np.asarray(distance.spectrum(picture(np.tile(wave, (3, 300, 1))), cutoff=100))
    grey = shown[..., 1].astype(int)
    assert grey[256, 256 + 64] > grey[256, 256 + 90] + 50 < grey[256, 256 - 64]
    assert tuple(shown[256, 256 + 200]) == (255, 0, 0)


def test_spectra_and_overlay_show_every_picture():
    a, b = photo("astronaut"), photo("chelsea")
    points = dict(near_points=(0.38, 0.21, 0.48, 0.21), far_points=(0.38, 0.38, 0.71, 0.46))
    settings = Settings(size=128, **points)
    assert [s.size for s in hybrid.spectra(hybrid.combine(a, b, size=128, **points), a, b, settings)] == [
        (512, 512)
    ] * 3
    pair = hybrid.aligned(a, b, settings)
    half, shown = (np.asarray(p, int) for p in (Image.blend(pair.near, pair.far, 0.5), pair.overlay()))
    changed = np.abs(shown - half).sum(-1) > 0
    for x, y in pair.marks:
        assert changed[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8].any()
    assert changed.mean() < 0.1


def test_a_picture_too_narrow_for_its_size_is_refused():
    with pytest.raises(BadInput, match="too narrow at 64 pixels"):
        hybrid.aligned(Image.new("RGB", (400, 40)), Image.new("RGB", (400, 40)), Settings(size=64))


# The effect as a whole


@pytest.mark.parametrize("name", hybrid.PRESETS)
def test_every_preset_makes_a_picture(name):
    *_, last = hybrid.run(picture(smooth(1)), picture(smooth(2)), Settings(preset=name, steps=5))
    assert last.image.mode == "RGB" and last.image.size == (48, 60)
    assert set(last.losses) == {"total", "precise", "blurred"} and "48x60" in last.note


def test_a_preset_leaves_what_the_user_chose_and_holds_for_the_scores_too():
    near, far = picture(smooth(1)), picture(smooth(2))
    steps = list(hybrid.run(near, far, Settings(preset="as in the article", steps=3)))
    assert steps[-1].total == 3 and "descent" in steps[-1].note
    article = hybrid.spectra(steps[-1].image, near, far, Settings(preset="as in the article"))
    usual = hybrid.spectra(steps[-1].image, near, far)
    assert not np.array_equal(article[0], usual[0])  # its circle is elsewhere


@pytest.mark.parametrize("solver", ["fista", "adam", "descent"])
def test_solvers_stream_and_can_be_stopped(solver):
    settings = Settings(solver=solver, start="grey", steps=5, stop_at_best=False)
    steps = hybrid.run(picture(smooth(1)), picture(smooth(2)), settings)
    first, second = next(steps), next(steps)
    steps.close()
    assert (first.iteration, second.iteration, first.total) == (1, 2, 5)
    assert second.losses["total"] < first.losses["total"]


def test_command_line(tmp_path, capsys):
    out = tmp_path / "out.png"
    arguments = ["hybrid", str(photo("coffee")), str(photo("rocket")), "-o", str(out), "--size", "128", "--json"]
    assert cli.main([*arguments, "--colours", "grey"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["width"], report["height"]) == Image.open(out).size == (128, 85)
    assert report["losses"]["total"] > 0
    assert json.loads(Image.open(out).text["atelier"])["settings"]["colours"] == "grey"


def test_adam_stays_finite_at_the_highest_rate():
    pair = picture(smooth(1)), picture(smooth(2))
    step = last(hybrid.run(*pair, Settings(solver="adam", learning_rate=10, steps=60, stop_at_best=False)))
    assert np.isfinite(step.losses["total"]) and np.asarray(step.image).std() > 10


def test_the_classic_filters_need_no_weights():
    weights = dict(m_precise=2.0, m_blurred=1.0)
    pair = picture(smooth(1)), picture(smooth(2))
    one, other = (hybrid.combine(*pair, solver="classic", **options) for options in ({}, weights))
    assert one == other
    with pytest.raises(BadInput, match="must be below"):
        hybrid.combine(*pair, **weights)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(flip_distance=2), "set the flip distance to 1.5"),
        (Settings(flip_distance=1.5), "the flip distance can't go further"),
    ],
)
def test_what_is_advised_can_be_set(settings, words):
    fails = distance.Scores(near=(1.0, 0.0), far=(1.0, 0.0), takeover=20.0)
    assert words in hybrid._advice(fails, settings)
