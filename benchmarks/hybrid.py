"""``python -m benchmarks.hybrid``: seconds to the article's picture, ours against its own code in the same run."""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from PIL import Image

from pipeline import hybrid, hybrid_solvers, images, last
from pipeline.blur import gaussian_kernel
from pipeline.hybrid_solvers import Objective

from . import content, seconds

ARTICLE = hybrid.Settings(preset="as in the article")


class ArticleModel:
    """The article's model, as it is printed there: float64, eager, the label blurred again at every step."""

    def __init__(self, height: int, width: int, kernel_size: int, sigma: float) -> None:
        self.trainable_image = tf.Variable(np.zeros((1, height, width, 3)), trainable=True)
        kernel = np.exp(-((np.arange(kernel_size) - (kernel_size - 1) // 2) ** 2) / (2 * sigma**2))
        kernel /= kernel.sum()
        self.kernel_x = tf.constant(kernel[np.newaxis, :, np.newaxis, np.newaxis] * np.ones((1, 1, 3, 1)))
        self.kernel_y = tf.constant(kernel[:, np.newaxis, np.newaxis, np.newaxis] * np.ones((1, 1, 3, 1)))

    def blur(self, image: tf.Tensor) -> tf.Tensor:
        image = tf.nn.depthwise_conv2d(image, self.kernel_x, [1, 1, 1, 1], "SAME")
        return tf.nn.depthwise_conv2d(image, self.kernel_y, [1, 1, 1, 1], "SAME")

    def train(self, steps: int, lr: float, precise: np.ndarray, blurred: np.ndarray, mp: float, mb: float) -> float:
        for _ in range(steps):
            with tf.GradientTape() as tape:
                image = tf.math.sigmoid(self.trainable_image)
                loss_precise = tf.reduce_sum(tf.square(image - precise[np.newaxis]))
                seen = self.blur(image**2.2) ** (1.0 / 2.2)
                label = self.blur(blurred[np.newaxis] ** 2.2) ** (1.0 / 2.2)
                loss = loss_precise * mp + tf.reduce_sum(tf.square(seen - label)) * mb
            gradient = tape.gradient(loss, self.trainable_image)
            self.trainable_image.assign(self.trainable_image.numpy() - lr * gradient)
        return float(loss)


def pair(side: int) -> list[Image.Image]:
    """Both pictures, as squares of this side."""
    both = hybrid.aligned(content("astronaut"), content("coffee"))
    return [p.resize((side, side), Image.Resampling.LANCZOS) for p in (both.near, both.far)]


def planes(side: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(images.to_array(p).transpose(2, 0, 1)) for p in pair(side)]


def article(side: int) -> tuple[float, float]:
    """The article's last loss, and the seconds that it takes there, at the pace of its fastest step."""
    near, far = (p.transpose(1, 2, 0).astype(float) for p in planes(side))
    model = ArticleModel(side, side, ARTICLE.kernel_size, ARTICLE.sigma)
    times = []
    for _ in range(ARTICLE.steps):
        start = time.perf_counter()
        loss = model.train(1, ARTICLE.learning_rate, near, far, ARTICLE.m_precise, ARTICLE.m_blurred)
        times.append(time.perf_counter() - start)
    return loss, ARTICLE.steps * min(times)


def reach(solver: str, start: str, side: int, goal: float) -> int:
    """Iterations that one of our solvers needs to a loss; everything after decoding is inside this call."""
    near, far = planes_at[side]
    kernel = gaussian_kernel(ARTICLE.sigma, ARTICLE.kernel_size)
    objective = Objective(near, far, kernel, ARTICLE.m_precise, ARTICLE.m_blurred, border="black")
    begin = hybrid_solvers.fourier(objective) if start == "fourier" else np.full_like(near, 0.5)
    rate = 0 if solver == "fista" else ARTICLE.learning_rate
    for iteration, (_, losses) in enumerate(getattr(hybrid_solvers, solver)(objective, begin, rate)):
        if losses["total"] <= goal * (1 + 1e-6):  # float32 against float64
            return iteration
    raise AssertionError("solvers run until they are closed")


planes_at = {side: planes(side) for side in (256, 512)}
METHODS = (("fista", "fourier"), ("fista", "grey"), ("adam", "grey"), ("descent", "grey"))


def main() -> None:
    """Print both tables."""
    print("Seconds to the loss of the article's 200 steps (sigma 3, weights 0.1 and 1):\n")
    print("| side | | iterations | seconds | times faster |\n|--:|--|--:|--:|--:|")
    for side in planes_at:
        goal, theirs = article(side)
        print(f"| {side} | the article's code, loss {goal:.1f} | {ARTICLE.steps} | {theirs:.2f} | 1 |")
        for solver, start in METHODS:
            iterations = reach(solver, start, side, goal)
            ours = seconds(lambda: reach(solver, start, side, goal), 15 if solver == "fista" else 1)  # noqa: B023
            print(f"| {side} | {solver} from {start} | {iterations} | {ours:.3f} | {theirs / ours:.0f} |")

    print(
        "\nSeconds for one change of a setting at the defaults (alignment, every step's picture, result), and scores:\n"
    )
    print("| side | picture | scores |\n|--:|--:|--:|")
    for side in (256, 512, 1024, 2048):
        near, far = pair(side)
        settings = hybrid.Settings(size=side)
        image = last(hybrid.run(near, far, settings)).image
        picture = seconds(lambda: list(hybrid.run(near, far, settings)), 3)  # noqa: B023
        scores = seconds(lambda: hybrid.score(image, near, far, settings), 3)  # noqa: B023
        print(f"| {side} | {picture:.2f} | {scores:.2f} |")


if __name__ == "__main__":
    main()
