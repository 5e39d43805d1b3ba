"""The tab of pixel art: a photo, a look, and controls that change the picture at once."""

import contextlib
import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import gradio as gr
from PIL import Image

from pipeline import AtelierError, images, palettes, pixel
from pipeline.pixel import PRESETS, SIZES, Settings

from .common import (
    EXAMPLES,
    LIGHT,
    QUIET,
    SOON,
    Port,
    before_after,
    control,
    file,
    on_shared,
    picture,
    place,
    send_menu,
    thumbnails,
    told,
)

FOLDER = EXAMPLES / "finished"
# Finished pictures to click: photo and look. `examples/SOURCES.md` tells how they were made.
FINISHED = (
    ("matterhorn", "Studio"),
    ("city_skyline", "Game Boy"),
    ("astronaut", "NES"),
    ("rocket", "PICO-8"),
    ("chelsea", "Newspaper"),
)
LOOKS = tuple(("coffee", look) for look in PRESETS)

ADVANCED = (
    ("width", "height"),
    ("fit",),
    ("cell",),
    ("method",),
    ("outline",),
    ("dither_strength",),
    ("upscale",),
    ("stretch", "grid"),
    ("swaps",),
)
CONTROLS = ("palette", "colours", "dither", "own_colours", *itertools.chain(*ADVANCED))
CUSTOM = "Custom"
PALETTES = {"auto": "From photo", "greys": "Greys", "own": "My own"} | {
    name: fixed.title for name, fixed in palettes.FIXED.items()
}
# What the network is compared with.
CLASSICAL = Settings().method
PALETTE_FILES = [".hex", ".gpl", ".pal", ".txt", ".png"]

# The picture on the page is as large as fits this, in CSS pixels, by a whole factor.
VIEW = (704, 512)
# Animations take seconds: one at a time, and whoever waits for one is in nobody's way.
_ANIMATION = threading.Lock()
TURNS = dict(concurrency_limit=8, concurrency_id="pixel")
# Seconds between two messages about the frames of an animation; Stop takes as long.
NEWS = 0.1

# A swatch is the browser's own colour picker.
SWATCH = '<input type="color" value="#{0}" title="#{0}: click to replace it" aria-label="Colour {0}" data-code="{0}">'
REPLACE = """element.addEventListener("change", (event) =>
    trigger("select", {old: event.target.dataset.code, new: event.target.value.slice(1)}))"""


