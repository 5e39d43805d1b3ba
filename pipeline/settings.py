"""Settings as frozen dataclasses: each default, label, explanation and range is written once.

The page builds its controls from the same fields (``ui/common.py``), the command line its options
(``pipeline/cli.py``), and every instance checks itself, whoever made it.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from .errors import BadInput


def setting(
    default: Any,
    label: str,
    info: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    local: bool = False,
) -> Any:
    """Declare one setting of an effect.

    Args:
        default: the value where the user says nothing.
        label: its name in words that a non-expert understands.
        info: one sentence on what it does, with the field's own term in brackets.
        minimum: smallest value allowed, inclusive.
        maximum: largest value allowed, inclusive.
        step: the step of its slider.
        local: whether it names something on this machine, or to fetch, so that visitors must not choose it: it is for
            Python and the command line alone.

    Returns:
        A dataclass field.
    """
    metadata = dict(label=label, info=info, minimum=minimum, maximum=maximum, step=step, local=local)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Base of every effect's settings: checks each value, and fills in what a preset says and the caller did not.

    ``dataclasses.replace`` hands over every value, so a preset given there fills in nothing: make new settings instead.

    Attributes:
        presets: of an effect with a setting called ``preset``: values of settings by name, by preset.

    Raises:
        BadInput: a value is of the wrong type, out of range, or not one of the choices.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Take note of what is given: once a dataclass has filled in its defaults, that can't be told any more."""
        self = super().__new__(cls)
        names = [f.name for f in fields(cls)][: len(args)]
        object.__setattr__(self, "_given", {*names, *given})
        return self

    def __post_init__(self) -> None:
        """Check every field, and turn whole numbers into floats where a float is declared."""
        given = self.__dict__.pop("_given")
        for f in fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name), type(self)))
        chosen = self.presets[self.preset] if self.presets else {}
        for f in fields(self):
            if f.name in chosen.keys() - given:
                object.__setattr__(self, f.name, _checked(f, chosen[f.name], type(self)))


@cache
def _hints(cls: type[Settings]) -> dict[str, Any]:
    return get_type_hints(cls)


def kind(cls: type[Settings], name: str) -> Any:
    """Return the declared type of one setting."""
    return _hints(cls)[name]


def choices(cls: type[Settings], name: str) -> tuple[Any, ...]:
    """Return the values one setting may take, or an empty tuple where it is not a choice."""
    hint = kind(cls, name)
    return get_args(hint) if get_origin(hint) is Literal else ()


def limits(cls: type[Settings], name: str) -> tuple[float | None, float | None]:
    """Return the least and the greatest value that a number may have, None where there is none."""
    metadata = next(f.metadata for f in fields(cls) if f.name == name)
    return metadata["minimum"], metadata["maximum"]


def defaults(cls: type[Settings]) -> dict[str, Any]:
    """Return every setting's default by name."""
    return {f.name: f.default for f in fields(cls) if f.default is not MISSING}


def from_form(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Make settings of values that are all there whoever calls: one at its default counts as not given."""
    filled = cls(**values)
    return cls(**{f.name: value for f in fields(cls) if (value := getattr(filled, f.name)) != f.default})


def _checked(f: Field, value: Any, cls: type[Settings]) -> Any:
    if allowed := choices(cls, f.name):
        if value not in allowed:
            raise BadInput(f"{f.name} must be one of {', '.join(map(str, allowed))}, not {value!r}.")
        return value
    if isinstance(f.default, bool | str):
        if not isinstance(value, type(f.default)):
            wanted = "true or false" if isinstance(f.default, bool) else "a text"
            raise BadInput(f"{f.name} must be {wanted}, not {value!r}.")
        return value
    if isinstance(f.default, tuple):
        item_type = get_args(kind(cls, f.name))[0]
        items = [value] if isinstance(value, str) else value
        if item_type is str:
            if isinstance(items, list | tuple) and all(isinstance(item, str) for item in items):
                return tuple(items)
            raise BadInput(f"{f.name} must be a list of texts, not {value!r}.")
        try:
            return tuple(_number(f, item, item_type) for item in items)
        except TypeError:
            raise BadInput(f"{f.name} must be a list of numbers, not {value!r}.") from None
    return _number(f, value, type(f.default))


def _number(f: Field, value: Any, wanted: type) -> Any:
    low, high = f.metadata["minimum"], f.metadata["maximum"]
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    try:
        number = wanted(value)
        fine = number == value and math.isfinite(number) and low <= number <= high and not isinstance(value, bool)
    except (TypeError, ValueError, OverflowError):
        fine = False
    if not fine:
        bounds = [f"at least {low}"] * math.isfinite(low) + [f"at most {high}"] * math.isfinite(high)
        whole = "a whole number" if wanted is int else "a number"
        raise BadInput(f"{f.name} must be {', '.join([whole, *bounds])}, not {value!r}.")
    return number
