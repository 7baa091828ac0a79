"""Lend this machine's devices to a training elsewhere.

    python -m sideways_tf.worker --workers=host1:2222,host2:2222 --index=0      on host1
    python -m sideways_tf.worker --workers=host1:2222,host2:2222 --index=1      on host2
    python -m sideways_tf.train --workers=host1:2222,host2:2222 --workdir=...   anywhere

Whoever reaches the port can run anything here: use it inside a network you trust. The folder of
the run must be shared by all machines, each saves its own modules.
"""

from __future__ import annotations

from sideways_tf import cli
from sideways_tf.errors import UserError
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("workers", [], "run: all workers host:port, the same list everywhere")
define("threads", 0, "run: threads of a kernel and of the devices; 0: all cores", low=0)
define("index", 0, "run: which of them this one is, from 0", low=0)


def main() -> None:
    """Serve until stopped."""
    if FLAGS.index >= len(FLAGS.workers):
        raise UserError(
            f"--index={FLAGS.index}: --workers names {len(FLAGS.workers)}, counted from 0"
        )
    import tensorflow as tf

    threads = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=FLAGS.threads, inter_op_parallelism_threads=FLAGS.threads
    )
    try:
        server = tf.distribute.Server(
            tf.train.ClusterSpec({"worker": FLAGS.workers}),
            job_name="worker",
            task_index=FLAGS.index,
            config=threads,
        )
    except tf.errors.OpError as error:
        raise UserError(
            f"cannot serve at {FLAGS.workers[FLAGS.index]} ({error.message}); take a free port"
        ) from None
    print(f"lending devices at {FLAGS.workers[FLAGS.index]}, until Ctrl-C", flush=True)
    server.join()


if __name__ == "__main__":
    cli.run(main)
