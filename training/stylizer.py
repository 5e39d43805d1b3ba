"""Trains the stylizer: any painting onto any photo in one pass (``pipeline/stylizer.py``).

After Ghiasi et al. 2017 (arXiv 1705.06830), section 3, with the losses of Johnson et al. 2016 (arXiv 1603.08155) on
pairs of crops. Where this differs, comments say so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from pipeline import stylizer, vgg

from . import core, data

CONTENT_TAP = "relu4_1"
WARM_UP = 300  # steps
# Shares of the styles that are recoloured, of those that are inverted as well, and of pairs with the photo as style.
RECOLOURED, INVERTED, SAME = 0.5, 0.15, 0.08
MEASURED, MEASURED_BATCHES = ("statistics.mean", "statistics.std"), 32  # not learnt
SHEET = 6  # photos and paintings held back for the sheet

CARD = """Arbitrary style transfer in one pass. Code: `pipeline/stylizer.py`; losses: `training/stylizer.py`.

- **Style code**: VGG-16 statistics, standardised -> perceptron 512, 512, 256.
- **Transformer**: 4x4 pixels to a channel block, residual blocks at a quarter of the size, four pixels out of each at
  half of it; conditional instance norm from the code.
- **Known failures**: fine text and small faces dissolve; flat skies take on a texture where the painting has no calm
  area."""


@dataclass(frozen=True, kw_only=True)
class Options(core.Options):
    """Train the stylizer."""

    data: tuple[Path, Path]
    """Photos and paintings: each a folder or a zip of pictures."""
    minutes: float = 20
    """What the whole training may take."""
    size: int = 256
    """Side of the crops in pixels."""
    batch: int = 16
    """Pairs per step."""
    width: int = 96
    """Channels of the residual blocks."""
    blocks: int = 5
    """How many residual blocks."""
    rate: float = 1e-3
    """Learning rate."""
    content_weight: float = 1.0
    """Weight of the content loss; the style loss has 1."""


def train(options: Options) -> None:
    """Train, and leave weights, model card and sheet in the run's folder."""
    if options.size % stylizer.MULTIPLE:
        raise SystemExit(f"Give a --size that is a multiple of {stylizer.MULTIPLE}.")
    run = core.Run(options)
    photos, paintings = (data.pictures(source, options.size * 9 // 8) for source in options.data)
    held_out = [np.float32(p[-SHEET:, : options.size, : options.size]) / 255 for p in (photos, paintings)]
    photos, paintings = photos[:-SHEET], paintings[:-SHEET]
    if not len(photos) or not len(paintings):
        raise SystemExit(f"Give more than {SHEET} photos and {SHEET} paintings: that many are held back for the sheet.")
    dtype = core.compute_dtype()
    tensors = stylizer.initialise(options.seed, options.width, options.blocks)
    fixed = {name: tensors.pop(name) for name in MEASURED}
    adam = core.Adam(beta_2=0.99, clip=1.0)
    state = run.resumed({"params": tensors, "mean": tensors, "adam": adam.initial(tensors), "fixed": fixed})

    def batch(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        content = data.crops(photos, rng, options.batch, options.size)
        style = recoloured(data.crops(paintings, rng, options.batch, options.size), rng)
        same = rng.random(options.batch) < SAME
        style[same] = content[same]
        return content, style

    def features(vgg16: Any, image: Any) -> dict[str, Any]:
        return vgg.features(image, stylizer.TAPS, tensors=vgg16, dtype=dtype)

    def style_code(network: Any, seen: Any) -> Any:
        return stylizer.style_code(stylizer.style_statistics(seen), network)

    @core.compiled
    def statistics(vgg16: Any, style: Any) -> Any:
        return stylizer.style_statistics(features(vgg16, style))

    def judged(network: Any, vgg16: Any, content: Any, wanted: Any) -> tuple[Any, dict[str, Any]]:
        painted = stylizer.transform(content, style_code(network, wanted), network, dtype)
        found, there = features(vgg16, painted), features(vgg16, content)
        style_loss = sum(style_distance(found[tap], wanted[tap]) for tap in stylizer.TAPS)
        content_loss = content_distance(found[CONTENT_TAP], there[CONTENT_TAP])
        return painted, {"style": ops.mean(style_loss), "content": ops.mean(content_loss)}

    @core.compiled
    def paint(network: Any, vgg16: Any, content: Any, style: Any) -> tuple[Any, dict[str, Any]]:
        return judged(network, vgg16, content, features(vgg16, style))

    # Networks are arguments, as what a compiled function closes over would be compiled in.
    @core.compiled
    def step(state: Any, vgg16: Any, content: Any, style: Any, rate: Any) -> tuple[Any, Any]:
        wanted = features(vgg16, style)

        def objective(params: Any) -> tuple[Any, Any]:
            _, report = judged({**params, **state["fixed"]}, vgg16, content, wanted)
            return report["style"] + options.content_weight * report["content"], report

        (_, report), gradients = core.value_and_grad(objective)(state["params"])
        params, moments = adam.update(gradients, state["adam"], state["params"], rate)
        mean = core.average(state["mean"], params, moments["count"])
        return {"params": params, "mean": mean, "adam": moments, "fixed": state["fixed"]}, report

    def export() -> None:
        network = state["mean"] | state["fixed"]
        content, style = held_out
        rows, reports = [[np.ones_like(content[0]), *content]], []
        for painting in style:
            painted, report = paint(network, vgg16, content, np.repeat(painting[None], len(content), axis=0))
            rows.append([painting, *core.arrays(painted)])
            reports.append(report)
        measured = {f"{name} loss": np.mean([float(report[name]) for report in reports]) for name in reports[0]}
        run.export("stylizer", core.arrays(network), CARD, measured, core.sheet(rows))

    vgg16 = core.tensors(dict(vgg.load()))
    if not run.step:
        rng = np.random.default_rng(options.seed)
        seen = np.concatenate([core.arrays(statistics(vgg16, batch(rng)[1])) for _ in range(MEASURED_BATCHES)])
        state["fixed"] = core.tensors(dict(zip(MEASURED, (seen.mean(0), seen.std(0) + 1e-3), strict=True)))
    for content, style in run.batches(batch):
        # A cosine to 2 % over the time there is.
        rate = options.rate * min(1, (run.step + 1) / WARM_UP) * (0.51 + 0.49 * np.cos(np.pi * run.progress))
        state, report = step(state, vgg16, content, style, np.float32(rate))
        if run.log(report, options.batch):
            run.checkpoint(state)
    run.checkpoint(state)
    export()


def recoloured(styles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put some pictures (N, H, W, 3) through a random colour matrix: far more styles than there are paintings."""
    n = len(styles)
    matrix = np.eye(3) + 0.35 * rng.normal(size=(n, 3, 3))
    shift = 0.1 * rng.normal(size=(n, 1, 1, 3))
    mean = styles.mean((1, 2), keepdims=True)
    changed = np.einsum("nhwc,ncd->nhwd", styles - mean, matrix) + mean + shift
    changed = changed.clip(0, 1)
    inverted = rng.random(n) < INVERTED
    changed[inverted] = 1 - changed[inverted]
    return np.where((rng.random(n) < RECOLOURED)[:, None, None, None], changed, styles).astype(np.float32)


def style_distance(found: Any, wanted: Any) -> Any:
    """Compare mean and covariance of features (N, H, W, C) in units of the painting's: (N,).

    Covariance and mean instead of the paper's Gram matrix, which mixes both; and the logarithm keeps one flat painting,
    whose unit is tiny, from drowning the batch.
    """
    (mean, covariance), (wanted_mean, wanted_covariance) = _moments(found), _moments(wanted)
    spread = ops.sum(ops.square(covariance - wanted_covariance), (1, 2))
    spread = spread / (ops.sum(ops.square(wanted_covariance), (1, 2)) + 1e-3)
    trace = ops.sum(ops.diagonal(wanted_covariance, axis1=1, axis2=2), axis=1)
    return ops.log1p(spread + ops.sum(ops.square(mean - wanted_mean), 1) / (trace + 1e-3))


def content_distance(found: Any, wanted: Any) -> Any:
    """Compare features (N, H, W, C) place by place, in units of the photo's variance: (N,)."""
    found, wanted = ops.cast(found, "float32"), ops.cast(wanted, "float32")
    unit = ops.mean(ops.var(wanted, axis=(1, 2)), axis=-1) + 1e-3
    return ops.log1p(ops.mean(ops.square(found - wanted), axis=(1, 2, 3)) / unit)


def _moments(feature: Any) -> tuple[Any, Any]:
    n, h, w, c = feature.shape
    x = ops.reshape(ops.cast(feature, "float32"), (n, h * w, c))
    mean = ops.mean(x, axis=1)
    x = x - mean[:, None]
    return mean, ops.einsum("npc,npd->ncd", x, x) / (h * w)
