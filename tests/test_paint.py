import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline import BadInput, cli, effects, images, paint, spade, weights
from pipeline.paint import Settings
from pipeline.spade import CLASSES, PALETTE

from .conftest import CONTENT, ROOT

DOODLES = sorted((ROOT / "examples" / "doodles").glob("*.png"))
SKY, CLOUD, TREE, GRASS, SNOW, WATER = map(CLASSES.index, ("sky", "cloud", "tree", "grass", "snow", "water"))


def labels_of(*bands, height=64, width=64):
    """Bands of classes, one below the other."""
    return np.repeat(np.uint8(bands), height // len(bands))[:, None].repeat(width, 1)


def rgb(labels):
    return Image.fromarray(PALETTE[labels])


def difference(a, b):
    return float(np.abs(images.to_array(a) - images.to_array(b)).mean())


def test_a_map_reads_back_as_it_was_drawn(tmp_path):
    labels = labels_of(*range(16), height=128, width=96)
    assert np.array_equal(paint.read(rgb(labels), 128), labels)
    path = images.save(paint.draw(labels), tmp_path / "map.png")
    assert np.array_equal(paint.read(path, 128), labels)
    with Image.open(path) as drawn:
        assert np.array_equal(np.asarray(drawn), labels)  # an index is a class, too
    assert set(np.unique(paint.read(rgb(labels), 64))) == set(range(16))


def test_the_doodles_are_maps_of_many_classes():
    assert len(DOODLES) == 10
    seen = [np.unique(paint.read(path, 512)) for path in DOODLES]
    assert all(len(classes) >= 4 for classes in seen)
    assert set(np.concatenate(seen)) == set(range(1, 16))
    for path in DOODLES:  # nothing in between two colours
        with Image.open(path) as image:
            assert np.array_equal(PALETTE[paint.read(path, 512)], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    "colour, name",
    [("blue", "sea"), ("lime", "grass"), ("red", "building"), ("saddlebrown", "earth"), ("grey", "other")]
    + [("skyblue", "sky"), ("white", "cloud"), ("black", "road"), ("yellow", "sand")],
)
def test_an_unknown_colour_is_the_class_that_looks_most_like_it(colour, name):
    assert np.unique(paint.read(Image.new("RGB", (64, 64), colour), 64)).tolist() == [CLASSES.index(name)]


def test_what_is_transparent_is_sky():
    image = rgb(labels_of(TREE, GRASS)).convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 64, 16))
    assert np.array_equal(paint.read(image, 64), labels_of(SKY, TREE, GRASS, GRASS))


def test_rims_of_antialiasing_and_of_jpeg_are_of_no_third_class():
    with Image.open(ROOT / "examples" / "doodles" / "lake.png") as image:
        smooth = image.convert("RGB").resize((400, 400), Image.Resampling.LANCZOS)
        drawn = paint.read(image, 400)
    data = io.BytesIO()
    smooth.save(data, "jpeg", quality=75)
    for source in (smooth, data.getvalue()):
        labels = paint.read(source, 400)
        assert np.mean(labels != drawn) < 0.01
        assert np.mean(~np.isin(labels, np.unique(drawn))) < 0.002


@pytest.mark.parametrize("size, side, shape", [((300, 200), 256, (171, 256)), ((40, 80), 512, (512, 256))])
def test_the_longest_side_is_the_size_and_the_shape_stays(painter, size, side, shape):
    labels = paint.read(Image.new("RGB", size, "lime"), side)
    assert labels.shape == shape and np.all(labels == GRASS)
    (step,) = paint.run(Image.new("RGB", size, "lime"), settings=Settings(size=side))
    assert step.image.size == shape[::-1] and step.iteration == step.total == 1
    assert step.note.startswith(f"{shape[1]}x{shape[0]} in ") and step.seconds > 0


