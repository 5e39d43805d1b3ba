"""Neural style: a photo repainted by optimisation, each iteration on view.

Gatys, Ecker & Bethge 2015 (arXiv 1508.06576): change a picture step by step until its VGG features are those of the
photo and their statistics those of the painting. Around that: a start from the fast stylizer, coarse to fine, several
paintings, regions, colours kept, bfloat16, and tiles for large pictures. ``PRESETS`` holds the original settings too.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from . import colour, fast, images, objective, optimisers, pyramid, vgg
from . import regions as label_map
from .errors import BadInput
from .images import ImageSource
from .objective import Objective, Scaling, Spec, StyleLoss, Weights
from .precision import Precision, compute_dtype
from .settings import Settings as Base
from .settings import setting
from .step import Step, last

TITLE = "Neural style"
NETWORKS = ("vgg16", "stylizer")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "painterly": {},
    "faithful to the photo": dict(style_weight=2.0, content_layers=("relu3_3",)),
    "bold": dict(style_weight=60.0, scales=4, coarse_iterations=25, style_scale=1.4),
    "texture only": dict(content_weight=0.0, init="noise", scales=5, coarse_iterations=60, iterations=40),
    "content reconstruction": dict(
        style_weight=0.0,
        denoise_weight=0.0,
        pooling="average",
        init="noise",
        scales=1,
        iterations=200,
        content_layers=("relu3_1",),
    ),
    # Gatys et al. 2015, section 2: white noise, average pooling, conv4_2 and conv1_1 … 5_1 with equal weights, L-BFGS.
    "as in the paper": dict(
        content_weight=1.0,
        style_weight=5e5,
        denoise_weight=0.0,
        scaling="paper",
        pooling="average",
        init="noise",
        scales=1,
        iterations=500,
    ),
    # Each loss over its own current value, steps of 10 levels along the normalised gradient, 60 iterations.
    "as in the VGG-16 report": dict(
        content_weight=6.0,
        style_weight=4.0,
        denoise_weight=0.3,
        scaling="adaptive",
        optimiser="gradient",
        learning_rate=10 / 255,
        init="noise",
        scales=1,
        iterations=60,
        content_layers=("relu3_1",),
        style_layers=vgg.layers(),
    ),
}


@dataclass(frozen=True)
class Settings(Base):
    """What a user can choose; the defaults are those of page, command line and API alike."""

    presets: ClassVar = PRESETS
    preset: Literal[tuple(PRESETS)] = setting(
        next(iter(PRESETS)),
        "Result",
        "What the picture should be like: it fills in what you do not set yourself.",
    )
    strength: float = setting(
        0.5,
        "Strength",
        "How strongly the painting shows: multiplies the style weight by 0.1 to 10.",
        minimum=0,
        maximum=1,
        step=0.05,
    )
    size: int = setting(
        512,
        "Size",
        "Longest side of the result in pixels; a smaller photo is not enlarged.",
        minimum=64,
        maximum=2048,
        step=64,
    )
    iterations: int = setting(
        8, "Iterations", "Steps at the full size; more refine the strokes.", minimum=1, maximum=5000, step=1
    )
    init: Literal["fast", "content", "style", "noise"] = setting(
        "fast",
        "Start from",
        "The picture to begin with: fast style, the photo, the painting or noise (initialisation).",
    )
    colours: Literal["style", "luma", "match", "histogram"] = setting(
        "style",
        "Colours",
        "From the painting (style), or kept from the photo: exactly (luma), or by recolouring the painting first "
        "(match, histogram).",
    )
    style_weights: tuple[float, ...] = setting(
        (), "Shares", "One share per painting when several are used; none: equal shares (style weights)."
    )
    style_scale: float = setting(
        1.0,
        "Brush size",
        "Size of the painting relative to the result: larger gives larger strokes (style scale).",
        minimum=0.25,
        maximum=4,
        step=0.05,
    )
    content_weight: float = setting(1.0, "Content weight", "Weight of the photo's features.", minimum=0, maximum=1e9)
    style_weight: float = setting(10.0, "Style weight", "Weight of the painting's statistics.", minimum=0, maximum=1e9)
    denoise_weight: float = setting(
        2.0, "Smoothness", "Weight against noise between neighbouring pixels (total variation).", minimum=0, maximum=1e9
    )
    content_layers: tuple[str, ...] = setting(
        ("relu4_2",), "Content layers", "Layers at which the photo is compared; earlier ones keep more detail."
    )
    style_layers: tuple[str, ...] = setting(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "Style layers",
        "Layers at which the painting is compared; earlier ones hold finer strokes.",
    )
    style_layer_weights: tuple[float, ...] = setting(
        (), "Style layer weights", "One weight per style layer; none: equal weights."
    )
    style_loss: StyleLoss = setting(
        "gram", "Style loss", "How statistics are compared: Gram matrices, covariance and mean, or Wasserstein-2."
    )
    scaling: Scaling = setting(
        "relative",
        "Loss scale",
        "Losses in units of their targets (relative), as in the paper, or those over their current values (adaptive).",
    )
    optimiser: Literal["lbfgs", "adam", "gradient"] = setting(
        "lbfgs", "Optimiser", "L-BFGS, Adam, or descent along the normalised gradient."
    )
    learning_rate: float = setting(
        0.02,
        "Learning rate",
        "Change of a pixel in one step, of 1 (Adam, gradient), or in the first step (L-BFGS).",
        minimum=1e-5,
        maximum=1,
    )
    average: float = setting(
        0.0,
        "Averaging",
        "Show the running mean of the steps' pictures, with this decay; 0: the last one (EMA).",
        minimum=0,
        maximum=0.999,
    )
    scales: int = setting(
        3, "Scales", "How many sizes, coarse to fine by sqrt 2 (pyramid).", minimum=1, maximum=10, step=1
    )
    coarse_iterations: int = setting(
        10, "Coarse iterations", "Steps at each size before the full one.", minimum=1, maximum=5000, step=1
    )
    pooling: vgg.Pooling = setting("max", "Pooling", "As the network was trained (max), or smoother (average).")
    network: vgg.Network = setting("vgg16", "Network", "VGG-16 is bundled; VGG-19 is downloaded once, 80 MB.")
    match_method: colour.MatchMethod = setting(
        "symmetric", "Colour match", "Which linear map recolours the painting, for colours: match."
    )
    canvas: tuple[int, ...] = setting(
        (), "Texture size", "Width and height of a picture without content, in pixels; none: the photo's shape."
    )
    seed: int = setting(0, "Seed", "Which noise to start from.", minimum=0, maximum=2**31 - 1, step=1)
    tile_size: int = setting(
        1024,
        "Tiles above",
        "Pictures with a longer side than this are computed in tiles, in less memory (tile size).",
        minimum=64,
        maximum=2048,
        step=64,
    )
    precision: Precision = setting(
        "auto", "Precision", "Number format of convolutions; auto takes bfloat16 where the CPU has it."
    )


@dataclass(frozen=True)
class State:
    """Where a run stands: hand it to ``run`` as ``resume`` to go on.

    Attributes:
        iteration: how many iterations are done.
        picture: (H, W, 3), at the size of that iteration.
        optimiser: as it is after that iteration.
        settings: those that led there.
        average: sum of past pictures under exponential decay (H, W, 3), 0 where averaging is off.
        age: how many pictures ``average`` holds.
    """

    iteration: int
    picture: np.ndarray
    optimiser: optimisers.Optimiser
    settings: Settings
    average: np.ndarray | float = 0.0
    age: int = 0


@dataclass(frozen=True)
class StyleStep(Step):
    """One iteration.

    Attributes:
        state: what ``run`` can go on from.
        adjustments: for ``scaling="adaptive"``, what each of content, style and denoise was multiplied by.
        seconds_left: how long the rest will take.
    """

    state: State | None = None
    adjustments: Mapping[str, float] = field(default_factory=dict)
    seconds_left: float = 0.0

    @property
    def eta(self) -> float:
        """Seconds still to go, by pixels: coarse iterations are cheap, and their pace says nothing of the others'."""
        return self.seconds_left


