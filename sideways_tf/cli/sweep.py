"""Train a grid of settings, choose the best by a rule that never sees the test videos, test it.

    sideways sweep --flagfile=configs/hmdb_vgg8.cfg --data_dir=DIR --output_dir=sweep \\
        --grid=learning_rate=1e-4,1e-5 --grid=weight_decay=0,1e-4,1e-3,1e-2 \\
        --grid=algorithm=bp,sideways --seeds=3

Every flag of sideways_tf.train may be given; it holds for all runs. Started again with the same
flags, the sweep goes on: finished runs are not repeated, half-finished ones continue, failed ones
are tried again.

An auto-encoder is chosen, and tested, by its error in the place of the accuracy.

The flags in --compare (algorithm) are compared, so each of their values gets a best setting of its
own; the other axes are chosen, by --rule:

holdout     Each setting is trained on a part of the training videos (one seed, --search_seeds) and
            tested on the rest, --holdout of them (default 0.2). The setting with the highest
            accuracy there is trained anew on all training videos, with --seeds seeds, and tested
            once, at the end. The grid above: 2 x 8 runs on 80 % of the videos, then 2 x 3 on all.
train_loss  Each setting is trained on all training videos with --seeds seeds; the lowest training
            loss is the best. The grid above: 2 x 8 x 3 runs. Blind to overfitting.

Where every axis is compared nothing is chosen: all settings are trained on all training videos,
with all seeds. Writes sweep.json and sweep.md; the runs are in search/ and final/ beside them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from sideways_tf import cli, progress
from sideways_tf.errors import UserError
from sideways_tf.report.paired import NAME, difference
from sideways_tf.report.table import Table, spread
from sideways_tf.runs import options
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import define_flags, from_flags
from sideways_tf.runs.sweep import choice
from sideways_tf.runs.sweep.choice import Candidate
from sideways_tf.runs.sweep.grid import Setting, combinations, configure, parse_axes, words
from sideways_tf.runs.sweep.job import Job
from sideways_tf.runs.sweep.runner import Outcome, run
from sideways_tf.screen import SCREEN
from sideways_tf.whole_file import write_whole

FLAGS, define = options.new_flags()
flags.DEFINE_multi_string(
    "grid", [], "sweep: FLAG=VALUE,VALUE: an axis; give one or more", flag_values=FLAGS
)
define("compare", ["algorithm"], "sweep: axes to compare, not to choose from")
define("rule", "holdout", "sweep: how to choose", choices=["holdout", "train_loss"])
define("seeds", 3, "sweep: runs of the best setting", low=1)
define("search_seeds", 1, "sweep: runs of a setting to choose by", low=1)
define("parallel", 1, "sweep: processes at once", low=1)
define("gpus", [], "sweep: CUDA numbers, dealt to the processes in turn; empty: all")
define("output_dir", "", "sweep: folder of the runs and tables")
define_flags(FLAGS)
options.define_screen(FLAGS)

DEFAULT_SHARE = 0.2
# Heading -> number of results.json; of auto-encoders the second of both.
VALIDATION = (
    {
        "validation accuracy %": "test_video_accuracy",
        "validation loss": "test_loss",
        "training loss": "train_loss",
    },
    {
        "validation error": "test_error",
        "against its source frame": "test_source_error",
        "training loss": "train_loss",
    },
)
TEST = (
    {"test accuracy %": "test_video_accuracy", "training loss": "train_loss"},
    {"test error": "test_error", "against its source frame": "test_source_error"},
)
# Number of results.json -> digits behind the point, and what it is multiplied by.
SHOWN = {
    "test_video_accuracy": (1, 100), "test_loss": (3, 1), "train_loss": (3, 1),
    "test_error": (5, 1), "test_source_error": (5, 1),
}  # fmt: skip


def main() -> int:
    """Search, choose, train the best; write the tables. Returns 1 if any run failed."""
    # Not checked: the grid may change what contradicts itself here, and each run checks its own.
    axes, base = parse_axes(FLAGS.grid), from_flags(FLAGS, checked=False)
    for name in FLAGS.compare:
        if name not in axes and not FLAGS["compare"].using_default_value:
            raise UserError(f"--compare={name}: no --grid={name}=... has it; name an axis")
    if base.workdir or not FLAGS.output_dir:
        raise UserError("give --output_dir, a folder for all runs, and no --workdir")
    if "model" in axes:
        raise UserError("--grid=model=...: accuracies and errors do not compare; sweep one model")
    settings = combinations(axes)
    for setting in settings:
        configure(base, setting)  # A wrong value shows before anything runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sweep = Sweep(base, [name for name in axes if name in FLAGS.compare])
    sweep.run(settings, chooses=len(sweep.compared) < len(axes))
    SCREEN.say("result", sweep.page(), **sweep.as_dict())
    return 1 if any(outcome.error for outcome in sweep.outcomes) else 0


class Sweep:
    """The phases of a sweep around `base`, and what came of them."""

    def __init__(self, base: Config, compared: list[str]):
        self.base = dataclasses.replace(base, holdout=0.0)
        self.compared, self.share = compared, base.holdout or DEFAULT_SHARE
        self.folder = Path(FLAGS.output_dir).expanduser()
        self.searched: list[Outcome] = []
        self.final: list[Outcome] = []
        self.chosen: dict[str, Candidate] = {}

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all runs."""
        return [*self.searched, *self.final]

    def run(self, settings: Sequence[Setting], chooses: bool) -> None:
        """Train all settings and choose among them, where there is anything to choose.

        By the rule `holdout`: all on a part of the training videos, then the best on all of them.
        """
        if not chooses or FLAGS.rule != "holdout":
            self.final = self._train("final", settings, FLAGS.seeds)
            self._choose(self.final if chooses else [])
            return
        self.searched = self._train("search", settings, FLAGS.search_seeds, holdout=self.share)
        self._choose(self.searched)
        # The best is tested at its end alone: no curve of test accuracies to choose from.
        best = [candidate.setting for candidate in self.chosen.values()]
        self.final = self._train("final", best, FLAGS.seeds, evaluate_every=0)
        self._write()

    def _choose(self, outcomes: Sequence[Outcome]) -> None:
        self.chosen = choice.choose(choice.candidates(outcomes), self.compared, FLAGS.rule)
        self._write()

    def _train(
        self, phase: str, settings: Sequence[Setting], seeds: int, **changes: Any
    ) -> list[Outcome]:
        jobs = []
        for setting, seed in itertools.product(settings, range(seeds)):
            seed += self.base.seed
            config = configure(self.base, setting, seed=seed, **changes)
            jobs.append(Job(setting, config, self.folder / phase / f"{words(setting)},seed={seed}"))
        bar = progress.bar(phase, len(jobs), " runs", keep=True)
        return run(jobs, bar, FLAGS.parallel, FLAGS.gpus)

    def page(self) -> str:
        """Everything in Markdown."""
        parts = ["# Sweep", f"`{cli.typed()}`"]
        if self.chosen:
            parts.append(f"The best has {choice.RULES[FLAGS.rule].format(share=self.share)}")
        if self.searched:
            parts += ["## Search", table(self.searched, VALIDATION[self.base.autoencodes])]
        for group, best in self.chosen.items():
            parts.append(f"Best{f' of {group}' if group else ''}: {words(best.setting)}")
        if self.final:
            figures = TEST[self.base.autoencodes]
            parts += ["## All training videos", table(self.final, figures)]
            chosen = [candidate.setting for candidate in self.chosen.values()]
            alone = [o for o in self.final if not chosen or o.job.setting in chosen]
            parts += differences(alone, self.compared, figures)
        failed = [f"- {o.job.workdir.name}: {o.error}" for o in self.outcomes if o.error]
        return "\n\n".join([*parts, *(["## Failed", "\n".join(failed)] if failed else [])])

    def as_dict(self) -> dict[str, Any]:
        """Everything for sweep.json: settings, folders, results; or what went wrong."""

        def plain(o: Outcome) -> dict[str, Any]:
            job = {"setting": o.job.setting, "seed": o.job.config.seed}
            workdir = str(o.job.workdir.relative_to(self.folder))
            return {**job, "workdir": workdir, "error": o.error, "results": o.results}

        return {
            "command": cli.typed(),
            "rule": FLAGS.rule,
            "holdout": self.share,
            "search": [plain(outcome) for outcome in self.searched],
            "chosen": {group: best.setting for group, best in self.chosen.items()},
            "final": [plain(outcome) for outcome in self.final],
        }

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "sweep.json", json.dumps(self.as_dict(), indent=2) + "\n")
        write_whole(self.folder / "sweep.md", self.page() + "\n")


