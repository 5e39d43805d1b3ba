"""The tab of hybrid images: two pictures, the distance where one turns into the other, and points to align them by."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from pipeline import AtelierError, BadInput, align, distance, hybrid, images
from pipeline.hybrid import PRESETS, Settings
from pipeline.settings import defaults

from .common import (
    EXAMPLES,
    QUIET,
    Port,
    at_rest,
    control,
    file,
    on_shared,
    picture,
    place,
    send_menu,
    thumbnails,
    told,
)

# Finished pictures to click: near, far, points on each. `examples/SOURCES.md` tells how they were made.
FINISHED = (
    ("chelsea", "astronaut", (0.382, 0.375, 0.707, 0.455), (0.381, 0.209, 0.482, 0.209)),
    ("city_skyline", "matterhorn", (), ()),
    ("coffee", "rocket", (), ()),
    ("matterhorn", "green_hills", (), ()),
    ("cypress_field", "city_skyline", (), ()),
)
MAIN = ("flip_distance", "balance", "colours", "size")
ALIGN = ("flip", "nudge_x", "nudge_y", "zoom", "frame")
EXPERT = (
    *("solver", "start", "steps", "stop_at_best", "headroom", "sigma", "kernel_size", "m_precise", "m_blurred"),
    *("gamma", "border", "learning_rate", "low_cutoff", "high_cutoff"),
)
CONTROLS = (*MAIN, *EXPERT, *ALIGN)
LOOK = (*MAIN, *EXPERT)  # what a preset sets

MAX_POINTS = 3
VIEW_SIDE = 800  # of the pictures to click on, in pixels
PAUSE = 0.25  # seconds between two pictures of a solver on its way
# A change takes a tenth of a second on one core: it need not wait for effects that take minutes, nor should hundreds
# of steps of descent keep others from changing theirs.
TURNS = dict(concurrency_limit=4, concurrency_id="hybrid")


def build() -> Port:
    """Lay out the tab and wire it."""
    finished = [EXAMPLES / "finished" / f"hybrid_{near}_{far}.jpg" for near, far, *_ in FINISHED]
    first_near, first_far, *first_points = _example(0)
    first = dict(image=images.load(finished[0]), near=first_near, far=first_far)
    first["settings"] = Settings(near_points=first_points[0], far_points=first_points[1])
    first_strip, first_scores, first_spectra, *_ = _see(first)
    first_views = _aligning(first_near, first_far, *first_points, *(defaults(Settings)[name] for name in ALIGN))
    chosen: dict[str, gr.components.Component] = {}

    def add(name: str, **kwargs: Any) -> None:
        chosen[name] = control(Settings, name, elem_id=f"hybrid-{name.replace('_', '-')}", **kwargs)

    with gr.Row(elem_classes="studio"):
        with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
            with gr.Row(elem_classes="pair"):
                near = picture("Near picture", value=first_near, height=170, elem_id="hybrid-near")
                far = picture("Far picture", value=first_far, height=170, elem_id="hybrid-far")
            preset = control(Settings, "preset", info=None, elem_id="hybrid-preset")
            add("flip_distance", elem_classes="main-control")
            add("balance")
            with gr.Accordion("Align by points", open=False, elem_id="hybrid-align", elem_classes="advanced"):
                hint = gr.Markdown(first_views[3], elem_id="hybrid-hint")
                with gr.Row(elem_classes="views"):
                    view = dict(interactive=False, buttons=["fullscreen"])
                    near_view = picture("Near: click", value=first_views[0], elem_id="hybrid-near-view", **view)
                    far_view = picture("Far: click", value=first_views[1], elem_id="hybrid-far-view", **view)
                clear = gr.Button("Clear points", size="sm", elem_id="hybrid-clear")
                overlay = picture(
                    "Both, half and half", value=first_views[2], height=260, elem_id="hybrid-overlay", **view
                )
                for name in ALIGN:
                    add(name)
            with gr.Accordion("Advanced", open=False, elem_id="hybrid-advanced", elem_classes="advanced"):
                for name in MAIN[2:]:
                    add(name)
                with gr.Accordion("Expert", open=False, elem_id="hybrid-expert"):
                    for name in EXPERT:
                        add(name)
            with gr.Row(elem_classes="actions"):
                go = gr.Button("Run", variant="primary", elem_id="hybrid-run")
                stop = gr.Button("Stop", elem_id="hybrid-stop")
                swap = gr.Button("Swap", elem_id="hybrid-swap")
        with gr.Column(scale=3, min_width=320, elem_classes="outputs"):
            result = gr.Image(
                str(finished[0]),
                label="From close by",
                interactive=False,
                buttons=["fullscreen"],
                height=400,
                elem_id="hybrid-result",
            )
            scores = gr.HTML(first_scores, elem_id="hybrid-scores")
            strip = gr.Image(
                first_strip,
                label="As if walking away: 1, 1/2, 1/4, 1/8, 1/16",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="hybrid-strip",
            )
            status = gr.Markdown(
                "An example. Everything you change shows at once; step back from the screen.", elem_id="hybrid-status"
            )
            with gr.Row(elem_classes="actions"):
                png = _png(first)
                download = gr.DownloadButton("Download PNG", png, elem_id="hybrid-download")
                animate = gr.Button("Zoom animation", elem_id="hybrid-animate")
                menu = send_menu("hybrid")
            zoom = gr.Image(
                label="Walking away and back",
                interactive=False,
                visible=False,
                buttons=["fullscreen"],
                height=300,
                elem_id="hybrid-zoom-view",
            )
            download_zoom = gr.DownloadButton("Download GIF", visible=False, elem_id="hybrid-download-gif")
            examples = thumbnails(finished, "Examples: click one", 5, "hybrid-examples")
            with gr.Accordion("Spectra", open=False, elem_id="hybrid-spectra", elem_classes="advanced"):
                gr.Markdown(
                    "Which detail each picture has, coarse in the middle: the near one wins outside the circle."
                )
                spectra = gr.Gallery(
                    first_spectra,
                    show_label=False,
                    columns=3,
                    height="auto",
                    allow_preview=False,
                    buttons=[],
                    interactive=False,
                    elem_id="hybrid-spectra-view",
                    elem_classes="thumbnails captioned",
                )

    # Points are no states, which a shared link has not.
    near_points, far_points = (gr.JSON(points, visible="hidden") for points in first_points)
    last = gr.State(first)
    pictures = [near, far, near_points, far_points]
    at_once = dict(queue=False) | QUIET
    # Whatever calls for a new picture counts this up: one event does all runs.
    runs = gr.State(0)
    # The session's newest run is the one that goes on. Gradio could only keep a newer one waiting, or lose it.
    newest = gr.State({})
    running = runs.change(
        _run,
        [newest, *pictures, *(chosen[name] for name in CONTROLS)],
        [result, status, download, last],
        trigger_mode="multiple",
        **TURNS,
        **QUIET,
    )
    see = dict(fn=_see, inputs=last, outputs=[strip, scores, spectra, zoom, download_zoom], trigger_mode="always_last")
    see |= TURNS | QUIET
    running.success(**see)
    # Queued, as a change of state is only told there; nobody waits.
    again = dict(outputs=runs, trigger_mode="multiple", concurrency_limit=None) | QUIET
    if_pictures = dict(fn=_count_if_pictures, inputs=[runs, near, far]) | again
    aligning = dict(fn=_aligning, inputs=[*pictures, *(chosen[name] for name in ALIGN)])
    # Queued, as errors outside the queue don't reach the page.
    aligning |= dict(outputs=[near_view, far_view, overlay, hint], trigger_mode="multiple") | TURNS | QUIET

    def pick_look(event: gr.SelectData) -> list:
        return _look(event.value)

    def pick_example(event: gr.SelectData) -> list:
        usual = next(iter(PRESETS))
        return [*_example(event.index), usual, *_look(usual), *(defaults(Settings)[name] for name in ALIGN)]

    arrived, changed, moved = (gr.Number(visible="hidden") for _ in range(3))
    # What replaces pictures or points shows its marks first.
    for arrival in (
        gr.on([near.input, far.input, arrived.change], lambda: ([], []), None, [near_points, far_points], **at_once),
        clear.click(lambda: ([], []), None, [near_points, far_points], **at_once),
        near_view.select(_click, [near_view, near_points], near_points, **at_once),
        far_view.select(_click, [far_view, far_points], far_points, **at_once),
        swap.click(lambda a, b, p, q: (b, a, q, p), pictures, pictures, **at_once),
        examples.select(
            pick_example, None, [*pictures, preset, *(chosen[name] for name in (*LOOK, *ALIGN))], **at_once
        ),
    ):
        arrival.success(**aligning).success(_count_if_complete, [runs, *pictures], **again)
    # A set blur or weight would leave the main controls without effect. Not on release, which a slider also tells when
    # a menu that lay over it closes.
    blur = [chosen["sigma"], chosen["kernel_size"]]
    chosen["flip_distance"].input(None, None, blur, js="() => [0, 0]", **QUIET)
    chosen["balance"].input(None, None, chosen["m_precise"], js="() => 0", **QUIET)
    preset.select(pick_look, None, [chosen[name] for name in LOOK], **at_once).success(**if_pictures)
    at_rest("changed", [chosen[name] for name in CONTROLS], changed)
    at_rest("moved", [chosen[name] for name in ALIGN], moved)
    on_shared(changed)
    changed.change(**if_pictures)
    moved.change(**aligning)
    go.click(_count, runs, **again)
    stop.click(_stopped, [newest, last], [result, status, download], cancels=running, **at_once).success(**see)
    animate.click(_animate, last, [zoom, download_zoom], **TURNS, **QUIET)
    counting = [chosen[name] for name in ("flip_distance", "balance", "low_cutoff", "high_cutoff")]
    chosen["solver"].change(_what_counts, chosen["solver"], counting, **at_once)
    return Port(menu, download, near, arrived)


def _example(index: int) -> tuple[str, str, list, list]:
    near, far, *points = FINISHED[index]
    return *(str(EXAMPLES / "content" / f"{name}.jpg") for name in (near, far)), *map(list, points)


def _look(preset: str) -> list:
    values = defaults(Settings) | dict(PRESETS[preset])
    return [values[name] for name in LOOK]


def _what_counts(solver: str) -> list[dict]:
    """Rest the controls that the solver does not know, and show those of its own."""
    classic = solver == "classic"
    return [gr.update(interactive=not classic)] * 2 + [gr.update(visible=classic)] * 2


def _settings(near_points: Sequence[float], far_points: Sequence[float], **options: Any) -> Settings:
    """Make settings; points that still lack their partner do not count."""
    paired = min(len(near_points), len(far_points))
    paired = paired if paired >= 4 else 0
    return Settings(near_points=near_points[:paired], far_points=far_points[:paired], **options)


def _count(runs: int) -> int:
    return runs + 1


def _count_if_complete(
    runs: int, near: str | None, far: str | None, near_points: Sequence, far_points: Sequence
) -> int:
    """Wait for a picture, or a point, that is still to come."""
    return runs + bool(near and far and len(near_points) == len(far_points) != 2)


def _count_if_pictures(runs: int, near: str | None, far: str | None) -> int:
    return runs + bool(near and far)


def _run(
    newest: dict, near: str | None, far: str | None, near_points: Sequence, far_points: Sequence, *values: Any
) -> Iterator:
    """Turn the widgets' values into settings, and steps into what the page shows, until another run begins."""
    this = newest["run"] = object()
    skip = gr.skip()
    try:
        for given, name in ((near, "near"), (far, "far")):
            if given is None:
                raise BadInput(f"There is no {name} picture: drop one, or click an example.")
        settings = _settings(near_points, far_points, **dict(zip(CONTROLS, values, strict=True)))
        shown = 0.0
        for step in hybrid.run(near, far, settings):
            if newest.get("run") is not this:
                yield (skip,) * 4  # Gradio empties the outputs of a generator that yields nothing
                return
            last = dict(image=step.image, near=near, far=far, settings=settings)
            if step.seconds > shown + PAUSE:
                shown, newest["shown"] = step.seconds, last
                status = f"Step {step.iteration} of at most {step.total}, loss {step.losses['total']:.0f} …"
                yield file(step.image), status, skip, last
    except AtelierError as error:
        # What the run before this one has shown on its way is what there is.
        kept = newest.pop("shown", None)
        png = _png(kept) if kept else skip
        yield png, f"⚠ {error}", png, skip
        with told():
            raise
    png = _png(last)
    if newest.get("run") is not this:  # begun, or stopped, during the last step
        yield (skip,) * 4
        return
    newest.pop("shown", None)
    losses = ", ".join(f"{name} {value:.0f}" for name, value in step.losses.items() if name != "total")
    yield png, f"{step.note} ({losses}).", png, last