def build() -> Port:
    """Lay out the tab and wire it."""
    looks_shown, finished = ([_thumbnail(*pair) for pair in pairs] for pairs in (LOOKS, FINISHED))
    with Image.open(finished[0]) as native:
        first = _shown([native], Settings())
    chosen: dict[str, gr.components.Component] = {}

    with gr.Row(elem_classes=["studio", "live"]):
        with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
            with gr.Row(elem_classes="pair"):
                photo = picture("Photo", value=_photo_path(FINISHED[0][0]), height=190, elem_id="pixel-photo")
                with gr.Column():
                    size = gr.Dropdown(_sizes(), value=_size(Settings()), label="Size", elem_id="pixel-size")
                    chosen["palette"] = _control("palette", info=None)
            with gr.Column(visible=False) as own:
                chosen["own_colours"] = _control("own_colours")
                upload = gr.UploadButton(
                    "Open a palette file", file_types=PALETTE_FILES, size="sm", elem_id="pixel-palette-file"
                )
            with gr.Row():
                for name in ("colours", "dither"):
                    chosen[name] = _control(name)
            looks = thumbnails(looks_shown, "Looks: click one", 5, "pixel-looks", captions=list(PRESETS))
            with gr.Accordion("Advanced", open=False, elem_id="pixel-advanced", elem_classes="advanced"):
                for row in ADVANCED:
                    with gr.Row():
                        for name in row:
                            chosen[name] = _control(name)
        with gr.Column(scale=3, min_width=320, elem_classes="outputs"):
            result = gr.Image(
                **first["result"],
                label="Pixel art",
                interactive=False,
                format="png",
                height=VIEW[1] + 4,
                buttons=["fullscreen"],
                elem_id="pixel-result",
                elem_classes="pixels",
            )
            with gr.Row():
                status = gr.Markdown("An example. Everything you change shows at once.", elem_id="pixel-status")
                stop = gr.Button("Stop", size="sm", visible=False, elem_id="pixel-stop")
            swatches = gr.HTML(
                **first["swatches"],
                label="Palette: click a colour to replace it",
                show_label=True,
                container=True,
                js_on_load=REPLACE,
                elem_id="pixel-swatches",
            )
            reset = gr.Button(**first["reset"], size="sm", elem_id="pixel-reset")
            with gr.Row(elem_classes="downloads"):
                downloads = {
                    name: gr.DownloadButton(**first[name], size="sm", elem_id=f"pixel-{name}")
                    for name in ("enlarged", "native", "hex", "gpl")
                }
                menu = send_menu("pixel")
            compare = before_after(None, "pixel-compare", "Classical | network", visible=False, elem_classes="pixels")
            examples = thumbnails(finished, "Examples: click one", 5, "pixel-examples")

    clock = gr.Number(visible="hidden")
    controls = [chosen[name] for name in CONTROLS]
    shown = dict(result=result, swatches=swatches, reset=reset, compare=compare) | downloads

    def run(newest: dict, time: float, photo: str | None, *values: Any) -> Iterator[dict]:
        for message, moving, updates in _run(photo, values, lambda: newest.get("time", 0) > time):
            parts = {shown[name]: gr.update(**update) for name, update in updates.items()}
            yield {status: message, stop: gr.update(visible=moving)} | parts
        yield {status: gr.skip()}  # Gradio empties the outputs of a generator that yields nothing

    at_once = dict(queue=False) | QUIET  # without the queue no message reaches the page

    def pick_look(event: gr.SelectData) -> list:
        return _look(LOOKS[event.index][1])

    def pick_example(event: gr.SelectData) -> list:
        name, look = FINISHED[event.index]
        return [_photo_path(name), *_look(look)]

    def pick_size(name: str) -> tuple:
        return (*SIZES[name], 0) if name in SIZES else (gr.skip(),) * 3

    def open_palette(path: str) -> tuple[str, str]:
        with told():
            return "own", _codes(palettes.load(path))

    def replace_colour(event: gr.EventData, photo: str | None, *values: Any) -> tuple:
        with told():
            return _replaced(event.old, event.new, photo, values)

    def show_what_counts(palette: str) -> tuple[dict, dict]:
        return gr.update(visible=palette == "own"), gr.update(visible=palette in ("auto", "greys"))

    sides = [chosen[name] for name in ("width", "height", "cell")]
    colours = [chosen[name] for name in ("palette", "own_colours", "swaps")]
    looks.select(pick_look, None, [size, *controls], **at_once)
    examples.select(pick_example, None, [photo, size, *controls], **at_once)
    size.input(pick_size, size, sides, **at_once)
    upload.upload(open_palette, upload, colours[:2], **LIGHT, **QUIET)
    swatches.select(replace_colour, [photo, *controls], colours, **LIGHT, **QUIET)
    reset.click(None, None, chosen["swaps"], js="() => ''", **at_once)

    # A look changes many controls, one after another: the clock tells when all have their values. One event for all,
    # as of two the first may end last.
    touched = [component.change for component in (photo, *controls)]
    gr.on(touched, None, None, clock, js=SOON, trigger_mode="multiple", **at_once)
    on_shared(clock)
    # The session's newest change, known before its turn comes: all older ones end. Gradio could only keep a newer one
    # waiting, or lose it.
    newest = gr.State({})
    clock.change(lambda newest, time: newest.update(time=time), [newest, clock], trigger_mode="multiple", **at_once)
    outputs = [status, stop, *shown.values()]
    clock.change(run, [newest, clock, photo, *controls], outputs, trigger_mode="multiple", **TURNS, **QUIET)
    stop.click(_stopped, newest, [status, stop], **at_once)
    gr.on([side.input for side in sides], None, None, size, js=f"() => '{CUSTOM}'", **at_once)
    chosen["palette"].change(show_what_counts, chosen["palette"], [own, chosen["colours"]], **at_once)
    return Port(menu, downloads["enlarged"], photo, clock)


def _photo_path(name: str) -> str:
    return str(EXAMPLES / "content" / f"{name}.jpg")


def _thumbnail(photo: str, look: str) -> Any:
    return FOLDER / f"pixel_{photo}_{look.lower().replace(' ', '_')}.png"


def _control(name: str, **kwargs: Any) -> gr.components.Component:
    component = control(Settings, name, elem_id=f"pixel-{name.replace('_', '-')}", **kwargs)
    if name == "palette":
        component.choices = [(PALETTES[value], value) for _, value in component.choices]
    return component


def _sizes() -> list[tuple[str, str]]:
    return [(CUSTOM, CUSTOM), *((f"{width}x{height} {name}", name) for name, (width, height) in SIZES.items())]


def _size(settings: Settings) -> str:
    """Return the name of the size that is set."""
    sides = settings.width, settings.height
    return next((name for name, size in SIZES.items() if size == sides and not settings.cell), CUSTOM)


def _look(name: str) -> list:
    """Return the size's name and the controls' values of a look; colours that the user typed stay."""
    settings = Settings(**PRESETS[name])
    values = dataclasses.asdict(settings) | dict(own_colours=gr.skip())
    return [_size(settings), *(values[control] for control in CONTROLS)]


