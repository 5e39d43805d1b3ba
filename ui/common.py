"""What all tabs share: controls made from settings, running an effect, files for the browser, the API endpoint."""

import dataclasses
import inspect
import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr
from gradio import state_holder
from PIL import Image

from pipeline import AtelierError, BadInput, Step, images
from pipeline.settings import Settings, choices, defaults, from_form

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

# One heavy computation at a time. The queue alone can't promise that: a stopped run gives its place in the queue back
# before its last step has ended. A plain lock, because the steps of one run come from different threads.
_BUSY = threading.Lock()
HEAVY = dict(concurrency_limit=1, concurrency_id="heavy")
# What takes a tenth of a second need not wait for what takes minutes.
LIGHT = dict(concurrency_limit=2, concurrency_id="light")
# Events of the page itself: scripts have the endpoints, and the status line tells more than an overlay.
QUIET = dict(show_progress="hidden", api_visibility="private")

# A time, a moment later: when controls that change one after another all have their values.
SOON = "() => new Promise((done) => setTimeout(() => done(performance.now()), 20))"
# A time once there was no other call under this name for a moment, and nothing for those before it: for sliders, which
# tell every move of pointer and keys (input), or only that the pointer has let go (release).
_AT_REST = """() => new Promise((done) => {
    const waiting = (window.atelier ??= {});
    waiting.%(name)s?.();
    const timer = setTimeout(() => done(performance.now()), 200);
    waiting.%(name)s = () => done(clearTimeout(timer));
})"""
# A time where the page was opened by a shared link.
_SHARED = "() => location.search.includes('deep_link=') ? performance.now() : undefined"
_NOWHERE = ("Send to …", "")
# A tab that was never opened hears nothing before it is on screen.
_ARRIVED = """(target, ...before) => new Promise((done) => setTimeout(() => done(
    ["", ...before.map((time, i) => %s[i] === target ? performance.now() : time)]), 300))"""

_folder = tempfile.TemporaryDirectory(prefix="atelier-")
_serial = itertools.count()
_KEEP = 64  # files of ours; Gradio copies each into its own cache as soon as it is yielded


class _Shared(state_holder.SessionState):
    """What Gradio keeps of a visitor, all of which a shared link brings back.

    Gradio's own (6.31) gives a component that a handler updates, or leaves alone (``gr.skip``), another id and no
    value, and a link leaves out what has an id that the page does not know.
    """

    def __setitem__(self, key: int, value: Any) -> None:
        if not isinstance(value, gr.blocks.Block):
            return super().__setitem__(key, value)
        value._id = key
        with self._keeping_value(key):
            super().__setitem__(key, value)

    def _update_config(self, key: int) -> None:
        with self._keeping_value(key):
            super()._update_config(key)

    @contextmanager
    def _keeping_value(self, key: int) -> Iterator[None]:
        value = (self.config_values.get(key) or {}).get("props", {}).get("value")
        yield
        self._update_value_in_config(key, value)


state_holder.SessionState = _Shared


@dataclass(frozen=True)
class Port:
    """What a tab exchanges with the others.

    Attributes:
        menu: where to send its result; see ``send_menu``.
        result: the download whose file is sent.
        photo: where a picture from another tab goes; None: it takes none.
        arrived: a number that changes once such a picture is in place.
    """

    menu: gr.Dropdown
    result: gr.DownloadButton
    photo: gr.Image | None = None
    arrived: gr.Number | None = None


class Picture(gr.Image):
    """An image input whose value is the path of the uploaded file."""

    is_template = True  # for the page this is a gr.Image

    def preprocess(self, payload: Any) -> str | None:
        return payload.path if payload else None


class Slider(gr.Slider):
    """A slider whose number may be half typed: Gradio's refuses it, and loses what comes next; settings tell of it."""

    is_template = True  # for the page this is a gr.Slider

    def preprocess(self, payload: Any) -> Any:
        return payload


def picture(label: str, **kwargs: Any) -> Picture:
    """Make an image input whose value is the path of the uploaded file.

    ``pipeline.images`` reads it: so orientation, transparency and colour profile survive, and a file that is no picture
    is refused with a sentence.
    """
    image = Picture(label=label, type="filepath", image_mode=None, **kwargs)
    image.upload(_shown, image, image, queue=False, **QUIET)
    return image


def _shown(path: str) -> Any:
    """Replace a file that no browser shows (HEIC, TIFF) by a PNG; all else stays as it came."""
    try:
        with Image.open(path) as image:
            shown = image.format in ("AVIF", "BMP", "GIF", "JPEG", "PNG", "WEBP")
        return gr.skip() if shown else file(images.load(path), ".png")
    except (OSError, Image.DecompressionBombError, AtelierError):
        return gr.skip()  # running the effect says what is wrong