def table(outcomes: Sequence[Outcome], figures: Mapping[str, str]) -> str:
    """A Markdown row for each setting: the runs that finished, mean ± deviation of figures.

    Args:
      figures: heading -> number of results.json; accuracies in %.
    """
    rows = []
    for setting, runs in choice.candidates(outcomes):
        row = [*setting.values(), str(len(runs))]
        for key in figures.values():
            row.append(spread([run[key] for run in runs], *SHOWN[key]))
        rows.append(row)
    return Table("", [*outcomes[0].job.setting, "runs", *figures], rows).markdown()


def differences(
    outcomes: Sequence[Outcome], compared: Sequence[str], figures: Mapping[str, str]
) -> list[str]:
    """Sideways - BP by equal seeds, a line for each combination of what else is compared.

    Args:
      outcomes: of one setting for each combination.
      figures: as of `table`; the first is taken.
    """
    if "algorithm" not in compared:
        return []
    heading, key = next(iter(figures.items()))
    groups: dict[str, dict[str, dict[int, float]]] = {}
    for job, results, _ in outcomes:
        if results:
            group = words({n: job.setting[n] for n in compared if n != "algorithm"})
            both = groups.setdefault(group, {"bp": {}, "sideways": {}})
            both[job.setting["algorithm"]][job.config.seed] = results[key]
    found = {group: difference(both["bp"], both["sideways"]) for group, both in groups.items()}
    return [
        f"{NAME}, {heading}{f', {group}' if group else ''}: {apart.words(*SHOWN[key])}"
        for group, apart in found.items()
        if apart
    ]
