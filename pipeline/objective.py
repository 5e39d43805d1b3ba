"""The loss of neural style as a function of the picture, with its gradient: whole, or tile by tile.

Two things are measured on a picture: content errors and style statistics. Both are sums over pixels, so a large picture
can be measured in tiles, the loss computed from the sums, and its gradient to the measurements taken back to each
tile. The numbers are those of the whole picture, in bounded memory, for half as much computation again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from . import images, losses, pyramid, regions, vgg
from .losses import Statistics

StyleLoss = Literal["gram", "covariance", "wasserstein"]
Scaling = Literal["relative", "paper", "adaptive"]
GROUPS = ("content", "style", "denoise")

# The deepest tap is pooled four times. It sees 66 pixels to each side (VGG-19: 78), so that nothing in a tile depends
# on what lies beyond this margin.
STRIDE = 16
MARGIN = 80
# Kept for settings used lately, about 10 MB each: in months of visitors every combination comes up.
GRAPHS = 16
TIMINGS = 5  # of which the fastest tells the pace of this machine


@dataclass(frozen=True)
class Spec:
    """What decides the shape of the TensorFlow graph: each is traced once, for pictures of any size.

    Attributes:
        content: content layers, none where the content has no weight.
        style: style layers, none where the style has no weight.
        regions: how many regions there are, 0 for a style all over.
    """

    network: vgg.Network = "vgg16"
    pooling: vgg.Pooling = "max"
    dtype: str = "float32"
    content: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    regions: int = 0
    style_loss: StyleLoss = "gram"
    scaling: Scaling = "relative"

    def features(self, image: Any, taps: Sequence[str]) -> dict[str, Any]:
        """Return VGG features by layer; see ``vgg.features``."""
        return vgg.features(
            image,
            taps,
            tensors=vgg.tensors(self.network, self.dtype),
            network=self.network,
            pooling=self.pooling,
            dtype=self.dtype,
            replicate=True,
        )


class Weights(NamedTuple):
    """Weights of the losses, float32.

    Attributes:
        groups: of content, style and denoise, (3,).
        layers: of the style layers, of sum 1.
        regions: of the regions, (N,); (1,) where there are none.
    """

    groups: np.ndarray
    layers: np.ndarray
    regions: np.ndarray


class Value(NamedTuple):
    """The loss of one picture.

    Attributes:
        losses: every loss by name (``content relu4_2``, ``style relu1_1``, ``denoise``), and their weighted sum,
            ``total``.
        adjustments: what each group was multiplied by besides its weight: 1, or with ``adaptive`` scaling the inverse
            of its value.
        gradient: of the total, (H, W, 3).
    """

    losses: Mapping[str, float]
    adjustments: Mapping[str, float]
    gradient: np.ndarray


class _Targets(NamedTuple):
    """What measurements are compared with: by content layer Σ P², by style layer moments and their roots."""

    energies: tuple[Any, ...]
    style: tuple[Statistics, ...]
    roots: tuple[Any, ...]


class Objective:
    """The loss of pictures of one size."""

    def __init__(
        self,
        spec: Spec,
        photo: np.ndarray,
        style: tuple[Statistics, ...],
        weights: Weights,
        masks: np.ndarray | None = None,
        tile_size: int = 4096,
    ) -> None:
        """Take the targets.

        Args:
            spec: layers and formulas.
            photo: (H, W, 3), the content, and the shape of the pictures.
            style: what ``style_targets`` returned.
            weights: of the losses.
            masks: regions (N, H, W) where ``spec.regions`` is N.
            tile_size: side above which a picture is computed in tiles of that side.
        """
        self.spec = spec
        self.shape = height, width = photo.shape[:2]
        self._weights = weights
        self._tiles = list(tiles(height, width, tile_size))
        self._photo = _photo(spec, photo)
        roots = tuple(map(losses.covariance_root, style)) if spec.style_loss == "wasserstein" else ()
        self._targets = _Targets(tuple(np.float32(np.sum(np.square(f))) for f in self._photo), style, roots)
        self._guides = ()
        if masks is not None or len(self._tiles) > 1:
            whole = np.ones((1, height, width), np.float32)
            guides = regions.guides(whole if masks is None else masks, spec.style)
            self._guides = tuple(guides[tap] for tap in spec.style)

    def __call__(self, picture: np.ndarray) -> Value:
        """Evaluate a picture (H, W, 3), float32."""
        functions = _functions(self.spec)
        if len(self._tiles) == 1:
            values, adjustments, total, gradient = functions.whole(
                picture[None], self._photo, self._guides, self._targets, self._weights
            )
        else:
            values, adjustments, total, gradient = self._tiled(picture[None], functions)
        names = [f"content {t}" for t in self.spec.content] + [f"style {t}" for t in self.spec.style] + ["denoise"]
        named = dict(zip(names, map(float, values), strict=True)) | dict(total=float(total))
        return Value(named, dict(zip(GROUPS, map(float, adjustments), strict=True)), np.asarray(gradient)[0])

    def _tiled(self, image: np.ndarray, functions: "_Functions") -> tuple[Any, Any, Any, np.ndarray]:
        import tensorflow as tf

        measured = None
        for tile in self._tiles:
            one = functions.measure(tile.cut(image), *self._inputs(tile))
            measured = one if measured is None else tf.nest.map_structure(tf.add, measured, one)
        values, adjustments, total, gradient, slopes = functions.score(image, measured, self._targets, self._weights)
        gradient = gradient.numpy()
        for tile in self._tiles:
            tile.cut(gradient)[:] += functions.pull(tile.cut(image), *self._inputs(tile), slopes).numpy()
        return values, adjustments, total, gradient

    def _inputs(self, tile: "Tile") -> tuple[Any, Any, Any]:
        """Return the photo's features in a tile, which of them count, and the guides of what counts."""
        photo = tuple(tile.cut(f, tap) for f, tap in zip(self._photo, self.spec.content, strict=True))
        inside = tuple(tile.inside(tap, f.shape) for f, tap in zip(photo, self.spec.content, strict=True))
        guides = []
        for guide, tap in zip(self._guides, self.spec.style, strict=True):
            part = tile.cut(guide, tap)
            guides.append(part * tile.inside(tap, (*part.shape, 1))[..., 0])
        return photo, tuple(guides), inside