def stylize(photo: ImageSource, *styles: ImageSource, **options: Any) -> Image.Image:
    """Repaint a photo in the style of one to four paintings.

    Args:
        photo: the picture to repaint.
        styles: the paintings.
        options: ``regions``, ``initial``, and any field of ``Settings``.

    Returns:
        The painted picture, mode RGB.

    Raises:
        AtelierError: see ``run``.
    """
    pictures = {name: options.pop(name) for name in ("regions", "initial") if name in options}
    return last(run(photo, styles, Settings(**options), **pictures)).image


def estimate(width: int, height: int, settings: Settings | None = None) -> float:
    """Return about how many seconds a run on this machine takes, from timed evaluations (the first takes a second).

    Args:
        width: of the photo, before it is fitted to ``settings.size``.
        height: of the photo.
        settings: defaults where None.
    """
    settings = settings or Settings()
    width, height = _fitted(width, height, settings)
    return _seconds(_work(pyramid.shapes(height, width, settings.scales), settings), settings)


def warm_up() -> None:
    """Load the network and time one evaluation, so that neither a user's first picture nor its estimate waits."""
    estimate(64, 64)


def run(
    photo: ImageSource,
    styles: Sequence[ImageSource] = (),
    settings: Settings | None = None,
    *,
    regions: ImageSource | None = None,
    initial: ImageSource | None = None,
    resume: State | None = None,
) -> Iterator[StyleStep]:
    """Repaint a photo, one step per iteration, after a first one (iteration 0) that shows the start.

    To continue, call it again with the same pictures, more ``iterations``, and the last step's ``state``: the result
    is that of one long run. Where other settings have changed too, the optimiser begins anew from that picture.

    Args:
        photo: the picture to repaint; without content weight only its shape matters.
        styles: one to four paintings, mixed by ``settings.style_weights``; one alone needs no list, and where the
            style weight is 0 there is none.
        settings: defaults where None.
        regions: a label map, one colour for each painting (see ``regions.read``), each of which then paints only
            its region; pixels without a colour stay the photo's.
        initial: a picture to start from, instead of ``settings.init``.
        resume: where an earlier run stopped.

    Yields:
        A step whose picture has the final size, also while smaller scales are at work.

    Raises:
        BadInput: a picture can't be used, settings contradict each other, regions and paintings do not pair up, or
            there is nothing left to continue.
        WeightsError: bundled weights are missing or altered.
        Unreachable: VGG-19 can't be downloaded.
    """
    settings = settings or Settings()
    started = time.perf_counter()
    job = _Job.of(photo, images.listed(styles), settings, regions, initial)
    levels = pyramid.shapes(*job.photo.shape[:2], settings.scales)
    work = _work(levels, settings)
    total = len(work)
    ends = np.cumsum(_schedule(settings, len(levels)))
    state = resume
    if state is not None and state.iteration >= total:
        raise BadInput(f"All {total} iterations are done: ask for more to continue.")
    if state is None:
        start = job.start(levels[-1])
        seconds_left = _seconds(work, settings)
        seconds = time.perf_counter() - started
        note = f"{_size(job.photo)}, {total} iterations, about {seconds_left:.0f} s"
        preview = job.finished(job.blend(start, job.cover(levels[-1])))
        yield StyleStep(preview, 0, total, seconds=seconds, note=note, seconds_left=seconds_left)
        state = State(0, job.start(levels[0]), _optimiser(settings), settings)
    elif replace(state.settings, iterations=settings.iterations) != settings:
        # What an optimiser knows of another loss misleads it, and is of no use to another optimiser.
        state = State(state.iteration, _shown(state), _optimiser(settings), settings)
    looped = time.perf_counter()
    first = state.iteration
    loss: Objective | None = None
    while state.iteration < total:
        shape = levels[int(np.searchsorted(ends, state.iteration, side="right"))]
        if state.picture.shape[:2] != shape:
            state = job.carried(state, shape)
        if loss is None or loss.shape != shape:
            loss, cover = job.loss(shape), job.cover(shape)
        values, adjustments, gradient = loss(job.blend(state.picture, cover))
        if not np.isfinite(values["total"]):
            raise BadInput("The picture fell apart: lower the learning rate or the weights.")
        gradient = job.chain(gradient, cover)
        picture, optimiser = state.optimiser.step(state.picture, values["total"], gradient)
        picture = np.clip(picture, 0, 1)
        average = settings.average * state.average + (1 - settings.average) * picture if settings.average else 0.0
        state = State(state.iteration + 1, picture, optimiser, settings, average, state.age + 1)
        now = time.perf_counter()
        done = sum(work[first : state.iteration])
        note = f"{_size(job.photo)} in {now - started:.1f} s, {state.iteration} iterations, {loss.spec.dtype}"
        if settings.scaling == "adaptive":
            note += ", adjusted " + ", ".join(f"{k} {v:.2e}" for k, v in adjustments.items())
        yield StyleStep(
            job.finished(job.blend(_shown(state), cover)),
            state.iteration,
            total,
            values,
            now - started,
            note,
            state=state,
            adjustments=adjustments,
            seconds_left=(now - looped) * sum(work[state.iteration :]) / done,
        )


