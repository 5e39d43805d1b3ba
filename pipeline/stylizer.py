"""The house's arbitrary style transfer network: a style code, and a transformer that it conditions.

Layout after Ghiasi et al. 2017 (arXiv 1705.06830): style statistics -> code; content -> contract, five residual
blocks, expand, every convolution followed by instance norm whose scale and shift are linear in the code (conditional
instance norm, Dumoulin et al. 2016, arXiv 1610.07629). Here the style statistics are those of VGG-16 instead of a
learnt Inception, so that the code network is a small perceptron.

Everything is a function of named tensors and backend-agnostic (``keras.ops``); training calls the same functions.
The tensors' names and shapes say which of two layouts a network has. The first is that of the paper, 9x9 convolutions
at full size in front and behind, two layers of it computed in a form that is equal in exact arithmetic and faster on a
CPU: see ``upsample_conv`` and ``output_conv``. The second, which ``initialise`` makes for training,
has no layer at full size: 4x4 pixels become one of 48 channels in front, and behind four pixels come out of each of
half the size (Shi et al. 2016, arXiv 1609.05158), in less than half the time.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import vgg

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
CODE = 256
EPSILON = 1e-5
# Both halvings must come out even, and reflection needs more rows than it pads.
MULTIPLE = 4


def initialise(seed: int, width: int = 96, blocks: int = 5, expanded: int = 48) -> dict[str, np.ndarray]:
    """Return an untrained network of the second layout.

    Args:
        seed: of the random weights.
        width: channels of the residual blocks.
        blocks: how many.
        expanded: channels at half the picture's size.

    Returns:
        Tensors by name, as ``style_code`` and ``transform`` take them; the statistics are not standardised yet.
    """
    rng = np.random.default_rng(seed)

    def random(*shape: int, gain: float) -> np.ndarray:
        return rng.normal(0, np.sqrt(gain / np.prod(shape[:-1])), shape).astype(np.float32)

    # He et al. 2015 (arXiv 1502.01852) in front of a ReLU, Glorot's where there is none.
    count = 2 * sum(map(vgg.channels, TAPS))
    sizes = (count, 512, 512, CODE)
    tensors = {"statistics.mean": np.zeros(count, np.float32), "statistics.std": np.ones(count, np.float32)}
    for i, (n, m) in enumerate(itertools.pairwise(sizes), 1):
        tensors[f"encoder{i}.kernel"] = random(n, m, gain=2 if i < 3 else 1)
        tensors[f"encoder{i}.bias"] = np.zeros(m, np.float32)
    residual = {f"residual{i}{half}": (width, width) for i in range(1, blocks + 1) for half in "ab"}
    layers = {"contract1": (3 * MULTIPLE**2, width)} | residual | {"expand1": (width, expanded)}
    for name, (n, m) in layers.items():
        tensors[f"{name}.kernel"] = random(3, 3, n, m, gain=2)
        # All styles begin as nearly the same: scale 1, shift 0.
        tensors[f"{name}.norm.kernel"] = 0.01 * random(CODE, 2 * m, gain=CODE)
        tensors[f"{name}.norm.bias"] = np.zeros(2 * m, np.float32)
    tensors["output.kernel"] = random(3, 3, expanded, 12, gain=1)
    tensors["output.bias"] = np.zeros(3, np.float32)
    return tensors


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
        rows: compute in overlapping strips of this many rows (a multiple of ``MULTIPLE``), which gives the same
            picture in less memory, as no more than two neighbouring layers exist at once; None: the whole picture.

    Returns:
        (N, H, W, 3) float32 in [0, 1].
    """
    from keras import ops

    def weight(name: str) -> Any:
        return ops.cast(tensors[f"{name}.kernel"], dtype)

    def norm(strips: list, name: str, relu: bool) -> list:
        affine = ops.matmul(code, tensors[f"{name}.norm.kernel"]) + tensors[f"{name}.norm.bias"]
        scale, shift = ops.split(affine, 2, axis=-1)
        return instance_norm(strips, 1 + scale, shift, relu)

    def conv(strips: list, name: str, stride: int = 1, relu: bool = True) -> list:
        kernel = weight(name)
        blocks = with_margins(strips, kernel.shape[0] // 2, "reflect")
        return norm([ops.conv(block, kernel, stride, padding="valid") for block in blocks], name, relu)

    def expand(strips: list, name: str) -> list:
        kernel = weight(name)
        # Reflecting the enlarged picture repeats the edge of the small one.
        return norm([upsample_conv(block, kernel) for block in with_margins(strips, 1, "symmetric")], name, True)

    x = 2 * image - 1
    x = [ops.cast(x[:, i : i + rows], dtype) for i in range(0, x.shape[1], rows)] if rows else [ops.cast(x, dtype)]
    paper = "contract2.kernel" in tensors
    if paper:
        x = conv(x, "contract1")
        x = conv(x, "contract2", 2)
        x = conv(x, "contract3", 2)
    else:
        x = conv([space_to_depth(strip, MULTIPLE) for strip in x], "contract1")
    for i in itertools.takewhile(lambda i: f"residual{i}a.kernel" in tensors, itertools.count(1)):
        y = conv(conv(x, f"residual{i}a"), f"residual{i}b", relu=False)
        x = [a + b for a, b in zip(x, y, strict=True)]
    x = expand(x, "expand1")
    if paper:
        x = expand(x, "expand2")
    kernel, bias = weight("output"), tensors["output.bias"]
    output = output_conv if paper else shuffled_conv
    blocks = with_margins(x, kernel.shape[0] // 2, "reflect")
    x = [ops.sigmoid(ops.cast(output(block, kernel), "float32") + bias) for block in blocks]
    return ops.concatenate(x, axis=1)


def with_margins(strips: list, margin: int, mode: str) -> Iterator:
    """Yield each strip (N, h, W, C) with ``margin`` pixels around: its neighbours' rows, or padding at the edge.

    Args:
        strips: the rows of a picture, top to bottom, each at least ``margin`` high.
        margin: how many pixels.
        mode: how to pad at the picture's edge, ``reflect`` or ``symmetric``.

    Yields:
        (N, h + 2 margin, W + 2 margin, C).
    """
    from keras import ops

    for i, strip in enumerate(strips):
        above = [strips[i - 1][:, -margin:]] if i > 0 else []
        below = [strips[i + 1][:, :margin]] if i + 1 < len(strips) else []
        block = ops.concatenate([*above, strip, *below], axis=1) if above or below else strip
        edges = [0 if above else margin, 0 if below else margin]
        yield ops.pad(block, [[0, 0], edges, [margin, margin], [0, 0]], mode=mode)


def instance_norm(strips: list, scale: Any, shift: Any, relu: bool = False) -> list:
    """Normalise a picture per channel, then scale and shift it.

    Args:
        strips: its rows, (N, h, W, C) each; replaced one by one, so that old and new never both exist whole.
        scale: (N, C) float32.
        shift: (N, C) float32.
        relu: whether to set negative results to 0.

    Returns:
        The same list, of the same dtype.
    """
    import keras
    from keras import ops

    activate = ops.relu if relu else lambda x: x
    if keras.backend.backend() == "tensorflow" and len(strips) == 1 and strips[0].shape[0] == 1:
        # For one picture this is batch norm over (H, W), which TensorFlow has as one fused kernel: 3 times faster.
        import tensorflow as tf

        empty = tf.zeros([0])
        fused = tf.raw_ops.FusedBatchNormV3(
            x=strips[0], scale=scale[0], offset=shift[0], mean=empty, variance=empty, epsilon=EPSILON, is_training=True
        )
        strips[0] = activate(fused.y)
        return strips

    def average(function: Callable[[Any], Any]) -> Any:
        sums = [ops.sum(function(ops.cast(x, "float32")), axis=(1, 2), keepdims=True) for x in strips]
        return sum(sums) / ops.cast(sum(ops.shape(x)[1] for x in strips) * ops.shape(strips[0])[2], "float32")

    mean = average(lambda x: x)
    variance = average(lambda x: ops.square(x - mean))
    scale = scale[:, None, None] * ops.rsqrt(variance + EPSILON)
    shift = shift[:, None, None] - mean * scale
    for i, x in enumerate(strips):
        strips[i] = activate(ops.cast(ops.cast(x, "float32") * scale + shift, x.dtype))
    return strips


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


def shuffled_conv(x: Any, kernel: Any) -> Any:
    """Convolve without padding by a kernel (K, K, C, 4 D) whose channels are four pixels: (N, 2 (H - K + 1), …, D)."""
    from keras import ops

    return depth_to_space(ops.conv(x, kernel, padding="valid"))


def space_to_depth(x: Any, block: int) -> Any:
    """Turn (N, H, W, C) into (N, H / block, W / block, block² C): neighbours become channel blocks, row by row."""
    import keras
    from keras import ops

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.nn.space_to_depth(x, block)
    n, h, w, c = x.shape
    x = ops.reshape(x, (n, h // block, block, w // block, block, c))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (n, h // block, w // block, block**2 * c))


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
