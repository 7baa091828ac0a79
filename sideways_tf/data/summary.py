"""What a preparation has made, every file it has left out, and what is odd about the rest."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sideways_tf.data.checks import shown
from sideways_tf.data.listing import VIDEO_SUFFIXES
from sideways_tf.data.video_builder import VideoBuilder

# Frames are counted, not timed: beyond this the same motion takes another number of frames.
MIXED_RATES = 1.5


def left_out(builder: VideoBuilder) -> Iterator[tuple[str, str]]:
    """Every file that is not in the prepared data set, with the reason."""
    facts = builder.info.metadata
    yield from ((name, reason) for name, reason in facts["failures"])
    yield from ((name, "listed, but not there") for name in facts["missing"])
    yield from ((name, "in no list, or no video") for name in facts["unlisted"])
    yield from ((name, "listed more than once, taken once") for name in facts["repeated"])


def notes(builder: VideoBuilder) -> Iterator[str]:
    """What a user may not expect of the videos that were taken, a line each."""
    facts = builder.info.metadata
    for part, other in (("train", "test"), ("test", "train")):
        if names := facts[f"only_{part}"]:
            yield f"classes in {part}, not in {other}: {_some(names)}"
    if names := [f"{name} ({why})" for name, why in facts["cut_short"]]:
        yield f"taken all the same: {_some(names)}"
    if outside := [name for name in facts["unlisted"] if name.lower().endswith(VIDEO_SUFFIXES)]:
        yield f"left out, for they are in no class folder or no list: {_some(outside)}"
    if names := facts["not_square"]:
        yield f"pixels are not square, frames are stored as they are: {_some(names)}"
    low, high = facts["rates"] or (1, 1)
    if high > MIXED_RATES * low and builder.builder_config.fps is None:
        yield (
            f"frame rates from {low:g} to {high:g} a second are mixed, and a clip counts frames: "
            "fps=N resamples"
        )


def tell(builder: VideoBuilder) -> Iterator[str]:
    """Lines on unreadable videos and `notes`, for whoever did not ask for a whole report."""
    failures = [f"left out {name}: {reason}" for name, reason in builder.info.metadata["failures"]]
    lines = shown(failures, report_path(builder)).splitlines()
    yield from (f"{builder.name}: {line.strip()}" for line in [*lines, *notes(builder)])


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
        *(f"  note     {note}" for note in notes(builder)),
        f"  left out {len(rows)}",
        *(f"  {line}" for line in shown(rows, report_path(builder)).splitlines()),
    ]
    report_path(builder).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return "\n".join(lines)


def report_path(builder: VideoBuilder) -> Path:
    """Where every file that was left out is listed."""
    name = f"{builder.name}-{builder.builder_config.name}-left-out.txt"
    return Path(builder.data_dir_root) / name


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + rest
