"""The bundled weights: found through ``models/manifest.json``, checked, loaded once, on first use.

``models/manifest.json`` maps a network's name to its files (name, bytes, sha256), licence and origin. It is also the
switch: an effect whose network is not listed there is not offered.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from .errors import WeightsError

MODELS = Path(__file__).resolve().parent.parent / "models"
MAX_FILE_BYTES = 10_000_000  # the largest file a Hugging Face Space takes without LFS

_MEND = "restore it from the repository (git checkout -- models)"


def available(name: str, folder: Path | None = None) -> bool:
    """Tell whether the manifest of a folder, by default ``MODELS``, lists a network."""
    return name in _manifest(folder or MODELS)


def load(name: str, folder: Path | None = None) -> Mapping[str, np.ndarray]:
    """Load one network's tensors as float32, checked against the manifest.

    Args:
        name: the network's name in the manifest.
        folder: where ``manifest.json`` and the files lie; default: ``MODELS``.

    Returns:
        The tensors by name; the same object each time.

    Raises:
        WeightsError: the manifest or a file is missing, or a file is truncated or altered; the message names it.
    """
    return _load(name, folder or MODELS)


@cache
def _load(name: str, folder: Path) -> Mapping[str, np.ndarray]:
    from safetensors.numpy import load as parse

    manifest = _manifest(folder)
    if name not in manifest:
        raise WeightsError(f"There are no bundled weights called {name}: known are {', '.join(manifest)}.")
    tensors = {}
    for file in manifest[name]["files"]:
        path = folder / file["name"]
        try:
            data = path.read_bytes()
        except OSError:
            raise WeightsError(f"The weight file {path} is missing: {_MEND}.") from None
        if len(data) != file["bytes"]:
            raise WeightsError(
                f"The weight file {path} has {len(data)} bytes instead of {file['bytes']} (a broken download, or a "
                f"Git LFS pointer): {_MEND}."
            )
        if hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise WeightsError(f"The weight file {path} was altered (its SHA-256 differs): {_MEND}.")
        tensors |= {key: value.astype(np.float32) for key, value in parse(data).items()}
    return tensors


def _manifest(folder: Path) -> dict:
    path = folder / "manifest.json"
    try:
        return json.loads(path.read_text())
    except OSError:
        raise WeightsError(f"The list of weights {path} is missing: {_MEND}.") from None
    except ValueError:
        raise WeightsError(f"The list of weights {path} is not valid JSON: {_MEND}.") from None


def save(
    name: str, tensors: Mapping[str, np.ndarray], *, licence: str, origin: str, folder: Path | None = None
) -> list[Path]:
    """Write a network as float16 safetensors, split below ``MAX_FILE_BYTES``, and enter it into the manifest.

    Args:
        name: the network's name; its files are ``name.safetensors`` or ``name-1.safetensors`` …
        tensors: arrays by name.
        licence: SPDX identifier.
        origin: one sentence on where the weights come from.
        folder: where to write; default: ``MODELS``.

    Returns:
        The files written.

    Raises:
        ValueError: one tensor alone is over the limit.
    """
    from safetensors.numpy import save as serialise

    shards: list[dict[str, np.ndarray]] = [{}]
    room = budget = MAX_FILE_BYTES - 100_000  # the rest is for the header
    for key, value in tensors.items():
        half = np.ascontiguousarray(value, np.float16)
        if half.nbytes > budget:
            raise ValueError(f"{key} alone has {half.nbytes} bytes, over {budget}")
        if half.nbytes > room:
            shards.append({})
            room = budget
        shards[-1][key] = half
        room -= half.nbytes
    entry: dict = {"licence": licence, "origin": origin, "files": []}
    paths = []
    folder = folder or MODELS
    for i, shard in enumerate(shards, 1):
        path = folder / (f"{name}-{i}.safetensors" if len(shards) > 1 else f"{name}.safetensors")
        data = serialise(shard)
        path.write_bytes(data)
        paths.append(path)
        entry["files"].append({"name": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    manifest = _manifest(folder) if (folder / "manifest.json").exists() else {}
    (folder / "manifest.json").write_text(json.dumps(manifest | {name: entry}, indent=2) + "\n")
    return paths
