"""The workers of a run are asked, all the time, whether they are there.

TensorFlow itself waits for ever for one that is frozen, and names a dead one by number, if at all.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from sideways_tf.cli.command import USAGE_ERROR
from sideways_tf.errors import UserError
from sideways_tf.screen import SCREEN

# A worker is lost that leaves two questions in a row unanswered: 21 s at most, if all are asked at
# once. A busy one answers in milliseconds.
PERIOD_SECONDS = 3.0
ANSWER_SECONDS = 8.0
# What every TensorFlow server answers; neither question nor answer is looked into.
QUESTION = "/tensorflow.WorkerService/GetStatus"


def addresses(workers: str) -> list[str]:
    """host:port of each."""
    return [name.strip() for name in workers.split(",") if name.strip()]


def say(words: str) -> int:
    """`words` as an error on the screen; the exit status to end with."""
    print(file=sys.stderr)  # Below the progress bar.
    SCREEN.error(words)
    return USAGE_ERROR


class Watch(threading.Thread):
    """Ends the process when workers are lost, after `tell`, which is given one line that names them
    and returns the exit status.
    """

    def __init__(self, names: Sequence[str], remedy: str, tell: Callable[[str], int] = say):
        super().__init__(daemon=True)
        self.names, self.remedy, self.tell = list(names), remedy, tell
        self.ended = threading.Event()

    def run(self) -> None:
        """Until `ended`."""
        suspects: list[str] = []
        while not self.ended.wait(PERIOD_SECONDS):
            silent = unanswered(self.names)
            lost = [name for name in silent if name in suspects]
            if lost and not self.ended.is_set():
                status = self.tell(lost_words(lost, self.remedy))
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)  # The main thread waits for what will not come.
            suspects = silent


def unanswered(names: Sequence[str]) -> list[str]:
    """Those that do not answer now."""
    import grpc  # type: ignore[import-untyped]

    silent = []
    with contextlib.ExitStack() as stack:
        asked = []
        for name in names:
            channel = stack.enter_context(grpc.insecure_channel(name))
            asked.append(channel.unary_unary(QUESTION).future(b"", timeout=ANSWER_SECONDS))
        for name, answer in zip(names, asked, strict=True):
            if answer.exception() is not None:
                silent.append(name)
    return silent


def lost_words(names: Sequence[str], remedy: str) -> str:
    """One line."""
    return (
        f"the worker at {' and at '.join(names)} does not answer: it is dead, frozen, or cut off; "
        f"start all workers again and go on by {remedy}"
    )


@contextlib.contextmanager
def watched(workers: str, remedy: str, tell: Callable[[str], int] = say) -> Iterator[None]:
    """Within: a worker that is lost ends the process, or raises.

    Args:
      workers: --workers.
      remedy: the command that goes on.
      tell: see `Watch`.

    Raises:
      UserError: naming those that do not answer.
    """
    if not workers:
        yield
        return
    import tensorflow as tf

    watch = Watch(addresses(workers), remedy, tell)
    watch.start()
    try:
        yield
    except tf.errors.OpError as error:
        watch.ended.set()
        lost = unanswered(watch.names)
        if lost:
            raise UserError(lost_words(lost, remedy)) from None
        if isinstance(error, tf.errors.UnavailableError | tf.errors.AbortedError):
            raise UserError(
                f"workers={workers}: one was lost for a while ({error.message.splitlines()[0]}); "
                f"start all workers again and go on by {remedy}"
            ) from None
        raise
    finally:
        watch.ended.set()
