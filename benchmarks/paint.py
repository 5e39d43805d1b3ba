"""``python -m benchmarks.paint``: seconds for a landscape by its size; the peer is fast style at the same size.

Where no weights of the painter are bundled, random ones of the same shapes take their place: speed does not depend on
them, and nothing but speed is measured.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline import fast, paint, precision, spade, weights

from . import EXAMPLES, content, style

SIZES = (256, 512)
REPEATS = 9
STYLES = 64


def random_weights(folder: Path) -> None:
    """Put an untrained painter beside the bundled weights."""
    shutil.copytree(weights.MODELS, folder)
    rng = np.random.default_rng(0)
    tensors = spade.initialise(0)
    tensors["styles.codes"] = rng.standard_normal((STYLES, spade.CODE))
    tensors["styles.shares"] = rng.dirichlet(np.ones(len(spade.CLASSES)), STYLES)
    weights.save("painter", tensors, licence="CC0-1.0", origin="untrained", folder=folder)
    weights.MODELS = folder


def speed(calls: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Return the least wall-clock and processor seconds of each call, in turns, so that all meet the same load."""
    times: dict[str, list] = {name: [] for name in calls}
    for _ in range(REPEATS + 1):
        for name, call in calls.items():
            wall, processor = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: tuple(np.min(measured[1:], axis=0)) for name, measured in times.items()}


def main() -> None:
    """Print seconds by size: from a label map to a picture, best of several calls."""
    doodle, photo, painting = EXAMPLES / "doodles" / "lake.png", content("astronaut"), style("great_wave")
    formats = ["float32"] + ["bfloat16"] * precision.cpu_has_bfloat16()
    print("Seconds for a square picture, wall clock (processor), best of", REPEATS, "\n")
    print("| size | " + " | ".join([*(f"paint, {f}" for f in formats), "paint, style photo", "fast style"]) + " |")
    print("|--:|" + "--:|" * (len(formats) + 2))
    for size in SIZES:
        square = photo.resize((size, size))
        calls = {f: lambda f=f, n=size: paint.paint(doodle, size=n, precision=f) for f in formats}
        calls["photo"] = lambda n=size: paint.paint(doodle, photo, size=n)
        calls["peer"] = lambda n=size, s=square: fast.stylize(s, painting, size=n)
        cells = [f"{wall:.2f} ({processor:.2f})" for wall, processor in speed(calls).values()]
        print(f"| {size} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if not weights.available("painter"):
            print("RANDOM WEIGHTS, as none of the painter are bundled: this says nothing but how fast it is.\n")
            random_weights(Path(folder, "models"))
        main()
