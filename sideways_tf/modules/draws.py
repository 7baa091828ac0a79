"""Random numbers inside an engine: masks of dropout, noise, whatever a Keras layer draws.

Every random layer of Keras draws through one class, `RandomGenerator`. Within a `Step` its methods
draw without state, from (seed, module, order of the draws): the same in every engine, on every
device, in a pass that is computed again, and in a run that was stopped and continued. What is drawn
for an example holds for the whole episode, so that a frozen stream gives BP's gradients; with
`masks="step"` it is drawn anew for each frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.step import Step, current_step

RandomGenerator = type(tf.keras.layers.Dropout(0.5)._random_generator)

# (shape, key int32 [2]) -> numbers of that shape.
Sampler = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Methods = dict[str, Callable[..., tf.Tensor]]


def draw(step: Step, sampler: Sampler, shape: Any) -> tf.Tensor:
    """Numbers of `shape`; its first axis is that of the examples, or 1 where all share them.

    Args:
      shape: int32 [n]; [T * B, ...] where frames are folded.
    """
    assert step.rows is not None
    key, shape = step.next_key(), tf.convert_to_tensor(shape, tf.int32)
    if step.channels:
        sampler = _cut(sampler, *step.channels)
    if step.masks == "step" and step.count == 1:
        return sampler(shape, tf.random.experimental.stateless_fold_in(key, step.frames[0]))
    if step.count == 1 or shape.shape[0] == 0:
        return sampler(shape, key)
    by_example = tf.equal(shape[0], step.rows)
    one = tf.concat([[tf.where(by_example, shape[0] // step.count, shape[0])], shape[1:]], 0)
    if step.masks == "episode":
        copies = tf.where(by_example, step.count, 1)
        return tf.tile(sampler(one, key), tf.concat([[copies], tf.ones_like(shape[1:])], 0))

    def of_frame(frame: tf.Tensor) -> tf.Tensor:
        return sampler(one, tf.random.experimental.stateless_fold_in(key, frame))

    example = sampler(one, key)
    signature = tf.TensorSpec(example.shape, example.dtype)
    drawn = tf.map_fn(of_frame, step.frames, fn_output_signature=signature)
    every = tf.concat([[step.count, step.rows // step.count], shape[1:]], 0)
    return tf.reshape(tf.broadcast_to(drawn, every), tf.concat([[step.rows], shape[1:]], 0))


def _cut(sampler: Sampler, start: int, stop: int, channels: int) -> Sampler:
    """What a module that is shared out draws, of which a slice takes its channels."""

    def sample(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        drawn = sampler(tf.concat([shape[:-1], [channels]], 0), key)[..., start:stop]
        return tf.reshape(drawn, shape)

    return sample


def _normal(
    step: Step, shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, **_: Any
) -> tf.Tensor:
    dtype = dtype or tf.keras.backend.floatx()
    return draw(step, lambda s, key: tf.random.stateless_normal(s, key, mean, stddev, dtype), shape)


def _truncated(
    step: Step, shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, **_: Any
) -> tf.Tensor:
    dtype, stateless = dtype or tf.keras.backend.floatx(), tf.random.stateless_truncated_normal
    return draw(step, lambda s, key: stateless(s, key, mean, stddev, dtype), shape)


def _uniform(
    step: Step, shape: Any, minval: Any = 0.0, maxval: Any = None, dtype: Any = None, **_: Any
) -> tf.Tensor:
    dtype, stateless = dtype or tf.keras.backend.floatx(), tf.random.stateless_uniform
    high = 1 if maxval is None and tf.as_dtype(dtype).is_floating else maxval
    return draw(step, lambda s, key: stateless(s, key, minval, high, dtype), shape)


def _dropout(step: Step, inputs: tf.Tensor, rate: float, noise_shape: Any = None) -> tf.Tensor:
    def uniform(shape: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        # The masks of float32, also where half precision would round the rate.
        return _uniform(step, shape, dtype=dtype if dtype == tf.float64 else tf.float32)

    out = tf.nn.experimental.general_dropout(
        inputs, rate, noise_shape=noise_shape, uniform_sampler=uniform
    )
    return tf.ensure_shape(out, inputs.shape)


def _seed(step: Step) -> tf.Tensor:
    """For layers that seed stateless operations by themselves."""
    if step.folded:
        raise UserError(
            "a layer draws random numbers of its own by make_seed_for_stateless_op, which cannot "
            "be kept apart where many frames are computed at once: use engine=pipelined "
            "(bp: frame_by_frame)"
        )
    key = step.next_key()
    by_step = step.masks == "step"
    return tf.random.experimental.stateless_fold_in(key, step.frames[0]) if by_step else key


_METHODS: Methods = {
    "random_normal": _normal,
    "random_uniform": _uniform,
    "truncated_normal": _truncated,
    "dropout": _dropout,
    "make_seed_for_stateless_op": _seed,
}


def _method(name: str) -> Callable[..., tf.Tensor]:
    """What stands in for a method of `RandomGenerator`: that of the open step, if there is one."""
    keras = getattr(RandomGenerator, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> tf.Tensor:
        step = current_step()
        return _METHODS[name](step, *args, **kwargs) if step else keras(self, *args, **kwargs)

    return method


@contextlib.contextmanager
def stateless_draws() -> Iterator[None]:
    """Within: Keras layers draw by the open step."""
    methods: Any = {name: _method(name) for name in _METHODS}
    with mock.patch.multiple(RandomGenerator, **methods):
        yield
