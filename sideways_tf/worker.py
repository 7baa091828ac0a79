"""Lend this machine's devices to a training elsewhere.

    python -m sideways_tf.worker --workers=host1:2222,host2:2222 --index=0      on host1
    python -m sideways_tf.worker --workers=host1:2222,host2:2222 --index=1      on host2
    python -m sideways_tf.train --workers=host1:2222,host2:2222 --workdir=...   anywhere

Whoever reaches the port can run anything here: use it inside a network you trust. The folder of
the run must be shared by all machines, each saves its own modules.
"""

from __future__ import annotations

from absl import flags

from sideways_tf import cli
from sideways_tf.errors import UserError

WORKERS = flags.DEFINE_list("workers", [], "run: all workers host:port, the same list everywhere")
INDEX = flags.DEFINE_integer("index", 0, "run: which of them this one is, from 0", lower_bound=0)


def main() -> None:
    """Serve until stopped."""
    if INDEX.value >= len(WORKERS.value):
        raise UserError(
            f"--index={INDEX.value}: --workers names {len(WORKERS.value)}, counted from 0"
        )
    import tensorflow as tf

    try:
        server = tf.distribute.Server(
            tf.train.ClusterSpec({"worker": WORKERS.value}),
            job_name="worker",
            task_index=INDEX.value,
        )
    except tf.errors.OpError as error:
        raise UserError(
            f"cannot serve at {WORKERS.value[INDEX.value]} ({error.message}); take a free port"
        ) from None
    print(f"lending devices at {WORKERS.value[INDEX.value]}, until Ctrl-C", flush=True)
    server.join()


if __name__ == "__main__":
    cli.run(main)
