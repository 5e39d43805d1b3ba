"""Seeing a picture from further and further away.

Distance 1 is where the longest side spans ``VIEW`` pixels, at distance d it spans VIEW / d: all of this is about the
picture as a whole, whatever its resolution. Pictures shrink in linear light, as they do in the eye.
"""

import io
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from PIL import Image, ImageDraw

from . import colour, images

VIEW = 512
STEPS = (1, 2, 4, 8, 16)
# The eye compares shapes by their detail, not by their mean brightness: likeness is judged above this many pixels.
DETAIL_SIGMA = 2.0
FAR = STEPS[-1]
PAPER = "white"

# Rec. 709 luminance of linear light.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def seen_from(image: Image.Image, distance: float) -> Image.Image:
    """Shrink a picture to what is left of it at a distance: each pixel is the mean light of those it covers.

    Args:
        image: mode RGB.
        distance: 1 or more, see the module; a picture is never enlarged.

    Returns:
        Mode RGB, longest side at most VIEW / distance.
    """
    linear = colour.LINEAR[np.asarray(image)]
    planes = [_shrink(linear[..., c], distance) for c in range(3)]
    return images.to_image(colour.linear_to_srgb(np.stack(planes, -1)))


def _shrink(plane: np.ndarray, distance: float) -> np.ndarray:
    height, width = plane.shape
    scale = min(1, VIEW / distance / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))


def strip(image: Image.Image) -> Image.Image:
    """Return the picture at each distance of ``STEPS`` side by side, as if walking away."""
    views = [seen_from(image, d) for d in STEPS]
    gap = 16
    width = sum(v.width for v in views) + gap * (len(views) - 1)
    sheet = Image.new("RGB", (width, views[0].height), PAPER)
    x = 0
    for v in views:
        sheet.paste(v, (x, (sheet.height - v.height) // 2))
        x += v.width + gap
    return sheet


def walk(image: Image.Image, frames: int = 16, seconds: float = 3.0) -> bytes:
    """Return an animated GIF that walks away to the last distance of ``STEPS`` and back, over and over.

    Args:
        image: mode RGB.
        frames: pictures on the way there; the way back shows them again.
        seconds: how long the way there takes.
    """
    near = seen_from(image, 1)
    way = []
    for distance in np.geomspace(1, STEPS[-1], frames):
        view = seen_from(image, distance)
        page = Image.new("RGB", near.size, PAPER)
        page.paste(view, ((near.width - view.width) // 2, (near.height - view.height) // 2))
        way.append(page.quantize(256, Image.Quantize.MEDIANCUT))
    file = io.BytesIO()
    pause = round(1000 * seconds / frames)
    durations = [8 * pause, *[pause] * (frames - 2), 8 * pause, *[pause] * (frames - 2)]
    way[0].save(file, "GIF", save_all=True, append_images=way[1:] + way[-2:0:-1], duration=durations, loop=0)
    return file.getvalue()


def spectrum(image: Image.Image, cutoff: float | None = None) -> Image.Image:
    """Return the log magnitudes of a picture's Fourier transform, frequency 0 in the middle, 128 cycles at the edge.

    Args:
        image: mode RGB.
        cutoff: draw a circle at this frequency, in cycles per longest side.

    Returns:
        Mode RGB, VIEW pixels a side.
    """
    plane = _shrink(_luminance(image), 2)
    # A window, or the picture's borders would draw a cross over everything.
    window = np.outer(*(np.hanning(side) for side in plane.shape))
    size = (VIEW, VIEW)
    magnitudes = np.log(np.abs(np.fft.fftshift(np.fft.fft2((plane - plane.mean()) * window, size))) + 1e-3)
    low, high = np.percentile(magnitudes, [5, 99.9])
    shown = images.to_image((magnitudes - low) / (high - low)).convert("RGB")
    if cutoff is not None:
        radius = cutoff * VIEW / 256
        ImageDraw.Draw(shown).circle((VIEW / 2, VIEW / 2), radius, outline="red", width=2)
    return shown


@dataclass(frozen=True)
class Scores:
    """How a hybrid of A (near) and B (far) reads.

    Likeness is the correlation, in [-1, 1], of what is finer than DETAIL_SIGMA pixels in both luminances.

    Attributes:
        near: likeness to A and to B at distance 1.
        far: likeness to A and to B at distance ``FAR``.
        takeover: the distance where B becomes more like the picture than A, or None where it never does.
    """

    near: tuple[float, float]
    far: tuple[float, float]
    takeover: float | None

    @property
    def near_passes(self) -> bool:
        """Whether A wins from close by."""
        return self.near[0] > self.near[1]

    @property
    def far_passes(self) -> bool:
        """Whether B wins from afar."""
        return self.far[1] > self.far[0]


def score(result: Image.Image, near: Image.Image, far: Image.Image) -> Scores:
    """Measure how a hybrid reads, against its two pictures of the same size (mode RGB all)."""
    planes = [_luminance(image) for image in (result, near, far)]
    distances = np.exp2(np.arange(0, 5.01, 0.5))
    # Further away than FAR only while there is enough left to compare.
    distances = [d for d in distances if d <= FAR or min(_shrink(planes[0], d).shape) >= 4 * DETAIL_SIGMA]
    likeness = {d: _likeness(planes, d) for d in distances}
    leads = [likeness[d][0] - likeness[d][1] for d in distances]
    return Scores(likeness[1.0], likeness[FAR], _crossing(distances, leads))


def _crossing(distances: list[float], leads: list[float]) -> float | None:
    """Return where the lead of A first falls below 0, interpolated in log distance."""
    for i, lead in enumerate(leads):
        if lead < 0:
            if i == 0:
                return 1.0
            share = leads[i - 1] / (leads[i - 1] - lead)
            return float(distances[i - 1] * (distances[i] / distances[i - 1]) ** share)
    return None


def _luminance(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return sum(weight * colour.LINEAR[pixels[..., c]] for c, weight in enumerate(_LUMINANCE))


def _likeness(planes: list[np.ndarray], distance: float) -> tuple[float, float]:
    """Return the likeness of the first plane of linear light to the second and the third."""
    details = []
    for plane in planes:
        seen = colour.linear_to_srgb(_shrink(plane, distance))
        detail = seen - scipy.ndimage.gaussian_filter(seen, DETAIL_SIGMA)
        details.append(detail / np.sqrt(np.square(detail).sum() + 1e-12))
    return float((details[0] * details[1]).sum()), float((details[0] * details[2]).sum())
