"""Trains the landscape painter: SPADE generator and style encoder against patch and feature discriminators.

Losses are those of Park et al. 2019 (arXiv 1903.07291, appendix A): hinge, feature matching, VGG, and KL of the
encoder; discriminators learn faster (Heusel et al. 2017, arXiv 1706.08500: two time scales), Adam has no momentum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from scipy.cluster import vq
from scipy.spatial.distance import cdist

from pipeline import spade, vgg

from . import augment, core, discriminators, landscapes

WARM_UP = 200
DECAY = 0.4  # the last part of the time, in which the learning rate falls
LAST_RATE = 0.05
# Park et al. 2019's weights of VGG's layers.
PERCEPTUAL_TAPS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
TAPS = tuple({**PERCEPTUAL_TAPS, **discriminators.TAPS})
STYLES = 64
COLUMNS = 3  # styles per label map in a sheet
RARE = 0.02  # of the pixels

CARD = """Paints a landscape from a map of 16 classes, in one pass. Code: `pipeline/spade.py`; losses:
`training/painter.py`.

- **Generator**: SPADE; the label map, a style code of 64 numbers and 8 channels of noise in, RGB out, at any multiple
  of 64 pixels. **Encoder**: a photo's style code.
- **Styles**: codes of training photos, the nearest to the centres of k-means, with the class shares of those photos;
  numbers only, no pictures.
- **Known failures**: classes of which the photos show little come out roughest (of all pixels: {rare}); a layout that
  no photo has, such as sea above sky, is painted as its surroundings suggest; people and animals are not among
  the classes."""


@dataclass(frozen=True, kw_only=True)
class Options(core.Options):
    """Train the landscape painter."""

    data: Path
    """Photos with label maps: a zip, as training/landscapes.py describes it."""
    minutes: float = 30
    """What the whole training may take."""
    size: int = 256
    """Side of the pictures in pixels, a multiple of 64."""
    photo_size: int = 0
    """Side at which photos are read, where pictures are crops of them; 0: that of the pictures."""
    batch: int = 16
    """Pictures per step."""
    generator_rate: float = 2e-4
    """Learning rate of generator and encoder."""
    critic_rate: float = 4e-4
    """Learning rate of the discriminators."""
    channels: tuple[int, ...] = spade.CHANNELS
    """Output channels of the generator's blocks."""
    critic_width: int = 64
    """Channels of the discriminators' first layer."""
    perceptual: float = 10
    """Weight of the distance of VGG features."""
    matching: float = 5
    """Weight of the distance of discriminator features, relative to their size."""
    kl: float = 0.01
    """Weight of the codes' distance from a normal distribution."""
    heads: float = 0.5
    """Weight of the discriminators on VGG features among the discriminators."""
    swap: float = 0.25
    """Share of pictures painted in another photo's style; only the discriminators judge those."""
    coarse: float = 0.3
    """Share of label maps that are rounded off like a doodle."""
    balance: float = 0.5
    """How much more often to show photos with rare classes, 0 to 1."""
    augment: float = 0.7
    """How often the discriminators see colours changed and a square cut out."""


