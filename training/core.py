"""What the training loops share: gradients on any backend, Adam, and a run with its clock, log and checkpoints.

A network is a function of named tensors (``pipeline/stylizer.py`` and its like), so all that training changes is one
nested dict of tensors, the state, and a step is a function from state and batch to state and losses.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops, tree
from PIL import Image
from safetensors.numpy import load_file, save_file

from pipeline import precision, weights

# Batches made ahead, each in its own thread, while the device computes.
AHEAD = 4
LOG_SECONDS = 10
_RATE = " pictures/s "
SAVE_SECONDS = 180


def value_and_grad(loss: Callable) -> Callable:
    """Turn ``loss(params, *args) -> (value, report)`` into ``-> ((value, report), gradients shaped as params)``."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.value_and_grad(loss, has_aux=True)
    import tensorflow as tf

    def differentiated(params: Any, *args: Any) -> tuple:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tree.map_structure(tape.watch, params)
            value, report = loss(params, *args)
        leaves = tree.flatten(params)
        gradients = tape.gradient(value, leaves, unconnected_gradients="zero")
        return (value, report), tree.pack_sequence_as(params, gradients)

    return differentiated


def compiled(step: Callable) -> Callable:
    """Compile a function of nested dicts of arrays."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(step)
    import tensorflow as tf

    return tf.function(step, autograph=False)


def accelerator() -> str | None:
    """Name what computes, where it is not the CPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind if jax.default_backend() != "cpu" else None
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU") if found else None


def compute_dtype() -> str:
    """Return what convolutions compute in: bfloat16 on accelerators and on the CPUs that have it."""
    return "bfloat16" if accelerator() else precision.compute_dtype()


class Adam:
    """Adam (Kingma & Ba 2014, arXiv 1412.6980) as a function of nested dicts.

    Keras's own is not: its ``stateless_apply`` refuses TensorFlow. A gradient that is not finite changes nothing.
    """

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.999, clip: float = np.inf) -> None:
        self.beta_1, self.beta_2, self.clip = beta_1, beta_2, clip

    @staticmethod
    def initial(params: Any) -> dict[str, Any]:
        """Return the state before the first step."""
        zeros = tree.map_structure(lambda p: np.zeros(p.shape, np.float32), params)
        return {"count": np.zeros((), np.float32), "mean": zeros, "square": zeros}

    def update(self, gradients: Any, state: dict[str, Any], params: Any, rate: Any) -> tuple[Any, dict[str, Any]]:
        """Return parameters and state after one step at a learning rate, the gradients clipped to a global norm."""
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in tree.flatten(gradients)))
        finite, scale = ops.isfinite(norm), ops.minimum(1.0, self.clip / (norm + 1e-6))

        def moved(old: Any, new: Any) -> Any:
            return ops.where(finite, new, old)

        def moment(beta: float, power: int) -> Callable:
            return lambda m, g: moved(m, beta * m + (1 - beta) * (g * scale) ** power)

        count = moved(state["count"], state["count"] + 1)
        mean = tree.map_structure(moment(self.beta_1, 1), state["mean"], gradients)
        square = tree.map_structure(moment(self.beta_2, 2), state["square"], gradients)
        rate = rate * ops.sqrt(1 - self.beta_2**count) / (1 - self.beta_1**count)
        params = tree.map_structure(lambda p, m, s: moved(p, p - rate * m / (ops.sqrt(s) + 1e-8)), params, mean, square)
        return params, {"count": count, "mean": mean, "square": square}


def average(mean: Any, params: Any, count: Any, momentum: float = 0.999) -> Any:
    """Return the exponential moving average of parameters after step ``count``; it forgets the first steps sooner."""
    momentum = ops.minimum(momentum, (1 + count) / (10 + count))
    return tree.map_structure(lambda m, p: momentum * m + (1 - momentum) * p, mean, params)


def tensors(arrays: Any) -> Any:
    """Copy arrays to the device."""
    return tree.map_structure(ops.convert_to_tensor, arrays)


def arrays(state: Any) -> Any:
    """Copy tensors back from the device."""
    return tree.map_structure(ops.convert_to_numpy, state)


