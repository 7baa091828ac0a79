"""Accuracy over whole videos (section 4.3): mean of the per-frame class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from sideways_tf.modules import SidewaysBlock
from sideways_tf.report import progress

# Frames at once, to bound memory: a video may have thousands.
CHUNK = 256


@dataclass
class Accuracy:
    """Sums over test videos.

    Attributes:
      classes: for each label seen: [videos, right videos, frames, right frames].
    """

    classes: dict[int, list[int]] = field(default_factory=dict)
    loss_sum: float = 0.0

    def add(self, label: int, right: bool, frames: int, right_frames: int, loss: float) -> None:
        """Take one video; `loss` is its mean cross-entropy per frame, in nats."""
        row = self.classes.setdefault(label, [0, 0, 0, 0])
        for n, value in enumerate((1, int(right), frames, right_frames)):
            row[n] += value
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
        return "\n".join(lines)


def measure_accuracy(
    modules: Sequence[SidewaysBlock], videos: tf.data.Dataset, count: int
) -> Accuracy:
    """Run the network, moving statistics and no dropout, over whole videos.

    Args:
      videos: of (frames float32 [N, H, W, 3], label int32 [], name string []).
      count: how many videos there are, for the progress bar.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def logits(frames: tf.Tensor) -> tf.Tensor:
        for module in modules:
            frames = module(frames, training=False)
        return frames

    accuracy = Accuracy()
    shown = progress.bar("test", count, "video", keep=False)
    for frames, label, _ in videos:
        parts = [logits(frames[n : n + CHUNK]) for n in range(0, len(frames), CHUNK)]
        scores = tf.concat(parts, axis=0)
        chosen = tf.argmax(tf.reduce_mean(tf.nn.softmax(scores), axis=0))
        right = tf.math.count_nonzero(tf.argmax(scores, -1, tf.int32) == label)
        labels = tf.fill([len(frames)], label)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
        shown.update()
        accuracy.add(int(label), int(chosen) == int(label), len(frames), int(right), float(loss))
    shown.close()
    return accuracy
