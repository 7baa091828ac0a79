"""One loop on each machine, and queues between them, where modules lie on several workers.

One loop over all of them would keep its variables, activations and sums of gradients among them, on
the machine that started it: all of it would travel there and back at every step. So each machine
runs a loop of its own over its own modules, and knows of the others only what crosses the cut:

    machine 0  modules 1 - 3          out: h_3        in: pseudo-gradient of h_3
    machine 1  modules 4 - 6          in:  h_3        out: pseudo-gradient of h_3

A loop puts what it sends into a queue of its own machine. Beside the loops, as many transfers as
there are steps each wait for one element and put it into a queue of the machine that reads it.
Frames come so, too, one after the other from the machine that has the clip: module 1 begins with
the first and does not wait for the last.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.engines.network import Network, State

# Frames on their way at once: few, so that the first one has the link almost to itself.
FRAMES_AHEAD = 4


def machine_of(device: str) -> str:
    """'/job:worker/replica:0/task:1' of that worker's devices, "" of those of this machine."""
    spec = tf.DeviceSpec.from_string(device if device.startswith("/") else "")
    return f"/job:worker/replica:0/task:{spec.task}" if spec.job == "worker" else ""


def processor(machine: str) -> str:
    """Where queues of `machine` are."""
    return f"{machine or '/job:localhost/replica:0/task:0'}/device:CPU:0"


def machines_of(network: Network) -> list[str]:
    """Those the modules lie on, in the order of the modules.

    None where a module is shared out over several: its slices meet at every step.
    """
    own = [{machine_of(name) for name in module.devices} for module in network.modules]
    if any(len(each) > 1 for each in own):
        return []
    return list(dict.fromkeys(name for each in own for name in each))


class Elsewhere(NamedTuple):
    """Stands for a module of another machine; `device` is one of this machine."""

    device: str
    trainable_variables: tuple = ()

    def memory(self) -> list[tf.Tensor]:
        """Of what stays over there."""
        return []


class Sent(NamedTuple):
    """What module i = `module` gives to a machine: "emitted" or "below" (see `Carried`)."""

    kind: str
    module: int
    machine: str


class Queue:
    """A queue on the processor of `machine`, which keeps tensors like `spec`.

    It has two handles, since TensorFlow runs the ops of a graph that share one in their order: a
    transfer would else wait for the end of the loop that feeds it.
    """

    def __init__(self, name: str, machine: str, spec: tf.TensorSpec):
        self.machine, self.spec = machine, spec
        with tf.init_scope(), tf.device(processor(machine)):
            self.in_loop, self.beside = (
                tf.raw_ops.FIFOQueueV2(component_types=[spec.dtype], shared_name=name)
                for _ in range(2)
            )

    def put(self, value: tf.Tensor, handle: tf.Tensor) -> tf.Operation:
        """Append `value`."""
        with tf.device(processor(self.machine)):
            return tf.raw_ops.QueueEnqueueV2(handle=handle, components=[value])

    def take(self, handle: tf.Tensor) -> tf.Tensor:
        """Wait for the first element, and remove it."""
        with tf.device(processor(self.machine)):
            (value,) = tf.raw_ops.QueueDequeueV2(handle=handle, component_types=[self.spec.dtype])
            return tf.ensure_shape(value, self.spec.shape)

    def drained(self) -> tf.Operation:
        """Remove all elements."""

        def drop(n: tf.Tensor) -> tf.Tensor:
            with tf.control_dependencies([self.take(self.in_loop)]):
                return n - 1

        with tf.device(processor(self.machine)):
            size = tf.raw_ops.QueueSizeV2(handle=self.in_loop)
            return tf.while_loop(lambda n: n > 0, drop, [size], parallel_iterations=1)[0].op


