"""VGG features: the space in which content and style are compared.

Backend-agnostic (``keras.ops``): the effects run it on TensorFlow, training on any Keras backend.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from . import weights
from .errors import BadInput, Unreachable

Network = Literal["vgg16", "vgg19"]
Pooling = Literal["max", "average"]

# Simonyan & Zisserman 2014 (arXiv 1409.1556), table 1, columns D and E: convolutions per block, before each pooling.
_BLOCKS = {"vgg16": (2, 2, 3, 3, 1), "vgg19": (2, 2, 4, 4, 1)}
# The mean and standard deviation of ImageNet in RGB [0, 1] that torchvision's weights were trained with.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


def layers(network: Network = "vgg16") -> tuple[str, ...]:
    """Return the names of all taps, ``relu1_1`` … ``relu5_1``, in the network's order."""
    return tuple(f"relu{b}_{i}" for b, n in enumerate(_BLOCKS[network], 1) for i in range(1, n + 1))


def channels(tap: str) -> int:
    """Return how many channels a tap has."""
    return min(512, 32 * 2 ** int(tap.removeprefix("relu").partition("_")[0]))


@cache
def load(network: Network = "vgg16") -> Mapping[str, np.ndarray]:
    """Return kernels (3, 3, in, out) and biases (out,) by name: ``conv1_1.kernel``, ``conv1_1.bias``, and so on.

    VGG-16 is bundled. VGG-19 comes through ``keras.applications``, which downloads 80 MB once; its first layer is
    rewritten here for RGB in torchvision's normalisation, so that both networks take the same input.

    Raises:
        WeightsError: a bundled file is missing or altered.
        Unreachable: VGG-19 is not in Keras's cache and can't be downloaded.
        BadInput: there is no such network.
    """
    if network == "vgg16":
        return weights.load("vgg16")
    if network != "vgg19":
        raise BadInput(f"A VGG network is vgg16 or vgg19, not {network!r}.")
    import keras

    try:
        model = keras.applications.VGG19(include_top=False)
    except Exception as error:  # Keras raises a bare Exception where the download fails
        raise Unreachable(
            "VGG-19 can't be downloaded from here: choose VGG-16, which is bundled, or connect to the internet."
        ) from error
    tensors = {}
    for name in layers("vgg19"):
        block, i = name.removeprefix("relu").split("_")
        kernel, bias = model.get_layer(f"block{block}_conv{i}").get_weights()
        tensors |= {f"conv{block}_{i}.kernel": kernel, f"conv{block}_{i}.bias": bias}
    # Keras's VGG-19 takes BGR - (103.939, 116.779, 123.68), in 0 … 255. With y = (x - mean) / std that is, in RGB,
    # 255 std y + shift; the constant moves into the bias (exact except where zeros pad the edge).
    shift = 255 * _MEAN - np.array([123.68, 116.779, 103.939], np.float32)
    kernel = tensors["conv1_1.kernel"][:, :, ::-1]
    tensors["conv1_1.kernel"] = kernel * (255 * _STD)[:, None]
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] + np.einsum("hwio,i->o", kernel, shift)
    return tensors


@cache
def tensors(network: Network = "vgg16", dtype: str = "float32") -> Mapping[str, Any]:
    """Return what ``load`` does as TensorFlow tensors, for graphs to share.

    Of arrays, each graph would hold several copies as constants: half a gigabyte of memory, and a second and a half of
    tracing.
    """
    import tensorflow as tf

    with tf.init_scope():  # not in the graph that is being traced, if one is
        return {name: tf.cast(array, dtype) for name, array in load(network).items()}


def features(
    image: Any,
    taps: Sequence[str],
    *,
    tensors: Mapping[str, Any] | None = None,
    network: Network = "vgg16",
    pooling: Pooling = "max",
    dtype: str = "float32",
    replicate: bool = False,
) -> dict[str, Any]:
    """Run VGG up to the deepest tap.

    Args:
        image: tensor (N, H, W, 3), RGB in [0, 1].
        taps: names out of ``layers(network)``.
        tensors: kernels and biases; default: ``load(network)``.
        network: whose layout ``tensors`` has.
        pooling: ``max`` as trained, or ``average`` (smoother gradients: Gatys et al. 2015, section 2).
        dtype: what convolutions compute in, ``float32`` or ``bfloat16``.
        replicate: pad the first convolution by edge replication instead of zeros, which avoids a dark frame in
            optimised pictures.

    Returns:
        Tensors (N, H', W', C) in ``dtype``, after the ReLU, by tap.

    Raises:
        BadInput: a tap is unknown.
    """
    from keras import ops

    tensors = load(network) if tensors is None else tensors
    unknown = set(taps) - set(layers(network))
    if unknown or not taps:
        raise BadInput(f"There is no layer {', '.join(sorted(unknown))} in {network}: use relu1_1 … relu5_1.")
    x = ops.cast((ops.cast(image, "float32") - _MEAN) / _STD, dtype)
    found = {}
    for block, convolutions in enumerate(_BLOCKS[network], 1):
        if block > 1:
            pool = ops.max_pool if pooling == "max" else ops.average_pool
            x = pool(x, 2, 2)
        for i in range(1, convolutions + 1):
            name = f"{block}_{i}"
            padding = "same"
            if replicate and name == "1_1":
                x, padding = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric"), "valid"
            x = ops.conv(x, ops.cast(tensors[f"conv{name}.kernel"], dtype), padding=padding)
            x = ops.relu(x + ops.cast(tensors[f"conv{name}.bias"], dtype))
            if f"relu{name}" in taps:
                found[f"relu{name}"] = x
            if len(found) == len(set(taps)):
                return found
    raise AssertionError("unreachable: every tap is in the network")


def moments(feature: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation over the picture, each (N, C) in float32, of a feature (N, H, W, C)."""
    from keras import ops

    feature = ops.cast(feature, "float32")
    return ops.mean(feature, axis=(1, 2)), ops.sqrt(ops.var(feature, axis=(1, 2)) + 1e-5)
