"""Style and content distance in a network that nobody here optimised: AlexNet."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from pipeline import images

_MEAN, _STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
# Stride and padding of torchvision's AlexNet (arXiv 1404.5997); max-pooling 3x3/2 after the first two.
_LAYERS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
SIZE = 384


@cache
def _features(key: bytes, shape: tuple[int, ...]) -> list[np.ndarray]:
    import tensorflow as tf

    tensors = {k: v.astype(np.float32) for k, v in load_file(Path(__file__).parent / "alexnet.safetensors").items()}
    x = tf.constant((np.frombuffer(key, np.float32).reshape(shape) - _MEAN) / _STD)[None]
    found = []
    for i, (stride, pad) in enumerate(_LAYERS, 1):
        x = tf.nn.conv2d(x, tensors[f"conv{i}.kernel"], stride, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        x = tf.nn.relu(x + tensors[f"conv{i}.bias"])
        found.append(x.numpy()[0].reshape(-1, x.shape[-1]))
        if i < 3:
            x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    return found


def features(image: Image.Image) -> list[np.ndarray]:
    """Return the five layers' features (positions, channels) of a picture resized to a longest side of ``SIZE``."""
    scale = SIZE / max(image.size)
    image = image.convert("RGB").resize([round(s * scale) for s in image.size], Image.Resampling.LANCZOS)
    array = images.to_array(image)
    return _features(array.tobytes(), array.shape)


def style_distance(image: Image.Image, style: Image.Image) -> float:
    """Sum over layers of the relative distance of means and covariances."""
    total = 0.0
    for a, b in zip(features(image), features(style), strict=True):
        wanted = np.cov(b, rowvar=False, bias=True)
        difference = np.cov(a, rowvar=False, bias=True) - wanted
        total += (difference**2).sum() / (wanted**2).sum()
        total += ((a.mean(0) - b.mean(0)) ** 2).sum() / np.trace(wanted)
    return float(total)


def content_distance(image: Image.Image, photo: Image.Image) -> float:
    """Mean squared difference of the fifth layer, relative to its variance over the photo."""
    a, b = features(image)[-1], features(photo)[-1]
    return float(((a - b) ** 2).mean() / b.var(0).mean())
