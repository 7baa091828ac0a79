"""A prepared data set, as the training and the evaluation see it."""

import copy

import numpy as np
import tensorflow as tf

from sideways_tf.data import pipeline
from sideways_tf.data.clip import Clip, check_positive
from sideways_tf.data.holdout import held_out
from sideways_tf.data.records import RecordIndex, index_records
from sideways_tf.data.video_builder import VideoBuilder
from sideways_tf.errors import UserError


class VideoDataset:
    """Videos with labels, split into train and test.

    Attributes:
        name: `ucf101`, ...
        class_names: in the official order; a label is an index into it.
        num_train, num_test: videos of each split.
        frames: of all videos together, as they are stored.
        records: where the stored examples of `train` and `test` lie.
        failures: (video, reason) of those left out because they cannot be decoded.
    """

    def __init__(self, builder: VideoBuilder, shorter_side: int | None = None):
        """Opens what `builder` has prepared.

        Args:
            builder: of a data set that is prepared.
            shorter_side: pixels that larger frames are resized to when they are read; None takes
                them as they are stored.
        """
        self.name: str = builder.name
        self._flips = builder.FLIPS
        self.class_names: list[str] = list(builder.info.features["label"].names)
        facts = builder.info.metadata
        self.failures: list[tuple[str, str]] = [(name, why) for name, why in facts["failures"]]
        self.frames: int = facts["frames"]
        self._smallest: tuple[int, int] = (facts["min_width"], facts["min_height"])
        same = shorter_side == builder.builder_config.shorter_side
        self._shorter_side = None if same else shorter_side
        self.records: dict[str, RecordIndex] = {
            split: index_records([str(path) for path in builder.info.splits[split].filepaths])
            for split in ("train", "test")
        }
        self.num_train = len(self.records["train"])
        self.num_test = len(self.records["test"])

    def hold_out(self, holdout: float) -> "VideoDataset":
        """This data set with a share of its training videos in the place of the test videos.

        Always the same videos, whole recordings; see `holdout.py`. Reads every training record
        once, for its name.

        Raises:
            UserError: nothing would be held out.
        """
        records = self.records["train"]
        names = [name.numpy().decode() for name in pipeline.names(records)]
        chosen = held_out(names, holdout)
        if not chosen.any():
            raise UserError(
                f"holdout={holdout}: {self.name} has too few training recordings to hold any out; "
                "give a larger share"
            )
        part = copy.copy(self)
        part.records = {
            "train": records.take(np.flatnonzero(~chosen)),
            "test": records.take(np.flatnonzero(chosen)),
        }
        part.num_train, part.num_test = (len(part.records[split]) for split in ("train", "test"))
        return part

    def trained_on(self) -> "VideoDataset":
        """This data set with its training videos in the place of the test videos."""
        part = copy.copy(self)
        part.records = {**self.records, "test": self.records["train"]}
        part.num_test = self.num_train
        return part

    def train_batches(
        self, clip: Clip, *, seed: int, epoch: int, skip: int = 0, batch_size: int
    ) -> tf.data.Dataset:
        """One epoch of training clips; a last batch that is not full is dropped.

        Args:
            clip: K, the size of the random crop, stride and padding.
            seed: of the run.
            epoch: from 0; another order and other draws in each.
            skip: batches left out at the epoch's start, exactly, without reading them.
            batch_size: clips in a batch, B.

        Returns:
            Clips float32 [B, K, size, size, 3] in [0, 1] and labels int32 [B].

        Raises:
            UserError: the crop does not fit, or the data set holds less than a batch.
        """
        self._check_size(clip)
        check_positive(batch_size=batch_size)
        if batch_size > self.num_train:
            raise UserError(
                f"batch_size={batch_size}: {self.name} has {self.num_train} training videos; "
                "give a smaller batch"
            )
        return pipeline.train_batches(
            self.records["train"], clip, seed=seed, epoch=epoch, skip=skip, batch_size=batch_size,
            shorter_side=self._shorter_side, flips=self._flips,
        )  # fmt: skip

    def test_videos(self, clip: Clip) -> tf.data.Dataset:
        """The test videos, whole, in a fixed order; of `clip`, size and stride count.

        Returns:
            Frames float32 [N, size, size, 3] in [0, 1], the centre crop; label int32 []; name
            string []. N differs from video to video.
        """
        return self._whole("test", clip)

    def train_videos(self, clip: Clip) -> tf.data.Dataset:
        """The training videos in the form of `test_videos`, without any augmentation."""
        return self._whole("train", clip)

    def test_pieces(self, clip: Clip, *, length: int) -> tf.data.Dataset:
        """The test videos in pieces of `length` frames or less, at memory that they do not raise.

        Returns:
            Frames float32 [n, size, size, 3] in [0, 1], the centre crop, n at most `length`; label
            int32 []; name string []; bool [], whether it is the last piece of its video.
        """
        check_positive(length=length)
        return self._pieces("test", clip, length)

    def _whole(self, part: str, clip: Clip) -> tf.data.Dataset:
        return self._pieces(part, clip, None).map(lambda *piece: piece[:3])

    def _pieces(self, part: str, clip: Clip, length: int | None) -> tf.data.Dataset:
        self._check_size(clip)
        return pipeline.pieces(self.records[part], clip, length, self._shorter_side)

    def _check_size(self, clip: Clip) -> None:
        width, height = self._smallest
        if clip.size > (self._shorter_side or min(width, height)):
            raise UserError(
                f"size={clip.size}: the smallest frames of {self.name} are {width}x{height} "
                "pixels; give a smaller crop or a larger resize"
            )
