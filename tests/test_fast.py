import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pipeline import BadInput, Unreachable, fast, gatys, images, last

from .conftest import CONTENT, ROOT, STYLES

PHOTO = CONTENT / "chelsea.jpg"
WAVE, COMPOSITION = STYLES / "great_wave.jpg", STYLES / "composition_viii.jpg"


def difference(a, b):
    return float(np.abs(images.to_array(a) - images.to_array(b)).mean())


@pytest.fixture(scope="module")
def photo():
    return images.fit(images.load(PHOTO), 160)


@pytest.fixture(scope="module")
def painted(photo):
    return fast.stylize(photo, WAVE)


def test_a_preview_comes_first_then_the_result():
    steps = list(fast.run(PHOTO, [WAVE], fast.Settings(size=320)))
    assert [(s.iteration, s.total, max(s.image.size)) for s in steps] == [(1, 2, 256), (2, 2, 320)]
    assert steps[1].image.size == (320, 213) and steps[1].seconds > steps[0].seconds > 0
    assert steps[1].note.startswith("320x213 in ") and "bundled engine" in steps[1].note
    small = list(fast.run(PHOTO, [WAVE], fast.Settings(size=200)))
    assert [(s.iteration, s.total) for s in small] == [(1, 1)]


def test_closing_the_stream_stops_it(photo):
    stream = fast.run(photo.resize((320, 240)), [WAVE])
    next(stream)
    stream.close()
    assert list(stream) == []


@pytest.mark.parametrize("size", [(33, 32), (161, 99), (32, 70)])
def test_any_size_comes_back_as_it_was(size, photo):
    assert fast.stylize(photo.resize(size), WAVE).size == size


def test_the_painting_changes_the_picture_and_a_photo_is_never_enlarged(photo, painted):
    assert painted.size == photo.size and difference(painted, photo) > 0.05


def test_the_same_twice_is_the_same(photo, painted):
    assert difference(fast.stylize(photo, WAVE), painted) == 0


def test_strength_goes_from_the_photo_to_the_painting(photo, painted):
    distances = [difference(fast.stylize(photo, WAVE, strength=s), photo) for s in (0, 0.5, 1)]
    assert distances[0] < 1 / 255 and distances == sorted(distances) and distances[2] > 0.05


def test_styles_mix_by_their_shares(photo, painted):
    other = fast.stylize(photo, COMPOSITION)
    mixed = fast.stylize(photo, WAVE, COMPOSITION)
    assert max(difference(mixed, painted), difference(mixed, other)) < difference(painted, other)
    assert difference(fast.stylize(photo, WAVE, COMPOSITION, style_weights=(1, 0)), painted) == 0
    nearly = fast.stylize(photo, WAVE, COMPOSITION, style_weights=(9, 1))
    assert difference(nearly, painted) < difference(nearly, other)


def test_shares_and_paintings_pair_up_or_are_refused():
    assert fast.style_shares(2, ()) == (0.5, 0.5)
    assert fast.style_shares(2, (1, 3)) == (0.25, 0.75)
    for count, shares in ((0, ()), (5, ()), (2, (1,)), (1, (1, 1)), (2, (0, 0)), (2, (1, -1))):
        with pytest.raises(BadInput):
            fast.style_shares(count, shares)


def test_brush_size_changes_the_strokes(photo, painted):
    assert difference(fast.stylize(photo, WAVE, style_size=96), painted) > 0.005


def test_colours_are_kept_when_asked(photo, painted):
    def chroma(image):
        return np.asarray(image.convert("YCbCr"), float)[..., 1:]

    exact = fast.stylize(photo, WAVE, colours="luma")
    assert np.abs(chroma(exact) - chroma(photo)).mean() < 2
    matched = fast.stylize(photo, WAVE, colours="match")
    means = [np.asarray(image, float).mean((0, 1)) for image in (photo, painted, matched)]
    assert np.abs(means[2] - means[0]).sum() < np.abs(means[1] - means[0]).sum()


def test_pictures_in_strips_agree_with_the_whole(photo):
    kwargs = dict(precision="float32")
    large = photo.resize((200, 300))
    assert difference(fast.stylize(large, WAVE, **kwargs), fast.stylize(large, WAVE, tile_size=64, **kwargs)) < 1e-3


