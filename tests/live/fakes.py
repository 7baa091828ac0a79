"""Sources that fail as real ones do, and a small model, for the tests of streams."""

import threading

import numpy as np
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.errors import UserError
from sideways_tf.live.kept import Kept
from sideways_tf.live.run import Options, Run
from sideways_tf.live.sources import Source, of_one_size
from sideways_tf.live.tasks import Reconstruct
from sideways_tf.networks.autoencoder import pixel_error

SIDE = 8
L = tf.keras.layers


def frame(n, side=SIDE):
    """Frame n, from 1, says its number: a bright column at n, uint8 [side, side, 3]."""
    found = np.full([side, side, 3], 40, np.uint8)
    found[:, n % side] = 200
    return found


class FakeSource(Source):
    """`count` frames; at each of `events`, by its number, a function is called first."""

    def __init__(self, count=20, has_clock=False, rate=100.0, **events):
        self.name, self.count, self.has_clock, self.rate = "fake", count, has_clock, rate
        self.events = {int(name[1:]): event for name, event in events.items()}
        self.given, self.closed = 0, False

    def frames(self, skip=0):
        return of_one_size(self._all(0 if self.has_clock else skip), self.name)

    def _all(self, skip):
        for n in range(skip + 1, self.count + 1):
            found = self.events.get(n, lambda: None)()
            self.given = n
            yield frame(n) if found is None else found

    def close(self):
        self.closed = True


def stops():
    raise UserError("camera 0 stopped after 7 frames")


def hangs():
    """Never comes back, as a read of a dead camera."""
    threading.Event().wait(30)


def layers():
    """Three modules of convolutions, pixels in and out."""
    return [
        L.Conv2D(4, 3, padding="same", activation="relu"),
        L.Conv2D(4, 3, padding="same", activation="relu"),
        L.Conv2D(3, 3, padding="same"),
    ]


def made(network=None, *, algorithm="sideways", every=1, rate=1e-2, side=SIDE, **options):
    """The compiled and built model, always of the same weights."""
    tf.keras.utils.set_random_seed(0)
    options = {"placement": "one_per_module", "devices": "CPU:0", "seed": 0, **options}
    model = sw.SidewaysModel(
        network or layers(), algorithm=algorithm, update_every=every, **options
    )
    model.compile(tf.keras.optimizers.legacy.Adam(rate), pixel_error)
    model.build([1, 5 + every, side, side, 3])
    return model


def make_run(source, *, folder=None, task=None, model=None, algorithm="sideways", **options):
    """A run of the small model, restored from `folder` where it was saved before."""
    task = task or Reconstruct(2 if algorithm == "bp" and options.get("pace") == "fast" else 0)
    model = model or made(algorithm=algorithm)
    live = model.live(by_clock=options.get("pace", "real") != "fast")
    kept, saved = Kept(SIDE, 9), None
    if folder:
        saved = sw.SaveAndResume(folder, also={"live": live.place, "kept": kept.place})
        saved.set_model(model)
        saved.restore()
        kept.read(source.name)
    return Run(live, task, source, Options(size=SIDE, **options), kept, saved, say=lambda _: None)