class Post:
    """All that crosses between the machines of a network.

    Args:
      clip: [K, B, ...], as it comes in.

    Attributes:
      machines: of each module.
      frames: the queue of the frames of `clip`, on module 1's machine.
      ways: for each thing that is sent, the queue on its sender's machine and on its reader's.
    """

    def __init__(self, network: Network, clip: tf.Tensor):
        self.machines = [machine_of(module.device) for module in network.modules]
        self.ways: dict[Sent, tuple[Queue, Queue]] = {}
        self.ready: dict[str, list[tf.Operation]] = {}
        own, batch = uuid.uuid4().hex, clip.shape[1]
        frame = tf.TensorSpec(clip.shape[1:], clip.dtype)
        self.clip, self.frames = clip, Queue(f"{own}/frames", self.machines[0], frame)
        for edge in network.wiring.edges:
            source, target = (self.machines[i - 1] for i in (edge.source, edge.target))
            h_in, h_out = network.specs[edge.target - 1][0], network.specs[edge.source - 1][1]
            pairs = (
                (Sent("emitted", edge.source, target), source, h_out),
                (Sent("below", edge.target, source), target, h_in),
            )
            for sent, sender, spec in pairs if source != target else ():
                name = f"{own}/{sent.kind}_{sent.module}_to_{self.machines.index(sent.machine)}"
                full = tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype)
                out = Queue(f"{name}/out", sender, full)
                self.ways[sent] = out, Queue(f"{name}/in", sent.machine, full)

    def open(self, machine: str, state: State, reads_last_step: bool) -> None:
        """All queues of `machine` as they should be before its loop, which begins at `state`.

        What an earlier call, perhaps one that failed, has left is taken out. Where modules read
        what others have sent at the step before, that is there for the first step.
        """
        queues = [self.frames, *(queue for pair in self.ways.values() for queue in pair)]
        ready = [queue.drained() for queue in queues if queue.machine == machine]
        for sent, (_, into) in self.ways.items():
            if sent.machine == machine and reads_last_step:
                carried = state.carried[sent.module - 1]
                value = carried.emitted if sent.kind == "emitted" else carried.below[0]
                ready.append(into.put(value, into.in_loop))
        self.ready[machine] = ready

    def carry(self, times: int) -> None:
        """So many transfers of everything, in order, beside the loops."""
        for out, into in self.ways.values():
            for _ in range(times):
                with tf.control_dependencies(self.ready[out.machine]):
                    value = out.take(out.beside)
                with tf.control_dependencies(self.ready[into.machine]):
                    into.put(value, into.beside)

    def feed(self) -> None:
        """All frames, in order, beside the loops."""
        there: list[tf.Operation] = []
        for t in range(self.clip.shape[0]):
            with tf.control_dependencies(there[-FRAMES_AHEAD:][:1]), tf.device(processor("")):
                frame = self.clip[t]
            with tf.control_dependencies(self.ready[self.frames.machine]):
                there.append(self.frames.put(frame, self.frames.beside))


class Mail:
    """The post of one machine.

    Attributes:
      order: int32 [] for each way, and for the frames. Several steps of a loop are in flight, and a
        queue knows nothing of steps: what goes through it at step t waits for what went at t - 1.
    """

    def __init__(self, post: Post, machine: str):
        self.post, self.machine = post, machine
        with tf.device(processor(machine)):
            self.order: list[tf.Tensor] = [tf.constant(0) for _ in (*post.ways, "frames")]

    def send(self, kind: str, module: int, value: tf.Tensor) -> None:
        """To every machine that reads it, if any."""
        for number, (sent, (out, _)) in enumerate(self.post.ways.items()):
            if (sent.kind, sent.module, out.machine) == (kind, module, self.machine):
                with tf.control_dependencies([self.order[number]]):
                    self._done(number, out.put(value, out.in_loop))

    def comes(self, kind: str, module: int) -> bool:
        """Whether this machine reads it, and another one sends it."""
        return Sent(kind, module, self.machine) in self.post.ways

    def read(self, kind: str, module: int) -> tf.Tensor:
        """The next one."""
        sent = Sent(kind, module, self.machine)
        return self._take(list(self.post.ways).index(sent), self.post.ways[sent][1])

    def frame(self) -> tf.Tensor:
        """The next one of the clip, for the machine of module 1."""
        return self._take(-1, self.post.frames)

    def _take(self, number: int, queue: Queue) -> tf.Tensor:
        with tf.control_dependencies([self.order[number]]):
            value = queue.take(queue.in_loop)
        self._done(number, value)
        return value

    def _done(self, number: int, after: tf.Tensor | tf.Operation) -> None:
        with tf.device(processor(self.machine)), tf.control_dependencies([after]):
            self.order[number] = tf.identity(self.order[number])


def seen_from(network: Network, post: Post, machine: str) -> Network:
    """`network` as the loop of `machine` knows it: with its own modules alone, and its mail."""
    here = next(m.device for m in network.modules if machine_of(m.device) == machine)
    seen = copy.copy(network)
    modules: list[Any] = [
        module if name == machine else Elsewhere(here)
        for module, name in zip(network.modules, post.machines, strict=True)
    ]
    seen.modules = modules
    seen.mail = Mail(post, machine)
    return seen