def _png(last: dict) -> str:
    return file(last["image"], ".png", name="hybrid", effect="hybrid", settings=dataclasses.asdict(last["settings"]))


def _stopped(newest: dict, last: dict) -> tuple[str, str, str]:
    """End the run, and keep its last picture as the result."""
    newest.clear()
    png = _png(last)
    return png, "Stopped: this is the picture so far.", png


def _see(last: dict) -> tuple[str, str, list, dict, dict]:
    """Return the strip, the scores as badges, and the spectra; an animation of the picture before goes."""
    with told():
        given = [last[key] for key in ("image", "near", "far", "settings")]
        scores, sentence = hybrid.score(*given)
        spectra = zip(hybrid.spectra(*given), ("Near", "Far", "Result"), strict=True)
    badges = (
        (scores.near_passes, "Close by", "the near picture", scores.near[0]),
        (scores.far_passes, "From afar", "the far picture", scores.far[1]),
    )
    shown = "".join(
        f'<span class="badge {"pass" if passes else "fail"}">{"✓" if passes else "✗"} {where}: {what} '
        f"<b>{100 * likeness:.0f} % alike</b></span>"
        for passes, where, what, likeness in badges
    )
    html = f'<div class="badges">{shown}</div><p>{sentence}</p>'
    hidden = gr.update(visible=False)
    return file(distance.strip(last["image"])), html, [(file(image), name) for image, name in spectra], hidden, hidden


