"""``python -m benchmarks.paint``: seconds for a landscape by its size; the peer is fast style at the same size."""

from pipeline import fast, paint, precision

from . import EXAMPLES, REPEATS, content, seconds, style

SIZES = (256, 512)


def main() -> None:
    """Print seconds by size: from a label map to a picture, best of several calls."""
    doodle, photo, painting = EXAMPLES / "doodles" / "lake.png", content("astronaut"), style("great_wave")
    formats = ["float32"] + ["bfloat16"] * precision.cpu_has_bfloat16()
    print(f"Seconds for a square picture, best of {REPEATS}\n")
    print("| size | " + " | ".join([*(f"paint, {f}" for f in formats), "paint, style photo", "fast style"]) + " |")
    print("|--:|" + "--:|" * (len(formats) + 2))
    for size in SIZES:
        square = photo.resize((size, size))
        calls = {f: lambda f=f, n=size: paint.paint(doodle, size=n, precision=f) for f in formats}
        calls["photo"] = lambda n=size: paint.paint(doodle, photo, size=n)
        calls["peer"] = lambda n=size, s=square: fast.stylize(s, painting, size=n)
        cells = [f"{seconds(call):.2f}" for call in calls.values()]
        print(f"| {size} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