def test_one_pass_through_the_network_and_nothing_else(painter):
    labels = labels_of(SKY, TREE, WATER, GRASS, height=64, width=128)
    noise = np.random.default_rng(7).standard_normal((1, 64, 128, spade.NOISE), np.float32)
    wanted = spade.generate(np.eye(16, dtype=np.float32)[labels][None], painter["styles.codes"][2:3], noise, painter)
    made = paint.paint(rgb(labels), style=3, seed=7, size=128, precision="float32")
    np.testing.assert_allclose(images.to_array(made), np.asarray(wanted)[0], atol=1.5 / 255)
    assert np.asarray(made).std() > 5  # there is something to compare


def test_a_padded_picture_agrees_with_the_whole(painter):
    tall = labels_of(SKY, GRASS, height=128, width=100)
    same = np.pad(tall, [(0, 0), (0, 28)], mode="edge")
    made, whole = (np.asarray(paint.paint(rgb(m), size=128, style=1)) for m in (tall, same))
    assert made.shape == (128, 100, 3) and np.array_equal(made, whole[:, :100])


@pytest.mark.parametrize("kind", ["empty", "one class", "specks", "all colours"])
def test_whatever_is_painted_gives_a_picture(painter, rng, kind):
    image = Image.new("RGBA", (96, 96))
    if kind == "one class":
        image.paste(tuple(PALETTE[SNOW]), (0, 0, 96, 96))
    if kind == "specks":
        ImageDraw.Draw(image).point([(x, y) for x in range(5, 96, 9) for y in range(4, 96, 7)], fill="red")
    if kind == "all colours":
        image = Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8))
    made = paint.paint(image, size=64)
    assert made.mode == "RGB" and made.size == (64, 64)


def test_bad_maps_styles_and_photos_are_one_sentence(painter, tmp_path):
    fine = rgb(labels_of(SKY, GRASS))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for arguments, options, words in (
        ((tmp_path / "broken.png",), {}, "not a picture"),
        ((Image.new("RGB", (16, 16)),), {}, "at least 32 a side"),
        ((Image.new("RGB", (2000, 40)),), dict(size=256), "too narrow"),
        ((fine, tmp_path / "broken.png"), {}, "not a picture"),
        ((fine,), dict(style=17), "There are 16 stored styles: choose 1 to 16, or 0"),
        ((fine,), dict(blend=0.5, second_style=99), "There are 16 stored styles"),
        ((fine,), dict(style=-1), "style must be"),
        ((fine,), dict(size=4096), "size must be"),
    ):
        with pytest.raises(BadInput, match=words):
            paint.paint(*arguments, **options)


def test_the_usual_style_is_that_of_photos_with_the_same_shares(painter):
    network = paint._network("float32")
    for label in (TREE, WATER):
        np.testing.assert_allclose(network.matched(labels_of(label)), painter["styles.codes"][label], atol=1e-3)
    # and it glides from one to the other
    codes = np.stack([network.matched(labels_of(*[TREE] * (16 - i), *[WATER] * i)) for i in range(17)])
    whole = np.linalg.norm(codes[-1] - codes[0])
    assert np.linalg.norm(np.diff(codes, axis=0), axis=1).max() < 0.5 * whole
    between = codes[8] @ (codes[-1] - codes[0])
    assert codes[0] @ (codes[-1] - codes[0]) < between < codes[-1] @ (codes[-1] - codes[0])


def test_random_styles_are_spread_like_the_stored_ones(painter):
    network = paint._network("float32")
    drawn = np.stack([network.random(seed) for seed in range(1, 2000)])
    stored = painter["styles.codes"]
    np.testing.assert_allclose(drawn.mean(0), stored.mean(0), atol=0.12)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(stored.T, bias=True), atol=0.25)
    assert np.array_equal(network.random(5), drawn[4])


def test_a_photo_gives_its_style(painter):
    import keras

    photo = images.fit(images.load(CONTENT / "canyon.jpg"), paint.STYLE_PHOTO_SIZE)
    wanted = keras.ops.convert_to_numpy(spade.encode(images.to_array(photo)[None], painter)[0])[0]
    np.testing.assert_allclose(paint._network("float32").encode(photo), wanted, atol=1e-3)
    doodle = rgb(labels_of(SKY, GRASS))
    made = [paint.paint(doodle, photo, size=64, **options) for options in ({}, dict(style=3), dict(style_seed=4))]
    assert difference(made[0], made[1]) == difference(made[0], made[2]) == 0
    assert difference(made[0], paint.paint(doodle, size=64)) > 0.002


