"""What the README claims, measured: one module per effect."""

import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pipeline import images

REPEATS = 7
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def content(name: str) -> Image.Image:
    return images.load(EXAMPLES / "content" / f"{name}.jpg")


def style(name: str) -> Image.Image:
    return images.load(EXAMPLES / "styles" / f"{name}.jpg")


def seconds(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Shortest wall-clock time of a call, after one to warm up: other processes only ever make one longer."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)
