"""The command line: one command per effect, its options generated from the effect's settings."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro

from . import effects, images
from .errors import AtelierError
from .settings import kind
from .step import Step


def main(argv: Sequence[str] | None = None) -> int:
    """Run one effect on files and save the last step.

    Args:
        argv: the arguments behind ``python -m pipeline``; default: those of this process.

    Returns:
        The exit code: 0; 2 after a line ``error: …`` about what was wrong with the input; 130 where Ctrl-C came before
        there was a result.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        modules = effects()
        argv = sys.argv[1:] if argv is None else argv
        commands = {name: _arguments(name, module, _preset(argv)) for name, module in modules.items()}
        args = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="python -m pipeline",
            description="Neural image effects.",
            args=argv,
            sort_subcommands=False,
        )
        name = type(args).__name__
        module = modules[name]
        pictures = {p: getattr(args, p) for p in images.parameters(module.run)}
        settings = module.Settings(**{f.name: getattr(args, f.name) for f in dataclasses.fields(module.Settings)})
        files = [path for given in pictures.values() if given for path in images.listed(given)]
        files += [getattr(settings, f.name) for f in dataclasses.fields(settings) if f.metadata["local"]]
        images.check_output(args.out, files)
        with redirect_stdout(sys.stderr):  # Keras tells there of what it downloads
            step = _last(module.run(**pictures, settings=settings))
        images.save(step.image, args.out, step.frames, effect=name, settings=dataclasses.asdict(settings))
    except AtelierError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped before there was a result", file=sys.stderr)
        return 130
    if args.json:
        width, height = step.image.size
        report = dict(out=str(args.out), width=width, height=height, iteration=step.iteration, total=step.total)
        print(json.dumps(report | dict(losses=dict(step.losses), seconds=step.seconds, note=step.note)))
    else:
        print(f"{args.out}: {step.note}")
    return 0


def _preset(argv: Sequence[str]) -> str | None:
    """Look ahead: the values of a preset are the defaults of all other options."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?")
    return parser.parse_known_args(argv)[0].preset


def _arguments(name: str, module: ModuleType, preset: str | None) -> type:
    """Build the dataclass that tyro parses into: pictures by position, then every setting, then ours."""
    usual = module.Settings(preset=preset) if preset in module.Settings.presets else module.Settings()
    fields: list[tuple] = []
    for picture, count in images.parameters(module.run).items():
        if count == "optional":
            fields.append((picture, Annotated[Path | None, tyro.conf.arg(help="A picture file.")], None))
        else:
            shown = tyro.conf.arg(metavar=picture.upper() + " …" * (count == "several"), help="")
            files = Path if count == "one" else tuple[Path, ...]
            fields.append((picture, Annotated[files, tyro.conf.Positional, shown]))
    out = tyro.conf.arg(aliases=["-o"], help="File to write; its ending is the format.")
    fields.append(("out", Annotated[Path, out]))
    for f in dataclasses.fields(module.Settings):
        option: Any = Annotated[kind(module.Settings, f.name), tyro.conf.arg(help=f.metadata["info"])]
        fields.append((f.name, option, getattr(usual, f.name)))
    fields.append(("json", Annotated[bool, tyro.conf.arg(help="Print one line of JSON about the result.")], False))
    cls = dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)
    cls.__doc__ = (module.__doc__ or "").partition("\n")[0]
    return cls


def _last(steps: Iterator[Step]) -> Step:
    """Return the last step, showing the way there on a terminal; Ctrl-C keeps what an optimisation got to.

    Elsewhere what comes before the last step is a preview, or one frame of many.
    """
    step = None
    try:
        for step in steps:
            if sys.stderr.isatty() and step.iteration < step.total:
                print(f"\r{step.iteration}/{step.total}, {step.eta:.0f} s to go ", end="", file=sys.stderr)
    except KeyboardInterrupt:
        if step is None or not step.losses:
            raise
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return step
