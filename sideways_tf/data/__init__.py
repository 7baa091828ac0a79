"""Videos on disk -> clips [K, B, H, W, 3] and labels [B]."""

from sideways_tf.data.dataset import VideoDataset
from sideways_tf.data.prepare import DATASETS, open_dataset

__all__ = ["DATASETS", "VideoDataset", "open_dataset"]
