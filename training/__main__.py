"""The command line of training: one command per network."""

import os
from importlib import import_module

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tyro  # noqa: E402

NETWORKS = ("stylizer", "painter")

if __name__ == "__main__":
    modules = [import_module(f"training.{name}") for name in NETWORKS]
    options = tyro.extras.subcommand_cli_from_dict(
        {name: module.Options for name, module in zip(NETWORKS, modules, strict=True)}, prog="python -m training"
    )
    next(module for module in modules if isinstance(options, module.Options)).train(options)
