"""The tab of paint to photo: a canvas with one brush per class, styles to click, and a picture that follows at once."""

import base64
import dataclasses
import html
import io
import json
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pipeline import AtelierError, images, paint
from pipeline.paint import Settings
from pipeline.settings import defaults
from pipeline.spade import CLASSES, PALETTE

from .common import EXAMPLES, LIGHT, QUIET, SOON, Port, control, file, own_folder, picture, send_menu, thumbnails, told

# The sky is what a blank canvas shows, so it comes first; "other" can be opened, but there is no reason to paint it.
BRUSHES = tuple(CLASSES[1:])
FIRST = "lake"
TOOLS = {"brush": "Brush", "fill": "Fill", "eraser": "Eraser"}
HINTS = {
    "brush": "Paint with the chosen colour",
    "fill": "Fill an area of one colour",
    "eraser": "Bring back what lay below your strokes",
}
SHAPES = {"512x512": "Square", "512x384": "Wide", "384x512": "Tall"}
ACTIONS = {"undo": ("↶", "Undo"), "redo": ("↷", "Redo"), "clear": ("Clear", "Start over with a blue sky")}

CANVAS = 512  # longest side, in pixels
LIVE = 256  # longest side of the picture that follows the brush
LARGE = defaults(Settings)["size"]
CONTROLS = ("style", "style_seed", "second_style", "blend", "seed")
# The clock tells when the canvas and all controls have their values, and, by its sign, which size is wanted.
LARGE_SOON = SOON.replace("performance", "-performance")
SURPRISE = "() => [null, 0, 1 + Math.floor(Math.random() * 999999)]"
ANY_SEED = "() => 1 + Math.floor(Math.random() * 999999)"


def build() -> Port:
    """Lay out the tab and wire it."""
    doodles = sorted((EXAMPLES / "doodles").glob("*.png"), key=lambda path: path.stem != FIRST)
    chosen: dict[str, gr.components.Component] = {}

    def add(name: str, **kwargs: Any) -> None:
        chosen[name] = control(Settings, name, elem_id=f"paint-{name.replace('_', '-')}", **kwargs)

    with gr.Row(elem_classes="studio"):
        with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
            canvas = gr.HTML(
                _url(doodles[0]),
                html_template=_board(),
                js_on_load=Path(__file__).with_name("canvas.js").read_text(),
                apply_default_css=False,
                elem_id="paint-canvas",
            )
            with gr.Row(elem_classes=["actions", "styles"]):
                surprise = gr.Button("Surprise me", size="sm", elem_id="paint-surprise")
                suit = gr.Button("Style that suits", size="sm", elem_id="paint-suit")
            styles = thumbnails([], "Styles: click one", 8, "paint-styles")
            with gr.Accordion("Advanced", open=False, elem_id="paint-advanced", elem_classes="advanced"):
                with gr.Row(elem_classes="pair"):
                    photo = picture("Style photo", height=170, elem_id="paint-photo")
                    with gr.Column():
                        add("style")
                        add("style_seed")
                add("blend")
                with gr.Row():
                    add("second_style")
                    add("seed")
                other = gr.Button("Other details", size="sm", elem_id="paint-other-details")
        with gr.Column(scale=3, min_width=320, elem_classes="outputs"):
            result = gr.Image(
                label="Picture: it follows your brush",
                interactive=False,
                format="png",
                height=516,
                buttons=["fullscreen"],
                elem_id="paint-result",
            )
            status = gr.Markdown("Painting …", elem_id="paint-status")
            with gr.Row(elem_classes="downloads"):
                large = gr.Button(f"Paint at {LARGE} px", variant="primary", elem_id="paint-run")
                download = gr.DownloadButton("Download PNG", elem_id="paint-download")
                download_map = gr.DownloadButton("Download map", elem_id="paint-download-map")
                menu = send_menu("paint")
            examples = thumbnails(doodles, "Doodles: click one", 5, "paint-examples")
            label_map = gr.UploadButton(
                "Open a label map", file_types=["image"], size="sm", elem_id="paint-label-map", elem_classes="examples"
            )

    clock = gr.Number(visible="hidden")
    controls = [chosen[name] for name in CONTROLS]
    at_once = dict(queue=False) | QUIET

    def pick_style(event: gr.SelectData) -> tuple:
        return None, event.index + 1, 0

    def pick_doodle(event: gr.SelectData) -> str:
        return _url(doodles[event.index])

    def open_map(path: str) -> str:
        with told():
            return _url(path)

    which = [photo, chosen["style"], chosen["style_seed"]]
    styles.select(pick_style, None, which, **at_once)
    surprise.click(None, None, which, js=SURPRISE, **at_once)
    suit.click(None, None, which, js="() => [null, 0, 0]", **at_once)
    other.click(None, None, chosen["seed"], js=ANY_SEED, **at_once)
    examples.select(pick_doodle, None, canvas, **at_once)
    label_map.upload(open_map, label_map, canvas, **LIGHT, **QUIET)

    # The canvas tells when it is on screen: whoever never opens this tab costs no painting.
    # The strip takes seconds, once, and must not keep the light queue from those who paint.
    canvas.ready(_strip, None, styles, concurrency_limit=1, concurrency_id="styles", **QUIET)
    for asked in (canvas.ready, large.click):
        asked(None, None, clock, js=LARGE_SOON, **at_once)
    touched = [component.change for component in (canvas, photo, *controls)]
    gr.on(touched, None, None, clock, js=SOON, trigger_mode="multiple", **at_once)
    shown = [result, status, download, download_map]
    clock.change(_run, [clock, canvas, photo, *controls], shown, trigger_mode="always_last", **LIGHT, **QUIET)
    return Port(menu, download)


