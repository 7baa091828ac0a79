"""Accuracy over whole videos (section 4.3): mean of the per-frame class probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from sideways_tf import progress

TOP = 5


@dataclass
class Accuracy:
    """Sums over test videos.

    Attributes:
      classes: for each label seen: [videos, right videos, frames, right frames].
      choices: how many videos of a label were taken for which class: (label, class) -> videos.
      in_top: videos whose label is among the five most probable classes; None where there are no
        more than five.
    """

    classes: dict[int, list[int]] = field(default_factory=dict)
    choices: Counter[tuple[int, int]] = field(default_factory=Counter)
    in_top: int | None = None
    loss_sum: float = 0.0

    def add(
        self,
        label: int,
        choice: int,
        frames: int,
        right_frames: int,
        loss: float,
        in_top: bool | None = None,
    ) -> None:
        """Take one video; `loss` is its mean cross-entropy per frame, in nats."""
        row = self.classes.setdefault(label, [0, 0, 0, 0])
        for n, value in enumerate((1, int(choice == label), frames, right_frames)):
            row[n] += value
        self.choices[label, choice] += 1
        if in_top is not None:
            self.in_top = (self.in_top or 0) + in_top
        self.loss_sum += loss

    def _total(self, column: int) -> int:
        return sum(row[column] for row in self.classes.values())

    @property
    def videos(self) -> int:
        return self._total(0)

    @property
    def video(self) -> float:
        """Share of videos whose largest mean probability is the label, in [0, 1]."""
        return self._total(1) / self._total(0)

    @property
    def top(self) -> float | None:
        """Share of videos whose label is among the five most probable; None: of five or less."""
        return None if self.in_top is None else self.in_top / self.videos

    @property
    def frame(self) -> float:
        """Share of frames, over all videos, whose largest probability is the label, in [0, 1]."""
        return self._total(3) / self._total(2)

    @property
    def loss(self) -> float:
        """Mean over videos of their mean cross-entropy per frame, in nats."""
        return self.loss_sum / self.videos

    def as_dict(self, class_names: Sequence[str]) -> dict:
        """Everything, for JSON: accuracies in [0, 1], the loss in nats."""
        names = ("videos", "right_videos", "frames", "right_frames")
        return {
            "video_accuracy": self.video,
            **({} if self.top is None else {f"video_top{TOP}_accuracy": self.top}),
            "frame_accuracy": self.frame,
            "loss": self.loss,
            "classes": {
                class_names[label]: dict(zip(names, row, strict=True))
                for label, row in sorted(self.classes.items())
            },
        }

    def table(self, class_names: Sequence[str]) -> str:
        """One line a class that has test videos, then the whole."""
        width = max(len("all"), *(len(class_names[label]) for label in self.classes))
        lines = [f"{'class':<{width}}  videos  video accuracy  frame accuracy"]
        for label, (videos, right, frames, right_frames) in sorted(self.classes.items()):
            lines.append(
                f"{class_names[label]:<{width}}  {videos:6d}  {right / videos:14.1%}  "
                f"{right_frames / frames:14.1%}"
            )
        lines.append(f"{'all':<{width}}  {self.videos:6d}  {self.video:14.1%}  {self.frame:14.1%}")
        if self.top is not None:
            lines.append(f"{self.top:.1%} of videos have their class among the first {TOP}")
        return "\n".join(lines)


def measure_accuracy(
    network: Callable[[tf.Tensor], tf.Tensor], pieces: tf.data.Dataset, count: int
) -> Accuracy:
    """Run the network, as it is tested, over whole videos, piece by piece: memory stays flat.

    Args:
      network: frames float32 [n, H, W, 3] -> logits [n, classes].
      pieces: of (frames, label int32 [], name string [], whether it is the video's last, bool []).
      count: how many videos there are, for the progress bar.
    """
    accuracy = Accuracy()
    shown = progress.bar("test", count, " videos")
    video = _Video()
    for frames, label, _, last in pieces:
        video.take(network(frames), label)
        if last:
            accuracy.add(int(label), video.choice(), *video.figures(), video.in_top(label))
            shown.update()
            video = _Video()
    shown.close()
    return accuracy


class _Video:
    """Sums over the frames of one video."""

    def __init__(self) -> None:
        self.frames = self.right = 0
        self.loss = 0.0
        self.probabilities: list[tf.Tensor] = []

    def take(self, scores: tf.Tensor, label: tf.Tensor) -> None:
        """Take the logits [n, classes] of some frames."""
        labels = tf.fill([len(scores)], label)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
        self.frames += len(scores)
        self.right += int(tf.math.count_nonzero(tf.argmax(scores, -1, tf.int32) == label))
        self.loss += float(tf.reduce_sum(losses))
        self.probabilities.append(tf.reduce_sum(tf.nn.softmax(scores), axis=0))

    def choice(self) -> int:
        """The class with the largest mean probability."""
        return int(tf.argmax(tf.add_n(self.probabilities)))

    def in_top(self, label: tf.Tensor) -> bool | None:
        """Whether the label is among the five most probable; None of five classes or less."""
        scores = tf.add_n(self.probabilities)
        if len(scores) <= TOP:
            return None
        return bool(tf.math.in_top_k([label], scores[tf.newaxis], TOP)[0])

    def figures(self) -> tuple[int, int, float]:
        """Frames, right ones, mean cross-entropy."""
        return self.frames, self.right, self.loss / self.frames
