"""``python -m benchmarks.paint``: seconds for a landscape by its size; the peer is fast style at the same size."""

import time
from collections.abc import Callable

import numpy as np

from pipeline import fast, paint, precision

from . import EXAMPLES, content, style

SIZES = (256, 512)
REPEATS = 9


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
    main()
