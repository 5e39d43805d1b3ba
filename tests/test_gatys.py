import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from benchmarks import heldout
from pipeline import BadInput, gatys, images, losses, objective, regions, vgg
from pipeline.gatys import PRESETS, Settings
from pipeline.settings import defaults

from .conftest import CONTENT, STYLES

PHOTO = CONTENT / "astronaut.jpg"
WAVE, COMPOSITION = STYLES / "great_wave.jpg", STYLES / "composition_viii.jpg"
# Small, in float32, at one size: what most tests need.
SMALL = dict(size=64, scales=1, iterations=3, precision="float32")
# Enough to change the picture a lot, judged at the layers that ``style_distance`` looks at.
STYLISED = dict(
    init="content", iterations=25, optimiser="adam", style_layers=("relu1_1", "relu2_1", "relu3_1"), denoise_weight=0.0
)


STYLED = ("relu1_1", "relu3_1")


def steps(photo=PHOTO, styles=(WAVE,), **options):
    pictures = {name: options.pop(name) for name in ("regions", "initial", "resume") if name in options}
    return list(gatys.run(photo, styles, Settings(**SMALL | options), **pictures))


def difference(a, b):
    return float(np.abs(images.to_array(a) - images.to_array(b)).mean())


def photo(size=64):
    return images.fit(images.load(PHOTO), size)


def style_distance(picture, painting, box=None):
    """Of the second moments at two layers, measured here and not by the engine."""

    def moments(image):
        found = vgg.features(images.to_array(image)[None], ("relu1_1", "relu2_1"))
        return [losses.statistics(f) for f in found.values()]

    picture = picture.crop(box) if box else picture
    pairs = zip(moments(picture), moments(images.fit(images.load(painting), 64)), strict=True)
    return sum(float(losses.gram_loss(a, b)[0]) for a, b in pairs)


def test_the_start_is_shown_first_then_every_iteration():
    found = steps(scales=2, coarse_iterations=2)
    assert [(s.iteration, s.total) for s in found] == [(i, 5) for i in range(6)]
    assert {s.image.size for s in found} == {(64, 64)}
    assert not found[0].losses and found[0].eta > 0 and found[-1].eta == 0
    assert "about" in found[0].note and found[-1].note.startswith("64x64 in ")
    names = {"content relu4_2", "denoise", "total", *(f"style relu{i}_1" for i in range(1, 6))}
    assert all(set(s.losses) == names for s in found[1:])
    assert all(a.seconds < b.seconds for a, b in zip(found, found[1:], strict=False))


def test_the_loss_falls_and_the_style_comes_closer():
    found = steps(**STYLISED)
    assert found[-1].losses["total"] < 0.5 * found[1].losses["total"]
    assert style_distance(found[-1].image, WAVE) < 0.5 * style_distance(found[0].image, WAVE)


def test_no_step_is_computed_before_it_is_asked_for(monkeypatch):
    """So closing the stream stops it within one step."""
    measured = []
    whole = objective.Objective.__call__
    monkeypatch.setattr(
        objective.Objective, "__call__", lambda loss, picture: measured.append(1) or whole(loss, picture)
    )
    stream = gatys.run(PHOTO, [WAVE], Settings(**SMALL))
    next(stream)
    measured.clear()  # of timing this machine
    for count in (1, 2):
        next(stream)
        assert len(measured) == count
    stream.close()
    assert len(measured) == 2


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("stop", [2, 4])
def test_stop_and_continue_is_one_long_run(optimiser, stop):
    options = dict(scales=2, coarse_iterations=3, optimiser=optimiser, average=0.5 if optimiser == "adam" else 0.0)
    whole = steps(**options)
    resumed = steps(**options, resume=whole[stop].state)
    assert [s.iteration for s in resumed] == list(range(stop + 1, 7))
    np.testing.assert_allclose(resumed[-1].state.picture, whole[-1].state.picture, atol=2e-3)
    assert difference(resumed[-1].image, whole[-1].image) < 2e-3


def test_more_iterations_continue_a_finished_run():
    first = steps(iterations=2)
    more = steps(iterations=4, resume=first[-1].state)
    assert [s.iteration for s in more] == [3, 4]
    assert difference(more[-1].image, steps(iterations=4)[-1].image) < 2e-3
    with pytest.raises(BadInput, match="All 2 iterations are done"):
        steps(iterations=2, resume=first[-1].state)


def test_weights_of_style_layers_do_not_matter_without_a_style():
    assert "style relu1_1" not in steps(style_weight=0, style_layer_weights=(1, 1, 1, 1, 1))[-1].losses


