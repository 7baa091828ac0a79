"""Who works on which frame at which computation step. Plain Python, no tensors.

Letters, everywhere in this package (all of them count from 1):

    D      modules                       i = 1..D, module 1 takes the frame, module D gives the loss
    K      frames in a clip
    L      computation steps in an episode; in classification L = K
    t      computation step              t = 1..L
    tau    frame                         tau = 1..K

At step t module i holds frame tau = t - i + 1. It meets there the pseudo-gradient that module
i + 1 emitted at step t - 1, which stems from the loss of frame t - 2D + i + 1. D = 3, L = 7;
"5/1" is frame 5 met by the pseudo-gradient of the loss of frame 1, "." is nothing yet:

    step        1    2    3    4    5    6    7        gamma_i
    module 3    .    .   1/1  2/2  3/3  4/4  5/5          5
    module 2    .   1/.  2/.  3/1  4/2  5/3  6/4          4
    module 1   1/.  2/.  3/.  4/.  5/1  6/2  7/3          3

The gradients of a frame reach module 1 after 2D - 1 steps: the update cycle.

A skip takes one step, too, where the row of modules takes several: what it brings is newer. D = 4,
module 4 also reads module 2 (delay 1), L = 8. "2+3/5": what the module reads stems from frames 2
and 3, and is met by the pseudo-gradient of the loss of step 5:

    step        1    2    3    4      5      6      7      8        gamma_i
    module 4    .    .    .  1+2/4  2+3/5  3+4/6  4+5/7  5+6/8         5
    module 3    .    .   1/.  2/.    3/4    4/5    5/6    6/7          4
    module 2    .   1/.  2/.  3/.    4/.   5/4+5  6/5+6  7/6+7         3
    module 1   1/.  2/.  3/.  4/.    5/.    6/.   7/4+5  8/5+6         2

At step 5 module 2 has heard of module 4 alone, from step 6 on of both its readers: then it learns.
"""

from sideways_tf.limits import check_episode as check_episode
from sideways_tf.limits import cycle_length as cycle_length
from sideways_tf.modules.wiring import Wiring


def frame_held(module: int, step: int) -> int:
    """The frame tau whose activation module `module` consumes at `step`; below 1: none yet."""
    return step - module + 1


def loss_frame(module: int, step: int, depth: int) -> int:
    """The frame whose loss the pseudo-gradient met at `step` stems from; below 1: none yet."""
    return step - 2 * depth + module + 1


def delay(module: int, depth: int) -> int:
    """Steps from a frame's pass through `module` to the one that meets its loss: 2(D - i).

    With L = 1 the module's weights have moved so often in between.
    """
    return 2 * (depth - module)


def first_forward_step(module: int) -> int:
    """The first step at which `module` holds a real frame."""
    return module


def first_backward_step(module: int, depth: int) -> int:
    """The first step at which gamma_i^t = 1[t >= 2D - i] (section 3.4)."""
    return 2 * depth - module


def frames_read(wiring: Wiring, module: int, step: int) -> list[int]:
    """The frames from which all that `module` reads at `step` stems; []: not all is there yet."""
    if module == 1:
        return [step] if step >= 1 else []
    parts = [frames_read(wiring, e.source, step - e.delay) for e in wiring.into(module)]
    return sorted({frame for part in parts for frame in part}) if all(parts) else []


def losses_met(wiring: Wiring, module: int, step: int) -> list[int]:
    """The steps from whose losses stems what `module` takes from all its readers at `step`."""
    if not frames_read(wiring, module, step):
        return []
    if module == wiring.depth:
        return [step]
    parts = [losses_met(wiring, e.target, step - 1) for e in wiring.out_of(module)]
    return sorted({loss for part in parts for loss in part}) if all(parts) else []


def gamma(module: int, depth: int, steps: int) -> int:
    """gamma_i: at how many of `steps` computation steps `module` has a pseudo-gradient."""
    return max(0, steps - first_backward_step(module, depth) + 1)


def frames_seen(module: int, frames: int) -> int:
    """How many of a clip's frames reach `module` before the episode of K steps ends."""
    return max(0, frames - module + 1)


def frame_taken(step: int, depth: int) -> int:
    """The newest frame that blocked BP has taken in by `step`: 1, 2D, 4D - 1 ... (section 4.1).

    It is blocked for 2(D - 1) steps after each frame it takes; the frames between are dropped.
    """
    return step - (step - 1) % cycle_length(depth)


def blocked_forward(module: int, step: int, depth: int) -> bool:
    """Whether `module` of blocked BP runs its forward pass at `step`, once in an update cycle."""
    return (step - first_forward_step(module)) % cycle_length(depth) == 0


def blocked_backward(module: int, step: int, depth: int) -> bool:
    """Whether `module` of blocked BP runs its backward pass at `step`, once in an update cycle."""
    return (step - first_backward_step(module, depth)) % cycle_length(depth) == 0


def source_frame(algorithm: str, step: int, depth: int) -> int:
    """The frame that the output shown at `step` stems from; below 1: none is shown yet.

    The output appears D - 1 steps after its frame entered; BP repeats it until the next appears.
    D = 3:

        step        1    2    3    4    5    6    7    8    9
        sideways    .    .    1    2    3    4    5    6    7
        bp          .    .    1    1    1    1    1    6    6
    """
    entered = step - depth + 1
    return frame_taken(entered, depth) if algorithm == "bp" else entered
