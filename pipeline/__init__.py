"""Atelier's effects: each turns pictures into another picture, step by step.

>>> from pipeline import fast
>>> fast.stylize("photo.jpg", "painting.jpg").save("out.png")

Importing this loads no network; an effect loads what it needs when it first runs.
"""

from importlib import import_module
from types import ModuleType

from . import weights
from .errors import AtelierError, BadInput, Unreachable, WeightsError
from .step import Step, last

__all__ = ["EFFECTS", "AtelierError", "BadInput", "Step", "Unreachable", "WeightsError", "effect", "effects", "last"]

EFFECTS = ("fast", "gatys", "hybrid", "pixel", "paint")


def effect(name: str) -> ModuleType:
    """Return the module of one effect.

    It has ``TITLE``, ``NETWORKS`` (the bundled weights it needs), ``Settings`` and ``run(*pictures, settings)``; and
    ``warm_up()`` where its first run would have to load much.
    """
    return import_module(f"{__name__}.{name}")


def effects() -> dict[str, ModuleType]:
    """Return the effects that can run here, by name: those whose weights the manifest lists."""
    found = {name: effect(name) for name in EFFECTS}
    return {name: module for name, module in found.items() if all(map(weights.available, module.NETWORKS))}
