import numpy as np
import pytest

from pipeline import images, objective, regions
from pipeline.objective import MARGIN, Objective, Spec, Weights

from .conftest import CONTENT, STYLES

STYLE = ("relu1_1", "relu3_1", "relu5_1")
CONTENT_LAYERS = ("relu2_2", "relu4_2")


def picture(path, size):
    return images.to_array(images.load(path).resize(size))


@pytest.fixture(scope="module")
def paintings():
    return [picture(STYLES / name, (96, 80)) for name in ("great_wave.jpg", "composition_viii.jpg")]


def make(spec, photo, paintings, masks=None, tile_size=4096, shares=(1.0,)):
    weights = Weights(
        np.float32([1, 10, 2]), np.full(len(spec.style), 1 / 3, np.float32), np.float32(shares if spec.regions else [1])
    )
    return Objective(spec, photo, objective.style_targets(spec, paintings, shares, 96), weights, masks, tile_size)


@pytest.mark.parametrize(("style_loss", "scaling"), [("gram", "adaptive"), ("wasserstein", "relative")])
def test_tiles_give_the_loss_and_gradient_of_the_whole(rng, paintings, style_loss, scaling):
    photo = picture(CONTENT / "coffee.jpg", (138, 70))
    x = np.clip(photo + rng.normal(0, 0.1, photo.shape), 0, 1).astype(np.float32)
    spec = Spec(content=CONTENT_LAYERS, style=STYLE, style_loss=style_loss, scaling=scaling)
    whole = make(spec, photo, paintings[:1])(x)
    tiled = make(spec, photo, paintings[:1], tile_size=64)(x)
    assert tiled.losses == pytest.approx(whole.losses, rel=2e-3)
    error = np.abs(tiled.gradient - whole.gradient).max() / np.abs(whole.gradient).max()
    assert error < 2e-3


def test_a_large_painting_is_measured_in_tiles():
    painting = picture(STYLES / "great_wave.jpg", (150, 90))
    spec = Spec(style=STYLE)
    whole, tiled = (objective.style_targets(spec, [painting], (1.0,), 150, t) for t in (4096, 64))
    plain = spec.features(painting[None], STYLE)
    for tap, a, b in zip(STYLE, whole, tiled, strict=True):
        x = np.asarray(plain[tap]).reshape(-1, a.mean.shape[-1])
        for moment, wanted in ((0, x.mean(0)[None]), (1, (x.T @ x / len(x))[None])):
            np.testing.assert_allclose(a[moment], wanted, atol=1e-4 * np.abs(wanted).max())
            np.testing.assert_allclose(b[moment], wanted, atol=2e-3 * np.abs(wanted).max())


def test_tiles_respect_regions(rng, paintings):
    photo = picture(CONTENT / "coffee.jpg", (130, 60))
    masks = np.zeros((2, 60, 130), np.float32)
    masks[0, :, :50], masks[1, :40, 50:] = 1, 1
    spec = Spec(content=CONTENT_LAYERS, style=STYLE, regions=2)
    args = spec, photo, paintings, masks
    whole, tiled = (make(*args, tile_size=t, shares=(0.5, 0.5))(photo) for t in (4096, 64))
    assert tiled.losses == pytest.approx(whole.losses, rel=1e-3)
    np.testing.assert_allclose(tiled.gradient, whole.gradient, atol=2e-3 * np.abs(whole.gradient).max())


@pytest.mark.parametrize(
    ("height", "width", "size"), [(133, 250, 64), (1365, 2048, 1024), (48, 300, 100), (64, 64, 64)]
)
def test_tiles_cover_every_pixel_once(height, width, size):
    seen = np.zeros((1, height, width, 1))
    for tile in objective.tiles(height, width, size):
        part = tile.cut(seen)
        part += tile.inside("relu1_1", part.shape)
        assert max(part.shape[1:3]) <= size + 16 + 2 * MARGIN
    assert (seen == 1).all()


def test_the_gradient_agrees_with_finite_differences(rng, paintings):
    photo = picture(CONTENT / "coffee.jpg", (48, 48))
    x = np.clip(photo + rng.normal(0, 0.1, photo.shape), 0, 1).astype(np.float32)
    loss = make(Spec(content=CONTENT_LAYERS, style=STYLE, pooling="average"), photo, paintings[:1])
    direction = loss(x).gradient
    direction = direction / np.abs(direction).mean()
    h = np.float32(1e-3)
    numeric = (loss(x + h * direction).losses["total"] - loss(x - h * direction).losses["total"]) / (2 * h)
    assert np.vdot(loss(x).gradient, direction) == pytest.approx(numeric, rel=0.03)


