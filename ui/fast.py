"""The tab of fast style: a photo, a painting, a slider."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipeline import fast, images
from pipeline.fast import MAX_STYLES, Settings

from .common import (
    EXAMPLES,
    HEAVY,
    QUIET,
    Port,
    Session,
    at_rest,
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

# Finished pictures to click: photo, painting, strength. `examples/SOURCES.md` tells how they were made.
FINISHED = (
    ("matterhorn", "great_wave", 1.0),
    ("chelsea", "auvers", 1.0),
    ("city_skyline", "ejiri", 1.0),
    ("canyon", "kazusa_sea_route", 1.0),
    ("astronaut", "composition_viii", 0.8),
)
CONTROLS = ("size", "style_size", "colours", "engine")


def build() -> Port:
    """Lay out the tab and wire it."""
    paintings = sorted((EXAMPLES / "styles").glob("*.jpg"))
    finished = [EXAMPLES / "finished" / f"fast_{photo}_{painting}.jpg" for photo, painting, _ in FINISHED]
    first_photo, first_painting, _ = _example(0)

    with gr.Row(elem_classes="studio"):
        with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
            with gr.Row(elem_classes="pair"):
                photo = picture("Photo", value=first_photo, height=190, elem_id="fast-photo")
                painting = picture("Painting", value=first_painting, height=190, elem_id="fast-painting")
            looks = thumbnails(paintings, "Paintings: click one", 7, "fast-looks")
            strength = control(Settings, "strength", elem_id="fast-strength", elem_classes="main-control")
            with gr.Accordion("Advanced", open=False, elem_id="fast-advanced", elem_classes="advanced"):
                controls = [control(Settings, name, elem_id=f"fast-{name}") for name in CONTROLS]
                with gr.Accordion("Mix in more paintings", open=False, elem_id="fast-mix"):
                    more, shares = mixing("fast", [f"Painting {i}" for i in range(2, MAX_STYLES + 1)])
            with gr.Row(elem_classes="actions"):
                go = gr.Button("Run", variant="primary", elem_id="fast-run")
                stop = gr.Button("Stop", elem_id="fast-stop")
        with gr.Column(scale=3, min_width=320, elem_classes="outputs"):
            result = before_after((first_photo, str(finished[0])), "fast-result")
            status = gr.Markdown("An example. Choose a painting, or your own photo.", elem_id="fast-status")
            with gr.Row(elem_classes="actions"):
                download = gr.DownloadButton(
                    "Download PNG", file(images.load(finished[0]), ".png"), elem_id="fast-download"
                )
                menu = send_menu("fast")
            examples = thumbnails(finished, "Examples: click one", 5, "fast-examples")

    session = gr.State(Session())
    inputs = [session, photo, painting, *more, *shares, strength, *controls]
    run = dict(fn=_run, inputs=inputs, outputs=[result, status, download], trigger_mode="always_last")
    run |= HEAVY | QUIET

    def pick(event: gr.SelectData) -> str:
        return str(paintings[event.index])

    def pick_example(event: gr.SelectData) -> tuple[str, str, float]:
        return _example(event.index)

    arrived = gr.Number(visible="hidden")
    at_rest("strength", [strength], arrived)
    queued(status, [go.click, arrived.change, looks.select, examples.select])
    runs = [
        go.click(**run),
        arrived.change(**run),
        looks.select(pick, None, painting, **QUIET).then(**run),
        examples.select(pick_example, None, [photo, painting, strength], **QUIET).then(**run),
    ]
    on_stop(stop.click, runs, stopped, session, status)
    return Port(menu, download, photo, arrived)


def _example(index: int) -> tuple[str, str, float]:
    photo, painting, strength = FINISHED[index]
    return str(EXAMPLES / "content" / f"{photo}.jpg"), str(EXAMPLES / "styles" / f"{painting}.jpg"), strength


def _run(session: Session, photo: str | None, *values: Any) -> Iterator[tuple]:
    """Turn the widgets' values into settings, and each step into what the page shows."""
    paintings, shares = values[:MAX_STYLES], values[MAX_STYLES : 2 * MAX_STYLES]
    chosen = [(p, s) for p, s in zip(paintings, shares, strict=True) if p]
    options = dict(zip(("strength", *CONTROLS), values[2 * MAX_STYLES :], strict=True))

    settings = Settings(**options, style_weights=tuple(s for _, s in chosen))
    before = None

    def run() -> Iterator:
        nonlocal before
        if photo is None:
            raise images.BadInput("There is no photo: drop one, or click an example.")
        if not chosen:
            raise images.BadInput("There is no painting: click one, or drop your own.")
        content = images.fit(images.load(photo), settings.size)
        before = file(content)
        return fast.run(content, [p for p, _ in chosen], settings)

    waiting = "Loading Magenta's module, which is downloaded once …" if settings.engine == "magenta" else "Painting …"
    yield gr.skip(), waiting, gr.skip()
    try:
        for step in steps(run, session):
            # Stopped at the preview, it is what there is to download and to send.
            png = file(step.image, ".png", effect="fast", settings=dataclasses.asdict(settings))
            yield (before, png), step.note if step.iteration == step.total else waiting, png
    except gr.Error as error:
        gr.Warning(error.message)  # after an error Gradio would lose the run that waits behind this one
        yield gr.skip(), "Nothing was painted.", gr.skip()