def thumbnails(
    paths: Sequence[Path], label: str, columns: int, elem_id: str, captions: Sequence[str] = ()
) -> gr.Gallery:
    """Make a strip of pictures to click; listen to ``select``, whose event has the index.

    Captions show where some are given; otherwise a picture's file name is what a screen reader says.
    """
    spoken = [path.stem.replace("_", " ").capitalize() for path in paths]
    return gr.Gallery(
        list(zip(map(str, paths), captions or spoken, strict=True)),
        label=label,
        columns=columns,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        buttons=[],
        interactive=False,
        elem_id=elem_id,
        elem_classes=["thumbnails", elem_id.partition("-")[2], *["captioned"] * bool(captions)],
    )


def before_after(
    value: tuple[str, str] | None, elem_id: str, label: str = "Photo | painted", **kwargs: Any
) -> gr.ImageSlider:
    """Make the slider between a photo and what became of it."""
    return gr.ImageSlider(
        value, label=label, interactive=False, buttons=["fullscreen"], max_height=520, elem_id=elem_id, **kwargs
    )


def send_menu(effect: str) -> gr.Dropdown:
    """Make the menu that sends a result to another tab; ``connect`` fills and wires it."""
    return gr.Dropdown(
        [_NOWHERE],
        value="",
        label="Send to",
        show_label=False,
        filterable=False,
        container=False,
        elem_id=f"{effect}-send",
        elem_classes="send",
    )


def connect(tabs: gr.Tabs, ports: Mapping[str, Port], titles: Mapping[str, str]) -> None:
    """Wire the menus of all tabs: the chosen one comes on screen, and gets the picture as its photo."""

    def wire(port: Port, others: Mapping[str, Port]) -> None:
        def send(target: str, result: str | None) -> dict:
            if not target:
                return {tabs: gr.skip()}
            with told():
                if result is None:
                    raise BadInput("There is no picture to send yet.")
            return {tabs: gr.Tabs(selected=target), others[target].photo: result}

        port.menu.choices = [_NOWHERE, *((titles[name], name) for name in others)]
        arrived = [other.arrived for other in others.values()]
        sent = port.menu.select(
            send, [port.menu, port.result], [tabs, *(other.photo for other in others.values())], **LIGHT, **QUIET
        )
        sent.success(None, [port.menu, *arrived], [port.menu, *arrived], js=_ARRIVED % list(others), **QUIET)

    for name, port in ports.items():
        wire(port, {other: p for other, p in ports.items() if p.photo and other != name})


def mixing(effect: str, labels: Sequence[str]) -> tuple[list[gr.Image], list[gr.Slider]]:
    """Make the inputs of more paintings, and the shares of all, the first painting's included."""

    def share(number: int, label: str) -> gr.Slider:
        return Slider(0, 1, 1, step=0.05, label=label, elem_id=f"{effect}-share-{number}")

    more, shares = [], [share(1, "Share of the first painting")]
    for number, label in enumerate(labels, 2):
        with gr.Row():
            more.append(picture(label, height=140, elem_id=f"{effect}-painting-{number}"))
            shares.append(share(number, "Share"))
    return more, shares


def control(cls: type[Settings], name: str, **kwargs: Any) -> gr.components.Component:
    """Make the widget of one setting: label, explanation, range and default come from its declaration."""
    field = next(f for f in dataclasses.fields(cls) if f.name == name)
    meta, default = field.metadata, field.default
    common = dict(label=meta["label"], info=meta["info"], interactive=True) | kwargs
    if allowed := choices(cls, name):
        return (gr.Radio if len(allowed) < 5 else gr.Dropdown)(choices=list(allowed), value=default, **common)
    if isinstance(default, bool):
        return gr.Checkbox(value=default, **common)
    if isinstance(default, int | float):
        low, high = meta["minimum"], meta["maximum"]
        if low is None or high is None:
            return gr.Number(value=default, precision=0 if isinstance(default, int) else None, **common)
        return Slider(low, high, value=default, step=meta["step"], **common)
    if isinstance(default, tuple):
        del common["info"]
        return gr.JSON(value=list(default), **{k: v for k, v in common.items() if k != "interactive"})
    return gr.Textbox(value=default, **common)


def at_rest(name: str, controls: Iterable[gr.components.Component], clock: gr.Number) -> None:
    """Set a clock when the user has changed one of some controls, and then left all alone for a moment."""

    def touched(component: gr.components.Component) -> list:
        if isinstance(component, gr.Slider):
            return [component.input, component.release]  # the reset button releases
        # The input event of a dropdown comes twice, and when its value is set by the page too.
        return [component.select if isinstance(component, gr.Dropdown) else component.input]

    events = [event for component in controls for event in touched(component)]
    gr.on(events, None, None, clock, js=_AT_REST % dict(name=name), trigger_mode="multiple", queue=False, **QUIET)


def on_shared(clock: gr.Number) -> None:
    """Set a clock where the page was opened by a shared link: what was computed may be gone from the server."""
    gr.on(None, None, None, clock, js=_SHARED, queue=False, **QUIET)


@dataclass
class Session:
    """What is known of one visitor, kept outside the generators of runs, which Stop ends."""

    running: bool = False


