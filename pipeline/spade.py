"""The landscape painter: a generator that turns a map of classes into a picture, and an encoder of style.

After SPADE (Park et al. 2019, arXiv 1903.07291): the label map is not the input of the first layer only, but scales and
shifts the activations after every norm. It differs from the paper where a few thousand photos and two CPU cores ask
for it; the functions say where. Everything is a function of named tensors and backend-agnostic (``keras.ops``);
training calls the same functions. All widths are read off the tensors, so a small network is one with small tensors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .unet import enlarge

CLASSES = (
    *("other", "sky", "cloud", "mountain", "hill", "tree", "grass", "bush"),
    *("earth", "sand", "rock", "snow", "water", "sea", "road", "building"),
)
PALETTE = np.array(
    [
        *([150, 150, 150], [120, 190, 255], [240, 240, 250], [140, 110, 90]),
        *([110, 160, 60], [20, 95, 40], [110, 210, 60], [70, 140, 60]),
        *([150, 90, 40], [240, 215, 140], [95, 95, 105], [205, 235, 255]),
        *([40, 150, 210], [15, 60, 150], [70, 60, 80], [210, 70, 60]),
    ],
    np.uint8,
)
CODE = 64
NOISE = 8
CHANNELS = (256, 256, 256, 192, 128, 64, 32)
# The first block works at 1/64 of the picture, each further one at twice the size of the one before.
MULTIPLE = 2 ** (len(CHANNELS) - 1)

_STYLE = 128  # width of the two layers between the code and its uses
_SUMMARY = 256  # width of the layer between the encoder's statistics and the code


def generate(label_map: Any, code: Any, noise: Any, tensors: Mapping[str, Any], dtype: str = "float32") -> Any:
    """Paint pictures: Park et al. 2019, section 3 and figure 4.

    Differences from the paper: the style code acts in every block, together with the labels and before a
    non-linearity, so that each class can look different in each style (in the paper the code is the input of the
    first layer, and only that); the first layer sees the label map; noise is concatenated to the labels, for detail
    that neither says (Sushko et al. 2020, arXiv 2012.04781); no spectral norm in the generator.

    Args:
        label_map: (N, H, W, 16), one-hot or, at soft edges, shares of the classes; H and W multiples of ``MULTIPLE``.
        code: (N, 64) float32, the styles: a mean of ``encode``, or standard normal.
        noise: (N, H, W, 8), standard normal: the seed of the details.
        tensors: the generator's weights by name, as ``initialise`` makes them.
        dtype: what convolutions compute in, ``float32`` or ``bfloat16``; norms and style are always float32.

    Returns:
        (N, H, W, 3) float32, RGB in [0, 1].
    """
    from keras import ops

    style = code
    for i in (1, 2):
        style = ops.leaky_relu(_dense(style, tensors, f"style{i}"), 0.2)
    levels = sum(name.startswith("block") and name.endswith(".labels.kernel") for name in tensors)
    inputs = _levels(label_map, noise, levels, dtype)
    x = _styled_conv(inputs[0], style, tensors, "start")
    for i, labels in enumerate(inputs, 1):
        x = _block(x, labels, style, tensors, f"block{i}", upsample=i > 1)
    x = _conv(ops.leaky_relu(x, 0.2), tensors, "output")
    return ops.tanh(ops.cast(x, "float32")) / 2 + 0.5


def encode(image: Any, tensors: Mapping[str, Any], dtype: str = "float32") -> tuple[Any, Any]:
    """Encode the style of pictures as a normal distribution over codes: Park et al. 2019, section 3 and appendix A.

    Differences from the paper: the dense layer sees statistics over the picture (the mean of each layer before its
    norm, which keeps the colours, and mean and maximum of the last), not its layout. A code then holds palette and
    texture, and a photo of any size and any layout can serve as style.

    Args:
        image: (N, H, W, 3), RGB in [0, 1], 32 pixels a side or more.
        tensors: the encoder's weights by name, as ``initialise`` makes them.
        dtype: what convolutions compute in; norms and statistics are always float32.

    Returns:
        Mean and log-variance, each (N, 64) float32. The mean is the picture's code.
    """
    from keras import ops

    x = ops.cast(2 * ops.cast(image, "float32") - 1, dtype)
    statistics = []
    i = 1
    while f"encoder{i}.kernel" in tensors:
        x = _conv(x, tensors, f"encoder{i}", stride=2)
        statistics.append(ops.mean(ops.cast(x, "float32"), axis=(1, 2)))
        x = ops.leaky_relu(normalise(x, (1, 2)), 0.2)
        i += 1
    x = ops.cast(x, "float32")
    statistics += [ops.mean(x, axis=(1, 2)), ops.max(x, axis=(1, 2))]
    x = ops.leaky_relu(_dense(ops.concatenate(statistics, axis=-1), tensors, "encoder.summary"), 0.2)
    return _dense(x, tensors, "encoder.mean"), _dense(x, tensors, "encoder.log_variance")


def initialise(
    seed: int,
    channels: Sequence[int] = CHANNELS,
    hidden: int = 48,
    encoder: Sequence[int] = (32, 64, 128, 192, 256),
) -> dict[str, np.ndarray]:
    """Draw the weights of an untrained generator and encoder.

    Args:
        seed: of the random numbers.
        channels: the output channels of the generator's blocks, coarse to fine.
        hidden: channels between the label map and each scale and shift (128 in the paper).
        encoder: the channels of the encoder's convolutions, each of stride 2.

    Returns:
        float32 arrays by name, those of the encoder starting with ``encoder``. With other than ``len(CHANNELS)``
        blocks, H and W are multiples of ``2 ** (len(channels) - 1)``.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, std: float | None = None, bias: float | None = 0) -> None:
        fan_in, fan_out = np.prod(shape[:-1]), np.prod((*shape[:-2], shape[-1]))
        # Glorot & Bengio 2010, equation 16, unless a deviation is given.
        limit = np.sqrt(6 / (fan_in + fan_out))
        kernel = rng.uniform(-limit, limit, shape) if std is None else rng.normal(0, std, shape)
        tensors[f"{name}.kernel"] = kernel.astype(np.float32)
        if bias is not None:
            tensors[f"{name}.bias"] = np.full(shape[-1], bias, np.float32)

    seen = len(CLASSES) + NOISE
    add("style1", CODE, _STYLE)
    add("style2", _STYLE, _STYLE)
    add("start", 3, 3, seen, channels[0])
    add("start.style", _STYLE, channels[0], bias=None)
    before = channels[0]
    for i, after in enumerate(channels, 1):
        middle = min(before, after)
        add(f"block{i}.labels", 3, 3, seen, 2 * hidden)
        add(f"block{i}.labels.style", _STYLE, 2 * hidden, bias=None)
        for part, inside, outside in ((1, before, middle), (2, middle, after)):
            # A block begins as a plain residual block: scale about 1, shift about 0.
            add(f"block{i}.scale{part}", 3, 3, hidden, inside, std=0.02, bias=1)
            add(f"block{i}.shift{part}", 3, 3, hidden, inside, std=0.02)
            add(f"block{i}.conv{part}", 3, 3, inside, outside)
        if before != after:
            add(f"block{i}.skip", 1, 1, before, after, bias=None)
        before = after
    # Small, because a saturated tanh would not learn.
    add("output", 3, 3, before, 3, std=0.02)

    before = 3
    for i, after in enumerate(encoder, 1):
        add(f"encoder{i}", 3, 3, before, after)
        before = after
    add("encoder.summary", sum(encoder) + 2 * before, _SUMMARY)
    add("encoder.mean", _SUMMARY, CODE)
    # Codes start nearly without noise, or the generator learns to ignore them before they say anything.
    add("encoder.log_variance", _SUMMARY, CODE, std=0, bias=-3.5)
    return tensors


