import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline import BadInput, images, palettes


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def picture(rng):
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((48, 36), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP", "AVIF", "HEIF", "JPEG", "GIF"])
def test_formats_give_the_same_picture(picture, format):
    options = dict(quality=95) if format in ("WEBP", "AVIF", "HEIF", "JPEG") else {}
    read = images.load(encoded(picture, format, **options))
    assert read.mode == "RGB" and read.size == picture.size
    error = np.abs(images.to_array(read) - images.to_array(picture)).mean()
    assert error < (0.04 if options or format == "GIF" else 1e-6)


def test_a_path_bytes_an_image_and_an_array_are_all_the_same(picture, tmp_path):
    path = tmp_path / "picture.png"
    picture.save(path)
    array = np.asarray(picture)
    floats = array / 255
    for source in (path, str(path), path.read_bytes(), picture, array, floats, array.astype(np.uint16) * 257):
        np.testing.assert_array_equal(np.asarray(images.load(source)), array)


def test_exif_orientation_is_applied(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to view
    read = images.load(encoded(picture, "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(picture.transpose(Image.Transpose.ROTATE_270)))


def test_alpha_is_composited_on_white_or_kept_never_dropped(picture):
    clear = picture.copy()
    clear.putalpha(0)
    half = Image.new("RGBA", (40, 40), (255, 0, 0, 128))
    assert np.asarray(images.load(clear)).min() == 255
    np.testing.assert_allclose(np.asarray(images.load(half))[0, 0], [255, 127, 127], atol=1)
    assert images.load(half, alpha=True).getpixel((0, 0)) == (255, 0, 0, 128)
    palette = picture.quantize(8)
    palette.info["transparency"] = 0
    assert images.load(encoded(palette, "GIF", transparency=0), alpha=True).mode == "RGBA"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_colour_mode_is_read(picture, mode):
    grey = picture.convert("L")
    source = grey.convert(mode) if mode in ("1", "LA") else picture.convert(mode) if mode != "LAB" else None
    if source is None:
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        source = ImageCms.applyTransform(picture, to_lab)
    read = images.load(source)
    assert read.mode == "RGB" and read.size == picture.size
    if mode in ("L", "LA"):
        np.testing.assert_array_equal(np.asarray(read)[..., 0], np.asarray(grey))


def test_sixteen_bit_greyscale_keeps_its_tones():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for mode in ("I;16", "I"):
        image = Image.fromarray(ramp if mode == "I;16" else ramp.astype(np.int32))
        read = np.asarray(images.load(image))[..., 0]
        np.testing.assert_allclose(read, ramp / 257, atol=0.51)
    dark = b"P5 40 40 65535\n" + bytes([0, 250]) * 1600  # which Pillow opens with 32 bits
    assert np.unique(images.load(dark)) == 1


def test_an_embedded_profile_is_converted_to_srgb():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = Image.new("RGB", (40, 40), (200, 30, 30))
    for profile, seen in ((srgb, (200, 30, 30)), (swapped, (30, 200, 30)), (lab, (200, 30, 30)), (b"?", (200, 30, 30))):
        image.info["icc_profile"] = profile
        read = images.load(image)
        np.testing.assert_allclose(read.getpixel((0, 0)), seen, atol=1)
        assert "icc_profile" not in read.info


def test_the_first_frame_of_an_animation_is_taken(picture):
    other = Image.new("RGB", picture.size, "red")
    data = encoded(picture, "PNG", save_all=True, append_images=[other])
    np.testing.assert_array_equal(np.asarray(images.load(data)), np.asarray(picture))


@pytest.mark.parametrize(
    "source, words",
    [
        ("no/such/file.jpg", "no file"),
        (b"hello", "not a picture"),
        (b"", "not a picture"),
        (3.5, "must be a path"),
        (Image.new("RGB", (31, 200)), "31x200 pixels"),
        (np.zeros((5, 5, 5, 5)), "shape"),
        (np.zeros((40, 40, 2)), "shape"),
        (np.full((40, 40, 3), np.nan), "NaN"),
        (np.full((40, 40, 3), 200.0), "between 0 and 1"),
        (np.full((40, 40), "x"), "must hold numbers"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(source, words):
    with pytest.raises(BadInput, match=words) as error:
        images.load(source)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_truncated_file_is_refused(picture):
    for format in ("PNG", "JPEG", "WEBP"):
        data = encoded(picture.resize((300, 300)), format)
        with pytest.raises(BadInput):
            images.load(data[: len(data) // 2])


def test_too_many_pixels_are_refused_from_the_header_alone(monkeypatch):
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (7000, 60000):  # the second is over Pillow's own limit for decompression bombs
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
        with pytest.raises(BadInput, match="megapixels"):
            images.load(bomb)


def test_fit_shrinks_and_never_enlarges(picture):
    assert images.fit(picture, 100) is picture
    assert images.fit(picture, 24).size == (24, 18)
    with pytest.raises(BadInput, match="narrow"):
        images.fit(Image.new("RGB", (4000, 32)), 256)


def test_arrays_round_trip_and_clip(picture):
    np.testing.assert_array_equal(np.asarray(images.to_image(images.to_array(picture))), np.asarray(picture))
    assert np.asarray(images.to_image(np.array([[-1.0, 2.0]]))).tolist() == [[0, 255]]


def test_a_png_carries_its_recipe_and_bad_places_are_refused(picture, tmp_path):
    path = images.save(picture, tmp_path / "a.png", effect="fast", settings=dict(size=3))
    assert '"size": 3' in Image.open(path).text["atelier"]
    clear = picture.copy()
    clear.putalpha(0)
    assert np.asarray(Image.open(images.save(clear, tmp_path / "a.jpg"))).min() == 255
    for bad in (tmp_path / "a.xyz", tmp_path / "a", tmp_path / "none" / "a.png"):
        with pytest.raises(BadInput):
            images.save(picture, bad)


def test_what_damage_makes_decoders_raise_is_said_in_a_sentence(picture):
    # A rotation, and a resolution that is text.
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHI4s", 0x011A, 2, 4, b"abc")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    file = io.BytesIO()
    picture.save(file, "jpeg", exif=exif)
    with pytest.raises(BadInput, match="damaged"):
        images.load(file.getvalue())
    with pytest.raises(BadInput, match="damaged"):
        images.load(Image.open(io.BytesIO(file.getvalue()[:-100])))


def test_integers_of_which_nobody_knows_the_white_are_refused():
    with pytest.raises(BadInput, match="uint8 or uint16, not int64"):
        images.load(np.full((40, 40), 255))


@pytest.mark.parametrize("numbers", [np.int32([0, 255]), np.int32([-1, 70_000]), np.float32([0, 255])])
def test_nor_are_pictures_of_such_numbers_guessed(numbers):
    image = Image.fromarray(np.resize(numbers, (40, 40)))
    with pytest.raises(BadInput, match="8 or 16 bits" if image.mode == "I" else "divide by 255"):
        images.load(encoded(image, "TIFF"))


def test_a_float_picture_in_range_is_read_and_one_with_holes_refused():
    values = np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)
    read = images.to_array(images.load(encoded(Image.fromarray(values / 2), "TIFF")))
    np.testing.assert_allclose(read[..., 0], values / 2, atol=0.51 / 255)
    values[3, 3] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        images.load(encoded(Image.fromarray(values), "TIFF"))


def test_what_can_not_be_written_is_refused_before_any_work(tmp_path):
    for place, words in (
        (tmp_path / "a.psd", "which format"),
        (tmp_path / "a.ico", "which format"),  # Pillow would shrink it
        (tmp_path, "is a folder"),
        (tmp_path / ("a" * 300 + ".png"), "can't be written"),
        ("/proc/a.png", "can't be written"),
    ):
        with pytest.raises(BadInput, match=words):
            images.check_output(place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", images.ENDINGS)
def test_every_ending_takes_every_picture_that_an_effect_makes(tmp_path, picture, ending):
    images.check_output(tmp_path / f"a{ending}")
    clear = palettes.indexed(np.zeros((40, 40), int), np.uint8([[255, 0, 0]]), np.eye(40) > 0)
    for made in (picture, picture.quantize(8), clear, picture.convert("RGBA")):
        with Image.open(images.save(made, tmp_path / f"a{ending}")) as found:
            assert found.size == made.size
    images.check_output(tmp_path / f"a{ending}")  # again


def test_a_file_that_may_not_be_opened_is_not_called_damaged(tmp_path):
    with pytest.raises(BadInput, match="can't be opened .*directory"):
        images.load(tmp_path)


def test_an_animated_webp_keeps_its_transparency(tmp_path):
    frames = []
    for x in (2, 10, 18):
        frame = Image.new("P", (32, 32), 0)
        frame.putpalette([0, 0, 0, 255, 0, 0])
        frame.paste(1, (x, 8, x + 8, 24))
        frame.info |= dict(transparency=0, duration=100)
        frames.append(frame)
    with Image.open(images.save(frames[0], tmp_path / "a.webp", frames)) as found:
        for i in range(3):
            found.seek(i)
            assert (np.asarray(found.convert("RGBA"))[..., 3] > 0).sum() == 8 * 16
