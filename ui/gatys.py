"""The tab of neural style: a photo, a painting, a result to wish for, and the picture as it is painted."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import pandas as pd
from PIL import Image

from pipeline import AtelierError, colour, gatys, images, regions, vgg
from pipeline.gatys import PRESETS, Settings, StyleStep
from pipeline.settings import defaults, limits

from .common import (
    EXAMPLES,
    HEAVY,
    QUIET,
    Port,
    before_after,
    control,
    file,
    mixing,
    on_stop,
    picture,
    queued,
    send_menu,
    steps,
    stopped,
    thumbnails,
)
from .common import Session as Base

# Finished pictures to click: photo, painting, preset. `examples/SOURCES.md` tells how they were made.
FINISHED = (
    ("city_skyline", "auvers", "painterly"),
    ("chelsea", "composition_viii", "painterly"),
    ("matterhorn", "great_wave", "bold"),
    ("cypress_field", "poppies", "faithful to the photo"),
    ("canyon", "great_wave", "texture only"),
)
BASIC = ("size", "iterations", "init", "colours", "style_scale")
EXPERT = (
    ("content_weight", "style_weight", "denoise_weight"),
    ("content_layers",),
    ("style_layers",),
    ("style_layer_weights",),
    ("style_loss", "scaling"),
    ("optimiser", "learning_rate"),
    ("average", "scales"),
    ("coarse_iterations", "pooling"),
    ("network", "match_method"),
    ("canvas", "seed"),
    ("tile_size", "precision"),
)
CONTROLS = ("strength", *BASIC, *(name for row in EXPERT for name in row))
PRESET_CONTROLS = tuple(name for name in CONTROLS if any(name in preset for preset in PRESETS.values()))
LISTS = ("style_layer_weights", "canvas")  # numbers, typed as text
# Ranges too wide for a slider.
TYPED = ("content_weight", "style_weight", "denoise_weight", "learning_rate", "seed")
# What the expected time depends on.
COSTS = ("size", "iterations", "scales", "coarse_iterations", "content_weight", "style_weight", "content_layers")
COSTS += ("style_layers", "style_loss", "pooling", "canvas", "tile_size", "precision")

NEWS = 0.5  # seconds between two previews
MORE = 100  # iterations of Continue
_, MOST = limits(Settings, "iterations")
POINTS = 100  # of each curve
FRAMES, FRAME_SIZE, FRAME_MS, LAST_MS = 40, 320, 120, 2000  # of the making-of
EDITOR_SIZE = 512
RESUMABLE = 2

_recent: list["Work"] = []  # the runs that can be continued, of all visitors


@dataclass
class Work:
    """One run: what to save of it, and what to go on from.

    Attributes:
        photo: as ``gatys.run`` takes it.
        before: the photo's path, for the slider.
        both: whether to show the result in the photo's colours too.
        pictures: the other pictures of the run, by parameter.
        step: the last one.
        frames: of the making-of: every ``stride`` steps one, from the whole run, and at most ``FRAMES``.
        losses: of every step, by iteration.
    """

    photo: Image.Image
    before: str
    both: bool
    pictures: dict[str, Any]
    settings: Settings
    step: StyleStep | None = None
    frames: list[Image.Image] = field(default_factory=list)
    stride: int = 1
    losses: dict[int, dict[str, float]] = field(default_factory=dict)

    def add(self, step: StyleStep) -> None:
        """Keep one step."""
        self.step = step
        if step.losses:
            self.losses[step.iteration] = dict(step.losses)
        if step.iteration % self.stride == 0:
            frame = step.image.copy()
            frame.thumbnail((FRAME_SIZE, FRAME_SIZE))
            self.frames.append(frame)
        if len(self.frames) > FRAMES:
            del self.frames[1::2]
            self.stride *= 2

    def curve(self) -> pd.DataFrame:
        """Return the losses as the plot takes them, thinned to what it can show."""
        iterations = list(self.losses)
        kept = {*iterations[:: len(iterations) // POINTS + 1], *iterations[-1:]}
        rows = [
            (iteration, name, math.log10(value) if value > 0 else None)
            for iteration in sorted(kept)
            for name, value in self.losses[iteration].items()
        ]
        return pd.DataFrame(rows, columns=["iteration", "loss", "value"])

    def making_of(self) -> str:
        """Save the frames as an animation and return its path."""
        last = self.step.image.resize(self.frames[0].size, Image.Resampling.LANCZOS)
        frames = [frame.copy() for frame in self.frames] + [last]
        for frame in frames:
            frame.info["duration"] = FRAME_MS
        last.info["duration"] = LAST_MS
        return file(frames[0], ".gif", frames=frames)

    def in_photo_colours(self) -> str:
        """Save the result with the photo's chroma and return its path."""
        photo = images.to_array(self.photo.resize(self.step.image.size, Image.Resampling.LANCZOS))
        luma = colour.luma(images.to_array(self.step.image))
        return file(images.to_image(colour.with_luma(photo, luma)), ".png")


