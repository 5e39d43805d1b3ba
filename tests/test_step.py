"""What every effect yields."""

import weakref

from PIL import Image

from pipeline import Step, last


def test_the_last_step_comes_without_all_others_in_memory():
    alive = []

    def steps():
        for i in range(1, 6):
            step = Step(Image.new("RGB", (1, 1)), i, 5)
            alive.append(weakref.ref(step))
            yield step
            del step
            # The newest is held where it was handed over, and one more while it is replaced.
            assert sum(ref() is not None for ref in alive) <= 2

    assert last(steps()).iteration == 5
