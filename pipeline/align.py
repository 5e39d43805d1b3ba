"""Lay one picture over another: by fitting and cropping, or by two or three points that belong together.

An affine map is a matrix of shape (2, 3) that takes (x, y, 1) of a picture, in pixels, to (x, y) of the frame.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .errors import BadInput

# Beyond this the points were clicked wrongly, and a mirrored border would need gigabytes.
MAX_SCALE = 16


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


def warp(image: Image.Image, matrix: np.ndarray, frame: tuple[int, int]) -> Image.Image:
    """Draw a picture into a frame; what lies beyond its border is its mirror image.

    Args:
        image: mode RGB.
        matrix: from pixels of the picture to pixels of the frame, shape (2, 3).
        frame: (width, height) of the result.

    Raises:
        BadInput: the map enlarges or shrinks by more than ``MAX_SCALE``.
    """
    # The larger singular value: shrinking by it first leaves nothing to alias along either axis.
    scale, least = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if scale > MAX_SCALE or least < 1 / MAX_SCALE:
        raise BadInput(f"The points would scale the picture more than {MAX_SCALE} times: choose them again.")
    if scale < 1:
        small = tuple(max(1, round(side * scale)) for side in image.size)
        shrink = np.diag([image.width / small[0], image.height / small[1]])
        matrix = np.column_stack([matrix[:, :2] @ shrink, matrix[:, 2]])
        image = image.resize(small, Image.Resampling.LANCZOS)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = np.array([[0, 0, 1], [frame[0], 0, 1], [0, frame[1], 1], [*frame, 1]]) @ inverse.T
    # Bicubic interpolation reads two pixels further.
    before = np.maximum(np.ceil(2 - corners.min(0)), 0).astype(int)
    after = np.maximum(np.ceil(corners.max(0) + 2 - image.size), 0).astype(int)
    widths = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(image), widths, mode="symmetric"))
    inverse[:, 2] += before
    return padded.transform(frame, Image.Transform.AFFINE, inverse.ravel(), Image.Resampling.BICUBIC)