def style_targets(
    spec: Spec, paintings: Sequence[np.ndarray], shares: Sequence[float], size: int, tile_size: int = 4096
) -> tuple[Statistics, ...]:
    """Return what each style layer should have: the paintings' moments, blended, or one after another for regions.

    With equal layer weights the gradient to a blend is the blend of the gradients, so one loss serves any number of
    paintings. Second moments blend linearly; covariances do not.

    Args:
        spec: layers and network.
        paintings: (H, W, 3) each.
        shares: one per painting, of sum 1.
        size: longest side at which paintings are seen; they are not enlarged.
        tile_size: side above which a painting is measured in tiles of that side.
    """
    if not spec.style:
        return ()
    each = []
    for painting in paintings:
        factor = min(1, size / max(painting.shape[:2]))
        shape = tuple(max(images.MIN_SIDE, round(side * factor)) for side in painting.shape[:2])
        each.append(_moments(spec, np.clip(pyramid.resize(painting, shape), 0, 1)[None], tile_size))
    targets = []
    for layer in zip(*each, strict=True):
        moments = [np.concatenate([np.asarray(m) for m in moment]) for moment in zip(*layer, strict=True)]
        if not spec.regions:
            moments = [np.tensordot(np.float32(shares), m, 1)[None] for m in moments]
        targets.append(Statistics(*moments))
    return tuple(targets)


def pace(spec: Spec) -> float:
    """Return seconds per pixel of one evaluation on this machine.

    Each of the first few calls times one, and the fastest counts: others can only have slowed the rest down.
    """
    objective, times = _probe(spec)
    if len(times) < TIMINGS:
        grey = _grey()
        started = time.perf_counter()
        objective(grey)
        times.append((time.perf_counter() - started) / grey[..., 0].size)
    return min(times)


def _grey() -> np.ndarray:
    return np.full((128, 128, 3), 0.5, np.float32)


