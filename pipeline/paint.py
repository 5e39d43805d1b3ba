"""Paint to photo: a map of what is where (sky, mountain, water …) becomes a picture of that landscape.

One pass through the painter (``pipeline/spade.py``), in a style that is stored with it, drawn at random, taken from a
photo, or chosen to suit the map.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy.spatial.distance import cdist

from . import images, palettes, spade, weights
from .errors import BadInput
from .images import ImageSource
from .precision import Precision, compute_dtype
from .settings import Settings as Base
from .settings import setting
from .spade import CLASSES, PALETTE
from .step import Step

TITLE = "Paint to photo"
NETWORKS = ("painter",)

BLANK = CLASSES.index("sky")  # where a map is transparent
STYLE_PHOTO_SIZE = 320  # longest side at which a style photo is seen: about the area of the photos of the training
STYLE_PICTURE_SIZE = 128
# Side of the square in which unclear pixels vote, wide enough for the rims of antialiasing and of JPEG.
_VOTERS = 5
# How many times a style that suits a map better by 0.1 (in cosine of class shares) counts more: e^2. Low enough that
# the style glides, and does not jump, while a map is painted.
_TEMPERATURE = 0.05
_BATCH = 8


@dataclass(frozen=True)
class Settings(Base):
    """What a user can choose; the defaults are those of page, command line and API alike."""

    style: int = setting(
        0, "Style", "Number of a stored style, from 1; 0: what suits the map (style code).", minimum=0, step=1
    )
    style_seed: int = setting(
        0, "Surprise", "Seed of a random style, where no number is given; 0: none.", minimum=0, step=1
    )
    second_style: int = setting(
        0, "Second style", "Number of the stored style to blend in; 0: what suits the map.", minimum=0, step=1
    )
    blend: float = setting(
        0.0,
        "Blend",
        "Share of the second style: 0 is the first alone, 1 the second alone (interpolation of style codes).",
        minimum=0,
        maximum=1,
        step=0.05,
    )
    seed: int = setting(
        0, "Details", "Seed of the details that the map does not say: waves, leaves, stones (noise).", minimum=0, step=1
    )
    size: int = setting(
        512,
        "Size",
        "Longest side of the result in pixels; the map is enlarged or shrunk to it.",
        minimum=64,
        maximum=1024,
        step=64,
    )
    precision: Precision = setting(
        "auto", "Precision", "Number format of convolutions; auto takes bfloat16 where the CPU has it."
    )


def paint(label_map: ImageSource, style_photo: ImageSource | None = None, **options: Any) -> Image.Image:
    """Turn a label map into a picture of that landscape.

    Args:
        label_map: see ``read``.
        style_photo: a photo to take colours and light from, before any stored or random style.
        options: any field of ``Settings``.

    Returns:
        The picture, mode RGB.

    Raises:
        AtelierError: see ``run``.
    """
    (step,) = run(label_map, style_photo, Settings(**options))
    return step.image


def run(
    label_map: ImageSource, style_photo: ImageSource | None = None, settings: Settings | None = None
) -> Iterator[Step]:
    """Turn a label map into a picture of that landscape, in one step.

    Args:
        label_map: see ``read``.
        style_photo: a photo to take colours and light from, before any stored or random style.
        settings: defaults where None.

    Yields:
        The result.

    Raises:
        BadInput: a picture can't be used, or there is no style of that number.
        WeightsError: the painter's weights are missing or altered.
    """
    settings = settings or Settings()
    started = time.perf_counter()
    labels = read(label_map, settings.size)
    dtype = compute_dtype(settings.precision)
    network = _network(dtype)
    if style_photo is not None:
        code, words = network.encode(images.fit(images.load(style_photo), STYLE_PHOTO_SIZE)), "the photo's style"
    elif settings.style_seed and not settings.style:
        code, words = network.random(settings.style_seed), f"random style {settings.style_seed}"
    else:
        code, words = network.stored(settings.style, labels)
    if settings.blend:
        second, more = network.stored(settings.second_style, labels)
        code = code + np.float32(settings.blend) * (second - code)
        words = f"{1 - settings.blend:.0%} {words} and {settings.blend:.0%} {more}"
    painted = network.generate(labels[None], code[None], settings.seed)[0]
    height, width = labels.shape
    seconds = time.perf_counter() - started
    note = f"{width}x{height} in {seconds:.2f} s, {words}, {dtype}"
    yield Step(images.to_image(painted), 1, 1, seconds=seconds, note=note)


def warm_up() -> None:
    """Load the painter and trace its graphs, so that a user's first picture does not wait for that."""
    blank = np.zeros((64, 64, 3))
    paint(blank, blank, size=64)


