"""Trains an auto-encoder with one of the two parts of lateness, with both, or with none.

    python tools/late_parts.py --flagfile=configs/moving_shapes_autoencoder.cfg --parts=motion

Sideways' pseudo-gradient of the loss of frame tau is late in module i by 2(D - i) steps, which are
two things at once: it meets a later frame, and weights that have moved since. Here they come apart:

motion    module i takes its Jacobians at frame tau + 2(D - i), else at frame tau itself
weights   a loss goes down one module a step, and with L = 1 all weights move at each of them; else
          weights stand still from the first forward pass of frame tau to module 1's backward pass

--parts=motion,weights is Sideways, and --parts= has the exact gradient of each loss. All four learn
from the same losses, frame tau shown against frame tau + D - 1, and update each module as often, at
the same rates: the flags are those of a run of Sideways. Errors of the test videos, after every
--evaluate_every epochs, are printed at the end; what is shown there is as late as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sideways_tf import cli, progress

# isort: split
import tensorflow as tf

from sideways_tf.engines import schedule
from sideways_tf.errors import UserError
from sideways_tf.model import SidewaysModel
from sideways_tf.report.reconstruction import Errors, Network, measure_reconstruction
from sideways_tf.report.table import Table
from sideways_tf.runs import make, options
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import define_flags, from_flags

PARTS = ("motion", "weights")

FLAGS, define = options.new_flags()
define_flags(FLAGS)
define("parts", list(PARTS), f"of the tool: those that are there, of {', '.join(PARTS)}")


def main() -> None:
    """Train, and print the errors."""
    config, parts = from_flags(FLAGS), [part for part in FLAGS.parts if part]
    check(config, parts)
    make.start_tensorflow(config)
    make.check(config)
    dataset = make.load_dataset(config)
    model = make.make_model(config, dataset)
    learner = LEARNERS["weights" in parts](model, motion="motion" in parts)
    rows = train(config, dataset, model, learner)
    print(f"parts: {', '.join(parts) or 'none'}; seed {config.seed}\n\n{rows.markdown()}")


def check(config: Config, parts: Sequence[str]) -> None:
    """Refuse what is no stream of Sideways, and parts that there are none.

    Raises:
      UserError: naming the flag, its value and the remedy.
    """
    for part in parts:
        if part not in PARTS:
            raise UserError(f"--parts={part}: give one or more of {', '.join(PARTS)}, or none")
    for flag, good in (
        ("model", config.autoencodes),
        ("algorithm", config.algorithm == "sideways"),
        ("update_every", config.episode == 1),
        ("precision", config.precision == "float32"),
    ):
        if not good:
            raise UserError(
                f"--{flag}={getattr(config, flag)}: only a stream of Sideways in float32, whose "
                "weights move at each step, comes apart here: give the flags of one, say "
                "--flagfile=configs/moving_shapes_autoencoder.cfg"
            )
    if make.source_target(config):
        raise UserError(f"--target={config.target}: of current frames alone; leave it out")


def train(config: Config, dataset: Any, model: SidewaysModel, learner: Learner) -> Table:
    """All epochs; a row for each that was tested."""
    per_epoch, rows = make.iterations_per_epoch(config, dataset), []
    total = config.epochs * per_epoch
    total = min(total, config.max_iterations) if config.max_iterations else total
    shown = progress.bar("clips", total, " batches")
    for epoch in range(-(-total // per_epoch)):
        batches = make.train_batches(config, dataset, epoch, depth=model.depth)
        for clips, _ in batches.take(total - epoch * per_epoch):
            learner.learn(tf.experimental.numpy.swapaxes(clips, 0, 1))
            shown.update()
        ends, every = (epoch + 1) * per_epoch >= total, config.evaluate_every
        if ends or every and (epoch + 1) % every == 0:
            rows.append([str(int(model.steps)), *words(test(config, dataset, model))])
    shown.close()
    return Table("", ["frames", "error", "against its source frame"], rows)


def test(config: Config, dataset: Any, model: SidewaysModel) -> Errors:
    """Of the test videos, shown by Sideways' rule."""
    network, videos = Network(model.run_frames, model.depth), dataset.test_videos
    found = measure_reconstruction(
        network, "sideways", videos(make.clip_of(config)), dataset.num_test
    )
    return found.mean("sideways")


def words(errors: Errors) -> list[str]:
    """Cells of a row."""
    return [f"{errors.error:.5f}", f"{errors.source_error:.5f}"]


# A module's output -> the gradient that comes down to it.
Above = Callable[[tf.Tensor], tf.Tensor]


