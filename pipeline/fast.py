"""Fast style: any painting onto any photo, in one pass through a network.

Two engines: the network of this house (``pipeline/stylizer.py``, bundled), and Magenta's TF-Hub module
(Ghiasi et al. 2017, arXiv 1705.06830), which must be downloaded once.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
from PIL import Image

from . import colour, images, stylizer, vgg, weights
from .errors import BadInput, Unreachable
from .images import ImageSource
from .precision import Precision, compute_dtype
from .settings import Settings as Base
from .settings import setting
from .step import Step, last

TITLE = "Fast style"
NETWORKS = ("vgg16", "stylizer")

MAX_STYLES = 4
# Magenta's module was trained on style pictures of this size, and its authors recommend it.
MAGENTA_STYLE_SIZE = 256
MAGENTA_HANDLE = "https://tfhub.dev/google/magenta/arbitrary-image-stylization-v1-256/2"
STRIP_ROWS = 128

Engine = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings(Base):
    """What a user can choose; the defaults are those of page, command line and API alike."""

    strength: float = setting(
        1.0,
        "Strength",
        "How strongly the painting shows (style strength); 0 keeps the photo.",
        minimum=0,
        maximum=1,
        step=0.05,
    )
    size: int = setting(
        768,
        "Size",
        "Longest side of the result in pixels; a smaller photo is not enlarged.",
        minimum=64,
        maximum=2048,
        step=64,
    )
    style_size: int = setting(
        384,
        "Brush size",
        "Longest side at which the painting is seen, in pixels: larger shows finer strokes (style size).",
        minimum=64,
        maximum=1024,
        step=32,
    )
    colours: Literal["style", "luma", "match"] = setting(
        "style",
        "Colours",
        "From the painting (style), or kept from the photo: exactly (luma), or by recolouring the painting (match).",
    )
    style_weights: tuple[float, ...] = setting(
        (), "Shares", "One share per painting when several are mixed; none: equal shares (style weights)."
    )
    engine: Literal["bundled", "magenta"] = setting(
        "bundled", "Engine", "The bundled network, or Magenta's TF-Hub module, which is downloaded once."
    )
    hub_handle: str = setting(
        "",
        "TF-Hub handle",
        "Address or SavedModel folder of Magenta's module; none: $ATELIER_HUB_HANDLE, then Google's address.",
        local=True,
    )
    tile_size: int = setting(
        1280,
        "Strips above",
        "Pictures with a longer side than this are computed in strips, in less memory (tile size).",
        minimum=64,
        maximum=2048,
        step=64,
    )
    preview_size: int = setting(
        256, "Preview", "Longest side of the preview that comes first, in pixels; 0: none.", minimum=0
    )
    precision: Precision = setting(
        "auto", "Precision", "Number format of convolutions; auto takes bfloat16 where the CPU has it."
    )


def stylize(photo: ImageSource, *styles: ImageSource, **options: Any) -> Image.Image:
    """Paint a photo in the style of one to four paintings.

    Args:
        photo: the picture to repaint.
        styles: the paintings.
        options: any field of ``Settings``.

    Returns:
        The painted picture, mode RGB.

    Raises:
        AtelierError: see ``run``.
    """
    return last(run(photo, styles, Settings(**{"preview_size": 0} | options))).image


def run(photo: ImageSource, styles: Sequence[ImageSource], settings: Settings | None = None) -> Iterator[Step]:
    """Paint a photo: first a small preview, then the result.

    Args:
        photo: the picture to repaint.
        styles: one to four paintings, mixed by ``settings.style_weights``; one alone needs no list.
        settings: defaults where None.

    Yields:
        Two steps, or one where there is no preview, or the result is as small as it.

    Raises:
        BadInput: a picture can't be used, or shares and paintings do not pair up.
        WeightsError: bundled weights are missing or altered.
        Unreachable: Magenta's module can't be loaded.
    """
    settings = settings or Settings()
    started = time.perf_counter()
    styles = images.listed(styles)
    shares = style_shares(len(styles), settings.style_weights)
    content = images.fit(images.load(photo), settings.size)
    # The order matters for Magenta, which applies one style after another; a share of 0 costs nothing.
    paintings = [(images.load(style), share) for style, share in zip(styles, shares, strict=True) if share > 0]
    if settings.colours == "match":
        wanted = images.to_array(content)
        recoloured = [(images.to_array(painting), share) for painting, share in paintings]
        paintings = [(images.to_image(colour.match_colours(p, wanted)), share) for p, share in recoloured]
    engine = {"bundled": _bundled, "magenta": _magenta}[settings.engine](content, paintings, settings)
    longest = max(content.size)
    sizes = [settings.preview_size] * (_least_size(content) <= settings.preview_size < longest) + [longest]
    for iteration, size in enumerate(sizes, 1):
        pixels = images.to_array(images.fit(content, size))
        painted = engine(pixels)
        if settings.colours == "luma":
            painted = colour.with_luma(pixels, colour.luma(painted))
        seconds = time.perf_counter() - started
        height, width = painted.shape[:2]
        how = compute_dtype(settings.precision) if settings.engine == "bundled" else "TF-Hub"
        note = f"{width}x{height} in {seconds:.1f} s, {settings.engine} engine, {how}"
        yield Step(images.to_image(painted), iteration, len(sizes), seconds=seconds, note=note)


def warm_up() -> None:
    """Load the bundled networks and trace their graphs, so that a user's first picture does not wait for that."""
    stylize(np.zeros((64, 64, 3)), np.zeros((64, 64, 3)))