def _schedule(settings: Settings, levels: int) -> list[int]:
    return [settings.coarse_iterations] * (levels - 1) + [settings.iterations]


def _work(levels: Sequence[tuple[int, int]], settings: Settings) -> list[float]:
    """Return how many pixels each iteration computes."""
    costs = [objective.cost(*level, settings.tile_size) for level in levels]
    return [cost for cost, n in zip(costs, _schedule(settings, len(levels)), strict=True) for _ in range(n)]


def _seconds(work: Sequence[float], settings: Settings) -> float:
    return sum(work) * objective.pace(_spec(settings, 0))


def _fitted(width: int, height: int, settings: Settings) -> tuple[int, ...]:
    """Return width and height of the result; without content the photo only gives its shape, and may be enlarged."""
    if settings.canvas and not settings.content_weight:
        if len(settings.canvas) != 2 or not all(32 <= side <= 2048 for side in settings.canvas):
            raise BadInput("A texture size is a width and a height, each from 32 to 2048.")
        return settings.canvas
    factor = settings.size / max(width, height)
    factor = min(1, factor) if settings.content_weight else factor
    return round(width * factor), round(height * factor)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _shown(state: State) -> np.ndarray:
    decay = state.settings.average
    return state.average / np.float32(1 - decay**state.age) if decay and state.age else state.picture


