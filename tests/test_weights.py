import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline import WeightsError, weights

from .conftest import ROOT

TENSORS = {"a.kernel": np.random.default_rng(1).random((3, 3, 4, 5)), "a.bias": np.arange(5.0)}


@pytest.fixture
def folder(tmp_path):
    weights.save("tiny", TENSORS, licence="CC0-1.0", origin="made by a test", folder=tmp_path)
    return tmp_path


def test_saved_weights_come_back_as_float32(folder):
    tensors = weights.load("tiny", folder)
    np.testing.assert_allclose(tensors["a.kernel"], TENSORS["a.kernel"], atol=1e-3)
    assert tensors["a.bias"].dtype == np.float32
    assert weights.available("tiny", folder) and not weights.available("huge", folder)


def test_large_networks_are_split(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 101_000)
    tensors = {name: np.full(300, i, np.float32) for i, name in enumerate("abcd")}
    paths = weights.save("split", tensors, licence="CC0-1.0", origin="a test", folder=tmp_path)
    assert len(paths) == 4 and all(path.stat().st_size < 101_000 for path in paths)
    assert {name: value[0] for name, value in weights.load("split", tmp_path).items()} == dict(a=0, b=1, c=2, d=3)
    with pytest.raises(ValueError, match="alone"):
        weights.save("one", {"big": np.zeros(3000)}, licence="CC0-1.0", origin="a test", folder=tmp_path)


def missing(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


def altered(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage, words", [(missing, "missing"), (truncated, "bytes instead"), (altered, "SHA-256")])
def test_damage_is_one_error_that_names_the_file_and_says_what_to_do(folder, damage, words):
    damage(folder / "tiny.safetensors")
    with pytest.raises(WeightsError, match=words) as error:
        weights.load("tiny", folder)
    assert "tiny.safetensors" in str(error.value) and "git checkout" in str(error.value)


def test_a_bad_manifest_and_an_unknown_name_are_refused(folder):
    with pytest.raises(WeightsError, match="huge"):
        weights.load("huge", folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(WeightsError, match="JSON"):
        weights.load("other", folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(WeightsError, match="missing"):
        weights.load("third", folder)


def test_the_bundled_files_are_small_licensed_described_and_whole():
    manifest = json.loads((weights.MODELS / "manifest.json").read_text())
    listed = {file["name"] for entry in manifest.values() for file in entry["files"]}
    assert listed == {path.name for path in weights.MODELS.glob("*.safetensors")}
    for name, entry in manifest.items():
        assert entry["licence"] and entry["origin"]
        assert (weights.MODELS / f"{name}.md").exists()
        assert all(file["bytes"] < 10_000_000 for file in entry["files"])
        assert all(np.isfinite(value).all() for value in weights.load(name).values())


def test_importing_the_app_and_the_command_line_loads_no_tensorflow():
    code = "import sys, app, pipeline.cli, pipeline.fast; app.build(); sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