class Learner:
    """Trains the modules of `model` on one clip after the other.

    Args:
      motion: see the head of this file.
    """

    def __init__(self, model: SidewaysModel, motion: bool):
        self.model, self.motion, self.depth = model, motion, model.depth
        self.layers = [module.layer for module in model.modules]
        self.step = tf.function(self._step, autograph=False)

    def learn(self, clip: tf.Tensor) -> None:
        """Every step of `clip`, [K, B, H, W, C], from an empty pipe."""
        raise NotImplementedError

    def _step(self, *given: Any) -> Any:
        raise NotImplementedError

    def due(self, losses: Sequence[int], frames: int) -> tf.Tensor:
        """bool [D]: which modules, from 1 on, the losses of these frames reach in the clip."""
        pairs = enumerate(losses, 1)
        steps = [tau - schedule.loss_frame(i, 0, self.depth) for i, tau in pairs]
        both = zip(losses, steps, strict=True)
        return tf.constant([tau >= 1 and step <= frames for tau, step in both])

    @property
    def numbers(self) -> range:
        """i, from 1 to D."""
        return range(1, self.depth + 1)

    def products(self, i: int, h: tf.Tensor, above: Above) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Of what comes from above with module i's Jacobians at `h`: for weights, for the input."""
        weights = self.layers[i - 1].trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*weights, h])
            out = self.layers[i - 1](h)
        *found, below = tape.gradient(out, [*weights, h], above(out))
        return found, below

    def passed(self, i: int, lanes: tf.Tensor) -> tf.Tensor:
        """[n, B, ...], what goes into module i -> what comes out."""
        out = self.layers[i - 1](tf.reshape(lanes, [-1, *lanes.shape[2:]]))
        return tf.reshape(out, [*lanes.shape[:2], *out.shape[1:]])

    def loss_gradient(self, target: tf.Tensor) -> Above:
        """Module D's `above`: of the mean squared difference from `target`."""
        return lambda out: 2 * (out - target) / tf.cast(tf.size(out), out.dtype)

    def update(self, due: tf.Tensor, found: Sequence[list[tf.Tensor]]) -> None:
        """Every module that is due, by its own optimizer; the step is counted."""
        for i, gradients in enumerate(found):

            def apply(i: int = i, gradients: list[tf.Tensor] = gradients) -> tf.Tensor:
                weights = self.layers[i].trainable_variables
                self.model.optimizers.apply(i, gradients, weights)
                return tf.constant(True)

            tf.cond(due[i], apply, lambda: tf.constant(False))
        self.model.steps.assign_add(1)


def constantly(gradient: tf.Tensor) -> Above:
    """One that has come down already."""
    return lambda out: gradient


class Moving(Learner):
    """Weights move while a loss goes down: Sideways, and with `motion` off at the right frames."""

    def learn(self, clip: tf.Tensor) -> None:
        specs = [module.facts.h_in for module in self.model.modules[1:]]
        shapes = [[clip.shape[1], *spec.shape[1:]] for spec in specs]
        # In module i lanes i to D: its own, and those of the modules above.
        lanes = [
            tf.zeros([self.depth - n, *shape], clip.dtype) for n, shape in enumerate(shapes, 1)
        ]
        above = [tf.zeros(shape, clip.dtype) for shape in shapes]
        for t in range(1, len(clip) + 1):
            losses = [schedule.loss_frame(i, t, self.depth) for i in self.numbers]
            # Lane i brings each frame so late that module i meets it together with its loss.
            late = [0 if self.motion else schedule.delay(i, self.depth) for i in self.numbers]
            # Before the first frame of a lane stands any: no module is due there.
            entering = tf.stack([clip[max(t - each, 1) - 1] for each in late])
            due = self.due(losses, len(clip))
            lanes, above = self.step(entering, lanes, above, clip[t - 1], due)

    def _step(
        self, entering: tf.Tensor, lanes: list, above: list, target: tf.Tensor, due: tf.Tensor
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        inputs = [entering, *lanes]
        sources = [*map(constantly, above), self.loss_gradient(target)]
        both = [self.products(i, inputs[i - 1][0], sources[i - 1]) for i in self.numbers]
        lanes = [self.passed(i, inputs[i - 1][1:]) for i in self.numbers[:-1]]
        self.update(due, [weights for weights, _ in both])
        return lanes, [below for _, below in both[1:]]


class Still(Learner):
    """Every loss goes all the way down before a weight moves."""

    def learn(self, clip: tf.Tensor) -> None:
        self.model.steps.assign_add(self.depth - 1)  # Module D has no frame yet.
        for tau in range(1, len(clip) - self.depth + 2):
            late = [schedule.delay(i, self.depth) if self.motion else 0 for i in self.numbers]
            # What lies beyond the clip's end is of modules that are not due.
            met = tf.stack([clip[min(tau + each, len(clip)) - 1] for each in late])
            self.step(met, clip[tau + self.depth - 2], self.due([tau] * self.depth, len(clip)))

    def _step(self, met: tf.Tensor, target: tf.Tensor, due: tf.Tensor) -> None:
        """`met`: [D, B, ...], the frame that each module meets."""
        inputs = [met]
        for i in self.numbers[:-1]:
            inputs.append(self.passed(i, inputs[-1][1:]))
        above, each = self.loss_gradient(target), []
        for i in reversed(self.numbers):
            weights, below = self.products(i, inputs[i - 1][0], above)
            each.append(weights)
            above = constantly(below)
        self.update(due, each[::-1])


LEARNERS = {True: Moving, False: Still}

if __name__ == "__main__":
    cli.run(main)