@lru_cache(maxsize=GRAPHS)
def _probe(spec: Spec) -> tuple[Objective, list[float]]:
    """Return a loss that has run once, so that what is timed is not the tracing; and a list for the times."""
    weights = Weights(np.ones(3, np.float32), np.ones(len(spec.style), np.float32), np.ones(1, np.float32))
    objective = Objective(spec, _grey(), style_targets(spec, [_grey()], [1], 128), weights)
    objective(_grey())
    return objective, []


def cost(height: int, width: int, tile_size: int) -> float:
    """Return how many pixels one evaluation computes: with tiles, their margins too, and one and a half times."""
    parts = list(tiles(height, width, tile_size))
    if len(parts) == 1:
        return height * width
    blank = np.empty((1, height, width), bool)
    return 1.5 * sum(tile.cut(blank).size for tile in parts)


class Tile(NamedTuple):
    """A part of a picture that counts, and the margin that it sees, in pixels.

    Every number is a multiple of ``STRIDE``, or None for the end of the picture.

    Attributes:
        rows: first row of the margin, first row that counts, end of what counts, end of the margin.
        columns: likewise.
    """

    rows: tuple[int, int, int | None, int | None]
    columns: tuple[int, int, int | None, int | None]

    def cut(self, array: np.ndarray, tap: str = "relu1_1") -> np.ndarray:
        """Return the tile with its margin out of an array (N, H', W', …) at one layer's resolution, as a view."""
        down, across = (_slice(tap, outer, end) for outer, _, _, end in (self.rows, self.columns))
        return array[:, down, across]

    def inside(self, tap: str, shape: Sequence[int]) -> np.ndarray:
        """Return 1 where a layer's pixels (N, H', W', …) count and 0 in the margin, as (1, H', W', 1)."""
        inside = np.zeros((1, shape[1], shape[2], 1), np.float32)
        down, across = (
            _slice(tap, first - outer, None if stop is None else stop - outer)
            for outer, first, stop, _ in (self.rows, self.columns)
        )
        inside[:, down, across] = 1
        return inside