def test_a_large_picture_fits_into_3_gb():
    code = f"""
from pathlib import Path
from pipeline import fast, images
photo = images.load({str(PHOTO)!r}).resize((2048, 2048))
fast.stylize(photo, {str(WAVE)!r}, size=2048, precision="float32")
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""  # not resource.getrusage, whose peak starts with that of the process that forked this one
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 3_000_000  # kB


def test_bfloat16_looks_like_float32(photo):
    exact, rounded = (fast.stylize(photo, WAVE, precision=p) for p in ("float32", "bfloat16"))
    assert difference(exact, rounded) < 0.01


def test_bad_pictures_are_refused(photo):
    for bad in (None, b"", "none.jpg"):
        with pytest.raises(BadInput):
            fast.stylize(bad, WAVE)
        with pytest.raises(BadInput):
            fast.stylize(photo, bad)


@pytest.fixture(scope="module")
def saved_module(tmp_path_factory):
    """A SavedModel with the signature of Magenta's: (content, style) -> [image]; it paints the style's mean colour."""
    import tensorflow as tf

    class Stylizer(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, None, 3], tf.float32, "placeholder"),
                tf.TensorSpec([None, None, None, 3], tf.float32, "placeholder_1"),
            ]
        )
        def __call__(self, content, style):
            tf.debugging.assert_equal(tf.shape(style)[1:3], [256, 256])
            return [tf.ones_like(content) * tf.reduce_mean(style, [1, 2], keepdims=True)]

    path = tmp_path_factory.mktemp("hub") / "module"
    tf.saved_model.save(Stylizer(), str(path))
    return str(path)


RED, BLUE = (Image.new("RGB", (40, 40), c) for c in ("red", "blue"))


def test_magenta_runs_a_hub_module_with_strength_and_several_styles(photo, saved_module, monkeypatch):
    options = dict(engine="magenta", hub_handle=saved_module)
    assert np.asarray(fast.stylize(photo, RED, **options)).reshape(-1, 3).mean(0).tolist() == [255, 0, 0]
    half = images.to_array(fast.stylize(photo, RED, strength=0.5, **options))
    np.testing.assert_allclose(half, (images.to_array(photo) + [1, 0, 0]) / 2, atol=0.005)
    mixed = images.to_array(fast.stylize(photo, RED, BLUE, style_weights=(3, 1), **options))
    np.testing.assert_allclose(mixed.reshape(-1, 3).mean(0), [0.75, 0, 0.25], atol=0.005)
    monkeypatch.setenv("ATELIER_HUB_HANDLE", saved_module)
    steps = list(fast.run(photo, [RED], fast.Settings(engine="magenta")))
    assert "magenta engine" in steps[-1].note


def test_magenta_out_of_reach_says_so_and_offers_the_bundled_engine(photo, tmp_path, monkeypatch):
    for handle in (str(tmp_path / "nothing"), "https://127.0.0.1:9/module"):
        with pytest.raises(Unreachable, match="bundled engine") as error:
            fast.stylize(photo, WAVE, engine="magenta", hub_handle=handle)
        assert handle in str(error.value)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)  # not installed
    with pytest.raises(Unreachable):
        fast.stylize(photo, WAVE, engine="magenta", hub_handle="elsewhere")


def test_a_wide_photo_is_painted_without_a_preview_that_would_be_too_narrow():
    wide = Image.open(CONTENT / "coffee.jpg").resize((768, 45))
    (step,) = fast.run(wide, [STYLES / "auvers.jpg"], fast.Settings(strength=0.5))
    assert step.image.size == (768, 45) and step.total == 1


@pytest.mark.parametrize("run", [fast.run, gatys.run])
def test_one_painting_needs_no_list(run):
    options = dict(size=64) if run is fast.run else dict(size=64, init="content", scales=1, iterations=1)
    settings = sys.modules[run.__module__].Settings(**options)
    path = STYLES / "great_wave.jpg"
    images_of = [last(run(CONTENT / "chelsea.jpg", one, settings)).image for one in ([path], path, images.load(path))]
    assert all(np.array_equal(images_of[0], image) for image in images_of)


def test_a_preview_is_no_obstacle_to_the_result_alone():
    painted = fast.stylize(CONTENT / "coffee.jpg", STYLES / "auvers.jpg", size=128, preview_size=64)
    assert painted.size == (128, 85)
