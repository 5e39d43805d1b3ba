import numpy as np
import pytest
from scipy import optimize

from pipeline.optimisers import LBFGS, Adam, NormalisedGradient

SCALES = np.logspace(0, 3, 30)


def bowl(x):
    return float(SCALES @ x**2 / 2), SCALES * x


def rosenbrock(x):
    return float(optimize.rosen(x)), optimize.rosen_der(x)


def descend(optimiser, function, x, evaluations):
    best = np.inf
    for _ in range(evaluations):
        value, gradient = function(x)
        best = min(best, value)
        x, optimiser = optimiser.step(x, value, gradient)
    return best


@pytest.mark.parametrize(
    ("function", "start"),
    [(bowl, np.ones(30)), (rosenbrock, np.array([-1.2, 1.0])), (rosenbrock, np.full(8, -0.5))],
    ids=["bowl", "rosenbrock", "rosenbrock-8"],
)
def test_lbfgs_keeps_up_with_scipy(function, start):
    theirs = optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=dict(maxcor=10, maxfun=60))
    ours = descend(LBFGS(max_step=0.5, tolerance=0), function, start, 2 * theirs.nfev)
    # Twice the evaluations, because there is no line search; and at least as far down, or down to rounding.
    assert ours <= max(10 * theirs.fun, 1e-8 * function(start)[0])


def test_lbfgs_halves_a_step_that_went_up():
    optimiser = LBFGS()
    x, optimiser = optimiser.step(np.array([1.0]), 1.0, np.array([1.0]))
    back, same = optimiser.step(x, 2.0, np.array([-5.0]))
    assert back == pytest.approx((1 + x) / 2) and same is optimiser
    back, _ = optimiser.step(x, float("nan"), np.array([-5.0]))
    assert back == pytest.approx((1 + x) / 2)


def test_lbfgs_steps_are_bounded_and_float32_stays(rng):
    x = rng.uniform(size=(4, 4, 3)).astype(np.float32)
    optimiser = LBFGS(first_step=0.02, max_step=0.05)
    for limit in (0.02, 0.05, 0.05):
        new, optimiser = optimiser.step(x, float((x**2).sum()), 2000 * x)
        assert new.dtype == np.float32 and np.abs(new - x).mean() <= limit * 1.001
        x = new


def test_lbfgs_steps_are_as_long_where_only_a_part_moves(rng):
    x = rng.uniform(size=(8, 8, 3)).astype(np.float32)
    mask = np.zeros_like(x)
    mask[:2] = 1
    optimiser = LBFGS(first_step=0.02, max_step=0.05)
    for limit in (0.02, 0.05):
        new, optimiser = optimiser.step(x, float((mask * x**2).sum()), 2000 * mask * x)
        assert np.abs(new - x)[:2].mean() <= limit * 1.001 and (new == x)[2:].all()
        x = new


def test_lbfgs_is_careful_at_another_size(rng):
    x = rng.uniform(size=(4, 4, 3)).astype(np.float32)
    optimiser = LBFGS(first_step=0.02, max_step=0.05)
    for _ in range(2):
        x, optimiser = optimiser.step(x, float((x**2).sum()), 2 * x)
    new, _ = optimiser.resized(lambda a: a).step(x, float((x**2).sum()), 2 * x)
    assert optimiser.pairs and np.abs(new - x).mean() == pytest.approx(0.02, rel=1e-3)


def test_adam_follows_its_formula(rng):
    x, optimiser = rng.normal(size=5), Adam(0.1, beta1=0.8, beta2=0.9)
    gradients = rng.normal(size=(3, 5))
    position = x
    for g in gradients:
        position, optimiser = optimiser.step(position, 0.0, g)
    m = [sum(0.2 * 0.8 ** (t - i) * gradients[i] for i in range(t + 1)) / (1 - 0.8 ** (t + 1)) for t in range(3)]
    v = [sum(0.1 * 0.9 ** (t - i) * gradients[i] ** 2 for i in range(t + 1)) / (1 - 0.9 ** (t + 1)) for t in range(3)]
    wanted = x - sum(0.1 * m[t] / (np.sqrt(v[t]) + 1e-8) for t in range(3))
    np.testing.assert_allclose(position, wanted)


def test_adam_descends():
    assert descend(Adam(0.1), rosenbrock, np.array([-1.2, 1.0]), 500) < 0.2


def test_the_normalised_gradient_ignores_the_size_of_the_loss(rng):
    x, g = rng.normal(size=(2, 6, 6, 3))
    small, _ = NormalisedGradient(0.1).step(x, 0.0, 1e-6 * g)
    large, _ = NormalisedGradient(0.1).step(x, 0.0, 1e6 * g)
    np.testing.assert_allclose(small, large, atol=0.01)
    assert np.std(large - x) == pytest.approx(0.1, rel=1e-3)


# L-BFGS with one bound on all its steps: the first at another size is bounded like the very first.
@pytest.mark.parametrize("optimiser", [Adam(), LBFGS(0.05, 0.05), NormalisedGradient()], ids=lambda o: type(o).__name__)
def test_the_state_survives_a_change_of_size(optimiser, rng):
    def double(array):
        return array.repeat(2, 0).repeat(2, 1)

    def step(optimiser, x):
        new, optimiser = optimiser.step(x, float((x**2).mean()), x * np.float32(2 / x.size))
        return new - x, optimiser

    x = rng.uniform(size=(4, 4, 3)).astype(np.float32)
    for _ in range(3):
        change, optimiser = step(optimiser, x)
        x = x + change
    large, _ = step(optimiser.resized(double), double(x))
    assert np.vdot(large, double(x)) < 0
    if not isinstance(optimiser, Adam):  # whose old, larger gradients slow it down at first
        # A mean over four times the pixels has a quarter of the gradient at each: the step is the same.
        np.testing.assert_allclose(large, double(step(optimiser, x)[0]), rtol=0.2, atol=1e-4)