def normalise(x: Any, axes: int | tuple[int, ...]) -> Any:
    """Subtract the mean and divide by the standard deviation, both over ``axes``, computed in float32."""
    from keras import ops

    y = ops.cast(x, "float32")
    y = y - ops.mean(y, axis=axes, keepdims=True)
    return ops.cast(y * ops.rsqrt(ops.mean(ops.square(y), axis=axes, keepdims=True) + 1e-5), x.dtype)


def _levels(label_map: Any, noise: Any, count: int, dtype: str) -> list:
    """Return labels and noise, concatenated, at the sizes of the blocks, coarse to fine."""
    from keras import ops

    # Labels are averaged rather than picked (the paper's nearest neighbour): a thin stroke still counts in the coarse
    # blocks, and an edge doesn't jump when it moves by a pixel. Averaged noise would fade; it is picked.
    label_map, noise = ops.cast(label_map, "float32"), ops.cast(noise, "float32")
    found = [(label_map, noise)]
    for _ in range(count - 1):
        label_map, noise = ops.average_pool(label_map, 2, 2), noise[:, ::2, ::2]
        found.append((label_map, noise))
    return [ops.cast(ops.concatenate(pair, axis=-1), dtype) for pair in reversed(found)]


def _block(x: Any, labels: Any, style: Any, tensors: Mapping[str, Any], name: str, upsample: bool) -> Any:
    """Enlarge twice (but the first block), then norm, SPADE, leaky ReLU and convolution twice, and add the shortcut.

    Differences from the paper (figure 4, left): the norm is over the channels of each pixel (Li et al. 2019,
    arXiv 1907.04312) instead of over the batch, so the picture depends neither on its neighbours in a batch nor on
    statistics kept from training, and what is painted in one corner leaves the other alone; the two SPADEs share one
    convolution of the labels; the learnt shortcut has no norm of its own.
    """
    from keras import ops

    hidden = ops.relu(_styled_conv(labels, style, tensors, f"{name}.labels"))
    hidden1, hidden2 = ops.split(hidden, 2, axis=-1)
    y = normalise(x, -1)
    if f"{name}.skip.kernel" in tensors:
        x = _conv(x, tensors, f"{name}.skip")
    if upsample:
        # A norm per pixel, and a 1x1 convolution, of a repeated pixel are the same four times: enlarged only now.
        x, y = enlarge(x), enlarge(y)
    # Equation 1.
    y = y * _conv(hidden1, tensors, f"{name}.scale1") + _conv(hidden1, tensors, f"{name}.shift1")
    y = normalise(_conv(ops.leaky_relu(y, 0.2), tensors, f"{name}.conv1"), -1)
    y = y * _conv(hidden2, tensors, f"{name}.scale2") + _conv(hidden2, tensors, f"{name}.shift2")
    return x + _conv(ops.leaky_relu(y, 0.2), tensors, f"{name}.conv2")


def _dense(x: Any, tensors: Mapping[str, Any], name: str) -> Any:
    from keras import ops

    return ops.matmul(x, tensors[f"{name}.kernel"]) + tensors[f"{name}.bias"]


def _conv(x: Any, tensors: Mapping[str, Any], name: str, stride: int = 1) -> Any:
    from keras import ops

    kernel = ops.cast(tensors[f"{name}.kernel"], x.dtype)
    if kernel.shape[0] == 3 and stride == 1:
        # The edge repeated, where the paper has zeros: a network that learns from small pictures, most of which is near
        # an edge, would paint a frame into large ones.
        x = ops.conv(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric"), kernel)
    else:
        x = ops.conv(x, kernel, stride, padding="same")
    return x + ops.cast(tensors[f"{name}.bias"], x.dtype) if f"{name}.bias" in tensors else x


def _styled_conv(labels: Any, style: Any, tensors: Mapping[str, Any], name: str) -> Any:
    from keras import ops

    shift = ops.matmul(style, tensors[f"{name}.style.kernel"])
    return _conv(labels, tensors, name) + ops.cast(shift, labels.dtype)[:, None, None]
