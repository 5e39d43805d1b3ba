"""The house's arbitrary style transfer network: a style code, and a transformer that it conditions.

Layout after Ghiasi et al. 2017 (arXiv 1705.06830): style statistics -> code; content -> contract, five residual
blocks, expand, every convolution followed by instance norm whose scale and shift are linear in the code (conditional
instance norm, Dumoulin et al. 2016, arXiv 1610.07629). Here the style statistics are those of VGG-16 instead of a
learnt Inception, so that the code network is a small perceptron.

Everything is a function of named tensors and backend-agnostic (``keras.ops``); training calls the same functions.
Two layers are computed in a form that is equal in exact arithmetic, and faster on a CPU (``benchmarks/fast.py``):
see ``upsample_conv`` and ``output_conv``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import vgg

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
RESIDUAL_BLOCKS = 5
EPSILON = 1e-5
# Both halvings must come out even, and reflection needs more rows than it pads.
MULTIPLE = 4


def style_statistics(features: Mapping[str, Any]) -> Any:
    """Return per-channel [mean, standard deviation] of each tap, concatenated: (N, 1920) float32."""
    from keras import ops

    return ops.concatenate([m for tap in TAPS for m in vgg.moments(features[tap])], axis=-1)


def style_code(statistics: Any, tensors: Mapping[str, Any]) -> Any:
    """Map style statistics (N, 1920) to style codes (N, 256), in float32."""
    from keras import ops

    x = (statistics - tensors["statistics.mean"]) / tensors["statistics.std"]
    for i in (1, 2, 3):
        x = ops.matmul(x, tensors[f"encoder{i}.kernel"]) + tensors[f"encoder{i}.bias"]
        x = ops.relu(x) if i < 3 else x
    return x


def transform(
    image: Any, code: Any, tensors: Mapping[str, Any], dtype: str = "float32", rows: int | None = None
) -> Any:
    """Repaint pictures in the styles of their codes.

    Args:
        image: (N, H, W, 3), RGB in [0, 1]; H and W multiples of ``MULTIPLE``.
        code: (N, 256) float32.
        tensors: the network's weights by name.
        dtype: what convolutions compute in; norm statistics are always float32.
        rows: compute convolutions in strips of this many rows (even): the same numbers in less memory.

    Returns:
        (N, H, W, 3) float32 in [0, 1].
    """
    from keras import ops

    def weight(name: str) -> Any:
        return ops.cast(tensors[f"{name}.kernel"], dtype)

    def norm(x: Any, name: str) -> Any:
        affine = ops.matmul(code, tensors[f"{name}.norm.kernel"]) + tensors[f"{name}.norm.bias"]
        scale, shift = ops.split(affine, 2, axis=-1)
        return instance_norm(x, 1 + scale, shift)

    def conv(x: Any, name: str, stride: int = 1) -> Any:
        kernel = weight(name)
        y = in_strips(lambda x: ops.conv(x, kernel, stride, padding="valid"), x, kernel.shape[0] // 2, "reflect", rows)
        return norm(y, name)

    def expand(x: Any, name: str) -> Any:
        kernel = weight(name)
        # Reflecting the enlarged picture repeats the edge of the small one.
        return norm(in_strips(lambda x: upsample_conv(x, kernel), x, 1, "symmetric", rows), name)

    x = ops.cast(2 * image - 1, dtype)
    x = ops.relu(conv(x, "contract1"))
    x = ops.relu(conv(x, "contract2", 2))
    x = ops.relu(conv(x, "contract3", 2))
    for i in range(1, RESIDUAL_BLOCKS + 1):
        x = x + conv(ops.relu(conv(x, f"residual{i}a")), f"residual{i}b")
    x = ops.relu(expand(x, "expand1"))
    x = ops.relu(expand(x, "expand2"))
    kernel = weight("output")
    x = in_strips(lambda x: output_conv(x, kernel), x, kernel.shape[0] // 2, "reflect", rows)
    return ops.sigmoid(ops.cast(x, "float32") + tensors["output.bias"])


def in_strips(convolve: Callable[[Any], Any], x: Any, margin: int, mode: str, rows: int | None) -> Any:
    """Pad a picture and convolve it, whole or in overlapping strips that give the same numbers.

    Args:
        convolve: maps (N, h + 2 margin, w + 2 margin, C) to rows that depend on no others.
        x: (N, H, W, C).
        margin: pixels by which each strip sees its neighbours, and the picture is padded.
        mode: how to pad, ``reflect`` or ``symmetric``.
        rows: height of a strip, even; None: the whole picture at once.

    Returns:
        What ``convolve`` returns for the whole padded picture.
    """
    from keras import ops

    def pad(x: Any, above: int, below: int) -> Any:
        return ops.pad(x, [[0, 0], [above, below], [margin, margin], [0, 0]], mode=mode)

    if rows is None:
        return convolve(pad(x, margin, margin))
    height = x.shape[1]
    strips = []
    for start in range(0, height, rows):
        stop = min(height, start + rows)
        first, last = max(0, start - margin), min(height, stop + margin)
        strips.append(convolve(pad(x[:, first:last], margin - (start - first), margin - (last - stop))))
    return ops.concatenate(strips, axis=1)


def instance_norm(x: Any, scale: Any, shift: Any) -> Any:
    """Normalise (N, H, W, C) per picture and channel, then scale and shift by (N, C) float32; dtype kept."""
    import keras
    from keras import ops

    if keras.backend.backend() == "tensorflow" and x.shape[0] == 1:
        # For one picture this is batch norm over (H, W), which TensorFlow has as one fused kernel: 3 times faster.
        import tensorflow as tf

        empty = tf.zeros([0])
        fused = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale[0],
            offset=shift[0],
            mean=empty,
            variance=empty,
            epsilon=EPSILON,
            is_training=True,
        )
        return fused.y
    y = ops.cast(x, "float32")
    mean = ops.mean(y, axis=(1, 2), keepdims=True)
    variance = ops.mean(ops.square(y - mean), axis=(1, 2), keepdims=True)
    scale = scale[:, None, None] * ops.rsqrt(variance + EPSILON)
    return ops.cast(y * scale + (shift[:, None, None] - mean * scale), x.dtype)


# Along one axis, row 2i of a picture enlarged twice sees the small rows (i-1, i, i) through a kernel of three, and
# row 2i+1 sees (i, i, i+1): two kernels of two. Indexed [row 2i-1 or 2i, which of the two, kernel tap].
_PHASES = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)


def upsample_conv(x: Any, kernel: Any) -> Any:
    """Enlarge twice (nearest), then convolve with a (3, 3, C, D) kernel, in 4/9 of the multiplications.

    Each of the four output phases sees only 2x2 distinct pixels, so the sum over equal pixels moves into the kernel.

    Args:
        x: (N, H + 2, W + 2, C), a picture with one pixel of padding.
        kernel: (3, 3, C, D).

    Returns:
        (N, 2 H, 2 W, D).
    """
    from keras import ops

    phases = ops.cast(_PHASES, x.dtype)
    kernel = ops.einsum("ait,bju,tucd->ijcabd", phases, phases, kernel)
    kernel = ops.reshape(kernel, (*kernel.shape[:3], 4 * kernel.shape[-1]))
    return depth_to_space(ops.conv(x, kernel, padding="valid"))[:, 1:-1, 1:-1]


def output_conv(x: Any, kernel: Any) -> Any:
    """Convolve without padding by an odd kernel (K, K, C, D), D small, on an even-sized output.

    A CPU computes 16 output channels for the price of 3. So four neighbouring output pixels are computed at once, as
    4 D channels of a convolution of stride 2 with the kernel at four offsets.

    Returns:
        (N, H - K + 1, W - K + 1, D).
    """
    from keras import ops

    size = kernel.shape[0]
    shifts = np.stack([np.eye(size + 1, size, -a, dtype=np.float32) for a in (0, 1)])
    shifts = ops.cast(shifts, x.dtype)
    kernel = ops.einsum("ait,bju,tucd->ijcabd", shifts, shifts, kernel)
    kernel = ops.reshape(kernel, (*kernel.shape[:3], 4 * kernel.shape[-1]))
    return depth_to_space(ops.conv(x, kernel, 2, padding="valid"))


def depth_to_space(x: Any) -> Any:
    """Turn (N, H, W, 4 C) into (N, 2 H, 2 W, C): channel blocks become the 2x2 neighbours, row by row."""
    import keras
    from keras import ops

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.nn.depth_to_space(x, 2)
    n, h, w, c = x.shape
    x = ops.transpose(ops.reshape(x, (n, h, w, 2, 2, c // 4)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (n, 2 * h, 2 * w, c // 4))