def _animate(last: dict) -> tuple[dict, dict]:
    path = place("hybrid.gif")
    path.write_bytes(distance.walk(last["image"]))
    return gr.update(value=str(path), visible=True), gr.update(value=str(path), visible=True)


def _click(event: gr.SelectData, view: str, points: Sequence[float]) -> list[float]:
    """Add the clicked point; with all there already, move the closest one."""
    with Image.open(view) as shown:
        clicked = np.array(event.index) / shown.size
    placed = np.reshape(points, (-1, 2))
    if len(placed) < MAX_POINTS:
        placed = np.vstack([placed, clicked])
    else:
        placed[np.square(placed - clicked).sum(1).argmin()] = clicked
    return placed.clip(0, 1).ravel().tolist()


def _aligning(
    near: str | None, far: str | None, near_points: Sequence, far_points: Sequence, *values: Any
) -> tuple[str | None, str | None, str | None, str]:
    """Return both pictures with their points, how they lie over each other, and what to do next."""
    with told():
        views = [_view(path, points) for path, points in ((near, near_points), (far, far_points))]
    if not (near and far):
        return *views, None, "Choose two pictures first."
    try:
        settings = _settings(near_points, far_points, size=VIEW_SIDE, **dict(zip(ALIGN, values, strict=True)))
        overlay = file(hybrid.aligned(near, far, settings).overlay())
    except AtelierError as error:
        return *views, None, f"⚠ {error}"
    return *views, overlay, _hint(len(near_points) // 2, len(far_points) // 2)


def _view(path: str | None, points: Sequence[float]) -> str | None:
    """Return a picture to click on: upright, as browsers show files of any kind, with its points."""
    if path is None:
        return None
    image = images.fit(images.load(path), VIEW_SIDE)
    return file(align.numbered(image, align.points(points, image.size)))


def _hint(near: int, far: int) -> str:
    if near != far:
        return f"Now click point {min(near, far) + 1} on the {'far' if near > far else 'near'} picture: the same place."
    return (
        "Click a place on the near picture and the same one on the far picture, twice: both eyes, say.",
        "Click a second place on both pictures.",
        "Aligned by two points: turned, scaled and moved. A third one on both pictures may also skew.",
        "Aligned by three points. Another click moves the closest one.",
    )[near]