def make_batch(
    data: landscapes.Landscapes, odds: np.ndarray, options: Options, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw all that is random in a step, so that both backends do the same with it."""
    count, size = options.batch, options.size
    pairs = []
    for i in rng.choice(len(odds), count, p=odds):
        labels = landscapes.coarse(data.labels[i]) if rng.random() < options.coarse else data.labels[i]
        pairs.append(landscapes.crop(data.photos[i], labels, options.size, rng))
    photos, labels = zip(*pairs, strict=True)
    return {
        "photo": np.stack(photos),
        "labels": np.stack(labels),
        "noise": rng.standard_normal((count, size, size, spade.NOISE), np.float32),
        "epsilon": rng.standard_normal((count, spade.CODE), np.float32),
        "swap": np.float32(rng.random(count) < options.swap),
        "augment": augment.draw(rng, count, size, options.augment),
    }


def one_hot(labels: Any) -> Any:
    return ops.one_hot(ops.cast(labels, "int32"), len(spade.CLASSES), dtype="float32")


def to_float(photo: Any) -> Any:
    return ops.cast(photo, "float32") / 255


def weighted_sum(logits: Mapping[str, Any], options: Options) -> Any:
    """Sum one loss per discriminator."""
    return sum(0.5 * (options.heads if name in discriminators.TAPS else 1) * value for name, value in logits.items())


def mean_where(x: Any, weight: Any) -> Any:
    """Average over the pictures (N, ...) of weight 1."""
    each = ops.mean(ops.reshape(ops.cast(x, "float32"), (x.shape[0], -1)), axis=1)
    return ops.sum(each * weight) / (ops.sum(weight) + 1e-6)


def perceptual_distance(painted: Mapping[str, Any], real: Mapping[str, Any], weight: Any) -> Any:
    """Return the mean distance of VGG features, layers weighted as in the paper."""
    return sum(
        factor * mean_where(ops.abs(painted[tap] - real[tap]), weight) for tap, factor in PERCEPTUAL_TAPS.items()
    )


def painter_loss(params: Any, critic: Any, vgg16: Any, batch: Any, real: Any, options: Options, dtype: str) -> tuple:
    """Return the loss of generator and encoder, and the painted pictures for the discriminators' turn."""
    label_map, photo = one_hot(batch["labels"]), to_float(batch["photo"])
    mean, log_variance = spade.encode(photo, params, dtype)
    log_variance = ops.clip(log_variance, -8, 3)
    kl = 0.5 * ops.mean(ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=-1))
    code = mean + ops.exp(0.5 * log_variance) * batch["epsilon"]
    code = ops.where(batch["swap"][:, None] > 0, ops.roll(code, 1, axis=0), code)
    picture = spade.generate(label_map, code, batch["noise"], params, dtype)

    painted = {"image": augment.pictures(picture, batch["augment"])}
    painted["features"] = vgg.features(painted["image"], TAPS, tensors=vgg16, dtype=dtype)
    logits, maps = discriminators.judge(painted["image"], real["labels"], painted["features"], critic, dtype)
    adversarial = weighted_sum({name: -ops.mean(value) for name, value in logits.items()}, options)
    # A picture in another photo's style has no original to compare with.
    own = 1 - batch["swap"]
    perceptual = perceptual_distance(painted["features"], real["features"], own)
    # Relative distances: a discriminator whose features grow does not gain weight.
    matching = 0.5 * sum(
        mean_where(ops.abs(a - b), own) / (ops.mean(ops.abs(ops.cast(b, "float32"))) + 1e-3)
        for a, b in zip(maps, real["maps"], strict=True)
    )
    loss = adversarial + options.perceptual * perceptual + options.matching * matching + options.kl * kl
    report = {"adversarial": adversarial, "perceptual": perceptual, "matching": matching, "kl": kl}
    report |= {"code_std": ops.mean(ops.std(mean, axis=0)), "picture_std": ops.std(picture)}
    return loss, (report, painted)


def critic_loss(
    params: Any, vectors: Any, painted: Any, real: Any, options: Options, dtype: str
) -> tuple[Any, tuple[dict, dict]]:
    """Return the discriminators' hinge loss, and the vectors of spectral norm after the step."""
    tensors, vectors = discriminators.spectral_norm(params, vectors)
    fake, _ = discriminators.judge(painted["image"], real["labels"], painted["features"], tensors, dtype)
    true, _ = discriminators.judge(real["image"], real["labels"], real["features"], tensors, dtype)
    hinge = {name: ops.mean(ops.relu(1 + fake[name])) + ops.mean(ops.relu(1 - true[name])) for name in fake}
    report = {"critic": weighted_sum(hinge, options)}
    for name in fake:
        report |= {f"{name}_real": ops.mean(true[name]), f"{name}_painted": ops.mean(fake[name])}
    return report["critic"], (report, vectors)


