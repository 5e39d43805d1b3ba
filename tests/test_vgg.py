import numpy as np
import pytest
from scipy.ndimage import correlate

from pipeline import BadInput, Unreachable, images, precision, vgg

from .conftest import CONTENT


@pytest.fixture
def picture():
    return images.to_array(images.fit(images.load(CONTENT / "chelsea.jpg"), 96))[None]


def test_taps_have_the_names_and_shapes_of_the_paper(picture):
    found = vgg.features(picture, vgg.layers())
    assert tuple(found) == vgg.layers() and len(found) == 11
    height, width = picture.shape[1:3]
    for tap, channels in dict(relu1_2=64, relu2_2=128, relu3_3=256, relu4_3=512, relu5_1=512).items():
        scale = 2 ** (int(tap[4]) - 1)
        assert found[tap].shape == (1, height // scale, width // scale, channels)
        assert float(found[tap][0].numpy().min()) >= 0
    assert vgg.layers("vgg19")[-1] == "relu5_1" and len(vgg.layers("vgg19")) == 13


def test_the_first_two_layers_follow_the_formula(picture):
    tensors = vgg.load()

    def convolve(x, name, mode):
        kernel, bias = tensors[f"{name}.kernel"], tensors[f"{name}.bias"]
        maps = [
            sum(correlate(x[..., c], kernel[:, :, c, o], mode=mode) for c in range(x.shape[-1])) + bias[o]
            for o in range(4 if name == "conv1_2" else 64)
        ]
        return np.maximum(np.stack(maps, -1), 0)

    x = (picture[0] - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = vgg.features(picture, ["relu1_1", "relu1_2"])
    first = convolve(x, "conv1_1", "constant")
    np.testing.assert_allclose(found["relu1_1"][0], first, atol=1e-4)
    np.testing.assert_allclose(found["relu1_2"][0, ..., :4], convolve(first, "conv1_2", "constant"), atol=1e-3)
    replicated = vgg.features(picture, ["relu1_1"], replicate=True)["relu1_1"][0]
    np.testing.assert_allclose(replicated, convolve(x, "conv1_1", "nearest"), atol=1e-4)


def test_pooling_is_max_or_average(rng):
    tensors = {
        f"conv{n}.kernel": np.zeros((3, 3, c, 64), np.float32) for n, c in (("1_1", 3), ("1_2", 64), ("2_1", 64))
    }
    tensors |= {f"conv{n}.bias": np.zeros(64, np.float32) for n in ("1_1", "1_2", "2_1")}
    for name in ("1_1", "1_2", "2_1"):
        for c in range(3):
            tensors[f"conv{name}.kernel"][1, 1, c, c] = 1  # hand every colour on
    image = rng.random((1, 4, 4, 3), dtype=np.float32) * 0.4 + 0.6
    blocks = ((image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).reshape(2, 2, 2, 2, 3)
    for pooling, pooled in (("max", blocks.max((1, 3))), ("average", blocks.mean((1, 3)))):
        found = vgg.features(image, ["relu2_1"], tensors=tensors, pooling=pooling)["relu2_1"]
        np.testing.assert_allclose(found[0, ..., :3], pooled, rtol=1e-5)


def test_bfloat16_features_agree_with_float32(picture):
    exact, rounded = (vgg.features(picture, vgg.layers(), dtype=d) for d in ("float32", "bfloat16"))
    for tap in vgg.layers():
        a, b = (np.asarray(f[tap], np.float32) for f in (exact, rounded))
        assert np.linalg.norm(a - b) < 0.02 * np.linalg.norm(a), tap
        for one, other in zip(vgg.moments(exact[tap]), vgg.moments(rounded[tap]), strict=True):
            assert other.dtype == "float32"
            assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(one), tap


def test_unknown_layers_and_networks_are_refused(picture):
    for taps in (["relu9_9"], []):
        with pytest.raises(BadInput, match="layer"):
            vgg.features(picture, taps)
    with pytest.raises(BadInput, match="network"):
        vgg.load("vgg11")


def test_vgg19_takes_the_same_input_as_vgg16(picture, monkeypatch):
    import keras

    model = keras.applications.VGG19(include_top=False, weights=None)
    monkeypatch.setattr(keras.applications, "VGG19", lambda include_top: model)
    vgg.load.cache_clear()
    try:
        found = vgg.features(picture, ["relu1_2", "relu4_2", "relu5_1"], network="vgg19")
    finally:
        vgg.load.cache_clear()
    taps = {f"relu{b}_{i}": f"block{b}_conv{i}" for b, i in ((1, 2), (4, 2), (5, 1))}
    theirs = keras.Model(model.input, {ours: model.get_layer(name).output for ours, name in taps.items()})
    wanted = theirs(keras.applications.vgg19.preprocess_input(picture * 255.0))
    for tap in taps:
        difference = np.linalg.norm(found[tap] - wanted[tap]) / np.linalg.norm(wanted[tap])
        assert difference < 2e-3, tap


def test_vgg19_out_of_reach_says_so_and_offers_the_bundled_network(monkeypatch):
    import keras

    def refuse(include_top):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG19", refuse)
    vgg.load.cache_clear()
    with pytest.raises(Unreachable, match="VGG-16"):
        vgg.load("vgg19")


def test_precision_asks_the_cpu(tmp_path):
    flags = tmp_path / "cpuinfo"
    for text, expected in (("flags : fpu avx512_bf16 sse", True), ("flags : fpu avx512f sse", False), ("", False)):
        flags.write_text(f"processor : 0\n{text}\n")
        precision.cpu_has_bfloat16.cache_clear()
        assert precision.cpu_has_bfloat16(flags) is expected
    precision.cpu_has_bfloat16.cache_clear()
    assert precision.cpu_has_bfloat16(tmp_path / "none") is False
    assert precision.compute_dtype("float32") == "float32"
    assert precision.compute_dtype() == ("bfloat16" if precision.cpu_has_bfloat16() else "float32")
