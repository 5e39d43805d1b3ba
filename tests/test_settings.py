from dataclasses import dataclass
from typing import Literal

import pytest

from pipeline import BadInput, effects
from pipeline.settings import Settings, choices, defaults, setting


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


def test_every_setting_of_every_effect_explains_itself():
    import dataclasses

    for module in effects().values():
        for field in dataclasses.fields(module.Settings):
            assert field.metadata["label"] and field.metadata["info"].endswith("."), field.name
            default = field.default
            if isinstance(default, int | float) and not isinstance(default, bool):
                assert field.metadata["minimum"] is not None, field.name