def test_each_choice_of_style_is_named_and_seen(painter):
    doodle = rgb(labels_of(SKY, GRASS))
    found = {}
    for words, options in (
        ("a style that suits", {}),
        ("style 3", dict(style=3)),
        ("random style 4", dict(style_seed=4)),
        ("random style 5", dict(style_seed=5)),
        ("50% style 3 and 50% style 9", dict(style=3, second_style=9, blend=0.5)),
    ):
        (step,) = paint.run(doodle, settings=Settings(size=64, **options))
        assert words in step.note
        found[words] = images.to_array(step.image)
    pictures = list(found.values())
    apart = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart) > 0.002


def test_blend_goes_from_the_first_style_to_the_second(painter):
    doodle = rgb(labels_of(SKY, GRASS))
    one, other = (paint.paint(doodle, style=k, size=64) for k in (3, 9))
    path = [paint.paint(doodle, style=3, second_style=9, blend=b, size=64) for b in (0, 0.3, 0.7, 1)]
    assert difference(path[0], one) == 0 and difference(path[-1], other) < 0.5 / 255
    distances = [difference(image, one) for image in path]
    assert distances == sorted(distances) and distances[1] > 0


def test_the_seed_changes_the_details_and_nothing_is_left_to_chance(painter):
    doodle = rgb(labels_of(SKY, GRASS))
    assert difference(paint.paint(doodle, size=64), paint.paint(doodle, size=64)) == 0
    assert difference(paint.paint(doodle, size=64), paint.paint(doodle, size=64, seed=1)) > 0.002


def test_bfloat16_looks_like_float32(painter):
    exact, rounded = (paint.paint(DOODLES[0], size=128, precision=p) for p in ("float32", "bfloat16"))
    assert 0 < difference(exact, rounded) < 0.02


def test_every_stored_style_has_its_picture(painter):
    pictures = paint.style_pictures(DOODLES[0])
    assert len(pictures) == 16 and {picture.size for picture in pictures} == {(128, 128)}
    alone = paint.paint(DOODLES[0], style=11, size=128)
    assert difference(pictures[10], alone) < 1 / 255 < difference(pictures[9], alone)


def test_the_command_line_paints_a_map_with_a_style_photo(painter, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert cli.main(["paint", str(DOODLES[0]), "-o", str(out), "--size", "128", "--style", "2", "--json"]) == 0
    assert "style 2" in json.loads(capsys.readouterr().out)["note"]
    with Image.open(out) as image:
        assert image.size == (128, 128) and json.loads(image.text["atelier"])["settings"]["style"] == 2
    photo = str(CONTENT / "canyon.jpg")
    assert cli.main(["paint", str(DOODLES[0]), "--style-photo", photo, "-o", str(out), "--size", "64"]) == 0
    assert "the photo's style" in capsys.readouterr().out
    assert cli.main(["paint", str(DOODLES[0]), "-o", str(out), "--style", "99"]) == 2
    assert "16 stored styles" in capsys.readouterr().err


def test_with_its_weights_the_effect_is_offered(painter, capsys):
    assert list(effects())[-1] == "paint"
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert paint.TITLE in capsys.readouterr().out


def test_without_its_weights_the_effect_is_nowhere(tmp_path, monkeypatch, capsys):
    import app

    listed = json.loads((weights.MODELS / "manifest.json").read_text())
    listed.pop("painter", None)
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    monkeypatch.setattr(weights, "MODELS", tmp_path)
    assert list(effects()) == ["fast", "gatys", "hybrid", "pixel"]
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert paint.TITLE not in capsys.readouterr().out
    config = json.dumps(app.build().config, default=str)
    assert paint.TITLE not in config and "paint-canvas" not in config and '"/paint"' not in config
    assert '"api_name": "pixel"' in config and '"api_name": "paint"' not in config
