"""Hybrid: one picture from close by, another from afar.

The picture is found by fitting its pixels: sharply to the near picture, and, blurred in linear light, to the far
picture's blur (``hybrid_solvers.py``). Oliva, Torralba & Schyns 2006, "Hybrid images", add a low-pass of one to a
high-pass of the other; that is the solver ``classic``.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from . import align, colour, distance, hybrid_solvers, images
from .blur import Border, blur, gaussian_kernel
from .errors import BadInput
from .hybrid_solvers import Iterates, Objective
from .images import ImageSource
from .settings import Settings as Base
from .settings import limits, setting
from .step import Step, last

TITLE = "Hybrid"
NETWORKS = ()

# At distance d the eye judges by the band around this many cycles per pixel of what is left of the picture. Fitted to
# where the scores said that B takes over: right within a quarter on the three pairs of the tests, for three widths of
# blur and three weights; a near picture with little detail gives way up to twice as close.
BAND = 0.28
# The weight of the near picture in the middle of the balance, as in the article; 5 times that at the end.
MIDDLE_WEIGHT = 0.1
BALANCE_BASE = 5.0


# What a preset does not mention keeps its default.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "walk away": {},
    "a few steps back": dict(flip_distance=4),
    "across the room": dict(flip_distance=10),
    "in grey": dict(colours="grey"),
    "classic": dict(solver="classic"),
    "as in the article": dict(
        size=512,
        solver="descent",
        start="grey",
        stop_at_best=False,
        headroom=False,
        sigma=3,
        kernel_size=15,
        m_precise=0.1,
        border="black",
        learning_rate=0.3,
    ),
}


@dataclass(frozen=True)
class Settings(Base):
    """What a user can choose; the defaults are those of page, command line and API alike."""

    presets: ClassVar = PRESETS
    preset: Literal[tuple(PRESETS)] = setting(
        next(iter(PRESETS)),
        "Preset",
        "Sets of values: it fills in what you do not set yourself.",
    )
    flip_distance: float = setting(
        6.0,
        "Flip distance",
        "The far picture takes over when all is seen this many times smaller than 512 pixels (sets the blur, sigma).",
        minimum=1.5,
        maximum=16,
        step=0.5,
    )
    balance: float = setting(
        0.0,
        "Balance",
        "Towards the far picture (-1) or the near one (1) in what both share (sets the near picture's weight).",
        minimum=-1,
        maximum=1,
        step=0.1,
    )
    colours: Literal["both", "near", "far", "grey"] = setting(
        "both", "Colours", "Whose colours: of both pictures, of one, or none."
    )
    swap: bool = setting(False, "Swap", "Exchange the near and the far picture.")
    size: int = setting(
        768,
        "Size",
        "Longest side of the result in pixels; a smaller near picture is not enlarged.",
        minimum=64,
        maximum=2048,
        step=64,
    )
    flip: bool = setting(False, "Mirror", "Mirror the far picture, left to right.")
    nudge_x: float = setting(
        0.0,
        "Nudge right",
        "Move the far picture, as a share of the longest side.",
        minimum=-0.5,
        maximum=0.5,
        step=0.005,
    )
    nudge_y: float = setting(
        0.0,
        "Nudge down",
        "Move the far picture, as a share of the longest side.",
        minimum=-0.5,
        maximum=0.5,
        step=0.005,
    )
    zoom: float = setting(1.0, "Zoom", "Enlarge the far picture about the middle.", minimum=0.25, maximum=4, step=0.01)
    near_points: tuple[float, ...] = setting(
        (),
        "Points on the near picture",
        "Two or three points x y x y …, each as shares of width and height, to align by; none: fit and crop.",
    )
    far_points: tuple[float, ...] = setting(
        (), "Points on the far picture", "The same places on the far picture, in the same order."
    )
    frame: Literal["common", "near"] = setting(
        "common",
        "Frame",
        "Crop to what both pictures fill (common), or keep the near picture, alone where the far one ends (near).",
    )
    solver: Literal["fista", "adam", "descent", "fourier", "classic"] = setting(
        "fista",
        "Solver",
        "How the picture is found: FISTA on its pixels, Adam, the article's gradient descent, one Fourier filter, or "
        "low-pass plus high-pass (classic).",
    )
    start: Literal["fourier", "near", "grey"] = setting(
        "fourier", "Start", "What an iterative solver starts from: the Fourier filter's picture, the near one, or grey."
    )
    stop_at_best: bool = setting(
        True,
        "Stop at the best picture",
        "Stop before detail turns into halftone dots, which lower the loss (early stopping).",
    )
    steps: int = setting(200, "Steps", "Most iterations to run.", minimum=1, maximum=2000, step=1)
    headroom: bool = setting(
        True, "Keep detail from clipping", "Lower the contrast of both pictures until their mix fits (headroom)."
    )
    sigma: float = setting(
        0.0,
        "Blur",
        "Standard deviation of the far picture's blur in pixels (sigma); 0: from the flip distance.",
        minimum=0,
        maximum=64,
        step=0.5,
    )
    kernel_size: int = setting(
        0,
        "Blur kernel",
        "Pixels that the blur reaches over, odd; 0: three sigma each way.",
        minimum=0,
        maximum=401,
        step=1,
    )
    m_precise: float = setting(
        0.0,
        "Near weight",
        "Weight of the sharp likeness (m_precise); 0: from the balance.",
        minimum=0,
        maximum=10,
        step=0.01,
    )
    m_blurred: float = setting(
        1.0, "Far weight", "Weight of the blurred likeness (m_blurred).", minimum=0.01, maximum=10, step=0.01
    )
    gamma: float = setting(
        2.2, "Gamma", "Exponent from display values to linear light.", minimum=1, maximum=4, step=0.1
    )
    border: Border = setting(
        "mirror", "Border", "What the blur sees beyond the picture: its mirror image, or black, which can draw a frame."
    )
    learning_rate: float = setting(
        0.0,
        "Learning rate",
        "Size of a step; 0: 0.3 for descent, 0.05 for Adam, and for FISTA 0.5 over the sum of weights.",
        minimum=0,
        maximum=10,
        step=0.01,
    )
    low_cutoff: float = setting(
        16.0,
        "Low-pass cutoff",
        "Classic only: where half of the far picture is gone, in cycles per longest side.",
        minimum=1,
        maximum=128,
        step=1,
    )
    high_cutoff: float = setting(
        24.0,
        "High-pass cutoff",
        "Classic only: where half of the near picture is there, in cycles per longest side.",
        minimum=1,
        maximum=128,
        step=1,
    )


def combine(near: ImageSource, far: ImageSource, **options: Any) -> Image.Image:
    """Return a picture that shows one picture from close by and another from afar.

    Args:
        near: the picture for close by.
        far: the picture for afar.
        options: any field of ``Settings``.

    Returns:
        Mode RGB, with the shape of the near picture.

    Raises:
        BadInput: see ``run``.
    """
    return last(run(near, far, Settings(**options))).image


def run(near: ImageSource, far: ImageSource, settings: Settings | None = None) -> Iterator[Step]:
    """Find a picture that shows one picture from close by and another from afar.

    Args:
        near: the picture for close by; its shape is that of the result.
        far: the picture for afar.
        settings: defaults where None.

    Yields:
        One step per iteration, with the losses ``total`` (weighted), ``precise`` and ``blurred`` of its picture. With
        ``stop_at_best`` they end before the first one that looks worse.

    Raises:
        BadInput: a picture can't be used, points do not align, or the weights leave no flip distance.
    """
    settings = settings or Settings()
    started = time.perf_counter()
    objective, closed = _problem(aligned(near, far, settings), settings)
    iterates = _iterates(objective, closed, settings)
    total = settings.steps if settings.solver in ("fista", "adam", "descent") else 1
    misfit = _misfit(objective) if settings.stop_at_best and total > 1 else None
    least = float("inf")
    for iteration, (u, losses) in enumerate(itertools.islice(iterates, total), 1):
        if misfit:
            now = misfit(u, losses["blurred"])
            if now > least:
                return
            least = now
        image = images.to_image(u.transpose(1, 2, 0) if len(u) == 3 else u[0]).convert("RGB")
        seconds = time.perf_counter() - started
        note = f"{image.width}x{image.height} in {seconds:.1f} s, {settings.solver}, loss {losses['total']:.0f}"
        yield Step(image, iteration, total, losses, seconds, note)


@dataclass(frozen=True)
class Aligned:
    """Two pictures laid over each other.

    Attributes:
        near: mode RGB.
        far: mode RGB, same size.
        marks: the points that they were aligned by, (x, y) in pixels, shape (n, 2).
    """

    near: Image.Image
    far: Image.Image
    marks: np.ndarray

    def overlay(self) -> Image.Image:
        """Return both half and half, with the marks numbered."""
        return align.numbered(Image.blend(self.near, self.far, 0.5), self.marks)


def aligned(near: ImageSource, far: ImageSource, settings: Settings | None = None) -> Aligned:
    """Return both pictures as they will be laid over each other.

    Without points the far picture covers the near one and is cropped. ``flip`` mirrors it in the frame, or, with
    points, about the middle of the first two, which then change places as eyes do in a mirror.

    Raises:
        BadInput: a picture can't be used, or the points can't be aligned by.
    """
    settings = settings or Settings()
    inputs = [(images.load(near), settings.near_points), (images.load(far), settings.far_points)]
    (first, targets), (second, matching) = reversed(inputs) if settings.swap else inputs
    matching, targets = align.points(matching, second.size), align.points(targets, first.size)
    if len(targets) or len(matching):
        if settings.flip:
            matching[:2] = matching[1::-1].copy()
        laid = align.match(matching, targets, mirrored=settings.flip)
    else:
        laid = align.cover(second.size, first.size)
        if settings.flip:
            laid = align.compose(align.mirror(first.width), laid)
    longest = max(first.size)
    moved = align.zoom(first.size, settings.zoom, (settings.nudge_x * longest, settings.nudge_y * longest))
    laid = align.compose(moved, laid)

    left, top, right, bottom = 0, 0, *first.size
    if settings.frame == "common":
        centre = targets.mean(0) if len(targets) else np.array(first.size) / 2
        left, top, right, bottom = align.common(second.size, laid, first.size, centre)
    if min(right - left, bottom - top) < images.MIN_SIDE:
        raise BadInput("Aligned like this the pictures share almost nothing: choose other points, or nudge less.")
    # A crop is enlarged to the size of the whole: the distances of the scores start where a picture fills the view.
    shape = images.fitted(first.size, settings.size)
    to_frame = align.resize((left, top, right, bottom), shape)
    base = first.resize(shape, Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    marks = targets @ to_frame[:, :2].T + to_frame[:, 2]
    return Aligned(base, align.warp(second, align.compose(to_frame, laid), base), marks)


def weights(settings: Settings) -> tuple[float, float]:
    """Return m_precise and m_blurred: as set, or from the balance."""
    precise = settings.m_precise or settings.m_blurred * MIDDLE_WEIGHT * BALANCE_BASE**settings.balance
    return precise, settings.m_blurred


def sigma(settings: Settings, longest: int) -> float:
    """Return the standard deviation of the blur in pixels: as set, or from the flip distance.

    Sharp and blurred likeness pull equally where the blur's squared gain is the ratio of weights, at
    sqrt(ln(m_blurred / m_precise)) / (2 pi sigma) cycles per pixel; there ``BAND`` is to be at the flip distance.

    Args:
        settings: the flip distance and the weights.
        longest: longest side of the picture in pixels.

    Raises:
        BadInput: the near weight reaches the far one, so that the far picture takes over nowhere.
    """
    if settings.sigma:
        return settings.sigma
    # The classic filters have no weights; there the blur only tells what is seen from afar.
    precise, blurred = weights(Settings() if settings.solver == "classic" else settings)
    if precise >= blurred:
        raise BadInput("The near weight must be below the far weight, or the far picture never takes over: lower it.")
    per_view = settings.flip_distance * np.sqrt(np.log(blurred / precise)) / (2 * np.pi * BAND)
    return float(per_view * longest / distance.VIEW)


def crossover(settings: Settings, longest: int) -> float | None:
    """Return the frequency, in cycles per longest side, above which the near picture wins; None where it always does.

    For ``classic`` it lies between the cutoffs.
    """
    if settings.solver == "classic":
        return float(np.sqrt(settings.low_cutoff * settings.high_cutoff))
    precise, blurred = weights(settings)
    if precise >= blurred:
        return None
    return float(longest * np.sqrt(np.log(blurred / precise)) / (2 * np.pi * sigma(settings, longest)))


def score(
    result: Image.Image, near: ImageSource, far: ImageSource, settings: Settings | None = None
) -> tuple[distance.Scores, str]:
    """Measure whether a result reads as one picture from close by and as the other from afar.

    Args:
        result: the last step's picture.
        near: the near picture that ``run`` had.
        far: its far picture.
        settings: its settings.

    Returns:
        The scores, and a sentence: what they say, and what to change where a test fails.
    """
    settings = settings or Settings()
    pair = aligned(near, far, settings)
    scores = distance.score(result, pair.near, pair.far)
    return scores, _advice(scores, settings)


def _advice(scores: distance.Scores, settings: Settings) -> str:
    if scores.near_passes and scores.far_passes:
        return f"The far picture takes over when the near view is seen {scores.takeover:.1f} times smaller."
    # The flip distance is proportional to the blur, and to the inverse of the cutoffs.
    factor = 0.5 if scores.near_passes else 2
    precise, blurred = weights(settings)
    if settings.solver == "classic":
        what = "the cutoffs"
        wanted = dict(low_cutoff=settings.low_cutoff / factor, high_cutoff=settings.high_cutoff / factor)
    elif scores.near_passes and precise > blurred / 2:
        what, wanted = "the near weight (m_precise)", dict(m_precise=blurred * MIDDLE_WEIGHT)
    elif settings.sigma:
        what, wanted = "the blur (sigma)", dict(sigma=settings.sigma * factor)
    else:
        what, wanted = "the flip distance", dict(flip_distance=settings.flip_distance * factor)
    wanted = {name: float(np.clip(value, *limits(Settings, name))) for name, value in wanted.items()}
    if all(getattr(settings, name) == value for name, value in wanted.items()):
        change = f"{what} can't go further, so try other pictures"
    else:
        change = f"set {what} to {' and '.join(f'{value:g}' for value in wanted.values())}"
    if scores.near_passes:
        return f"From afar the near picture still wins: {change}."
    return f"From close by the far picture still wins: {change}."


def spectra(
    result: Image.Image, near: ImageSource, far: ImageSource, settings: Settings | None = None
) -> list[Image.Image]:
    """Return the spectra of the near picture, the far one and the result, with the crossover as a circle."""
    settings = settings or Settings()
    pair = aligned(near, far, settings)
    cutoff = crossover(settings, max(result.size))
    return [distance.spectrum(image, cutoff) for image in (pair.near, pair.far, result)]


def _problem(pair: Aligned, settings: Settings) -> tuple[Objective, np.ndarray]:
    """Return the objective, and what one filter makes of both pictures (values may leave [0, 1] without headroom)."""
    kernel = gaussian_kernel(sigma(settings, max(pair.near.size)), settings.kernel_size)
    near_planes, far_planes = _planes(pair, kernel, settings.colours)
    objective = Objective(near_planes, far_planes, kernel, *weights(settings), settings.gamma, settings.border)
    if settings.solver == "classic":
        closed = hybrid_solvers.classic(objective, settings.low_cutoff, settings.high_cutoff)
    else:
        closed = hybrid_solvers.fourier(objective)
    if not settings.headroom:
        return objective, closed
    # Both filters pass a mean and a scale through, so what fits their picture into [0, 1] can be done to A and B.
    low, high = np.percentile(closed[:, ::2, ::2], [0.1, 99.9])
    low, high = np.float32(min(low, 0)), np.float32(max(high, 1))
    near_planes, far_planes, closed = ((p - low) / (high - low) for p in (near_planes, far_planes, closed))
    return replace(objective, near=near_planes, far=far_planes), closed


def _planes(pair: Aligned, kernel: np.ndarray, colours: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both pictures as planes (3, H, W), or (1, H, W) in grey, with the colours to take."""
    a, b = images.to_array(pair.near), images.to_array(pair.far)
    if colours == "grey":
        a, b = colour.luma(a), colour.luma(b)
    elif colours == "near":
        b = colour.with_luma(a, colour.luma(b))
    elif colours == "far":
        # Blurred, or the far picture's outlines would show in colour from close by.
        tint = blur(np.ascontiguousarray(b.transpose(2, 0, 1)), kernel).transpose(1, 2, 0)
        a = colour.with_luma(tint, colour.luma(a))
    return tuple(np.ascontiguousarray(p.transpose(2, 0, 1)) for p in (a, b))


