"""Trains the pixel artist: a photo becomes pixel art (``pipeline/unet.py``).

A CycleGAN (Zhu et al. 2017, arXiv 1703.10593) learns from photos and drawings that do not belong together: two
generators, discriminators on both sides, and what went there and back must be what it was. To this are added:

- Pairs: art enlarged, blurred, shaded, and overlaid with the texture of a photo, has to come back as it was. This
  teaches to flatten and to keep to the grid. It is all that the first part of the training does, as it is cheap.
- A drawing stays near the mean colours of its cells, outside a dead zone, and more strictly over 4x4 cells; and its
  colour changes from cell to cell as rarely as may be.

A photo is twice the size of its drawing. All random numbers are drawn by NumPy, so that every backend sees the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from PIL import Image
from scipy import ndimage

from pipeline import palettes, unet

from . import core, data, patch

NETWORK = "pixel_artist"
# Photos are seen at two sizes, in crops: as when their cells are many, and as when they are few.
PHOTO_SIDES = (9 / 4, 9 / 8)
WARM_UP = 100  # steps
CONSTANT = 0.6  # share of the training after which the rate falls to 0
MOMENTUM = 0.99  # of the moving average of the weights: a training on a CPU has few steps
POOL = 50  # drawings and photos of earlier steps
# Discriminators by the side of their fields, in pixels: what each judges, and its halvings.
JUDGES = {"art16": ("art", 1), "art34": ("art", 2), "photo70": ("photo", 3)}
# Deviation of noise that hides from the discriminators whether pixels are exactly equal, and of noise in cycles, so
# that nothing can be hidden in what looks flat.
DISGUISE_NOISE, ART_NOISE, PHOTO_NOISE = 0.015, 0.03, 0.02
DEAD_ZONE = 0.05  # how far a cell may be from its mean for nothing
CHANGE = 0.04  # a change of colour from cell to cell that counts as half of one
SAME = 2 / 255  # neighbours this near count as the same colour
CLEAN = 0.25  # share of the pairs that are enlarged and no more
HELD_PHOTOS, HELD_ART = 8, 24
SHEET_CELLS, SHEET_COLOURS = 96, 24

CARD = """Redraws a photo as pixel art. Code: `pipeline/unet.py`; losses: `training/pixel.py`.

- **Network**: a U-Net from a photo at twice the grid of cells to one colour per cell, three halvings and two doublings,
  instance norm; it paints a difference onto the photo's local mean. Cells of any size: the photo is resized first.
- **Losses**: CycleGAN with two discriminators of 16 and 34 pixels on the art and one of 70 on the photos; pairs of art
  and its worn twin; distance to the cells' means; few changes of colour.
- **Known failures**: small faces and text dissolve."""


@dataclass(frozen=True, kw_only=True)
class Options(core.Options):
    """Train the pixel artist."""

    data: tuple[Path, Path]
    """Photos and pixel art: each a folder, a zip or an .npz of pictures; of the art, one pixel is one cell."""
    minutes: float = 60
    """What the whole training may take."""
    size: int = 128
    """Side of the crops of photos in pixels, a multiple of 16 from 64; crops of art have half of it."""
    batch: int = 8
    """Photos, and drawings, per step."""
    width: int = 24
    """Channels of the network."""
    blocks: int = 3
    """How many residual blocks."""
    back_width: int = 12
    """Channels of the generator that goes back from art to photos."""
    judge_width: int = 48
    """Channels of the discriminators."""
    rate: float = 4e-4
    """Learning rate of the generators."""
    judge_pace: float = 3.0
    """How many times as fast the discriminators learn (two time-scale rule, Heusel et al. 2017)."""
    pairs: float = 0.3
    """Share of the training that sees pairs alone."""
    cycle_every: int = 1
    """Of so many steps after that one goes the whole cycle, and the others from photo to art alone."""
    gan_weight: float = 1.5
    """Weight of what the discriminators say: higher is bolder."""
    pair_weight: float = 8.0
    """Weight of the pairs: higher is flatter."""
    near_weight: float = 1.5
    """Weight of the distance to the cells' means: higher is more like the photo."""
    flat_weight: float = 1.0
    """Weight of changes of colour between neighbouring cells: higher has larger areas of one colour."""
    low_weight: float = 5.0
    """Weight of that distance over 4x4 cells: higher keeps colours."""
    cycle_art_weight: float = 10.0
    """Weight of the way from art to photo and back."""
    cycle_photo_weight: float = 1.0
    """Weight of the way from photo to art and back."""


