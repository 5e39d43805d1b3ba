"""What the README claims, measured: each module prints one table."""

from pathlib import Path

from PIL import Image

from pipeline import images

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def content(name: str) -> Image.Image:
    return images.load(EXAMPLES / "content" / f"{name}.jpg")


def style(name: str) -> Image.Image:
    return images.load(EXAMPLES / "styles" / f"{name}.jpg")