def test_a_run_continues_with_other_settings():
    """With the curvature of another loss, L-BFGS would go back and forth; with averaging, nothing must be missing."""
    first = steps()[-1]
    for options in (dict(style_weight=1000.0), dict(optimiser="adam", average=0.9), dict(style_loss="covariance")):
        more = steps(iterations=9, resume=first.state, **options)
        assert more[-1].losses["total"] < 0.9 * more[0].losses["total"], options
        assert difference(more[0].image, first.image) < 0.05
    averaged = steps(optimiser="adam", average=0.9)[-1]
    more = steps(iterations=4, resume=averaged.state)
    assert difference(more[0].image, averaged.image) < 0.05


def test_layers_may_come_in_any_order(rng):
    labels = np.zeros((64, 64, 3), np.uint8)
    labels[:, :32] = regions.COLOURS["red"]
    for options in (dict(regions=labels), dict(size=96, tile_size=64)):
        one, other = (steps(style_layers=layers, **options)[-1] for layers in (STYLED, STYLED[::-1]))
        assert other.losses == pytest.approx(one.losses, rel=0.02)


def test_a_region_that_is_large_enough_stays_so_at_every_scale():
    labels = np.zeros((128, 128, 3), np.uint8)
    labels[:, 64:65] = regions.COLOURS["red"]
    assert len(steps(regions=labels, size=128, scales=3, coarse_iterations=1, iterations=1)) == 4


def test_a_seed_decides_the_noise():
    a, b, c = (steps(init="noise", iterations=1, seed=s)[-1].image for s in (1, 1, 2))
    assert difference(a, b) < 1e-3 < 0.05 < difference(a, c)
    noise = images.to_array(steps(init="noise", size=128, iterations=1)[0].image)
    assert noise.mean() == pytest.approx(0.5, abs=0.01) and 0.15 < noise.std() < 0.25


def test_content_is_reconstructed_from_noise():
    found = steps(
        styles=(), preset="content reconstruction", content_layers=("relu2_1",), iterations=60, pooling="average"
    )
    assert found[-1].losses["total"] < 0.05 * found[1].losses["total"]
    assert difference(found[-1].image, photo()) < 0.4 * difference(found[0].image, photo())