def _iterates(objective: Objective, closed: np.ndarray, settings: Settings) -> Iterates:
    if settings.solver in ("fourier", "classic"):
        u = np.clip(closed, 0, 1)
        return iter([(u, objective.losses(u))])
    starts = {"fourier": closed, "near": objective.near, "grey": np.full_like(closed, 0.5)}
    solve = getattr(hybrid_solvers, settings.solver)
    rate = (settings.learning_rate,) if settings.learning_rate else ()
    return solve(objective, starts[settings.start], *rate)


def _misfit(objective: Objective) -> Callable[[np.ndarray, float], float]:
    """Return what tells good pictures from bad: A's detail missing or wrong plus B's blur, as shares of their variance.

    The loss alone keeps falling while dark pixels split into halftone dots, whose light is right and whose detail
    is not A's.
    """
    fine = gaussian_kernel(distance.DETAIL_SIGMA * max(objective.near.shape) / distance.VIEW)
    least = 1e-5 * objective.near.size  # flat pictures have no variance to share

    def detail(planes: np.ndarray) -> float:
        return float(np.square(planes - blur(planes, fine)).sum())

    wanted = detail(objective.near) + least
    seen = objective.far_blurred
    variance = float(np.square(seen - seen.mean(axis=(1, 2), keepdims=True)).sum()) + least
    return lambda u, blurred: detail(u - objective.near) / wanted + blurred / variance