def read(source: ImageSource, size: int) -> np.ndarray:
    """Read a label map: a picture in which each colour of ``spade.PALETTE`` stands for a class.

    Any other colour counts as the one that looks most like it: in OKLab, as that mistakes fewer pixels of an
    antialiased map for a class that is not there than RGB does. Then the most frequent class around such a pixel
    wins, or every rim between two classes would be of a third one.

    Args:
        source: the map; where it is transparent, it is sky.
        size: longest side to scale it to (nearest neighbour, so that no colours mix).

    Returns:
        uint8 (H, W), indices into ``spade.CLASSES``.

    Raises:
        BadInput: not a picture that can be used (``images.load``), or far too narrow.
    """
    image = images.load(source, alpha=True)
    width, height = (round(side * size / max(image.size)) for side in image.size)
    if min(width, height) < images.MIN_SIDE / 2:
        raise BadInput(f"A map of {image.width}x{image.height} is too narrow at {size} pixels: crop it first.")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.NEAREST).convert("RGBA"))
    labels = palettes.nearest(palettes.to_lab(pixels[..., :3]), PALETTE)
    labels[pixels[..., 3] < 128] = BLANK
    clear = (PALETTE[labels] == pixels[..., :3]).all(-1) | (pixels[..., 3] < 128)
    if clear.all():
        return labels
    return np.where(clear, labels, Image.fromarray(labels).filter(ImageFilter.ModeFilter(_VOTERS)))


def draw(labels: np.ndarray) -> Image.Image:
    """Return labels (H, W) as an indexed picture in the colours of ``spade.PALETTE``, which ``read`` reads back."""
    return palettes.indexed(labels, PALETTE)


def style_pictures(label_map: ImageSource) -> list[Image.Image]:
    """Paint one map in each of the stored styles, small, to choose from."""
    network = _network(compute_dtype())
    labels = read(label_map, STYLE_PICTURE_SIZE)
    painted = []
    for i in range(0, len(network.codes), _BATCH):
        codes = network.codes[i : i + _BATCH]
        painted += list(network.generate(np.repeat(labels[None], len(codes), 0), codes, seed=0))
    return [images.to_image(pixels) for pixels in painted]


@cache
def _network(dtype: str) -> "_Network":
    return _Network(dtype)


class _Network:
    """The painter as TensorFlow graphs, traced once for pictures of any size, and the styles stored with it.

    Attributes:
        codes: float32 (K, 64), the stored styles.
        shares: float32 (K, 16), the class shares of the photos that they were found in.
    """

    def __init__(self, dtype: str) -> None:
        import tensorflow as tf

        tensors = weights.load("painter")
        self.codes, self.shares = tensors["styles.codes"], tensors["styles.shares"]

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, None], tf.uint8),
                tf.TensorSpec([None, spade.CODE], tf.float32),
                tf.TensorSpec([None, None, None, spade.NOISE], tf.float32),
            ],
            autograph=False,
        )
        def generate(labels: Any, code: Any, noise: Any) -> Any:
            return spade.generate(tf.one_hot(labels, len(CLASSES)), code, noise, tensors, dtype)

        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)], autograph=False)
        def encode(image: Any) -> Any:
            return spade.encode(image, tensors, dtype)[0][0]

        self._generate, self._encode = generate, encode

    def generate(self, labels: np.ndarray, codes: np.ndarray, seed: int) -> np.ndarray:
        """Paint labels (N, H, W) in styles (N, 64): float32 (N, H, W, 3) in [0, 1], all with the same details."""
        count, height, width = labels.shape
        below, beside = (-side % spade.MULTIPLE for side in (height, width))
        padded = np.pad(labels, [(0, 0), (0, below), (0, beside)], mode="edge")
        noise = np.repeat(_noise(seed, *padded.shape[1:]), count, 0)
        return self._generate(padded, codes, noise).numpy()[:, :height, :width]

    def encode(self, photo: Image.Image) -> np.ndarray:
        """Return the style code (64,) of a photo."""
        return self._encode(images.to_array(photo)[None]).numpy()

    def stored(self, number: int, labels: np.ndarray) -> tuple[np.ndarray, str]:
        """Return a style (64,) by its number from 1, or what suits labels (H, W) for 0, and what to call it."""
        if number > len(self.codes):
            raise BadInput(f"There are {len(self.codes)} stored styles: choose 1 to {len(self.codes)}, or 0.")
        return (self.codes[number - 1], f"style {number}") if number else (self.matched(labels), "a style that suits")

    def matched(self, labels: np.ndarray) -> np.ndarray:
        """Return the mean of the stored styles (64,), weighted by how much alike the class shares are."""
        shares = np.bincount(labels.ravel(), minlength=len(CLASSES))
        distance = cdist(shares[None], self.shares, "cosine")[0]
        likely = np.exp((distance.min() - distance) / _TEMPERATURE)
        return np.float32(likely / likely.sum() @ self.codes)

    def random(self, seed: int) -> np.ndarray:
        """Draw a style (64,) from the normal distribution with the mean and the covariance of the stored ones."""
        count = len(self.codes)
        mean = self.codes.mean(0)
        mix = np.random.default_rng(seed).standard_normal(count) / np.sqrt(count)
        return np.float32(mean + mix @ (self.codes - mean))


@lru_cache(maxsize=4)  # live, the same noise is wanted again and again
def _noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, height, width, spade.NOISE), np.float32)
