"""Pictures in and out: anything a user may hand over becomes an upright sRGB picture, or one clear sentence.

Two forms are used inside: a ``PIL.Image`` (what effects yield) and a float32 array of shape (H, W, 3), sRGB in
[0, 1] (what they compute with).
"""

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from .errors import BadInput

with suppress(ImportError):  # a machine that trains need not have it
    import pillow_heif

    pillow_heif.register_heif_opener()

MIN_SIDE = 32
MAX_PIXELS = 40_000_000

# What can be written; some other formats of Pillow's take few modes, or shrink the picture.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".apng")
# Formats of which every frame counts; a second picture in a JPEG or HEIC is a preview or a burst.
ANIMATED = ("GIF", "WEBP", "PNG")
DURATION = 100  # milliseconds, where a frame says nothing or 0: what browsers take

ImageSource = str | PathLike | bytes | Image.Image | np.ndarray


def listed(sources: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """Return pictures as a list, also where one alone was handed over."""
    return [sources] if isinstance(sources, ImageSource) else list(sources)


def parameters(run: Callable) -> dict[str, Literal["one", "several", "optional"]]:
    """Return which parameters of an effect's ``run`` are pictures, and how many of each it takes."""
    kinds = {ImageSource: "one", Sequence[ImageSource]: "several", ImageSource | None: "optional"}
    return {name: kinds[hint] for name, hint in get_type_hints(run).items() if hint in kinds}


def load(source: ImageSource, *, alpha: bool = False) -> Image.Image:
    """Read a picture: first frame, EXIF orientation applied, converted to sRGB.

    Args:
        source: a path, the bytes of a file, a PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), of uint8 or uint16 over its range, booleans, or floats in [0, 1].
        alpha: keep transparency (mode RGBA where there is some); otherwise it is composited on white.

    Returns:
        A new image of mode RGB (or RGBA, with ``alpha``).

    Raises:
        BadInput: not a picture, damaged, under 32 px a side, or over 40 megapixels (read from the header, before
            anything is decoded).
    """
    image, name = _checked(source)
    return upright(image, name, alpha=alpha)


def frames(source: ImageSource, *, alpha: bool = False) -> tuple[int, Iterator[Image.Image]]:
    """Read every frame of an animated GIF, WebP or PNG; any other picture is one frame.

    Args:
        source: as for ``load``; a PIL image counts as the frame that it shows.
        alpha: as for ``load``.

    Returns:
        How many frames there are; and the frames, read one by one, each as from ``load``, with
        ``info["duration"]`` in milliseconds.

    Raises:
        BadInput: as for ``load``; a damaged frame raises when it is reached.
    """
    image, name = _checked(source)
    count = 1
    if image.format in ANIMATED:
        with _decoding(name):
            count = image.n_frames
    return count, (_frame(image, i, name, alpha) for i in range(count))


def _frame(image: Image.Image, i: int, name: str, alpha: bool) -> Image.Image:
    with _decoding(f"Frame {i + 1} of {name}"):
        image.seek(i)
        image.load()  # a WebP says how long a frame lasts once it is decoded
    frame = upright(image, name, alpha=alpha)
    frame.info["duration"] = round(image.info.get("duration") or DURATION)
    return frame


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        raise BadInput(f"{name} is damaged or incomplete: save it again and retry.") from error


def _checked(source: ImageSource) -> tuple[Image.Image, str]:
    name = Path(source).name if isinstance(source, str | PathLike) else "this picture"
    image = _open(source, name)
    check_size(image, name)
    return image, name


def upright(image: Image.Image, name: str, *, alpha: bool = False) -> Image.Image:
    """Decode an opened picture of any size; otherwise as ``load``, which checks it first.

    Raises:
        BadInput: it is damaged; ``name`` says which.
    """
    with _decoding(name):
        image.load()
        image = _to_srgb(_eight_bit(ImageOps.exif_transpose(image), image.format))
    return image if image.mode != "RGBA" or alpha else on_paper(image)


def on_paper(image: Image.Image) -> Image.Image:
    """Composite a picture with transparency, of any mode, on white."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def check_size(image: Image.Image, name: str) -> None:
    """Refuse a picture whose header says that it is too small or too large to work with.

    Raises:
        BadInput: under ``MIN_SIDE`` a side or over ``MAX_PIXELS``.
    """
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise BadInput(f"{name} is {width}x{height} pixels: use one with at least {MIN_SIDE} a side.")
    if width * height > MAX_PIXELS:
        raise BadInput(
            f"{name} has {width * height / 1e6:.0f} megapixels: make it smaller than {MAX_PIXELS / 1e6:.0f} first."
        )


def _open(source: ImageSource, name: str) -> Image.Image:
    if isinstance(source, Image.Image):
        with _decoding(name):
            return source.copy()
    if isinstance(source, np.ndarray):
        return _from_numpy(source)
    if not isinstance(source, str | PathLike | bytes):
        raise BadInput(f"A picture must be a path, bytes, a PIL image or an array, not {type(source).__name__}.")
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except FileNotFoundError:
        raise BadInput(f"There is no file {source}: check the path.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise BadInput(f"{source} can't be opened ({error.strerror}): choose another file.") from None
    except Image.DecompressionBombError:
        raise BadInput(f"{name} is far over {MAX_PIXELS / 1e6:.0f} megapixels: make it smaller first.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"{name} is not a picture that can be read: use JPEG, PNG, WebP, HEIC or AVIF.") from error


def _from_numpy(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise BadInput(f"An array must have shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}.")
    if array.dtype == bool:
        array = array.astype(np.float32)
    elif np.issubdtype(array.dtype, np.integer):
        # Wider ones hold 0 to 255 as often as not.
        if array.dtype not in (np.uint8, np.uint16):
            raise BadInput(f"An array of integers must be uint8 or uint16, not {array.dtype}: convert it.")
        array = array / np.float32(np.iinfo(array.dtype).max)
    elif not np.issubdtype(array.dtype, np.floating):
        raise BadInput(f"An array must hold numbers, not {array.dtype}.")
    if not np.all(np.isfinite(array)):
        raise BadInput("The array holds NaN or infinity: a picture needs numbers between 0 and 1.")
    if array.size and (array.min() < -1e-3 or array.max() > 1 + 1e-3):
        raise BadInput("A float array must lie between 0 and 1: divide by 255, or pass uint8.")
    return to_image(array)


def _eight_bit(image: Image.Image, kind: str | None) -> Image.Image:
    """Return mode L, LA, RGB, RGBA or CMYK, at 8 bits a channel."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):  # 16-bit greyscale: PNG, TIFF, medical pictures
        values = np.asarray(image, np.float64)
        if image.mode == "I" and kind != "PPM" and not (values.min() >= 0 and 255 < values.max() <= 65535):
            raise BadInput("This picture has 32-bit numbers: save it with 8 or 16 bits a channel.")
        return to_image(values / 65535)
    if image.mode == "F":
        return _from_numpy(np.asarray(image))
    if image.mode in ("1", "La", "LA", "P", "PA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "RGBA", "CMYK"):
        return image
    return image.convert("RGB")


def _to_srgb(image: Image.Image) -> Image.Image:
    """Apply an embedded ICC profile (a phone's Display P3, a printer's CMYK), then forget it."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken or foreign profile: the plain numbers are the best guess
    image = image.convert(mode)
    image.info.clear()
    return image


def to_array(image: Image.Image) -> np.ndarray:
    """Return the picture as float32 (H, W, C), sRGB in [0, 1]; C is 3, or 4 for RGBA."""
    return np.asarray(image, np.float32) / np.float32(255)


def to_image(array: np.ndarray) -> Image.Image:
    """Return floats in [0, 1] of shape (H, W) or (H, W, C) as an 8-bit picture, rounded and clipped."""
    return Image.fromarray((np.asarray(array) * 255 + 0.5).clip(0, 255).astype(np.uint8))


def fit(image: Image.Image, size: int) -> Image.Image:
    """Shrink with Lanczos so that the longest side is at most ``size`` pixels; never enlarge.

    Raises:
        BadInput: the picture is so narrow that its short side would fall under half of ``MIN_SIDE``.
    """
    if max(image.size) <= size:
        return image
    return image.resize(fitted(image.size, size), Image.Resampling.LANCZOS)


def fitted(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return width and height shrunk so that the longer one is at most ``size``.

    Raises:
        BadInput: as for ``fit``.
    """
    scale = min(1, size / max(shape))
    width, height = (round(side * scale) for side in shape)
    if min(width, height) < MIN_SIDE / 2:
        raise BadInput(f"A picture of {shape[0]}x{shape[1]} is too narrow at {size} pixels: crop it first.")
    return width, height


def check_output(path: str | PathLike, inputs: Sequence[str | PathLike] = ()) -> None:
    """Refuse a file that can't be written, or that is one of those read, before any work is done.

    Args:
        path: where the result is to go.
        inputs: the files that are read.

    Raises:
        BadInput: it is one of the inputs or a folder, its folder does not exist or takes no file, or its ending is not
            one of ``ENDINGS``.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder: add the name of a file.")
        _check_ending(path)
        if not path.parent.is_dir():
            raise BadInput(f"There is no folder {path.parent}: make it first.")
        with path.open("ab") if path.exists() else tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error
    for given in inputs:
        with suppress(OSError):  # whoever reads it says what is wrong
            if path.samefile(given):
                raise BadInput(f"{path} is one of the files to read: write to another.")


def _check_ending(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"{path} does not say which format to write: end it in one of {', '.join(ENDINGS)}.")


def _unwritable(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path} can't be written ({getattr(error, 'strerror', None) or error}): choose another place.")


def save(image: Image.Image, path: str | PathLike, frames: Sequence[Image.Image] = (), **recipe: Any) -> Path:
    """Write a picture, or an animation; a PNG carries how it was made.

    Args:
        image: what to write; an indexed one (mode P) keeps its colours exactly, except in a JPEG, AVIF or HEIC.
        path: where; its ending is the format.
        frames: all pictures of an animation, each with ``info["duration"]`` in milliseconds; written where the format
            can hold them.
        recipe: anything JSON can hold (effect, settings), stored in a PNG's text chunk ``atelier``.

    Returns:
        The path.

    Raises:
        BadInput: the file can't be written, or its ending is not one of ``ENDINGS``.
    """
    path = Path(path)
    _check_ending(path)
    options: dict[str, Any] = {}
    ending = path.suffix.lower()
    if ending in (".png", ".apng"):
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("atelier", json.dumps(recipe))
    else:
        options["quality"] = 95
        options["lossless"] = image.mode == "P"  # WebP
    if ending in (".jpg", ".jpeg") and image.mode not in ("L", "RGB"):
        image = on_paper(image)
    if ending == ".gif":
        image, frames = _plain(image), [_plain(frame) for frame in frames]
        if "transparency" in image.info:
            options["disposal"] = 2  # clear the frame before, which would show through the next one
    if len(frames) > 1 and ending in (".gif", ".webp", ".png", ".apng"):
        durations = [frame.info["duration"] for frame in frames]
        options |= dict(save_all=True, append_images=frames[1:], duration=durations, loop=0)
        if ending == ".webp" and "transparency" in image.info:
            options |= dict(kmin=1, kmax=1)  # whole frames: as differences they lose their transparency
    try:
        image.save(path, **options)
    except (OSError, ValueError, KeyError) as error:
        raise _unwritable(path, error) from error
    return path


def _plain(image: Image.Image) -> Image.Image:
    """Undo what ``convert("RGBA")`` leaves in an indexed picture: a palette that Pillow's GIF writer gets wrong."""
    if image.mode == "P":
        image = image.copy()
        image.putpalette(image.getpalette())
    return image
