"""The painter's discriminators: patches of the picture at two scales, and two heads on VGG's features.

The patch discriminators are those of Park et al. 2019 (arXiv 1903.07291, appendix A; PatchGAN: Isola et al. 2016,
arXiv 1611.07004, section 3.2.2), without instance norm. The heads judge features of a network that knows photos already
(Kumari et al. 2021, arXiv 2112.09130): on a few thousand photos steadier than pixels alone. All see the label map.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from pipeline import spade, vgg

SCALES = ("fine", "coarse")
STRIDES = (2, 2, 2, 1)
TAPS = {"relu3_3": 4, "relu5_1": 16}  # and how many pixels a feature covers
POWER_ITERATIONS = 20


def initialise(seed: int, width: int = 64) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw the weights, and the vectors of spectral norm's power iteration."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, size: int, before: int, after: int) -> int:
        limit = np.sqrt(6 / (size * size * (before + after)))
        tensors[f"{name}.kernel"] = rng.uniform(-limit, limit, (size, size, before, after)).astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(after, np.float32)
        return after

    classes = len(spade.CLASSES)
    for scale in SCALES:
        channels = classes + 3
        for i in range(len(STRIDES)):
            channels = add(f"{scale}{i + 1}", 4, channels, width * min(2**i, 6))
        add(f"{scale}.logits", 4, channels, 1)
    for tap in TAPS:
        add(f"{tap}.1", 1, vgg.channels(tap), 2 * width)
        add(f"{tap}.2", 3, 2 * width + classes, 2 * width)
        add(f"{tap}.3", 3, 2 * width, 2 * width)
        add(f"{tap}.logits", 3, 2 * width, 1)

    vectors = {}
    for name, kernel in tensors.items():
        if name.endswith(".kernel"):
            matrix = kernel.reshape(-1, kernel.shape[-1])
            vector = rng.normal(size=kernel.shape[-1])
            # One iteration per step follows a kernel that changes slowly; from a random vector it needs a few.
            for _ in range(POWER_ITERATIONS):
                vector = matrix.T @ (matrix @ vector)
                vector /= np.linalg.norm(vector)
            vectors[name] = vector.astype(np.float32)
    return tensors, vectors


def spectral_norm(tensors: Mapping[str, Any], vectors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide each kernel by its largest singular value (Miyato et al. 2018, arXiv 1802.05957, algorithm 1).

    Returns:
        All tensors, kernels divided; and the vectors after one power iteration.
    """
    normalised, after = dict(tensors), {}
    for name, vector in vectors.items():
        matrix = ops.reshape(tensors[name], (-1, tensors[name].shape[-1]))
        fixed = ops.stop_gradient(matrix)
        left = _unit(ops.matmul(fixed, vector[:, None]))
        right = _unit(ops.matmul(ops.transpose(fixed), left))
        # Only sigma's gradient with respect to the kernel counts; the singular vectors are taken as constant.
        sigma = ops.sum(left * ops.matmul(matrix, right))
        normalised[name] = tensors[name] / (sigma + 1e-8)
        after[name] = right[:, 0]
    return normalised, after


def judge(
    image: Any, label_map: Any, features: Mapping[str, Any], tensors: Mapping[str, Any], dtype: str
) -> tuple[dict[str, Any], list]:
    """Judge pictures.

    Args:
        image: (N, H, W, 3), RGB in [0, 1].
        label_map: (N, H, W, 16).
        features: VGG's, of the same pictures, by ``TAPS``.
        tensors: the weights, after ``spectral_norm``.
        dtype: what convolutions compute in.

    Returns:
        The logits (N, h, w, 1) float32 by discriminator, and the patch discriminators' feature maps.
    """
    logits, maps = {}, []

    def conv(x: Any, name: str, stride: int = 1) -> Any:
        x = ops.conv(x, ops.cast(tensors[f"{name}.kernel"], dtype), stride, padding="same")
        return x + ops.cast(tensors[f"{name}.bias"], dtype)

    seen = ops.concatenate([label_map, 2 * image - 1], axis=-1)
    for scale in SCALES:
        x = ops.cast(seen, dtype)
        for i, stride in enumerate(STRIDES, 1):
            x = ops.leaky_relu(conv(x, f"{scale}{i}", stride), 0.2)
            maps.append(x)
        logits[scale] = ops.cast(conv(x, f"{scale}.logits"), "float32")
        seen = ops.average_pool(seen, 2, 2)
    for tap, factor in TAPS.items():
        x = ops.leaky_relu(conv(spade.normalise(features[tap], -1), f"{tap}.1"), 0.2)
        pooled = ops.cast(ops.average_pool(label_map, factor, factor), dtype)
        x = ops.leaky_relu(conv(ops.concatenate([x, pooled], axis=-1), f"{tap}.2"), 0.2)
        x = ops.leaky_relu(conv(x, f"{tap}.3", 2), 0.2)
        logits[tap] = ops.cast(conv(x, f"{tap}.logits"), "float32")
    return logits, maps


def _unit(vector: Any) -> Any:
    return vector / (ops.norm(vector) + 1e-8)
