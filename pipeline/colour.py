"""Colour spaces and colour matching, as functions of arrays whose last axis is the channel."""

from typing import Literal

import numpy as np

from .errors import BadInput

# ITU-R BT.601, section 2.5.1.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Ottosson 2020, "A perceptual color space for image processing": linear sRGB -> LMS, and cube-rooted LMS -> Lab.
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Decode sRGB in [0, 1] to linear light in [0, 1] (IEC 61966-2-1)."""
    srgb = np.asarray(srgb)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)


# Every 8-bit sRGB value as linear light: a look-up is 20 times faster than the power.
LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light in [0, 1] as sRGB in [0, 1] (IEC 61966-2-1)."""
    linear = np.asarray(linear)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def luma(srgb: np.ndarray) -> np.ndarray:
    """Return Rec. 601 luma, shape (..., 1), of sRGB values of shape (..., 3)."""
    return np.asarray(srgb) @ LUMA[:, None]


def with_luma(srgb: np.ndarray, new_luma: np.ndarray) -> np.ndarray:
    """Keep the chroma of ``srgb`` (..., 3) and take another luma (..., 1), clipped to [0, 1].

    Adding the luma difference to every channel changes Y alone in YCbCr (Gatys et al. 2016, "Preserving Color in
    Neural Artistic Style Transfer", arXiv 1606.05897, section 4).
    """
    return np.clip(srgb + (new_luma - luma(srgb)), 0, 1)


def srgb_to_oklab(srgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to OKLab: lightness in [0, 1], a and b about [-0.4, 0.4]."""
    return linear_to_oklab(srgb_to_linear(srgb))


def linear_to_oklab(linear: np.ndarray) -> np.ndarray:
    """Convert linear light in [0, 1] to OKLab, as ``srgb_to_oklab``."""
    return np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T


def oklab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert OKLab to sRGB; colours outside the gamut come back outside [0, 1]."""
    lms = (np.asarray(lab) @ np.linalg.inv(_LMS_TO_LAB).T) ** 3
    return linear_to_srgb(lms @ np.linalg.inv(_RGB_TO_LMS).T)


MatchMethod = Literal["cholesky", "pca", "symmetric"]


def match_colours(image: np.ndarray, target: np.ndarray, method: MatchMethod = "symmetric") -> np.ndarray:
    """Give ``image`` the colour mean and covariance of ``target`` by one affine map (values may leave [0, 1]).

    The map is x -> (x - mean) A + mean', with A' cov A = cov' (arXiv 1606.05897, section 3, equations 2 to 5).
    ``symmetric`` is the optimal transport map between the two Gaussians, the one that moves colours least.

    Args:
        image: shape (..., 3).
        target: shape (..., 3), of any number of pixels.
        method: which of the many solutions A to take.

    Returns:
        An array of the shape of ``image``.
    """
    x, y = (np.asarray(a, np.float64).reshape(-1, a.shape[-1]) for a in (image, target))
    ridge = 1e-5 * np.eye(x.shape[1])  # a grey or flat picture has a singular covariance
    source, wanted = (np.cov(a, rowvar=False, bias=True) + ridge for a in (x, y))
    if method == "cholesky":
        a = np.linalg.inv(np.linalg.cholesky(source)).T @ np.linalg.cholesky(wanted).T
    elif method == "pca":
        a = _power(source, -0.5) @ _power(wanted, 0.5)
    elif method == "symmetric":
        root = _power(source, 0.5)
        inverse = _power(source, -0.5)
        a = inverse @ _power(root @ wanted @ root, 0.5) @ inverse
    else:
        raise BadInput(f"A colour match is cholesky, pca or symmetric, not {method!r}.")
    matched = (x - x.mean(0)) @ a + y.mean(0)
    return matched.reshape(image.shape).astype(np.result_type(image, np.float32))


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0) ** exponent) @ vectors.T


def match_histograms(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give each channel of ``image`` (..., C) the distribution of values that it has in ``target`` (..., C).

    The monotone map through both cumulative distributions (Gonzalez & Woods, "Digital Image Processing", 3.3.2).
    """
    matched = np.empty(image.shape, np.float32)
    for c in range(image.shape[-1]):
        _, where, counts = np.unique(image[..., c], return_inverse=True, return_counts=True)
        wanted, wanted_counts = np.unique(target[..., c], return_counts=True)
        quantiles = (np.cumsum(counts) - counts / 2) / counts.sum()
        wanted_quantiles = (np.cumsum(wanted_counts) - wanted_counts / 2) / wanted_counts.sum()
        matched[..., c] = np.interp(quantiles, wanted_quantiles, wanted)[where].reshape(image.shape[:-1])
    return matched
