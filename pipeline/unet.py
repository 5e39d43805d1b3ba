"""The house's pixel artist: a U-Net that redraws a photo as pixel art, and the partner that photographs it back.

A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) contracts a picture, expands it again, and hands what it saw at each
size over to the expanding side. The two are the generators of a CycleGAN (Zhu et al. 2017, arXiv 1703.10593), which
learns from photos and drawings that do not belong together. Where this differs from both:

- The photo comes at twice the grid of cells and the drawing leaves at the grid: one network serves cells of any size.
- Convolutions are padded by reflection, followed by instance norm (as in CycleGAN) and leaky ReLU; enlargements are
  nearest neighbour before a convolution, as transposed convolutions draw checkerboards (Odena et al. 2016).
- The output is the photo's local mean plus a painted difference. The last layers also see colours that no norm has
  touched, as instance norm forgets how bright a picture is. Starting from a blurred picture matters: one that starts
  from the cells' own colours finds that copying them costs nothing, and learns no more.

Everything is a function of named tensors and backend-agnostic (``keras.ops``); training calls the same functions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .stylizer import instance_norm

# Input sides are halved three times from the photo's grid, twice from the cells'.
MULTIPLE = 8
LEAK = 0.1
# Pixels of a photo's reflection around it, while it is redrawn.
RIM = 8
# Sides of the squares over which the last layers see mean colours, in pixels of the output; the first is painted on.
SURROUNDINGS = (5, 11)


def to_art(photo: Any, tensors: Mapping[str, Any], dtype: str = "float32") -> Any:
    """Redraw photos as pixel art.

    Args:
        photo: (N, 2 H, 2 W, 3), RGB in [0, 1]; both sides multiples of ``MULTIPLE``, at least 32.
        tensors: the weights by name, as from ``initialise``.
        dtype: what convolutions compute in; norm statistics and colours are always float32.

    Returns:
        (N, H, W, 3) float32, about [0, 1]: clip it to show it.
    """
    from keras import ops

    x = _conv(ops.cast(2 * photo - 1, dtype), tensors, "stem")
    x = _conv(_conv(x, tensors, "contract1a", stride=2), tensors, "contract1b")
    return _painted(_expanded(x, tensors), ops.average_pool(photo, 2, 2), tensors)


def to_photo(art: Any, tensors: Mapping[str, Any], dtype: str = "float32") -> Any:
    """Turn pixel art into photos of twice its size; only training needs this.

    Args:
        art: (N, H, W, 3), RGB in [0, 1]; both sides multiples of half of ``MULTIPLE``, at least 16.
        tensors: the weights by name, as from ``initialise(back=True)``.
        dtype: as in ``to_art``.

    Returns:
        (N, 2 H, 2 W, 3) float32, about [0, 1].
    """
    from keras import ops

    x = _expanded(_conv(ops.cast(2 * art - 1, dtype), tensors, "stem"), tensors)
    return _painted(_conv(enlarge(x), tensors, "expand1"), enlarge(art), tensors)


def framed(photo: np.ndarray, to_art: Callable[[Any], Any]) -> np.ndarray:
    """Redraw one photo of any even size: with a rim of its reflection, which keeps the cells at its edges clean.

    Args:
        photo: (2 H, 2 W, 3), RGB in [0, 1].
        to_art: ``to_art`` with its other arguments filled in.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    from keras import ops

    height, width = photo.shape[:2]
    rims = [(RIM, RIM + -side % MULTIPLE) for side in (height, width)]
    padded = np.pad(photo, [*rims, (0, 0)], mode="reflect")
    art = ops.convert_to_numpy(to_art(ops.convert_to_tensor(padded[None])))[0]
    start = RIM // 2
    return art[start : start + height // 2, start : start + width // 2].clip(0, 1)


def initialise(seed: int, width: int = 24, blocks: int = 3, back: bool = False) -> dict[str, np.ndarray]:
    """Draw the weights of an untrained network.

    Args:
        seed: of the random numbers.
        width: channels of the widest picture; smaller ones have two, four and six times as many.
        blocks: residual blocks at the smallest size.
        back: for ``to_photo`` instead of ``to_art``.

    Returns:
        float32 arrays by name.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def conv(name: str, size: int, inputs: int, outputs: int, norm: bool = True, deviation: float = 0.0) -> None:
        # Before a norm the scale of a kernel is of no account; elsewhere as He et al. 2015 have it.
        deviation = deviation or (2 / (size * size * inputs)) ** 0.5
        tensors[f"{name}.kernel"] = rng.normal(0, deviation, (size, size, inputs, outputs)).astype(np.float32)
        if norm:
            tensors[f"{name}.norm.scale"] = np.ones(outputs, np.float32)
            tensors[f"{name}.norm.shift"] = np.zeros(outputs, np.float32)
        else:
            tensors[f"{name}.bias"] = np.zeros(outputs, np.float32)

    w = width
    conv("stem", 5, 3, 2 * w if back else w, norm=False)
    if not back:
        conv("contract1a", 3, w, 2 * w)
        conv("contract1b", 3, 2 * w, 2 * w)
    conv("contract2a", 3, 2 * w, 4 * w)
    conv("contract2b", 3, 4 * w, 4 * w)
    conv("contract3", 3, 4 * w, 6 * w)
    for i in range(1, blocks + 1):
        conv(f"residual{i}a", 3, 6 * w, 6 * w)
        conv(f"residual{i}b", 3, 6 * w, 6 * w)
    conv("expand3a", 3, 10 * w, 4 * w)
    conv("expand3b", 3, 4 * w, 4 * w)
    conv("expand2a", 3, 6 * w, 3 * w)
    conv("expand2b", 3, 3 * w, 3 * w)
    if back:
        conv("expand1", 3, 3 * w, w)
    wide, narrow = (w, w) if back else (3 * w, 2 * w)
    conv("paint1", 3, wide + 3 * (1 + len(SURROUNDINGS)), narrow, norm=False)
    conv("paint2", 3, narrow, narrow, norm=False)
    conv("paint3", 1, narrow, 3, norm=False, deviation=0.02)
    return tensors


def enlarge(x: Any) -> Any:
    """Repeat each pixel of (N, H, W, C) twice along both axes."""
    from keras import ops

    n, h, w, c = ops.shape(x)
    # Repeating by broadcasting has a gradient that is a sum; that of ops.repeat is a slow scatter.
    return ops.reshape(ops.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)), (n, 2 * h, 2 * w, c))


def _conv(x: Any, tensors: Mapping[str, Any], name: str, stride: int = 1, active: bool = True) -> Any:
    """Convolve, then norm or bias (whichever the tensors have), then activate."""
    from keras import ops

    kernel = ops.cast(tensors[f"{name}.kernel"], x.dtype)
    margin = kernel.shape[0] // 2
    if margin:
        x = ops.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]], mode="reflect")
    x = ops.conv(x, kernel, stride, padding="valid")
    if f"{name}.bias" in tensors:
        x = x + ops.cast(tensors[f"{name}.bias"], x.dtype)
    else:
        x = instance_norm([x], tensors[f"{name}.norm.scale"][None], tensors[f"{name}.norm.shift"][None])[0]
    return ops.leaky_relu(x, LEAK) if active else x


def _expanded(at_grid: Any, tensors: Mapping[str, Any]) -> Any:
    """Contract features of the cells' grid twice, and expand them back with what was seen on the way."""
    from keras import ops

    half = _conv(_conv(at_grid, tensors, "contract2a", stride=2), tensors, "contract2b")
    x = _conv(half, tensors, "contract3", stride=2)
    i = 1
    while f"residual{i}a.kernel" in tensors:
        x = x + _conv(_conv(x, tensors, f"residual{i}a"), tensors, f"residual{i}b", active=False)
        i += 1
    for name, seen in (("expand3", half), ("expand2", at_grid)):
        x = ops.concatenate([enlarge(x), seen], axis=-1)
        x = _conv(_conv(x, tensors, f"{name}a"), tensors, f"{name}b")
    return x


def _painted(x: Any, colours: Any, tensors: Mapping[str, Any]) -> Any:
    """Paint a difference onto the local mean of the colours, (N, H, W, 3) float32."""
    from keras import ops

    means = [_local_mean(colours, side) for side in SURROUNDINGS]
    seen = 2 * ops.concatenate([colours, *means], axis=-1) - 1
    x = ops.concatenate([x, ops.cast(seen, x.dtype)], axis=-1)
    x = _conv(_conv(x, tensors, "paint1"), tensors, "paint2")
    return means[0] + ops.tanh(_conv(ops.cast(x, "float32"), tensors, "paint3", active=False))


def _local_mean(x: Any, side: int) -> Any:
    from keras import ops

    margin = side // 2
    x = ops.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]], mode="reflect")
    return ops.average_pool(x, side, 1)
