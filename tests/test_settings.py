import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import pytest

from pipeline import BadInput, effects
from pipeline.settings import Settings, choices, defaults, from_form, setting


@dataclass(frozen=True)
class Sample(Settings):
    size: int = setting(10, "Size", "How large.", minimum=1, maximum=20)
    rate: float = setting(0.5, "Rate", "How fast.", minimum=0)
    mode: Literal["a", "b"] = setting("a", "Mode", "Which.")
    on: bool = setting(True, "On", "Whether.")
    shares: tuple[float, ...] = setting((), "Shares", "How much of each.")


def test_values_are_turned_into_the_declared_type():
    sample = Sample(size=5.0, rate=1, shares=[1, 2])
    assert (sample.size, sample.rate, sample.shares) == (5, 1.0, (1.0, 2.0))
    assert isinstance(sample.size, int) and isinstance(sample.rate, float)
    assert choices(Sample, "mode") == ("a", "b") and choices(Sample, "size") == ()
    assert defaults(Sample)["rate"] == 0.5


@pytest.mark.parametrize(
    "bad",
    [
        dict(size=0),
        dict(size=21),
        dict(size=1.5),
        dict(size="many"),
        dict(size=None),
        dict(size=True),
        dict(rate=-1),
        dict(rate=float("nan")),
        dict(rate=float("inf")),
        dict(mode="c"),
        dict(mode=["a"]),
        dict(on=1),
        dict(shares=3),
        dict(shares=["x"]),
        dict(shares="12"),
    ],
)
def test_bad_values_are_refused_in_a_sentence_that_names_the_setting(bad):
    with pytest.raises(BadInput, match=next(iter(bad))) as error:
        Sample(**bad)
    assert str(error.value).endswith(".") and "None" not in str(error.value).replace("not None", "")


@dataclass(frozen=True)
class Machines(Settings):
    presets: ClassVar = {"none": {}, "one": dict(size=3, rate=2)}
    preset: Literal["none", "one"] = setting("none", "Machine", "Which.")
    size: int = setting(10, "Size", "How large.", minimum=1, maximum=20)
    rate: float = setting(0.5, "Rate", "How fast.", minimum=0)


def test_a_preset_fills_in_what_is_not_given():
    one = Machines(preset="one")
    assert (one.size, one.rate) == (3, 2.0) and isinstance(one.rate, float)
    assert Machines(preset="one", size=10).size == Machines("one", 10).size == 10  # though that is its default
    assert Machines("one", 10).rate == 2 and Machines(rate=1.0).size == 10
    assert replace(Machines(preset="one", size=10), rate=1.0) == Machines("one", 10, 1.0)
    assert copy.deepcopy(one) == one and hash(one) == hash(Machines(preset="one"))
    for bad in ("two", ["one"]):
        with pytest.raises(BadInput, match="preset must be one of none, one"):
            Machines(preset=bad)


def test_in_a_form_a_default_counts_as_not_given():
    filled = from_form(Machines, dict(preset="one", size=10.0, rate=1))
    assert (filled.size, filled.rate) == (3, 1.0)
    with pytest.raises(BadInput, match="size"):
        from_form(Machines, dict(preset="one", size=0, rate=1))


def test_every_setting_of_every_effect_explains_itself():
    import dataclasses

    for module in effects().values():
        for field in dataclasses.fields(module.Settings):
            assert field.metadata["label"] and field.metadata["info"].endswith("."), field.name
            default = field.default
            if isinstance(default, int | float) and not isinstance(default, bool):
                assert field.metadata["minimum"] is not None, field.name
