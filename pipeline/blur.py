"""Gaussian blur of float32 planes as products with a banded matrix.

A separable blur is one Toeplitz matrix per axis. Cut into square-ish blocks, its band is a small dense matrix that
BLAS multiplies several times faster than a correlation loop or an FFT runs, at the kernel widths used here
(``python -m benchmarks.hybrid`` measures it).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .errors import BadInput


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


def blur(planes: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate both image axes with ``kernel``; beyond the border everything is 0.

    With a symmetric kernel this map is its own adjoint, borders included: the gradient through a blur is a blur.

    Args:
        planes: shape (C, H, W), float32.
        kernel: shape (2 r + 1,), float32.

    Returns:
        An array of the shape of ``planes``.
    """
    channels, height, width = planes.shape
    radius = len(kernel) // 2
    # About as wide as the kernel: narrower blocks are too small for BLAS, wider ones are mostly zeros.
    block = max(32, 1 << (radius.bit_length() - 1))
    rows, columns = (-(-side // block) * block for side in (height, width))
    band = np.zeros((block, block + 2 * radius), np.float32)
    for i in range(block):
        band[i, i : i + len(kernel)] = kernel

    padded = np.zeros((channels, rows + 2 * radius, width), np.float32)
    padded[:, radius : radius + height] = planes
    windows = sliding_window_view(padded, len(band[0]), axis=1)[:, ::block].swapaxes(2, 3)
    lines = np.zeros((channels, rows // block, block, columns + 2 * radius), np.float32)
    np.matmul(band, windows, out=lines[..., radius : radius + width])

    lines = lines.reshape(channels * rows, -1)
    windows = sliding_window_view(lines, len(band[0]), axis=1)[:, ::block].swapaxes(0, 1)
    blurred = np.empty((channels * rows, columns // block, block), np.float32)
    np.matmul(windows, band.T, out=blurred.swapaxes(0, 1))
    return blurred.reshape(channels, rows, columns)[:, :height, :width]