def _board() -> str:
    """Return the canvas with its brushes and tools; ``canvas.js`` brings them to life."""
    brushes = "".join(
        f'<label><input type="radio" name="doodle-class" value="{CLASSES.index(name)}" '
        f'data-class="{CLASSES.index(name)}"{" checked" * (name == BRUSHES[0])}>'
        f'<i style="background: rgb({",".join(map(str, PALETTE[CLASSES.index(name)]))})"></i>{name}</label>'
        for name in BRUSHES
    )
    tools = "".join(
        f'<label title="{HINTS[tool]}"><input type="radio" name="doodle-tool" value="{tool}"'
        f"{' checked' * (tool == 'brush')}>{words}</label>"
        for tool, words in TOOLS.items()
    )
    actions = "".join(
        f'<button type="button" data-part="{name}" title="{hint}" aria-label="{hint}">{words}</button>'
        for name, (words, hint) in ACTIONS.items()
    )
    shapes = "".join(f'<option value="{sides}">{words}</option>' for sides, words in SHAPES.items())
    return f"""<div class="doodle" data-part="root" data-palette="{html.escape(json.dumps(PALETTE.tolist()))}">
<div class="brushes" role="radiogroup" aria-label="What to paint">{brushes}</div>
<div class="tools"><span role="radiogroup" aria-label="Tool">{tools}</span>
<label class="size">Size <input type="range" data-part="size" min="4" max="160" value="48"></label>
<span>{actions}</span>
<select data-part="shape" aria-label="Shape of the canvas">{shapes}<option value="" hidden>Own</option></select>
</div>
<div class="surface"><canvas data-part="view" tabindex="0" role="application"
aria-label="Canvas: arrow keys move the brush, space paints, control and Z undoes"></canvas><div data-part="ring"></div>
</div></div>"""


def _url(source: images.ImageSource) -> str:
    """Return a label map as what the canvas takes."""
    data = io.BytesIO()
    paint.draw(paint.read(source, CANVAS)).save(data, "png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _map(url: str) -> bytes:
    """Return the file that the canvas hands over."""
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except (AttributeError, ValueError):
        raise images.BadInput("The canvas can't be read: reload the page.") from None


@lru_cache(maxsize=4)  # the same photo comes with every stroke
def _photo(path: str) -> Image.Image:
    return images.fit(images.load(path), paint.STYLE_PHOTO_SIZE)


def _run(clock: float, url: str, photo: str | None, *values: Any) -> Iterator[tuple]:
    """Paint what is on the canvas; what can't be painted is told in the status line, as a number may be half typed."""
    try:
        size = LARGE if clock < 0 else LIVE
        settings = Settings(**dict(zip(CONTROLS, values, strict=True)), size=size)
        doodle = _map(url)
        for step in paint.run(doodle, photo and _photo(photo), settings):
            png = file(step.image, ".png", name="painted", effect="paint", settings=dataclasses.asdict(settings))
            label_map = file(paint.draw(paint.read(doodle, CANVAS)), ".png", name="label_map")
            yield png, step.note, png, label_map
    except AtelierError as error:
        yield gr.skip(), f"⚠ {error}", gr.skip(), gr.skip()


def _strip() -> list[str]:
    with told():
        return _style_files()


@cache
def _style_files() -> list[str]:
    """Paint the first doodle in every style, once: photos of the training, whose styles these are, are never shown."""
    folder = own_folder("styles")
    painted = paint.style_pictures(EXAMPLES / "doodles" / f"{FIRST}.png")
    return [str(images.save(image, folder / f"style_{i}.jpg")) for i, image in enumerate(painted, 1)]