def step(state: Any, vgg16: Any, batch: Any, rate: Any, *, options: Options, dtype: str) -> tuple[Any, dict]:
    """Take one step of painter and discriminators; both see the same pictures through the same changes."""
    adam = core.Adam(beta_1=0, beta_2=0.9)
    tensors, _ = discriminators.spectral_norm(state["critic"], state["vectors"])
    real = {"labels": augment.labels(one_hot(batch["labels"]), batch["augment"])}
    real["image"] = augment.pictures(to_float(batch["photo"]), batch["augment"])
    real["features"] = vgg.features(real["image"], TAPS, tensors=vgg16, dtype=dtype)
    _, real["maps"] = discriminators.judge(real["image"], real["labels"], real["features"], tensors, dtype)

    differentiated = core.value_and_grad(partial(painter_loss, options=options, dtype=dtype))
    (_, (report, painted)), gradients = differentiated(state["painter"], tensors, vgg16, batch, real)
    painter, painter_adam = adam.update(
        gradients, state["painter_adam"], state["painter"], options.generator_rate * rate
    )
    differentiated = core.value_and_grad(partial(critic_loss, options=options, dtype=dtype))
    (_, (critic_report, vectors)), gradients = differentiated(state["critic"], state["vectors"], painted, real)
    critic, critic_adam = adam.update(gradients, state["critic_adam"], state["critic"], options.critic_rate * rate)
    taken = (
        painter_adam["count"] - state["painter_adam"]["count"] + critic_adam["count"] - state["critic_adam"]["count"]
    )
    after = {
        "painter": painter,
        "painter_adam": painter_adam,
        "average": core.average(state["average"], painter, painter_adam["count"]),
        "critic": critic,
        "critic_adam": critic_adam,
        "vectors": vectors,
    }
    return after, report | critic_report | {"skipped": 2 - taken}


def initial_state(options: Options) -> dict[str, Any]:
    painter = spade.initialise(options.seed, options.channels)
    critic, vectors = discriminators.initialise(options.seed, options.critic_width)
    return {
        "painter": painter,
        "painter_adam": core.Adam.initial(painter),
        "average": painter,
        "critic": critic,
        "critic_adam": core.Adam.initial(critic),
        "vectors": vectors,
    }


def rate(step: int, progress: float) -> np.float32:
    """Return the factor of the learning rates."""
    late = max(0.0, (progress - (1 - DECAY)) / DECAY)
    return np.float32(min(1, (step + 1) / WARM_UP) * (1 - (1 - LAST_RATE) * late))