def tiles(height: int, width: int, size: int) -> Iterator[Tile]:
    """Divide a picture into tiles of at most ``size`` a side, with margins beside; one where it is no larger."""

    def divide(length: int) -> list[tuple[int, int, int | None, int | None]]:
        count = -(-length // size)
        side = -(-length // count // STRIDE) * STRIDE
        found = []
        for first in range(0, length, side):
            stop = first + side
            end = stop + MARGIN
            found.append(
                (max(0, first - MARGIN), first, stop if stop < length else None, end if end < length else None)
            )
        return found

    for rows in divide(height):
        for columns in divide(width):
            yield Tile(rows, columns)


def _slice(tap: str, start: int, stop: int | None) -> slice:
    stride = 2 ** (int(tap.removeprefix("relu")[0]) - 1)
    return slice(start // stride, None if stop is None else stop // stride)


@lru_cache(maxsize=GRAPHS)
def _features(spec: Spec, taps: tuple[str, ...]) -> Callable[[Any], dict[str, Any]]:
    import tensorflow as tf

    signature = [tf.TensorSpec([1, None, None, 3], tf.float32)]
    return tf.function(lambda image: spec.features(image, taps), input_signature=signature, autograph=False)


def _moments(spec: Spec, image: np.ndarray, tile_size: int) -> list[Statistics]:
    """Return the moments of each style layer, tile by tile: all at once would take most memory of the whole run."""
    import tensorflow as tf

    sums = None
    for tile in tiles(*image.shape[1:3], tile_size):
        found = _features(spec, spec.style)(tile.cut(image))
        inside = [tile.inside(tap, found[tap].shape)[..., 0] for tap in spec.style]
        one = [(i.sum(), *losses.statistics(found[tap], i)) for tap, i in zip(spec.style, inside, strict=True)]
        sums = one if sums is None else tf.nest.map_structure(tf.add, sums, one)
    return [Statistics(mean / pixels, second / pixels) for pixels, mean, second in sums]


def _photo(spec: Spec, photo: np.ndarray) -> tuple[np.ndarray, ...]:
    found = _features(spec, spec.content)(photo[None]) if spec.content else {}
    return tuple(np.float32(found[tap]) for tap in spec.content)


class _Functions(NamedTuple):
    whole: Callable
    measure: Callable
    score: Callable
    pull: Callable


@lru_cache(maxsize=GRAPHS)
def _functions(spec: Spec) -> _Functions:
    import tensorflow as tf

    taps = tuple(dict.fromkeys((*spec.content, *spec.style)))

    def measure(image: Any, photo: Any, guides: Any, inside: Any = ()) -> Any:
        found = spec.features(image, taps)
        errors = tuple(
            losses.squared_error(found[tap], photo[i], inside[i] if inside else None)
            for i, tap in enumerate(spec.content)
        )
        moments = tuple(
            losses.statistics(found[tap], guides[i] if guides else None) for i, tap in enumerate(spec.style)
        )
        return errors, moments

    def score(image: Any, measured: Any, targets: _Targets, weights: Weights) -> Any:
        errors, moments = measured
        divisors = [2.0] * len(errors) if spec.scaling != "relative" else [e + 1e-12 for e in targets.energies]
        contents = [e / d for e, d in zip(errors, divisors, strict=True)]
        styles = []
        for i, (s, target) in enumerate(zip(moments, targets.style, strict=True)):
            if spec.scaling != "relative":
                each = losses.paper_gram_loss(s, target)
            elif spec.style_loss == "gram":
                each = losses.gram_loss(s, target)
            elif spec.style_loss == "covariance":
                each = losses.covariance_loss(s, target)
            else:
                each = losses.wasserstein_loss(s, target, targets.roots[i])
            styles.append(tf.reduce_sum(each * weights.regions))
        denoise = losses.total_variation(image)
        content = tf.add_n(contents) / len(contents) if contents else tf.constant(0.0)
        style = tf.reduce_sum(tf.stack(styles) * weights.layers) if styles else tf.constant(0.0)
        groups = tf.stack([content, style, denoise])
        adjustments = tf.stop_gradient(1 / (groups + 1e-30)) if spec.scaling == "adaptive" else tf.ones(3)
        total = tf.reduce_sum(weights.groups * adjustments * groups)
        return tf.stack([*contents, *styles, denoise]), adjustments, total

    def whole(image: Any, photo: Any, guides: Any, targets: _Targets, weights: Weights) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(image)
            values, adjustments, total = score(image, measure(image, photo, guides), targets, weights)
        return values, adjustments, total, tape.gradient(total, image)

    def score_tiles(image: Any, measured: Any, targets: _Targets, weights: Weights) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([image, measured])
            values, adjustments, total = score(image, measured, targets, weights)
        gradient, *slopes = tape.gradient(total, [image, *tf.nest.flatten(measured)], unconnected_gradients="zero")
        return values, adjustments, total, gradient, tuple(slopes)

    def pull(image: Any, photo: Any, guides: Any, inside: Any, slopes: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(image)
            measured = tf.nest.flatten(measure(image, photo, guides, inside))
        return tape.gradient(measured, image, output_gradients=slopes)

    def tensor(*shape: int | None) -> Any:
        return tf.TensorSpec(shape, tf.float32)

    # Signatures for any size, so that nothing is traced twice.
    one, many = len(spec.content), len(spec.style)
    rows = max(1, spec.regions)
    channels = [vgg.channels(tap) for tap in spec.style]
    image = tensor(1, None, None, 3)
    photo = tuple(tensor(1, None, None, vgg.channels(tap)) for tap in spec.content)
    guides = (tensor(rows, None, None),) * many
    inside = (tensor(1, None, None, 1),) * one
    moments = tuple(Statistics(tensor(rows, c), tensor(rows, c, c)) for c in channels)
    roots = tuple(tensor(rows, c, c) for c in channels) if spec.style_loss == "wasserstein" else ()
    measured = ((tensor(),) * one, moments)
    common = (_Targets((tensor(),) * one, moments, roots), Weights(tensor(3), tensor(many), tensor(rows)))
    slopes = tuple(tf.nest.flatten(measured))

    def trace(function: Callable, *signature: Any) -> Callable:
        return tf.function(function, input_signature=signature, autograph=False)

    return _Functions(
        trace(whole, image, photo, guides if spec.regions else (), *common),
        trace(measure, image, photo, guides, inside),
        trace(score_tiles, image, measured, *common),
        trace(pull, image, photo, guides, inside, slopes),
    )