def style_shares(count: int, style_weights: Sequence[float]) -> tuple[float, ...]:
    """Return one share per painting, summing to 1.

    Raises:
        BadInput: not 1 to 4 paintings, a share without a painting or the reverse, or no share above 0.
    """
    if not 1 <= count <= MAX_STYLES:
        raise BadInput(f"Choose 1 to {MAX_STYLES} paintings, not {count}.")
    shares = tuple(style_weights) or (1.0,) * count
    if len(shares) != count:
        raise BadInput(f"There are {count} paintings and {len(shares)} shares: give one share to each painting.")
    if not all(np.isfinite(s) and s >= 0 for s in shares) or sum(shares) <= 0:
        raise BadInput("The shares of the paintings must be 0 or more, and one of them above 0.")
    return tuple(s / sum(shares) for s in shares)


def _least_size(photo: Image.Image) -> int:
    """Return the longest side under which a narrow photo's short one would be too short to be seen."""
    return images.MIN_SIDE * max(photo.size) // min(photo.size)


def _bundled(content: Image.Image, paintings: list[tuple[Image.Image, float]], settings: Settings) -> Engine:
    network = _network(compute_dtype(settings.precision))
    codes = np.concatenate([network.code(images.fit(p, settings.style_size)) for p, _ in paintings])
    code = np.float32([[share for _, share in paintings]]) @ codes
    if settings.strength < 1:
        # Training included pairs of a picture with itself: on the way from a photo's own code to the painting's lies
        # strength.
        own = network.code(images.fit(content, max(settings.style_size, _least_size(content))))
        code = own + np.float32(settings.strength) * (code - own)

    def transform(pixels: np.ndarray, code: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        rows = STRIP_ROWS if max(height, width) > settings.tile_size else None
        margins = [(0, -side % stylizer.MULTIPLE) for side in (height, width)]
        padded = np.pad(pixels, [*margins, (0, 0)], mode="reflect")
        return network.transform(padded[None], code, rows)[0, :height, :width]

    def paint(pixels: np.ndarray) -> np.ndarray:
        painted = transform(pixels, code)
        if settings.strength < 1:
            # A photo's own code gives it back with an error that is plain to see (about 15 of 255 levels); taking that
            # error out in the measure in which the photo remains makes strength 0 the photo itself.
            painted += (1 - settings.strength) * (pixels - transform(pixels, own))
        return painted.clip(0, 1)

    return paint


@cache
def _network(dtype: str) -> "_Network":
    return _Network(dtype)


class _Network:
    """The stylizer as TensorFlow graphs, traced once for pictures of any size."""

    def __init__(self, dtype: str) -> None:
        import tensorflow as tf

        tensors = weights.load("stylizer")
        picture = tf.TensorSpec([1, None, None, 3], tf.float32)

        @tf.function(input_signature=[picture], autograph=False)
        def code(image: Any) -> Any:
            features = vgg.features(image, stylizer.TAPS, tensors=vgg.tensors(dtype=dtype), dtype=dtype)
            return stylizer.style_code(stylizer.style_statistics(features), tensors)

        @tf.function(input_signature=[picture, tf.TensorSpec([1, 256], tf.float32)], autograph=False)
        def whole(image: Any, code: Any) -> Any:
            return stylizer.transform(image, code, tensors, dtype)

        @lru_cache(maxsize=64)  # people move sliders: the same few pictures come again and again
        def cached_code(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
            return code(np.frombuffer(data, np.float32).reshape(shape)).numpy()

        self._code = cached_code
        self._whole = whole
        # Run eagerly, so that each strip is freed as soon as the next layer has it.
        self._strips = lambda image, code, rows: stylizer.transform(tf.constant(image), code, tensors, dtype, rows)

    def code(self, image: Image.Image) -> np.ndarray:
        """Return the style code (1, 256) of a picture."""
        pixels = images.to_array(image)[None]
        return self._code(pixels.tobytes(), pixels.shape)

    def transform(self, image: np.ndarray, code: np.ndarray, rows: int | None) -> np.ndarray:
        """Repaint (1, H, W, 3) in the style of a code (1, 256), in strips of ``rows`` or whole."""
        return (self._strips(image, code, rows) if rows else self._whole(image, code)).numpy()


def _magenta(content: Image.Image, paintings: list[tuple[Image.Image, float]], settings: Settings) -> Engine:
    module = _hub_module(settings.hub_handle or os.environ.get("ATELIER_HUB_HANDLE") or MAGENTA_HANDLE)
    import tensorflow as tf

    styles = [
        (images.to_array(painting.resize((MAGENTA_STYLE_SIZE, MAGENTA_STYLE_SIZE), Image.Resampling.LANCZOS)), share)
        for painting, share in paintings
    ]

    def paint(pixels: np.ndarray) -> np.ndarray:
        # The module has no style code to interpolate: strength is a blend of pictures, and several styles are
        # applied one after another, each by its share of what was there.
        painted, seen = pixels, 0.0
        for style, share in styles:
            seen += share
            one = module(tf.constant(painted[None]), tf.constant(style[None]))[0][0].numpy()
            one = one[: pixels.shape[0], : pixels.shape[1]]
            painted = painted + share / seen * (one - painted)
        return np.clip(pixels + settings.strength * (painted - pixels), 0, 1)

    return paint


@cache
def _hub_module(handle: str) -> Any:
    try:
        import tensorflow_hub as hub

        return hub.load(handle)
    except Exception as error:  # not installed, or whatever the network, the archive or TensorFlow raises
        raise Unreachable(
            f"Magenta's module can't be loaded from {handle}: connect to the internet, set ATELIER_HUB_HANDLE to a "
            "SavedModel folder, or choose the bundled engine."
        ) from error