def train(options: Options) -> None:
    """Train, and leave weights, model card, sheet and report in the run's folder."""
    if options.size % 16 or options.size < 64 or options.batch > 2 * POOL or options.cycle_every < 1:
        raise SystemExit(
            f"Give a --size that is a multiple of 16 and at least 64, a --batch of at most {2 * POOL}, and "
            "--cycle-every 1 or more."
        )
    run = core.Run(options)
    photos = [data.pictures(options.data[0], round(side * options.size)) for side in PHOTO_SIDES]
    art = data.drawings(options.data[1], options.size // 2)
    if len(photos[0]) <= HELD_PHOTOS or len(art) <= HELD_ART:
        raise SystemExit(f"Give more than {HELD_PHOTOS} photos and {HELD_ART} drawings: so many are held back.")
    order = np.random.default_rng(options.seed).permutation(len(photos[0]))
    held_out = photos[0][order[:HELD_PHOTOS]], art[-HELD_ART:]
    photos, art = [size[order[HELD_PHOTOS:]] for size in photos], art[:-HELD_ART]
    dtype = core.compute_dtype()

    def make(rng: np.random.Generator) -> dict[str, Any]:
        return batch(rng, photos, art, options)

    state = run.resumed(untrained(options, make(np.random.default_rng(options.seed))))
    steps = Steps(options, dtype)
    pair, cycle, way = (core.compiled(step) for step in (steps.pair, steps.cycle, steps.way))

    for drawn in run.batches(make):
        rate = options.rate * min(1, (run.step + 1) / WARM_UP, max(0.02, (1 - run.progress) / (1 - CONSTANT)))
        step = pair if run.progress < options.pairs else way if run.step % options.cycle_every else cycle
        state, report = step(state, drawn, np.float32(rate))
        if run.log(report, options.batch):
            run.checkpoint(state)
    run.checkpoint(state)
    sheet, report = judged(state["mean"], *held_out, dtype)
    (options.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    measured = {f"{name}: {key}": value for name, values in report.items() for key, value in values.items()}
    run.export(NETWORK, core.arrays(state["mean"]), CARD, measured, sheet)


def untrained(options: Options, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state before the first step; a batch fills the pool with what an untrained generator would make."""
    params = {
        "art": unet.initialise(options.seed, options.width, options.blocks),
        "photo": unet.initialise(options.seed, options.back_width, options.blocks, back=True),
    }
    judges = {
        name: patch.initialise(options.seed, halvings, options.judge_width) for name, (_, halvings) in JUDGES.items()
    }
    made = {"art": halved(drawn["photo"]), "photo": drawn["art"].repeat(2, 1).repeat(2, 2)}
    return {
        "params": params,
        "mean": params["art"],
        "adam": _initial(params),
        "judges": judges,
        "judges_adam": _initial(judges),
        "pool": {kind: np.resize(pictures, (POOL, *pictures.shape[1:])) for kind, pictures in made.items()},
    }


def _initial(networks: Mapping[str, Any]) -> dict[str, Any]:
    return {name: core.Adam.initial(params) for name, params in networks.items()}


class Steps:
    """The kinds of training step: from state, batch and learning rate to state and losses."""

    def __init__(self, options: Options, dtype: str) -> None:
        self.options, self.dtype = options, dtype
        self.adam = core.Adam(beta_1=0.5, clip=5.0)

    def pair(self, state: dict, drawn: dict, rate: Any) -> tuple[dict, dict]:
        """Learn from pairs alone."""

        def objective(params: Any) -> tuple[Any, dict]:
            loss = distance(unet.to_art(drawn["worn"], params["art"], self.dtype), drawn["art"])
            return self.options.pair_weight * loss, {"pair": loss}

        (_, report), gradients = core.value_and_grad(objective)({"art": state["params"]["art"]})
        return self._learnt(state, gradients, rate), report

    def way(self, state: dict, drawn: dict, rate: Any) -> tuple[dict, dict]:
        """Learn from the way from photos to art alone, which takes less than half the time of the whole cycle."""
        return self.cycle(state, drawn, rate, back=False)

    def cycle(self, state: dict, drawn: dict, rate: Any, back: bool = True) -> tuple[dict, dict]:
        """Learn from everything: first the generators, then the discriminators."""
        params = state["params"] if back else {"art": state["params"]["art"]}
        (_, (made, report)), gradients = core.value_and_grad(self.generators_loss)(params, state["judges"], drawn)
        state = self._learnt(state, gradients, rate)
        # Half of what the discriminators see is from earlier steps, so that they do not forget.
        slots, pool = drawn["slots"], dict(state["pool"])
        count = slots.shape[0]
        mixed = {}
        for kind, pictures in made.items():
            mixed[kind] = ops.concatenate([pictures[count:], ops.take(pool[kind], slots, axis=0)])
            pool[kind] = ops.scatter_update(pool[kind], slots[:, None], pictures[:count])
        asked = {name: judge for name, judge in state["judges"].items() if JUDGES[name][0] in made}
        (_, found), gradients = core.value_and_grad(self.judges_loss)(asked, mixed, drawn)
        rate = self.options.judge_pace * rate
        judges, judges_adam = self._moved(state["judges"], state["judges_adam"], gradients, rate)
        return state | {"judges": judges, "judges_adam": judges_adam, "pool": pool}, report | found

    def _learnt(self, state: dict, gradients: dict, rate: Any) -> dict:
        params, adam = self._moved(state["params"], state["adam"], gradients, rate)
        mean = core.average(state["mean"], params["art"], adam["art"]["count"], MOMENTUM)
        return state | {"params": params, "mean": mean, "adam": adam}

    def _moved(self, params: dict, adam: dict, gradients: dict, rate: Any) -> tuple[dict, dict]:
        """Move the networks that have gradients, each by an Adam of its own: some join later, or rest between."""
        moved = {name: self.adam.update(g, adam[name], params[name], rate) for name, g in gradients.items()}
        return params | {n: p for n, (p, _) in moved.items()}, adam | {n: a for n, (_, a) in moved.items()}

    def generators_loss(self, params: dict, judges: Any, drawn: dict) -> tuple[Any, tuple[dict, dict]]:
        """Return the loss of one generator or both; and what they made, and the parts of the loss."""
        o, n = self.options, self.options.batch
        both = unet.to_art(ops.concatenate([drawn["photo"], drawn["worn"]]), params["art"], self.dtype)
        art, cells = both[:n], halved(drawn["photo"])
        made = {"art": art}
        losses = {
            "gan_art": (o.gan_weight, self._fooled("art", judges, made, drawn)),
            "pair": (o.pair_weight, distance(both[n:], drawn["art"])),
            "near": (o.near_weight, ops.mean(ops.relu(ops.abs(art - cells) - DEAD_ZONE))),
            "changes": (o.flat_weight, changes(art)),
            "low": (o.low_weight, distance(halved(halved(art)), halved(halved(cells)))),
        }
        if "photo" in params:
            both = ops.concatenate([drawn["art"], art + drawn["art_noise"]])
            both = unet.to_photo(both, params["photo"], self.dtype)
            made["photo"] = both[:n]
            again = unet.to_art(ops.clip(both[:n] + drawn["photo_noise"], 0, 1), params["art"], self.dtype)
            losses |= {
                "gan_photo": (o.gan_weight, self._fooled("photo", judges, made, drawn)),
                "cycle_art": (o.cycle_art_weight, distance(again, drawn["art"])),
                "cycle_photo": (o.cycle_photo_weight, distance(halved(both[n:]), cells)),
            }
        report = {name: loss for name, (_, loss) in losses.items()}
        report |= {"flat": flatness(art), "flat_wanted": flatness(drawn["art"])}
        return sum(weight * loss for weight, loss in losses.values()), (made, report)

    def _fooled(self, kind: str, judges: Any, made: dict, drawn: dict) -> Any:
        """Return how far pictures are from looking real to those who judge their kind."""
        seen = patch.disguised(made[kind], drawn[f"made_{kind}_disguise"])
        names = [name for name, (judged, _) in JUDGES.items() if judged == kind]
        scores = [patch.realness(seen, judges[name], self.dtype) for name in names]
        return sum(ops.mean(ops.square(score - 1)) for score in scores) / len(scores)

    def judges_loss(self, judges: dict, made: dict, drawn: dict) -> tuple[Any, dict]:
        """Return the loss of some discriminators; and for each how often it is right."""
        total, report, n = 0.0, {}, self.options.batch
        for name, judge in judges.items():
            kind, _ = JUDGES[name]
            real = patch.disguised(drawn[kind], drawn[f"{kind}_disguise"])
            fake = patch.disguised(made[kind], drawn[f"made_{kind}_disguise"])
            scores = patch.realness(ops.concatenate([real, fake]), judge, self.dtype)
            total = total + ops.mean(ops.square(scores[:n] - 1)) + ops.mean(ops.square(scores[n:]))
            right = ops.concatenate([scores[:n] > 0.5, scores[n:] < 0.5])
            report[f"right_{name}"] = ops.mean(ops.cast(right, "float32"))
        return total / 2, report


def distance(a: Any, b: Any) -> Any:
    """Return the mean absolute difference."""
    return ops.mean(ops.abs(a - b))


def halved(x: Any) -> Any:
    """Return the means of 2x2 pixels of (N, H, W, C)."""
    return (x[:, ::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, ::2] + x[:, 1::2, 1::2]) / 4


def changes(x: Any) -> Any:
    """Return how often colours change from cell to cell, in a form that has a gradient: a large change counts as one.

    So edges may be as sharp as they like, and slopes become flats and steps (after L0 smoothing, Xu et al. 2011).
    """
    found = [ops.max(ops.abs(a - b), axis=-1) for a, b in ((x[:, 1:], x[:, :-1]), (x[:, :, 1:], x[:, :, :-1]))]
    return sum(ops.mean(change / (change + CHANGE)) for change in found) / 2


def flatness(x: Any) -> Any:
    """Return the share of pixels that have the colour of the one above."""
    return ops.mean(ops.cast(ops.max(ops.abs(x[:, 1:] - x[:, :-1]), axis=-1) < SAME, "float32"))


def batch(rng: np.random.Generator, photos: Sequence[np.ndarray], art: Sequence[np.ndarray], options: Options) -> dict:
    """Draw all that a step needs: photos of both sizes, art, the art's worn twins, and random numbers."""
    count, size = options.batch, options.size
    photo = np.concatenate([data.crops(photos[i % len(photos)], rng, 1, size) for i in range(count)])
    drawing = data.crops(art, rng, count, size // 2)
    drawn = {
        "photo": photo,
        "art": drawing,
        "worn": worn(drawing, rng.permutation(photo), rng),
        "art_noise": ART_NOISE * rng.standard_normal(drawing.shape, np.float32),
        "photo_noise": PHOTO_NOISE * rng.standard_normal(photo.shape, np.float32),
        "slots": rng.choice(POOL, count // 2, replace=False).astype(np.int32),
    }
    for kind in ("art", "photo"):
        for name in (kind, f"made_{kind}"):
            drawn[f"{name}_disguise"] = patch.disguise(rng, drawn[kind].shape, DISGUISE_NOISE)
    return drawn


def worn(art: np.ndarray, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make art look like photos of twice its size, most of it by blur, shade, the texture of a photo, and grain.

    Args:
        art: (N, H, W, 3) in [0, 1].
        photo: (N, 2 H, 2 W, 3) in [0, 1].
        rng: for how much of each.

    Returns:
        (N, 2 H, 2 W, 3) in [0, 1].
    """
    made = art.repeat(2, axis=1).repeat(2, axis=2)
    side = made.shape[1]
    for i in range(len(made)):
        if rng.random() < CLEAN:
            continue
        x = _blurred(made[i], rng.uniform(0.3, 1.5))
        shade = rng.uniform(0, 0.05) * rng.standard_normal((6, 6, 3), np.float32)
        x += ndimage.zoom(shade, (side / 6, side / 6, 1), order=1, mode="nearest", grid_mode=True)
        # What a photo has beside its large shapes.
        texture = photo[i] - _blurred(photo[i], rng.uniform(1, 6))
        x += texture * min(1.5, rng.uniform(0, 0.12) / max(0.02, float(texture.std())))
        x += rng.uniform(0, 0.05) * rng.standard_normal(x.shape, np.float32)
        made[i] = x.clip(0, 1)
    return made


def _blurred(x: np.ndarray, deviation: float) -> np.ndarray:
    return ndimage.gaussian_filter(x, (deviation, deviation, 0), mode="nearest")


def judged(
    tensors: Mapping[str, Any], photos: np.ndarray, art: Sequence[np.ndarray], dtype: str
) -> tuple[Image.Image, dict[str, dict[str, float]]]:
    """Draw held-out photos with the network and by the cells' means, each in few colours, and measure both.

    Returns:
        The sheet: photo, means in few colours, network, network in few colours; and measures by name.
    """
    to_art = core.compiled(lambda photo: unet.to_art(photo, tensors, dtype))
    rows, drawn = [], {"means": [], "network": []}
    for photo in photos:
        side = 2 * SHEET_CELLS
        small = np.asarray(Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS), np.float32) / 255
        means, network = halved(small[None])[0], unet.framed(small, to_art)
        few = [in_few_colours(x, SHEET_COLOURS) for x in (means, network)]
        for name, pictures in zip(drawn, few, strict=True):
            drawn[name].append(pictures)
        cells = [np.kron(x, np.ones((4, 4, 1), np.float32)) for x in (few[0], network, few[1])]
        rows.append([small.repeat(2, 0).repeat(2, 1), *cells])
    wanted = [in_few_colours(x[:SHEET_CELLS, :SHEET_CELLS] / 255, SHEET_COLOURS) for x in art]
    report = {"art": measures(wanted)} | {name: measures(pictures, wanted) for name, pictures in drawn.items()}
    return core.sheet(rows), report


def in_few_colours(picture: np.ndarray, count: int) -> np.ndarray:
    """Reduce (H, W, 3) in [0, 1] to at most ``count`` colours."""
    pixels = np.uint8(picture.clip(0, 1) * 255 + 0.5)
    palette = palettes.kmeans(pixels.reshape(-1, 3), count)
    return np.float32(palette[palettes.nearest(palettes.to_lab(pixels), palette)] / 255)


def measures(pictures: Sequence[np.ndarray], art: Sequence[np.ndarray] = ()) -> dict[str, float]:
    """Measure how much pictures in few colours, (H, W, 3), are drawn like pixel art.

    Returns:
        ``run``: mean length of a run of equal pixels along rows and columns. ``orphan``: share of pixels unlike all
        four neighbours. With ``art``, ``to art``: total variation distance, 0 to 1, between how often each pattern of
        equal and unequal pixels occurs in the 2x2 squares of both.
    """
    run, orphan, patterns = _mean_pattern(pictures)
    report = {"run": round(run, 2), "orphan": round(orphan, 3)}
    if len(art):
        report["to art"] = round(float(np.abs(patterns - _mean_pattern(art)[2]).sum() / 2), 3)
    return report


def _mean_pattern(pictures: Sequence[np.ndarray]) -> tuple[float, float, np.ndarray]:
    run, orphan, patterns = zip(*map(_pattern, pictures), strict=True)
    return float(np.mean(run)), float(np.mean(orphan)), np.mean(patterns, axis=0)


def _pattern(picture: np.ndarray) -> tuple[float, float, np.ndarray]:
    code = np.round(picture * 255).astype(int) @ [1 << 16, 1 << 8, 1]
    ends = (code[:, 1:] != code[:, :-1]).sum() + (code[1:] != code[:-1]).sum() + sum(code.shape)
    around = np.pad(code, 1, constant_values=-1)
    neighbours = around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]
    orphan = np.all([code != n for n in neighbours], axis=0).mean()
    a, b, c, d = code[:-1, :-1], code[:-1, 1:], code[1:, :-1], code[1:, 1:]
    pattern = sum((x == y) << i for i, (x, y) in enumerate([(a, b), (a, c), (b, d), (c, d), (a, d), (b, c)]))
    return 2 * code.size / ends, orphan, np.bincount(pattern.ravel(), minlength=64) / pattern.size