def test_a_texture_is_made_at_any_size():
    found = steps(preset="texture only", canvas=(96, 40), iterations=15, scales=1)
    assert found[-1].image.size == (96, 40) and not any(name.startswith("content") for name in found[1].losses)
    assert found[-1].losses["total"] < 0.2 * found[1].losses["total"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs(name):
    settings = Settings(preset=name)
    assert all(getattr(settings, key) == value for key, value in PRESETS[name].items())
    few = dict(iterations=2, coarse_iterations=1, scales=min(2, settings.scales))
    stream = gatys.run(PHOTO, [WAVE], dataclasses.replace(settings, preset="painterly", size=64, **few))
    last = list(stream)[-1]
    assert np.isfinite(last.losses["total"]) and images.to_array(last.image).std() > 0.05


def test_a_preset_leaves_what_the_user_chose():
    assert defaults(Settings)["init"] == "fast" != PRESETS["as in the paper"]["init"]
    settings = Settings(preset="as in the paper", iterations=7, init="fast")
    assert (settings.iterations, settings.init, settings.pooling) == (7, "fast", "average")
    assert dataclasses.replace(settings, iterations=8) == Settings(preset="as in the paper", iterations=8, init="fast")


def test_the_report_preset_tells_its_adjustments():
    found = steps(preset="as in the VGG-16 report", iterations=3)
    last = found[-1]
    assert set(last.adjustments) == {"content", "style", "denoise"}
    assert last.adjustments["denoise"] == pytest.approx(1 / last.losses["denoise"], 1e-3)
    assert f"content {last.adjustments['content']:.2e}" in last.note
    assert last.losses["denoise"] < found[1].losses["denoise"]


def test_every_painting_counts_by_its_share():
    def painted(*shares):
        return steps(styles=(WAVE, COMPOSITION), style_weights=shares, **STYLISED)[-1].image

    one, both, other = painted(1, 0), painted(1, 1), painted(0, 1)
    assert difference(one, steps(**STYLISED)[-1].image) < 5e-3
    # Without shares all count: neural-style-tf paired its paintings with one default weight, and dropped the rest.
    assert difference(both, steps(styles=(WAVE, COMPOSITION), **STYLISED)[-1].image) < 5e-3
    assert style_distance(one, WAVE) < style_distance(both, WAVE) < style_distance(other, WAVE)
    assert style_distance(other, COMPOSITION) < style_distance(one, COMPOSITION)


def test_each_region_takes_its_own_painting_and_the_rest_stays():
    labels = Image.new("RGB", (128, 128))
    labels.paste(regions.COLOURS["red"], (0, 0, 56, 128))
    labels.paste(regions.COLOURS["green"], (72, 0, 128, 128))
    source = photo(128)
    found = steps(source, (WAVE, COMPOSITION), regions=labels, size=128, **STYLISED)
    before, after = found[0].image, found[-1].image
    left, right = (0, 0, 56, 128), (72, 0, 128, 128)
    assert style_distance(after, WAVE, left) < 0.6 * style_distance(before, WAVE, left)
    assert style_distance(after, COMPOSITION, right) < 0.6 * style_distance(before, COMPOSITION, right)
    assert style_distance(after, WAVE, left) < style_distance(after, WAVE, right)
    assert style_distance(after, COMPOSITION, right) < style_distance(after, COMPOSITION, left)
    middle = (56, 0, 72, 128)
    assert difference(after.crop(middle), source.crop(middle)) < 2e-3


def test_colours_can_be_kept():
    source = images.to_array(photo())

    def cast(image):
        array = images.to_array(image)
        return (array - array.mean(-1, keepdims=True)).reshape(-1, 3)

    kept = {name: steps(colours=name, iterations=6)[-1].image for name in ("style", "luma", "match", "histogram")}
    far = np.abs(cast(kept["style"]).mean(0) - cast(photo()).mean(0)).max()
    for name in ("match", "histogram"):
        assert np.abs(cast(kept[name]).mean(0) - cast(photo()).mean(0)).max() < far
    chroma = images.to_array(kept["luma"]) - source
    inside = (images.to_array(kept["luma"]) > 0.01) & (images.to_array(kept["luma"]) < 0.99)
    inside = inside.all(-1)
    assert np.ptp(chroma[inside], axis=-1).max() < 0.01  # one luma difference for all three channels


def test_strength_multiplies_the_style_weight():
    weak, strong = (steps(strength=s, **STYLISED)[-1] for s in (0.1, 0.9))
    assert style_distance(strong.image, WAVE) < style_distance(weak.image, WAVE)
    assert strong.losses["content relu4_2"] > weak.losses["content relu4_2"]


def test_a_picture_can_be_the_start():
    start = Image.new("RGB", (90, 60), (10, 200, 30))
    assert difference(steps(initial=start, iterations=1)[0].image, start.resize((64, 64))) < 0.01


def test_pictures_may_be_arrays_wherever_they_may_be_missing():
    """pystiche asked whether a guide was there by its truth value, which an array of more than one element has not."""
    labels = np.zeros((64, 64, 3), np.uint8)
    labels[:, :32] = regions.COLOURS["red"]
    start = images.to_array(photo())
    arrays = dict(regions=labels, initial=1 - start)
    found = steps(start, (images.to_array(images.load(WAVE)),), average=0.5, **arrays)
    assert difference(found[-1].image.crop((40, 0, 64, 64)), photo().crop((40, 0, 64, 64))) < 1e-3
    assert (
        difference(
            found[0].image.crop((0, 0, 24, 64)), Image.fromarray(np.uint8(255 * arrays["initial"])).crop((0, 0, 24, 64))
        )
        < 0.01
    )
    resumed = steps(start, (images.to_array(images.load(WAVE)),), average=0.5, **arrays, resume=found[1].state)
    assert difference(resumed[-1].image, found[-1].image) < 2e-3


def test_bfloat16_differs_invisibly():
    single, half = (steps(precision=p, size=128, iterations=8)[-1].image for p in ("float32", "bfloat16"))
    a, b = style_distance(single, WAVE), style_distance(half, WAVE)
    assert difference(single, half) < 0.02 and abs(a - b) < 0.05 * style_distance(photo(128), WAVE)


def test_bfloat16_is_as_good_to_a_network_that_nobody_optimised():
    """Over two pairs: L-BFGS amplifies rounding, so that one picture alone can be 3 % better or worse."""
    distances = {"float32": [], "bfloat16": []}
    for name, painting in (("astronaut", "great_wave"), ("chelsea", "auvers")):
        source = images.fit(images.load(CONTENT / f"{name}.jpg"), 128)
        painting = images.load(STYLES / f"{painting}.jpg")
        for precision, found in distances.items():
            image = steps(source, (painting,), precision=precision, size=128, iterations=20)[-1].image
            found.append((heldout.style_distance(image, painting), heldout.content_distance(image, source)))
    single, half = (np.exp(np.log(found).mean(0)) for found in distances.values())
    np.testing.assert_allclose(half, single, rtol=0.02)


def test_a_large_picture_is_never_differentiated_whole(monkeypatch):
    """Nor is a large painting measured whole: 2048 pixels a side stay under 8 GB (``benchmarks/gatys.py --large``)."""
    seen = []

    def watched(make):
        def watch(function):
            return lambda image, *args: seen.append(max(image.shape[1:3])) or function(image, *args)

        def made(*args):
            found = make(*args)
            return type(found)(*map(watch, found)) if isinstance(found, tuple) else watch(found)

        return made

    for name in ("_functions", "_features"):
        monkeypatch.setattr(objective, name, watched(getattr(objective, name)))
    wide = dict(photo=photo().resize((400, 64)), styles=(images.load(WAVE).resize((400, 64)),), size=400, iterations=1)
    wide |= dict(content_weight=0.0, init="style", denoise_weight=0.0)
    steps(**wide, tile_size=64)
    assert len(seen) > 2 * 400 / 64 and seen.count(400) == 1  # the sum over tiles looks at the picture, without VGG
    seen.clear()
    steps(**wide)
    assert seen.count(400) == 2  # the painting's target, and the picture itself


def test_tiles_change_nothing():
    whole, tiled = (steps(tile_size=t, size=96, iterations=2)[-1].image for t in (1024, 64))
    assert difference(whole, tiled) < 3e-3


@pytest.fixture
def clock(monkeypatch):
    """A clock for timed evaluations that tells the seconds in ``clock.pace``, in turn; nothing was timed before."""

    class Clock:
        pace = iter(())

        def perf_counter(self):
            self.odd = not getattr(self, "odd", False)
            return 0 if self.odd else next(self.pace)

    clock = Clock()
    monkeypatch.setattr(objective, "time", clock)
    objective._probe.cache_clear()
    yield clock
    objective._probe.cache_clear()


def test_the_estimate_is_by_pixels(clock):
    clock.pace = itertools.repeat(128 * 128 * 1e-6)  # one microsecond each
    settings = Settings(size=256, scales=2, iterations=3, coarse_iterations=5)
    assert gatys.estimate(512, 400, settings) == pytest.approx(1e-6 * (3 * 256 * 200 + 5 * 181 * 141))
    assert gatys.estimate(64, 48, settings) == pytest.approx(1e-6 * (3 * 64 * 48 + 5 * 45 * 34))  # not enlarged
    texture = dataclasses.replace(settings, scales=1, content_weight=0.0)
    assert gatys.estimate(64, 48, texture) == pytest.approx(3e-6 * 256 * 192)
    wide = dataclasses.replace(texture, canvas=(1024, 320))
    assert gatys.estimate(64, 48, wide) == pytest.approx(3e-6 * 1024 * 320)


def test_the_expected_time_of_a_texture_is_that_of_its_own_size(clock):
    clock.pace = itertools.repeat(128 * 128 * 1e-6)
    found = steps(preset="texture only", canvas=(96, 40), iterations=2, scales=1)
    assert found[0].eta == pytest.approx(2e-6 * 96 * 40)


def test_a_busy_moment_does_not_spoil_later_estimates(clock):
    clock.pace = iter((9.0, 1.0, 5.0))
    busy, idle, later = (gatys.estimate(64, 64) for _ in range(3))
    assert busy == pytest.approx(9 * idle) and later == idle


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(styles=()), "Choose a painting"),
        (dict(content_weight=0, style_weight=0), "a weight above 0"),
        (dict(style_weights=(1, 2)), "1 paintings and 2 shares"),
        (dict(style_layer_weights=(1, 2)), "5 style layers and 2 weights"),
        (dict(style_layer_weights=(1, 0, 0, 0, -1)), "0 or more"),
        (dict(style_layer_weights=(0, 0, 0, 0, 0)), "at least one is more than 0"),
        (dict(style_layers=()), "Choose a style layer, or set the style weight to 0"),
        (dict(content_layers=()), "Choose a content layer"),
        (dict(style_layers=("relu9_1",)), "no layer relu9_1"),
        (dict(canvas=(5,), content_weight=0), "a width and a height"),
        (dict(scaling="paper", style_loss="wasserstein"), "Gram matrices"),
        (dict(regions=Image.new("RGB", (64, 64))), "Painting 1 has no region"),
        (dict(regions=Image.new("RGB", (64, 64)), styles=(), style_weight=0), "no painting for the regions"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(options, message):
    with pytest.raises(BadInput, match=message):
        steps(**options)
