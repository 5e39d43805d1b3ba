"""Lay one picture over another: by fitting and cropping, or by two or three points that belong together.

An affine map is a matrix of shape (2, 3) that takes (x, y, 1) of a picture, in pixels, to (x, y) of the frame.
"""

from collections.abc import Sequence

import numpy as np
import scipy.optimize
from PIL import Image, ImageDraw

from .errors import BadInput


def cover(size: tuple[int, int], frame: tuple[int, int]) -> np.ndarray:
    """Return the map that fits a picture of (width, height) on a frame, centred, cropping what is too much."""
    scale = max(f / s for f, s in zip(frame, size, strict=True))
    shift = (np.array(frame) - scale * np.array(size)) / 2
    return np.column_stack([scale * np.eye(2), shift])


def match(points: np.ndarray, targets: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """Return the map that takes two or three points exactly to their targets.

    Two pairs fix a similarity (turn, scale, shift), three an affine map.

    Args:
        points: shape (2, 2) or (3, 2), (x, y) in pixels of the picture.
        targets: same shape, in pixels of the frame.
        mirrored: with two points, take the similarity that turns the picture over.

    Returns:
        Shape (2, 3).

    Raises:
        BadInput: not two or three pairs, or points that lie on one spot or one line.
    """
    points, targets = np.asarray(points, float), np.asarray(targets, float)
    if points.shape != targets.shape or points.shape not in ((2, 2), (3, 2)):
        raise BadInput(
            f"Aligning takes two or three points on each picture, not {len(targets)} and {len(points)}: click as many "
            "on both."
        )
    if len(points) == 2:
        # The third corner of a right triangle over both points turns the similarity into the affine case.
        points = np.vstack([points, _corner(points)])
        targets = np.vstack([targets, _corner(targets, -1 if mirrored else 1)])
    for triangle in (points, targets):
        legs = triangle[1:] - triangle[0]
        if abs(np.linalg.det(legs)) < 1e-3 * max(1.0, (legs**2).sum()):
            raise BadInput("The points for aligning lie on one spot or one line: choose points that are further apart.")
    return np.linalg.solve(np.column_stack([points, np.ones(3)]), targets).T


def _corner(pair: np.ndarray, sign: int = 1) -> np.ndarray:
    (x, y) = pair[1] - pair[0]
    return pair[0] + sign * np.array([-y, x])


def mirror(width: float) -> np.ndarray:
    """Return the map that turns a frame of this width over, left to right."""
    return np.array([[-1.0, 0, width], [0, 1, 0]])


def zoom(frame: tuple[int, int], factor: float, shift: tuple[float, float]) -> np.ndarray:
    """Return the map that enlarges about the centre of a frame, then shifts by (x, y) pixels."""
    centre = np.array(frame) / 2
    return np.column_stack([factor * np.eye(2), centre - factor * centre + shift])


def resize(box: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """Return the map that takes a box (left, top, right, bottom) of a picture to a frame of (width, height)."""
    scale = np.array(size) / (np.array(box[2:]) - box[:2])
    return np.column_stack([np.diag(scale), -scale * box[:2]])


def compose(*maps: np.ndarray) -> np.ndarray:
    """Return the map that applies the last of ``maps`` first."""
    whole = np.eye(3)
    for one in maps:
        whole = whole @ np.vstack([one, [0, 0, 1]])
    return whole[:2]


def points(flat: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """Return points (n, 2) in pixels from x1, y1, x2, y2 … in shares of a picture's width and height.

    Raises:
        BadInput: an odd number of values, or one outside [0, 1].
    """
    values = np.asarray(flat, float)
    if len(values) % 2 or not np.all((values >= 0) & (values <= 1)):
        raise BadInput("Points are pairs x y, as shares of width and height between 0 and 1.")
    return values.reshape(-1, 2) * size


def common(
    size: tuple[int, int], matrix: np.ndarray, frame: tuple[int, int], centre: np.ndarray
) -> tuple[int, int, int, int]:
    """Return the largest rectangle, of the shape of a frame, that lies in the frame and that a picture fills.

    Args:
        size: (width, height) of the picture.
        matrix: from its pixels to those of the frame, shape (2, 3).
        frame: (width, height).
        centre: (x, y) of the frame; of rectangles equally large, the one closest to this is taken.

    Returns:
        (left, top, right, bottom) in whole pixels of the frame, or four zeros where nothing is filled.
    """
    # A linear programme in left, top, side (as a share of the frame), and the distances of its middle from the centre
    # along x and y. A rectangle lies in a convex shape if its furthest corner along each edge's normal does.
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    normals = np.vstack([inverse[:, :2], -inverse[:, :2], np.eye(2)])
    limits = np.concatenate([size - inverse[:, 2], inverse[:, 2], frame])
    inside = np.column_stack([normals, np.maximum(normals, 0) @ frame, np.zeros((len(normals), 2))])
    half = np.array(frame)[:, None] / 2
    middle = np.hstack([np.eye(2), half])
    apart = np.vstack([np.hstack([sign * middle, -np.eye(2)]) for sign in (1, -1)])
    found = scipy.optimize.linprog(
        [0, 0, -100 * max(frame), 1, 1],
        np.vstack([inside, apart]),
        np.concatenate([limits, centre, -np.asarray(centre)]),
    )
    if not found.success:
        return (0, 0, 0, 0)
    left, top, share = found.x[:3]
    # A hair outwards first, so that a side which meets the frame's is not rounded inwards by a pixel.
    start = np.ceil(np.array([left, top]) - 0.01).astype(int)
    end = np.floor(np.array([left, top]) + share * np.array(frame) + 0.01).astype(int)
    return (*start.tolist(), *end.tolist())


def warp(image: Image.Image, matrix: np.ndarray, background: Image.Image) -> Image.Image:
    """Draw a picture through an affine map over a background.

    Args:
        image: mode RGB.
        matrix: from pixels of the picture to pixels of the background, shape (2, 3).
        background: mode RGB; what the picture does not cover stays.

    Returns:
        A picture of the size of the background.
    """
    # The larger singular value: shrinking by it first leaves nothing to alias along either axis.
    scale = np.linalg.norm(matrix[:, :2], 2)
    if scale < 1:
        small = tuple(max(1, round(side * scale)) for side in image.size)
        stretch = np.diag([image.width / small[0], image.height / small[1]])
        matrix = np.column_stack([matrix[:, :2] @ stretch, matrix[:, 2]])
        image = image.resize(small, Image.Resampling.LANCZOS)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2].ravel()
    frame, method = background.size, Image.Transform.AFFINE
    drawn = image.transform(frame, method, inverse, Image.Resampling.BILINEAR)
    covered = Image.new("L", image.size, 255).transform(frame, method, inverse)
    return Image.composite(drawn, background, covered)


def numbered(image: Image.Image, marks: np.ndarray) -> Image.Image:
    """Return a copy of a picture (mode RGB) with its points, (x, y) in pixels, shape (n, 2), marked 1, 2, 3 …."""
    shown = image.copy()
    draw = ImageDraw.Draw(shown)
    radius = max(4, max(shown.size) / 70)
    for number, (x, y) in enumerate(marks, 1):
        draw.circle((x, y), radius + 2, outline="black", width=2)
        draw.circle((x, y), radius, outline="white", width=2)
        spot = (x + 1.8 * radius, y)
        draw.text(spot, str(number), "white", anchor="lm", stroke_width=2, stroke_fill="black", font_size=3 * radius)
    return shown
