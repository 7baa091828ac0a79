"""What a preparation has made, and every file it has left out."""

from collections.abc import Iterator
from pathlib import Path

from sideways_tf.data.video_builder import VideoBuilder

SHOWN = 20


def left_out(builder: VideoBuilder) -> Iterator[tuple[str, str]]:
    """Every file that is not in the prepared data set, with the reason."""
    facts = builder.info.metadata
    yield from ((name, reason) for name, reason in facts["failures"])
    yield from ((name, "listed, but not there") for name in facts["missing"])
    yield from ((name, "in no list, or no video") for name in facts["unlisted"])
    yield from ((name, "listed more than once, taken once") for name in facts["repeated"])


def summarise(builder: VideoBuilder, seconds: float) -> str:
    """Figures of a prepared data set; writes the whole list of files left out beside it."""
    facts, splits = builder.info.metadata, builder.info.splits
    rows = [f"{name}: {reason}" for name, reason in left_out(builder)]
    lines = [
        f"{builder.name}/{builder.builder_config.name} in {builder.data_dir_root}",
        f"  videos   {sum(split.num_examples for split in splits.values())} "
        f"({splits['train'].num_examples} train, {splits['test'].num_examples} test)",
        f"  classes  {len(builder.info.features['label'].names)}",
        f"  frames   {facts['frames']}",
        f"  bytes    {sum(split.num_bytes for split in splits.values())}",
        f"  seconds  {seconds:.1f}",
        f"  unused   {facts['num_unused']} (listed as part of neither train nor test)",
        f"  left out {len(rows)}",
    ]
    lines += [f"    {row}" for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(f"    and {len(rows) - SHOWN} more, all in {_report_path(builder)}")
    _report_path(builder).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return "\n".join(lines)


def _report_path(builder: VideoBuilder) -> Path:
    name = f"{builder.name}-{builder.builder_config.name}-left-out.txt"
    return Path(builder.data_dir_root) / name
