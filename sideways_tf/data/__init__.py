"""Videos on disk -> clips [B, K, H, W, 3] and labels [B]."""

from sideways_tf.data.clip import Clip
from sideways_tf.data.dataset import VideoDataset
from sideways_tf.data.prepare import DATASETS, open_dataset

__all__ = ["DATASETS", "Clip", "VideoDataset", "open_dataset"]