def test_the_total_is_the_weighted_sum_of_the_named_losses(rng, paintings):
    photo = picture(CONTENT / "coffee.jpg", (64, 48))
    loss = make(Spec(content=CONTENT_LAYERS, style=STYLE), photo, paintings[:1])
    assert all(loss(photo).losses[f"content {tap}"] == pytest.approx(0, abs=1e-6) for tap in CONTENT_LAYERS)
    named = loss(rng.uniform(size=photo.shape).astype(np.float32)).losses
    content = np.mean([named[f"content {tap}"] for tap in CONTENT_LAYERS])
    style = np.mean([named[f"style {tap}"] for tap in STYLE])
    assert named["total"] == pytest.approx(content + 10 * style + 2 * named["denoise"], 1e-4)


def test_adaptive_losses_are_divided_by_their_own_values(rng, paintings):
    photo = picture(CONTENT / "coffee.jpg", (64, 48))
    x = rng.uniform(size=photo.shape).astype(np.float32)
    plain = make(Spec(content=("relu4_2",), style=STYLE, scaling="paper"), photo, paintings[:1])(x)
    value = make(Spec(content=("relu4_2",), style=STYLE, scaling="adaptive"), photo, paintings[:1])(x)
    assert value.adjustments["content"] == pytest.approx(1 / plain.losses["content relu4_2"], 1e-3)
    assert value.adjustments["denoise"] == pytest.approx(1 / plain.losses["denoise"], 1e-3)
    assert value.losses["total"] == pytest.approx(1 + 10 + 2, 1e-4) and np.abs(value.gradient).max() > 0


def test_a_share_of_nothing_changes_nothing(paintings):
    spec = Spec(style=STYLE)
    alone = objective.style_targets(spec, paintings[:1], (1.0,), 96)
    both = objective.style_targets(spec, paintings, (1.0, 0.0), 96)
    half = objective.style_targets(spec, paintings, (0.5, 0.5), 96)
    second = objective.style_targets(spec, paintings[1:], (1.0,), 96)
    for a, b, h, s in zip(alone, both, half, second, strict=True):
        np.testing.assert_allclose(a.second, b.second, rtol=1e-5)
        np.testing.assert_allclose(h.second, (a.second + s.second) / 2, rtol=1e-4)


def test_bfloat16_gives_nearly_the_same_loss_and_gradient(paintings):
    photo = picture(CONTENT / "coffee.jpg", (128, 96))
    x = np.clip(photo[:, ::-1] * 0.9, 0, 1)
    single, half = (
        make(Spec(content=("relu4_2",), style=STYLE, dtype=d), photo, paintings[:1])(x) for d in ("float32", "bfloat16")
    )
    assert half.losses["total"] == pytest.approx(single.losses["total"], rel=0.02)
    cosine = np.vdot(half.gradient, single.gradient) / np.linalg.norm(half.gradient) / np.linalg.norm(single.gradient)
    assert cosine > 0.98


def test_regions_pull_toward_their_own_painting(paintings):
    photo = picture(CONTENT / "coffee.jpg", (96, 64))
    masks = regions.read(np.uint8([[[255, 0, 0], [0, 255, 0]]]).repeat(64, 0).repeat(48, 1), 2, (96, 64))
    loss = make(Spec(style=STYLE[:1], regions=2), photo, paintings, masks, shares=(1.0, 0.0))
    gradient = np.abs(loss(photo).gradient).sum((0, 2))
    # Total variation moves all pixels a little; the style loss only those of its own region.
    assert gradient[:40].mean() > 3 * gradient[56:].mean()


def test_graphs_share_the_network_instead_of_holding_copies_of_it():
    """With VGG's 40 MB as constants, every setting that is new to the app would take half a gigabyte for good."""
    functions = objective._functions(Spec(content=CONTENT_LAYERS, style=STYLE))
    for function in (functions.whole, functions.measure, functions.pull):
        assert function.get_concrete_function().graph.as_graph_def().ByteSize() < 1_000_000