@dataclass
class Session(Base):
    """A visitor's last run."""

    work: Work | None = None

    @property
    def step(self) -> StyleStep | None:
        """The last step, if there is one."""
        return self.work and self.work.step


def build() -> Port:
    """Lay out the tab and wire it."""
    paintings = sorted((EXAMPLES / "styles").glob("*.jpg"))
    finished = [EXAMPLES / "finished" / f"gatys_{photo}_{painting}.jpg" for photo, painting, _ in FINISHED]
    first_photo, first_painting, _ = _example(0)
    chosen: dict[str, gr.components.Component] = {}
    session = gr.State(Session())

    with gr.Row(elem_classes="studio"):
        with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
            with gr.Row(elem_classes="pair"):
                photo = picture("Photo", value=first_photo, height=170, elem_id="gatys-photo")
                painting = picture("Painting", value=first_painting, height=170, elem_id="gatys-painting")
            looks = thumbnails(paintings, "Paintings: click one", 7, "gatys-looks")
            preset = control(
                Settings,
                "preset",
                info="What the picture should be like.",
                elem_id="gatys-preset",
                elem_classes="main-control",
            )
            chosen["strength"] = _control("strength")
            expected = gr.Markdown(elem_id="gatys-expected")
            with gr.Row(elem_classes="actions"):
                go = gr.Button("Run", variant="primary", elem_id="gatys-run")
                stop = gr.Button("Stop", elem_id="gatys-stop")
            with gr.Accordion("More paintings, regions", open=False, elem_id="gatys-more", elem_classes="advanced"):
                names = list(regions.COLOURS)
                gr.Markdown(
                    "Several paintings are mixed by their shares. Or give each its own part: paint on the photo, in "
                    f"{names[0]} for painting 1, {names[1]} for 2, {names[2]} for 3, {names[3]} for 4. "
                    "What you leave blank stays photo."
                )
                more, shares = mixing("gatys", [f"Painting {i} ({name})" for i, name in enumerate(names[1:], 2)])
                editor = gr.ImageEditor(
                    _canvas(first_photo),
                    label="Regions",
                    type="pil",
                    format="png",
                    sources=(),
                    transforms=(),
                    layers=gr.LayerOptions(disabled=True),
                    brush=gr.Brush(
                        colors=["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in regions.COLOURS.values()],
                        color_mode="fixed",
                        default_size=30,
                    ),
                    eraser=gr.Eraser(default_size=40),  # wider, so that going over a stroke leaves no outline
                    canvas_size=(EDITOR_SIZE, EDITOR_SIZE),
                    height=360,
                    elem_id="gatys-regions",
                )
                label_map = picture("… or a label map in those colours", height=130, elem_id="gatys-label-map")
            with gr.Accordion("Advanced", open=False, elem_id="gatys-advanced", elem_classes="advanced"):
                for name in BASIC:
                    chosen[name] = _control(name)
                    if name == "init":
                        initial = picture("… or from this picture", height=130, elem_id="gatys-initial")
                    if name == "colours":
                        both = gr.Checkbox(
                            label="Show both", info="Also in the photo's own colours.", elem_id="gatys-show-both"
                        )
                with gr.Accordion("For experts", open=False, elem_id="gatys-experts"):
                    for row in EXPERT:
                        with gr.Row():
                            for name in row:
                                chosen[name] = _control(name)
        with gr.Column(scale=3, min_width=320, elem_classes="outputs"):
            result = before_after((first_photo, str(finished[0])), "gatys-result")
            status = gr.Markdown("An example. Choose a painting, or your own photo, and run.", elem_id="gatys-status")
            with gr.Row(elem_classes="actions"):
                proceed = gr.Button(f"Continue: {MORE} more", elem_id="gatys-continue")
                download = gr.DownloadButton(
                    "Download PNG", file(images.load(finished[0]), ".png"), elem_id="gatys-download"
                )
                menu = send_menu("gatys")
            curve = gr.LinePlot(
                x="iteration",
                y="value",
                color="loss",
                x_title="step",
                y_title="loss, power of ten",
                label="How far from the aim: every loss on a logarithmic scale",
                height=240,
                colors_in_legend=[],
                visible=False,
                elem_id="gatys-curve",
            )
            legend = gr.HTML(visible=False, elem_id="gatys-legend")
            with gr.Row():
                making = _extra("Making of", "gatys-making")
                recoloured = _extra("In the photo's colours", "gatys-both")
            examples = thumbnails(finished, "Examples: click one", 5, "gatys-examples")

    controls = [chosen[name] for name in CONTROLS]
    outputs = [result, status, download, curve, legend, making, recoloured]
    inputs = [session, photo, painting, *more, *shares, editor, label_map, initial, both, *controls]
    preset_controls = [chosen[name] for name in PRESET_CONTROLS]
    live = dict(outputs=outputs) | HEAVY | QUIET

    def pick(event: gr.SelectData) -> str:
        return str(paintings[event.index])

    def pick_example(session: Session, event: gr.SelectData) -> list:
        stopped(session)
        photo, painting, preset = _example(event.index)
        end = str(finished[event.index])
        shown = [(photo, end), "An example. Run paints it before your eyes.", file(images.load(end), ".png")]
        return [Session(), photo, painting, preset, *_preset(preset), *shown, *[gr.update(visible=False)] * 4]

    queued(status, [go.click, proceed.click])
    runs = [go.click(_run, inputs, **live), proceed.click(_continue, session, **live)]
    on_stop(stop.click, runs, _stopped, session, outputs)
    looks.select(pick, None, painting, **QUIET)
    on_stop(
        examples.select, runs, pick_example, session, [session, photo, painting, preset, *preset_controls, *outputs]
    )
    preset.input(_preset, preset, preset_controls, **QUIET)
    arrived = gr.Number(visible="hidden")
    gr.on([photo.change, arrived.change], _canvas, photo, editor, **QUIET)
    cost = [photo, *(chosen[name] for name in COSTS)]
    expect = dict(trigger_mode="always_last", queue=False) | QUIET
    gr.on(None, _expected, cost, expected, **expect)
    arrived.change(_expected, cost, expected, **expect)
    return Port(menu, download, photo, arrived)


def _control(name: str) -> gr.components.Component:
    meta = Settings.__dataclass_fields__[name].metadata
    options: dict[str, Any] = dict(label=meta["label"], info=meta["info"], elem_id=f"gatys-{name}")
    if name in ("content_layers", "style_layers"):
        value = list(defaults(Settings)[name])
        return gr.Dropdown(vgg.layers("vgg19"), value=value, multiselect=True, **options)
    if name in LISTS:
        return gr.Textbox("", placeholder="numbers with spaces between", **options)
    if name in TYPED:
        value = defaults(Settings)[name]
        return gr.Number(value, precision=0 if isinstance(value, int) else None, step=meta["step"] or 0.01, **options)
    return control(Settings, name, **options)


def _extra(label: str, elem_id: str) -> gr.Image:
    return gr.Image(
        label=label, interactive=False, buttons=["download", "fullscreen"], height=260, visible=False, elem_id=elem_id
    )


def _example(index: int) -> tuple[str, str, str]:
    photo, painting, preset = FINISHED[index]
    return str(EXAMPLES / "content" / f"{photo}.jpg"), str(EXAMPLES / "styles" / f"{painting}.jpg"), preset


def _preset(name: str) -> list:
    values = defaults(Settings) | PRESETS[name]
    return [list(v) if isinstance(v := values[name], tuple) else v for name in PRESET_CONTROLS]


def _canvas(photo: str | None) -> dict | None:
    """Return the photo as what regions are painted on."""
    try:
        background = images.fit(images.load(photo), EDITOR_SIZE)
    except AtelierError:
        return None  # running the effect says what is wrong
    return dict(background=background, layers=[], composite=None)


def _expected(photo: str | None, *values: Any) -> str:
    """Tell how long a run will take, or nothing where it could not start."""
    try:
        named = dict(zip(COSTS, values, strict=True))
        settings = Settings(**named | dict(canvas=_numbers(named["canvas"], "canvas")))
        with Image.open(photo) as image:
            return f"Takes about {_duration(gatys.estimate(*image.size, settings))} on this machine."
    except (AtelierError, OSError, AttributeError):
        return ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _numbers(text: str, name: str) -> list[float]:
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise images.BadInput(f"{name} must be numbers with spaces between, not {text!r}.") from None


def _run(session: Session, photo: str | None, *values: Any) -> Iterator[tuple]:
    """Turn the widgets' values into settings, and start over."""
    count = len(regions.COLOURS)
    paintings, shares = values[:count], values[count : 2 * count]
    editor, label_map, initial, both, *options = values[2 * count :]

    def run() -> Iterable[StyleStep]:
        if photo is None:
            raise images.BadInput("There is no photo: drop one, or click an example.")
        chosen = [(p, s) for p, s in zip(paintings, shares, strict=True) if p]
        named = dict(zip(CONTROLS, options, strict=True))
        named |= {name: _numbers(named[name], name) for name in LISTS}
        settings = Settings(**named, style_weights=tuple(s for _, s in chosen))
        painted = label_map or _painted(editor)
        empty = next((i for i, p in enumerate(paintings, 1) if not p), count + 1)
        if painted and empty <= len(chosen):
            raise images.BadInput(f"Painting {empty} is missing: each has its colour, so regions need them in order.")
        pictures = dict(styles=[p for p, _ in chosen], regions=painted, initial=initial)
        work = Work(images.load(photo), photo, both, pictures, settings)
        return _begun(session, work, gatys.run(work.photo, **pictures, settings=settings))

    yield from _live(session, run, "Loading …")


def _painted(editor: dict | None) -> Image.Image | None:
    """Return the label map that was painted, or None where nothing was."""
    layers = editor["layers"] if editor else []
    return layers[0] if layers and layers[0].getbbox() else None


def _begun(session: Session, work: Work, painting: Iterator[StyleStep]) -> Iterator[StyleStep]:
    """Take the place of the session's last run with the first step: a run that is refused leaves it as it is.

    Only the last few visitors can continue: a state to go on from is up to a gigabyte.
    """
    first = next(painting)
    kept = [old for old in _recent if old is not session.work] + [work]
    for old in kept[:-RESUMABLE]:
        old.step = old.step and dataclasses.replace(old.step, state=None)
    _recent[:] = kept[-RESUMABLE:]
    session.work = work
    yield first
    yield from painting


def _continue(session: Session) -> Iterator[tuple]:
    """Go on from where the last run ended or was stopped."""

    def run() -> Iterable[StyleStep]:
        work, step = session.work, session.step
        if step is None:
            raise images.BadInput("There is nothing to go on from: press Run first.")
        if step.iteration and step.state is None:
            raise images.BadInput("This run is too long ago to go on from: press Run again.")
        iterations = max(1, work.settings.iterations + step.iteration + MORE - step.total)
        work.settings = dataclasses.replace(work.settings, iterations=min(iterations, MOST))
        return gatys.run(work.photo, **work.pictures, settings=work.settings, resume=step.state)

    yield from _live(session, run, "Going on …")


def _live(session: Session, run: Callable[[], Iterable[StyleStep]], waiting: str) -> Iterator[tuple]:
    """Show the steps of a run, no more often than an eye can follow, and save the last."""
    skip = gr.skip()
    yield skip, waiting, *[skip] * 5
    shown = -math.inf
    try:
        for step in steps(run, session):
            work = session.work
            work.add(step)
            if step.iteration < step.total and time.perf_counter() - shown >= NEWS:
                shown = time.perf_counter()
                so_far = file(step.image)  # also what there is to download and to send
                yield (work.before, so_far), _progress(work), so_far, *_plot(work), skip, skip
    except gr.Error:
        yield _kept(session, "")
        raise
    width, height = step.image.size
    yield _saved(work, f"Done in {_duration(step.seconds)}: {width} × {height} pixels, {step.iteration} steps.")


def _progress(work: Work) -> str:
    step = work.step
    words = f"Step {step.iteration} of {step.total}, about {_duration(step.eta)} to go."
    if work.settings.scaling == "adaptive" and step.adjustments:
        words += " Adjusted: " + ", ".join(f"{name} × {by:.2g}" for name, by in step.adjustments.items()) + "."
    return words


def _plot(work: Work) -> tuple:
    """Return the curves and, because the plot's own would be cut off, their legend, which wraps."""
    if not work.losses:
        return gr.skip(), gr.skip()
    hues = _hues(list(work.losses[work.step.iteration]))
    legend = " ".join(f'<span><b style="color: {hue}">—</b> {name}</span>' for name, hue in hues.items())
    return gr.LinePlot(work.curve(), color_map=hues, visible=True), gr.HTML(legend, visible=True)


def _hues(names: Sequence[str]) -> dict[str, str]:
    """Give each loss a colour: content greens, style from blue to pink, by depth of the layer."""
    hues = {"total": "hsl(24, 95%, 53%)", "denoise": "hsl(30, 8%, 60%)"}
    for kind, low, high in (("content", 90, 150), ("style", 190, 330)):
        layers = [name for name in names if name.startswith(kind)]
        for i, name in enumerate(layers):
            hues[name] = f"hsl({low + (high - low) * i / max(1, len(layers) - 1):.0f}, 65%, 50%)"
    return {name: hues[name] for name in sorted(names, key=lambda name: name != "total")}


def _saved(work: Work, words: str) -> tuple:
    """Return what the page shows of a picture that is no longer worked on: files to keep."""
    recipe = dict(effect="gatys", settings=dataclasses.asdict(work.settings), iteration=work.step.iteration)
    png = file(work.step.image, ".png", **recipe)
    making = gr.Image(work.making_of(), visible=True)
    both = gr.Image(work.in_photo_colours(), visible=True) if work.both else gr.Image(visible=False)
    return (work.before, png), words, png, *_plot(work), making, both


def _stopped(session: Session) -> tuple:
    return _kept(session, stopped(session))


def _kept(session: Session, words: str) -> tuple:
    """Save what there is of a run that was stopped, or failed on its way."""
    if session.step is None:
        return gr.skip(), words or "Nothing was painted.", *[gr.skip()] * 5
    step = session.step
    words += f" Step {step.iteration} of {step.total} is kept: continue, or download it."
    return _saved(session.work, words.strip())