@lru_cache(maxsize=4)  # people move sliders: the same photo comes again and again
def _photo(path: str) -> Image.Image | str:
    """Read a still; an animation is left to the effect, which reads it frame by frame."""
    count, frames = images.frames(path, alpha=True)
    return next(frames) if count == 1 else path


def _stopped(newest: dict) -> tuple[str, dict]:
    newest["time"] = math.inf
    return "Stopped.", gr.update(visible=False)


def _native(photo: str | None, settings: Settings) -> Iterator[pixel.Step]:
    if photo is None:
        raise images.BadInput("There is no photo: drop one, or click an example.")
    yield from pixel.run(_photo(photo), dataclasses.replace(settings, upscale=1, grid=False))


def _settings(values: Sequence[Any]) -> Settings:
    given = dict(zip(CONTROLS, values, strict=True))
    if given["palette"] != "own":
        given["own_colours"] = ""  # kept on the page, out of sight
    return Settings(**given)


def _run(
    photo: str | None, values: Sequence[Any], overtaken: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, bool, dict]]:
    """Yield a message, whether more will come, and what the page shows, as from ``_shown``, until overtaken.

    What can't be drawn is told in the message, as a slider on its way may pass many such places.
    """
    told_at = time.perf_counter()
    try:
        settings = _settings(values)
        moving = bool(photo) and isinstance(_photo(photo), str)
        while moving and not _ANIMATION.acquire(timeout=NEWS):
            if overtaken():
                return
            yield "Waiting for another animation …", True, {}
        with contextlib.ExitStack() as end:
            if moving:
                end.callback(_ANIMATION.release)
            for step in _native(photo, settings):
                if overtaken():
                    return
                if step.iteration == step.total:
                    shown = _shown(step.frames or [step.image], settings)
                    shown |= dict(compare=_compared(photo, settings, shown["result"]["value"]))
                    if not overtaken():
                        yield step.note, False, shown
                elif time.perf_counter() > told_at + NEWS:
                    told_at = time.perf_counter()
                    yield f"Frame {step.iteration} of {step.total - 1} …", True, {}
    except AtelierError as error:
        yield f"⚠ {error}", False, {}


def _shown(frames: Sequence[Image.Image], settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what the page shows of pictures at native size: for each component its arguments."""
    ending = ".gif" if len(frames) > 1 else ".png"
    recipe = dict(effect="pixel", settings=dataclasses.asdict(settings))

    def saved(factor: int, grid: bool) -> tuple[str, str]:
        large = [pixel.enlarge(frame, factor, grid=grid, frames=len(frames)) for frame in frames]
        name = "{}x{}".format(*large[0].size)
        return name, file(large[0], ending, name=f"pixel-{name}", frames=large, **recipe)

    native, palette = frames[0], palettes.of(frames[0])
    most = pixel.largest_factor(native.size, len(frames))
    fitting = min(*(side // own for side, own in zip(VIEW, native.size, strict=True)), most)
    kind = ending[1:].upper()
    (small_size, small), (large_size, large) = saved(1, False), saved(settings.upscale, settings.grid)
    _, view = saved(max(fitting, pixel.MIN_GRID_FACTOR if settings.grid else 1), settings.grid)
    return dict(
        result=dict(value=view),
        swatches=dict(value="".join(map(SWATCH.format, palettes.to_codes(palette)))),
        reset=dict(value="Original colours", visible=bool(settings.swaps)),
        enlarged=dict(label=f"↓ {kind} {large_size}", value=large),
        native=dict(label=f"↓ {kind} {small_size}", value=small),
        **{
            e: dict(label=f"Palette .{e}", value=str(palettes.save(palette, place(f"pixel.{e}"))))
            for e in ("hex", "gpl")
        },
    )


def _compared(photo: str, settings: Settings, view: str) -> dict[str, Any]:
    """Return what the slider between the classical method and the network shows."""
    if settings.method != "neural" or view.endswith(".gif"):
        return dict(visible=False)
    *_, classical = _native(photo, dataclasses.replace(settings, method=CLASSICAL))
    with Image.open(view) as shown:
        large = pixel.enlarge(classical.image, shown.width // classical.image.width, grid=settings.grid)
    return dict(value=(file(large, ".png"), view), visible=True)


def _codes(palette: Any) -> str:
    return " ".join(palettes.to_codes(palette))


def _replaced(old: str, new: str, photo: str | None, values: Sequence[Any]) -> tuple:
    """Return palette, own colours and swaps where a colour is replaced.

    Colours of the photo would be found anew at the next change: from now on they are the user's own.
    """
    settings = _settings(values)
    swaps = f"{settings.swaps} {old}={new}".strip()
    if settings.palette != "auto":
        return gr.skip(), gr.skip(), swaps
    *_, last = _native(photo, dataclasses.replace(settings, swaps=""))
    return "own", _codes(palettes.of(last.image)), swaps