def _optimiser(settings: Settings) -> optimisers.Optimiser:
    if settings.optimiser == "adam":
        return optimisers.Adam(settings.learning_rate)
    if settings.optimiser == "gradient":
        return optimisers.NormalisedGradient(settings.learning_rate)
    return optimisers.LBFGS(settings.learning_rate)


@dataclass(frozen=True)
class _Job:
    """The pictures of one run, checked and recoloured: everything that no iteration changes.

    Attributes:
        original: (H, W, 3), the photo at the size of the result.
        photo: what the content is compared with: the original, or its luma.
        paintings: the style pictures as they are compared.
        shares: one per painting, summing to 1.
        regions: masks (N, H, W) of where each painting paints, if not everywhere.
        initial: what to start from at full size; None: noise.
    """

    original: np.ndarray
    photo: np.ndarray
    paintings: tuple[np.ndarray, ...]
    shares: tuple[float, ...]
    regions: np.ndarray | None
    initial: np.ndarray | None
    settings: Settings

    @classmethod
    def of(
        cls,
        photo: ImageSource,
        styles: Sequence[ImageSource],
        settings: Settings,
        regions: ImageSource | None,
        initial: ImageSource | None,
    ) -> "_Job":
        _check(settings, len(styles))
        picture = images.load(photo)
        if settings.content_weight:
            picture = images.fit(picture, settings.size)
        else:
            picture = picture.resize(_fitted(*picture.size, settings), Image.Resampling.LANCZOS)
        original = images.to_array(picture)
        if min(original.shape[:2]) < images.MIN_SIDE:
            raise BadInput(
                f"At size {settings.size} this photo is only {_size(original)} pixels: choose a larger size."
            )
        paintings = tuple(images.to_array(images.load(style)) for style in styles)
        shares = fast.style_shares(len(styles), settings.style_weights) if styles else ()
        if regions is not None and not styles:
            raise BadInput("There is no painting for the regions: choose one, or leave the regions out.")
        masks = None if regions is None else label_map.read(regions, len(styles), original.shape[1::-1])
        match settings.colours:
            case "match":
                paintings = tuple(
                    np.clip(colour.match_colours(p, original, settings.match_method), 0, 1) for p in paintings
                )
            case "histogram":
                paintings = tuple(colour.match_histograms(p, original) for p in paintings)
            case "luma":
                # Gatys et al. 2016 (arXiv 1606.05897), section 4: the painting's luma gets the photo's mean and spread.
                grey = colour.luma(original)
                paintings = tuple(_grey(colour.match_colours(colour.luma(p), grey)) for p in paintings)
        content = _grey(colour.luma(original)) if settings.colours == "luma" else original
        job = cls(original, content, paintings, shares, masks, None, settings)
        return replace(job, initial=job._initial(initial))

    def _initial(self, initial: ImageSource | None) -> np.ndarray | None:
        height, width = self.photo.shape[:2]
        how = self.settings.init
        if initial is not None:
            start = images.to_array(images.load(initial).resize((width, height), Image.Resampling.LANCZOS))
        elif how == "noise":
            return None
        elif how == "content" or not self.paintings:
            start = self.photo
        elif how == "style":
            start = np.clip(pyramid.resize(self.paintings[0], (height, width)), 0, 1)
        else:
            start = self._fast()
        return _grey(colour.luma(start)) if self.settings.colours == "luma" else start

    def _fast(self) -> np.ndarray:
        options = dict(size=max(64, *self.photo.shape), precision=self.settings.precision)
        if self.regions is None:
            return images.to_array(fast.stylize(self.photo, *self.paintings, style_weights=self.shares, **options))
        each = [images.to_array(fast.stylize(self.photo, p, **options)) for p in self.paintings]
        parts = label_map.soften(self.regions)
        parts = parts / np.maximum(parts.sum(0), 1e-6)
        return np.sum(parts[..., None] * each, axis=0, dtype=np.float32)

    def masks(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Return the regions at one size, (N, H, W), or None."""
        if self.regions is None:
            return None
        return np.clip(np.moveaxis(pyramid.resize(np.moveaxis(self.regions, 0, -1), shape), -1, 0), 0, 1)

    def start(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the picture to start from at one size."""
        if self.initial is not None:
            return np.clip(pyramid.resize(self.initial, shape), 0, 1)
        noise = _noise(shape, self.settings.seed)
        return _grey(colour.luma(noise)) if self.settings.colours == "luma" else noise

    def cover(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Return how far the paintings cover the photo, (H, W, 1), or None: everywhere."""
        masks = self.masks(shape)
        return None if masks is None else label_map.cover(masks)

    def blend(self, picture: np.ndarray, cover: np.ndarray | None) -> np.ndarray:
        """Lay a picture over the photo, which shows where no painting has a region."""
        if cover is None:
            return picture
        photo = np.clip(pyramid.resize(self.photo, picture.shape[:2]), 0, 1)
        return photo + cover * (picture - photo)

    def carried(self, state: State, shape: tuple[int, int]) -> State:
        """Take a state to the next size.

        What changed is enlarged and added to the start at the new size, which so keeps its own detail.
        """

        def resize(array: np.ndarray) -> np.ndarray:
            return pyramid.resize(array, shape)

        picture = _shown(state)
        if self.initial is None:
            picture = resize(picture)
        else:
            picture = self.start(shape) + resize(picture - self.start(picture.shape[:2]))
        return State(state.iteration, np.clip(picture, 0, 1), state.optimiser.resized(resize), self.settings)

    def loss(self, shape: tuple[int, int]) -> Objective:
        """Return the loss of pictures of one size."""
        settings, masks = self.settings, self.masks(shape)
        spec = _spec(settings, 0 if masks is None else len(masks))
        layers = np.float32(spec.style and settings.style_layer_weights or [1.0] * len(spec.style))
        style_weight = settings.style_weight * 10 ** (2 * settings.strength - 1)
        weights = Weights(
            np.float32([settings.content_weight, style_weight, settings.denoise_weight]),
            layers / max(layers.sum(), 1e-12),
            # Shares mix paintings in the target; with regions they weigh one region against another.
            np.float32([1] if masks is None else self.shares),
        )
        seen = round(max(shape) * settings.style_scale)
        style = objective.style_targets(spec, self.paintings, self.shares, seen, settings.tile_size)
        photo = np.clip(pyramid.resize(self.photo, shape), 0, 1)
        return Objective(spec, photo, style, weights, masks, settings.tile_size)

    def chain(self, gradient: np.ndarray, cover: np.ndarray | None) -> np.ndarray:
        """Take a gradient back through ``blend``, and, of a grey picture, to its one value per pixel."""
        if self.settings.colours == "luma":
            gradient = np.repeat(gradient.mean(-1, keepdims=True), 3, axis=-1)
        return gradient if cover is None else gradient * cover

    def finished(self, picture: np.ndarray) -> Image.Image:
        """Return the picture as it is shown: at full size, with the photo's chroma where that was asked for."""
        picture = np.clip(pyramid.resize(picture, self.photo.shape[:2]), 0, 1)
        if self.settings.colours == "luma":
            picture = colour.with_luma(self.original, colour.luma(picture))
        return images.to_image(picture)


def _check(settings: Settings, styles: int) -> None:
    if settings.style_weight and not styles:
        raise BadInput("Choose a painting, or set the style weight to 0.")
    if not settings.style_weight and not settings.content_weight:
        raise BadInput("Give content or style a weight above 0: there is nothing to paint.")
    if settings.style_layer_weights and len(settings.style_layer_weights) != len(settings.style_layers):
        raise BadInput(
            f"There are {len(settings.style_layers)} style layers and {len(settings.style_layer_weights)} weights: "
            "give one weight to each layer."
        )
    weights = settings.style_layer_weights
    if weights and (min(weights) < 0 or max(weights) == 0):
        raise BadInput("Style layer weights are 0 or more, and at least one is more than 0.")
    for kind in ("content", "style"):
        if getattr(settings, f"{kind}_weight") and not getattr(settings, f"{kind}_layers"):
            raise BadInput(f"Choose a {kind} layer, or set the {kind} weight to 0.")
    if settings.scaling != "relative" and settings.style_loss != "gram":
        raise BadInput("The paper compares Gram matrices: choose the gram style loss, or the relative loss scale.")


def _grey(luma: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(luma, 0, 1), 3, axis=-1).astype(np.float32)


def _noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return white noise (H, W, 3): normal around mid-grey, of deviation 1/4, truncated to [0, 1]."""
    from scipy.special import ndtr, ndtri

    uniform = np.random.default_rng(seed).uniform(ndtr(-2), ndtr(2), (*shape, 3))
    return np.float32(0.5 + ndtri(uniform) / 4)


def _spec(settings: Settings, regions: int) -> Spec:
    return Spec(
        settings.network,
        settings.pooling,
        compute_dtype(settings.precision),
        settings.content_layers if settings.content_weight else (),
        settings.style_layers if settings.style_weight else (),
        regions,
        settings.style_loss,
        settings.scaling,
    )
