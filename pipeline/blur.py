"""Gaussian blur of float32 planes as products with a banded matrix.

A separable blur is one Toeplitz matrix per axis. Cut into blocks of rows, its band is one small dense matrix that
BLAS multiplies several times faster than a correlation loop or an FFT runs, at the kernel widths used here.

A sum of products is also exact in the dark. An FFT in float32 rounds by 4e-7 of the brightest light, as much as the
darkest there is: powers of it became NaN; with that clipped, FISTA from grey missed the article's loss (astronaut and
coffee, 512 px, 15 iterations).
"""

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .errors import BadInput

# OpenBLAS keeps a product of up to this many multiplications on the calling thread. Its threads wait for each other
# by spinning: with larger products, any other busy process made a blur ten to sixty times slower.
_ONE_THREAD = 262_144
_BLOCK = 32

Border = Literal["mirror", "black"]


def gaussian_kernel(sigma: float, size: int = 0) -> np.ndarray:
    """Return a Gaussian of standard deviation ``sigma`` pixels, cut to ``size`` taps and summing to 1.

    Args:
        sigma: in pixels, above 0.
        size: number of taps, odd; 0: three standard deviations each way.

    Returns:
        Shape (size,), float32.

    Raises:
        BadInput: sigma is not above 0, or the size is even.
    """
    if not sigma > 0:
        raise BadInput(f"The blur must be more than 0 pixels wide, not {sigma}.")
    if size and size % 2 == 0:
        raise BadInput(f"The blur kernel must have an odd number of pixels, not {size}: use {size + 1}.")
    radius = size // 2 if size else int(np.ceil(3 * sigma))
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return (kernel / kernel.sum()).astype(np.float32)


def blur(planes: np.ndarray, kernel: np.ndarray, border: Border = "mirror") -> np.ndarray:
    """Correlate both image axes with a symmetric kernel.

    This map is its own adjoint, with either border: the gradient through a blur is a blur.

    Args:
        planes: shape (C, H, W), float32.
        kernel: shape (2 r + 1,), float32.
        border: what lies beyond the border: the picture's mirror image, or zeros.

    Returns:
        An array of the shape of ``planes``.
    """
    channels, height, width = planes.shape
    radius = len(kernel) // 2
    rows, columns = (-(-side // _BLOCK) * _BLOCK for side in (height, width))
    band = np.zeros((_BLOCK, _BLOCK + 2 * radius), np.float32)
    for i in range(_BLOCK):
        band[i, i : i + len(kernel)] = kernel
    step = max(1, _ONE_THREAD // band.size)

    mode = "symmetric" if border == "mirror" else "constant"
    padded = np.pad(planes, [(0, 0), (radius, radius + rows - height), (0, 0)], mode)
    windows = sliding_window_view(padded, len(band[0]), axis=1)[:, ::_BLOCK].swapaxes(2, 3)
    lines = np.empty((channels, rows // _BLOCK, _BLOCK, width), np.float32)
    for i in range(0, width, step):
        part = slice(i, min(i + step, width))
        np.matmul(band, windows[..., part], out=lines[..., part])

    lines = np.pad(lines.reshape(channels * rows, width), [(0, 0), (radius, radius + columns - width)], mode)
    windows = sliding_window_view(lines, len(band[0]), axis=1)[:, ::_BLOCK].swapaxes(0, 1)
    blurred = np.empty((channels * rows, columns // _BLOCK, _BLOCK), np.float32)
    for i in range(0, len(lines), step):
        np.matmul(windows[:, i : i + step], band.T, out=blurred[i : i + step].swapaxes(0, 1))
    return blurred.reshape(channels, rows, columns)[:, :height, :width]