def steps(run: Callable[[], Iterable[Step]], session: Session | None = None) -> Iterator[Step]:
    """Run an effect alone on the machine; what the user can mend becomes a message on the page."""
    session = session or Session()
    session.running = True
    try:
        with _BUSY, told():
            yield from run()
    finally:
        session.running = False


def warm_up(modules: Iterable[ModuleType]) -> None:
    """Load what effects need, one by one, so that the first visitor does not wait for that."""
    for module in modules:
        # What is wrong with weights is told to whoever needs them; all else works.
        if hasattr(module, "warm_up"):
            with _BUSY, suppress(AtelierError):
                module.warm_up()


def stopped(session: Session) -> str:
    """Wait until the last step of a visitor's run has ended: what comes before that would be lost, or overwritten."""
    patience = time.monotonic() + 10
    while session.running and time.monotonic() < patience:
        time.sleep(0.02)
    return "Stopped."


def queued(status: gr.Markdown, triggers: Iterable[Callable]) -> None:
    """Say at once that a run waits: until its turn comes, the run itself can't.

    To be called first: the page handles the events of one click one after another.
    """
    for trigger in triggers:
        trigger(None, None, status, js="() => 'Waiting for its turn …'", queue=False, **QUIET)


def on_stop(trigger: Callable, runs: Any, fn: Callable, inputs: Any, outputs: Any) -> None:
    """Let a click stop runs, then call a function, which may wait for them (``stopped``).

    Two events: the page handles those of one click one after another, and would cancel only once the function is done.
    """
    trigger(None, None, None, cancels=runs, queue=False)
    trigger(fn, inputs, outputs, queue=False, **QUIET)


@contextmanager
def told() -> Iterator[None]:
    """Tell the visitor, by a message on the page, what is wrong and can be mended."""
    try:
        yield
    except AtelierError as error:
        raise gr.Error(str(error), duration=10, print_exception=False) from error


def place(name: str) -> Path:
    """Return a path where a file for the browser can be written; it is downloaded under this name."""
    number = next(_serial)
    shutil.rmtree(Path(_folder.name, str(number - _KEEP)), ignore_errors=True)
    folder = Path(_folder.name, str(number))
    folder.mkdir()
    return folder / name


def own_folder(name: str) -> Path:
    """Make a folder for files that stay as long as the app runs."""
    folder = Path(_folder.name, name)
    folder.mkdir(exist_ok=True)
    return folder


def file(
    image: Image.Image,
    ending: str = ".jpg",
    *,
    name: str = "atelier",
    frames: Sequence[Image.Image] = (),
    **recipe: Any,
) -> str:
    """Save a picture, or an animation, for the browser and return its path."""
    return str(images.save(image, place(name + ending), frames, **recipe))


def endpoint(name: str, module: ModuleType) -> None:
    """Offer an effect to scripts as ``/name``: its pictures and settings by keyword, its steps as a stream.

    Settings that are for this machine alone are left out: a visitor must not make the server open a path or an address.
    Each message is the picture (PNG; GIF where it moves) and what is known about it. The widgets are never shown: they
    give the endpoint its types, and check and fetch the files.
    """
    pictures = images.parameters(module.run)
    names = [f.name for f in dataclasses.fields(module.Settings) if not f.metadata["local"]]

    def call(*values: Any) -> Iterator[tuple[str, dict]]:
        def run() -> Iterable[Step]:
            for picture, count in pictures.items():
                if count == "one" and given[picture] is None:
                    raise BadInput(f"There is no {picture}: hand one over.")
                if count == "several":
                    given[picture] = given[picture] or []
            return module.run(**given, settings=settings)

        given = dict(zip(pictures, values, strict=False))
        chosen = dict(zip(names, values[len(pictures) :], strict=True))
        with told():
            settings = from_form(module.Settings, chosen)
        recipe = dict(effect=name, settings=dataclasses.asdict(settings))
        for step in steps(run):
            report = dict(iteration=step.iteration, total=step.total, losses=dict(step.losses))
            ending = ".gif" if step.frames else ".png"
            image = file(step.image, ending, frames=step.frames, **recipe)
            yield image, report | dict(seconds=step.seconds, note=step.note)

    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    # Gradio asks clients for every parameter that has no default here.
    usual = defaults(module.Settings) | {p: None for p, count in pictures.items() if count == "optional"}
    call.__signature__ = inspect.Signature(
        [inspect.Parameter(p, keyword, default=usual.get(p, inspect.Parameter.empty)) for p in [*pictures, *names]]
    )
    call.__doc__ = (module.__doc__ or "").partition("\n")[0]
    call.__name__ = name
    with gr.Column(visible=False):
        inputs = [
            gr.File(label=p, file_count="multiple") if count == "several" else picture(p)
            for p, count in pictures.items()
        ]
        inputs += [control(module.Settings, n) for n in names]
        outputs = [gr.Image(format="png", label="image"), gr.JSON(label="report")]
        gr.Button().click(call, inputs, outputs, api_name=name, **HEAVY)