def sheet(rows: list[list[np.ndarray]]) -> Image.Image:
    """Lay out pictures, (H, W, 3) in [0, 1] and of one size, in rows."""
    table = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    return Image.fromarray(np.uint8(table.clip(0, 1) * 255 + 0.5))


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every training takes."""

    data_licence: str
    """Where the data come from and under what licences, for the model card."""
    out: Path
    """Folder of the run; one that is there is resumed."""
    minutes: float
    """What the whole training may take, resumed parts included."""
    lap: float | None = None
    """What this call may take, where a machine is lent for less than the whole."""
    steps: int | None = None
    """Stop at this step instead."""
    seed: int = 0
    """Of weights and batches."""


class Run:
    """One run of training in a folder: how long, from where, what it says, and what it leaves behind."""

    def __init__(self, options: Options) -> None:
        options.out.mkdir(parents=True, exist_ok=True)
        self.options, self.out = options, options.out
        self.step, self.seconds = 0, 0.0
        self._started = time.perf_counter()
        self._reports: list[dict[str, float]] | None = None

    def resumed(self, state: Any) -> Any:
        """Return the state that the last checkpoint holds, or this one where there is none."""
        path = self.out / "checkpoint.safetensors"
        if not path.exists():
            return tensors(state)
        found = load_file(path)
        self.step, self.seconds = int(found.pop("run.step")), float(found.pop("run.seconds"))
        shapes = dict(zip(_names(state), (np.shape(leaf) for leaf in tree.flatten(state)), strict=True))
        if {name: leaf.shape for name, leaf in found.items()} != shapes:
            raise SystemExit(f"{self.out} holds a run of a network of another size: choose another folder.")
        print(f"resumed at step {self.step}", flush=True)
        return tensors(tree.pack_sequence_as(state, [found[name] for name in shapes]))

    def checkpoint(self, state: Any) -> None:
        """Write all that a resumed run needs."""
        leaves = dict(zip(_names(state), tree.flatten(arrays(state)), strict=True))
        leaves |= {"run.step": np.int64(self.step), "run.seconds": np.float64(self._elapsed)}
        # Written whole before it takes the old one's place: a machine may be taken away in between.
        path = self.out / "checkpoint.safetensors"
        save_file({name: np.array(leaf, order="C") for name, leaf in leaves.items()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def export(
        self,
        name: str,
        tensors: Mapping[str, np.ndarray],
        text: str,
        measured: Mapping[str, Any],
        sheet: Image.Image,
    ) -> None:
        """Write weights, manifest entry, sheet, and the model card: what it is, how it was trained, what came out."""
        origin = f"trained for this project; see {name}.md for the data"
        weights.save(name, tensors, licence="Apache-2.0", origin=origin, folder=self.out)
        sheet.save(self.out / f"{name}.jpg", quality=90)
        facts = {k: v for k, v in asdict(self.options).items() if k not in ("data", "data_licence", "out")}
        values = ", ".join(f"{k} {float(v):.3g}" for k, v in measured.items())
        lines = [
            f"# {name}\n",
            text.replace("\n\n", f"\n\n![What it makes of pictures that it has not seen]({name}.jpg)\n\n", 1),
            f"- **Data**: {self.options.data_licence}",
            f"- **Training**: {self.step} steps in {self._elapsed / 60:.0f} minutes on "
            f"{accelerator() or f'{os.cpu_count()} CPU cores'};",
            "  " + ", ".join(f"{k} {v}" for k, v in facts.items() if v is not None) + ".",
            f"- **Last losses**: {self._last_losses()}.",
            f"- **Measured** on held-out data: {values}.",
            "- **Licence**: Apache-2.0. float16, exponential moving average of the weights.",
        ]
        (self.out / f"{name}.md").write_text("\n".join(lines) + "\n")

    def _last_losses(self) -> str:
        log = self.out / "log.txt"  # of an earlier call where this one took no step
        return log.read_text().splitlines()[-1].partition(_RATE)[2] if log.exists() else "no step was taken"

    @property
    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._started

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1."""
        last = self.options.steps
        return min(1.0, self.step / last if last else self._elapsed / (60 * self.options.minutes))

    def batches(self, make: Callable[[np.random.Generator], Any]) -> Iterator[Any]:
        """Yield batches until the time is over, one for each step that ``log`` is told of.

        Batch n depends on seed and n alone, so a resumed run sees the same.
        """
        lap = 60 * self.options.lap if self.options.lap else np.inf
        with ThreadPoolExecutor(AHEAD) as pool:

            def submit(step: int) -> Any:
                return pool.submit(make, np.random.default_rng([self.options.seed, step]))

            ahead = [submit(self.step + i) for i in range(AHEAD)]
            while self.progress < 1 and time.perf_counter() - self._started < lap:
                ahead.append(submit(self.step + AHEAD))
                yield ahead.pop(0).result()
            for future in ahead:
                future.cancel()

    def log(self, report: dict[str, Any], pictures: int) -> bool:
        """Count a step, and take note of its losses and of how many pictures it saw; print means now and then.

        Returns:
            Whether it is time to save.
        """
        values = {name: float(value) for name, value in report.items()}
        now = time.perf_counter()
        if self._reports is None:
            self._reports, self._said, self._saved = [], now, now  # the first step is compilation
        else:
            self._reports.append(values)
        if now - self._said > LOG_SECONDS or self.step in (0, self.options.steps and self.options.steps - 1):
            rate = pictures * len(self._reports) / (now - self._said) if self._reports else 0
            seen = self._reports or [values]
            names = dict.fromkeys(name for r in seen for name in r)
            means = " ".join(f"{name}={np.mean([r[name] for r in seen if name in r]):.4g}" for name in names)
            line = f"step {self.step} {self._elapsed:.0f}s {rate:.1f}{_RATE}{means}"
            print(line, flush=True)
            with (self.out / "log.txt").open("a") as file:
                file.write(line + "\n")
            self._reports, self._said = [], now
        self.step += 1  # before it is saved: a run that is ended there goes on with the next one
        if now - self._saved < SAVE_SECONDS:
            return False
        self._saved = now
        return True


def _names(state: Any) -> list[str]:
    return ["/".join(map(str, path)) for path, _ in tree.flatten_with_path(state)]