class Painter:
    """The averaged network in use: what sheets, measures and the bank of styles are made with."""

    def __init__(self, tensors: Mapping[str, Any], dtype: str) -> None:
        self.tensors = tensors
        self._encode = core.compiled(lambda photo, tensors: spade.encode(to_float(photo), tensors, dtype)[0])
        self._paint = core.compiled(
            lambda labels, code, noise, tensors: spade.generate(one_hot(labels), code, noise, tensors, dtype)
        )

    def codes(self, photos: np.ndarray) -> np.ndarray:
        """Encode photos, uint8 (N, H, W, 3): (N, 64)."""
        parts = np.array_split(photos, -(-len(photos) // 32))
        return np.concatenate([ops.convert_to_numpy(self._encode(part, self.tensors)) for part in parts])

    def paint(self, labels: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Paint one label map (H, W) in several styles: (N, H, W, 3) in [0, 1]."""
        noise = np.random.default_rng(0).standard_normal((1, *labels.shape, spade.NOISE), np.float32)
        labels, noise = (np.repeat(x, len(codes), axis=0) for x in (labels[None], noise))
        return ops.convert_to_numpy(self._paint(labels, codes, noise, self.tensors))


def style_bank(codes: np.ndarray, shares: np.ndarray) -> dict[str, np.ndarray]:
    """Choose codes that stand for all: of each cluster of k-means the one next to the centre, and its class shares."""
    centres, _ = vq.kmeans2(codes.astype(float), min(STYLES, len(codes)), minit="++", seed=0)
    chosen = np.unique(cdist(centres, codes).argmin(1))
    return {"styles.codes": codes[chosen], "styles.shares": shares[chosen]}


def alike(shares: np.ndarray, bank: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Return the bank's codes of the photos whose classes are most like these shares (16,): (count, 64)."""
    distance = cdist(shares[None], bank["styles.shares"], "cosine")[0]
    return bank["styles.codes"][np.argsort(distance)[:count]]


def class_colours(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean colour of each class in a picture (H, W, 3) in [0, 1]: (16, 3), NaN where it takes under 1%."""
    masks = [labels == c for c in range(len(spade.CLASSES))]
    return np.stack([image[mask].mean(0) if mask.mean() > 0.01 else np.full(3, np.nan) for mask in masks])


def exhibit(painter: Painter, data: landscapes.Landscapes, bank: Mapping[str, np.ndarray]) -> tuple[Any, Any, dict]:
    """Paint the held-out label maps and the doodles.

    Returns:
        A sheet of the held-out, with their photos (not to be shown where those may not); one of the doodles; and
        measures on the held-out: mean error of a class's mean colour, mean difference between two styles of one map.
    """
    own = painter.codes(data.held_photos)
    rows, doodles, errors, spread = [], [], [], []
    for labels, photo, code in zip(data.held_labels, data.held_photos / 255, own, strict=True):
        codes = alike(landscapes.shares(labels[None])[0], bank, COLUMNS - 1)
        painted = painter.paint(labels, np.concatenate([code[None], codes]))
        errors.append(np.nanmean(np.abs(class_colours(painted[0], labels) - class_colours(photo, labels))))
        spread.append(np.abs(painted[0] - painted[-1]).mean())
        rows.append([spade.PALETTE[labels] / 255, *painted, photo])
    for labels in data.doodles:
        painted = painter.paint(labels, alike(landscapes.shares(labels[None])[0], bank, COLUMNS))
        doodles.append([spade.PALETTE[labels] / 255, *painted])
    measured = {"colour error": np.mean(errors), "difference of styles": np.mean(spread)}
    return core.sheet(rows), core.sheet(doodles), measured


def export(tensors: Any, data: landscapes.Landscapes, dtype: str, run: core.Run) -> None:
    """Write weights, manifest entry, sheets and model card."""
    painter = Painter(tensors, dtype)
    shares = landscapes.shares(data.labels)
    bank = style_bank(painter.codes(data.photos), shares)
    everything, doodles, measured = exhibit(painter, data, bank)
    everything.save(run.out / "held_out.jpg", quality=88)
    seen = shares.mean(0)
    rare = ", ".join(f"{spade.CLASSES[c]} {seen[c]:.1%}" for c in np.argsort(seen) if seen[c] < RARE)
    run.export("painter", core.arrays(tensors) | bank, CARD.format(rare=rare), measured, doodles)


def train(options: Options) -> None:
    """Train, and leave weights, model card and sheets in the run's folder."""
    multiple = max(2 ** (len(options.channels) - 1), *discriminators.TAPS.values())
    for size in (options.size, options.photo_size):
        if size % multiple:
            raise SystemExit(f"Pictures of {size} pixels can't be halved that often: give a multiple of {multiple}.")
    run = core.Run(options)
    data = landscapes.read(options.data, options.photo_size or options.size)
    odds = landscapes.odds(landscapes.shares(data.labels), options.balance)
    dtype = core.compute_dtype()
    state = run.resumed(initial_state(options))
    # VGG is an argument, as what a compiled function closes over would be compiled in.
    compiled = core.compiled(partial(step, options=options, dtype=dtype))
    vgg16 = core.tensors(dict(vgg.load()))
    for batch in run.batches(partial(make_batch, data, odds, options)):
        state, report = compiled(state, vgg16, batch, rate(run.step, run.progress))
        if run.log(report, options.batch):
            run.checkpoint(state)
    run.checkpoint(state)
    export(state["average"], data, dtype, run)
