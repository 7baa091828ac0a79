"""Break the code one line at a time, and list what no test notices.

    python tests/mutate.py [WORD ...]     only the mutations whose file or text has one of the words

Each mutation is made in a copy of the repository, so that the checkout stays as it is. Tests run
with -x: a mutation that is caught costs the time of its first failure.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINES, STREAM = "tests/engines/test_engines.py", "tests/engines/test_stream.py"
WINDOWS, ANY = "tests/engines/test_windows.py", "tests/engines/test_any_layer.py"
LATE, SKIPS = "tests/engines/test_lateness.py", "tests/engines/test_skips.py"
UPDATES, NORMS = "tests/engines/test_updates.py", "tests/modules/test_draws_and_norms.py"
SCHEDULE, DIAGNOSIS = "tests/engines/test_schedule.py", "tests/test_diagnosis.py"
SAMPLING, CLIPS = "tests/data/test_sampling.py", "tests/data/test_clip_draws.py"
BATCHES, HOLDOUT = "tests/data/test_train_batches.py", "tests/data/test_holdout.py"
PIPELINE, AUGMENT = "tests/data/test_pipeline.py", "tests/data/test_augment.py"
SCALE = "tests/engines/test_loss_scale.py"
ACCURACY, SHOWN = "tests/report/test_accuracy.py", "tests/report/test_reconstruction.py"
TABLES = "tests/report/test_table1.py tests/tools/test_tables.py"
FIGURES = "tests/report/test_figures.py tests/tools/test_plots.py"
RATES = "tests/test_learning_rate.py"
RECIPE, BIASES = "tests/runs/test_recipe.py", "tests/modules/test_biases.py"
FROZEN = "test_a_layer_frozen_after_the_first_episode"
PENALTIES = f"{ANY}::test_regularizers_of_weights_are_added_once_an_update"
MIXING = f"{ANY}::test_modules_that_mix_examples_anyhow_are_refused_where_frames_are_folded"
STATEFUL = "test_a_stateful_rnn_goes_from_frame_to_frame_as_in_keras_or_is_refused"
TWICE = "test_a_batch_norm_called_twice_takes_its_statistics_in_the_order_of_its_calls"

# (file, what stands there once, what stands there instead, the tests that should notice).
MUTATIONS = [
    ("engines/schedule.py", "return 2 * depth - module", "return 2 * depth - module - 1", SCHEDULE),
    ("engines/schedule.py", "max(0, frames - module + 1)", "max(0, frames - module)", SCHEDULE),
    ("limits.py", "if steps < cycle_length", "if steps <= cycle_length", SCHEDULE),
    ("engines/schedule.py", "return step - (step - 1) %", "return step - step %", STREAM),
    (
        "engines/schedule.py",
        "entered = step - depth + 1",
        "entered = step - depth",
        "tests/report/test_reconstruction.py",
    ),
    ("engines/schedule.py", "2 * (depth - module)", "2 * (depth - module) + 1", LATE),
    ("optimizers.py", "variable.assign_sub(far)", "pass", LATE),
    ("optimizers.py", "self._times[i] * (variable", "2 * (variable", LATE),
    (
        "report/paired.py",
        "T[min(len(found) - 1,",
        "T[min(len(found),",
        "tests/report/test_paired.py",
    ),
    ("engines/sideways.py", "state.t + 1, network", "state.t + 2, network", ENGINES),
    ("engines/sideways.py", "carried[e.source - 1].at", "carried[e.source - 2].at", ENGINES),
    ("engines/sideways.py", "tf.where(t >= first, *both)", "both[0]", ENGINES),
    ("engines/sideways.py", "t - first + 1, seeds", "t, seeds", ENGINES),
    ("modules/wiring.py", "self.depth - module", "self.depth - module + 1", SKIPS),
    (
        "modules/wiring.py",
        "firsts[edge.source - 1] + edge.delay",
        "firsts[edge.source - 1] + 1",
        SKIPS,
    ),
    ("modules/wiring.py", "min(edge.delay + found", "max(edge.delay + found", SKIPS),
    ("engines/network.py", "self.older[delay - 2]", "self.older[0]", SKIPS),
    ("engines/network.py", "tf.add_n(arriving)", "arriving[0]", SKIPS),
    ("engines/windows.py", "tf.cast(now, tf.int32)", "tf.cast(due, tf.int32)", WINDOWS),
    ("engines/windows.py", "(t - 1) // self.every", "t // self.every", WINDOWS),
    ("engines/windows.py", "ends | (following > self.last)", "ends", WINDOWS),
    ("engines/windows.py", "tf.where(now, 0, count)", "count", WINDOWS),
    ("engines/windows.py", "tf.where(now, tf.zeros_like(x), x)", "x", WINDOWS),
    (
        "engines/windows.py",
        "mean_with_penalty(module, total, count)",
        "mean_with_penalty(module, total, 1)",
        WINDOWS,
    ),
    (
        "engines/windows.py",
        "statistics = module_statistics(mean)",
        "statistics = module_statistics(total)",
        f"{WINDOWS}::test_two_windows_worked_by_hand",
    ),
    (
        "engines/batched.py",
        "edge.delay - first(edge.source)\n",
        "edge.delay - first(edge.source) - 1\n",
        ENGINES,
    ),
    ("engines/batched.py", "targets[frames - seen :]", "targets[:seen]", ENGINES),
    (
        "engines/batched.py",
        "return self.wiring.gamma(module, frames)",
        "return frames",
        ENGINES,
    ),
    ("engines/batched.py", "summed = loss * seen", "summed = loss * frames", ENGINES),
    ("engines/gpipe.py", "tau = n - i\n", "tau = n - i - 1\n", "tests/engines/test_gpipe.py"),
    (
        "engines/gpipe.py",
        "tau = self.frames + depth - i - n",
        "tau = self.frames + depth - i - n - 1",
        "tests/engines/test_gpipe.py",
    ),
    ("engines/backprop.py", "return [steps] * wiring.depth", "return [1] * wiring.depth", ENGINES),
    (
        "engines/backprop.py",
        "return t + schedule.cycle_length(wiring.depth)",
        "return t + 1",
        WINDOWS,
    ),
    (
        "engines/network.py",
        "self.scales[0].under_way[module - 1]",
        "self.scales[0].under_way[-1]",
        SCALE,
    ),
    ("engines/loss_scale.py", "tf.maximum(met / 2, 1)", "tf.maximum(value / 2, 1)", SCALE),
    ("engines/loss_scale.py", "w / tf.cast(scale, w.dtype)", "w", SCALE),
    ("engines/windows.py", "made = tf.cond(good, lambda", "made = tf.cond(~good, lambda", SCALE),
    ("engines/backprop.py", "[each.newest() for each in state.scales]", "state.scales", SCALE),
    (
        "engines/backprop.py",
        "lambda: (old.emitted, old.memory)",
        "lambda: (tf.zeros_like(old.emitted), old.memory)",
        STREAM,
    ),
    (
        "engines/passes.py",
        "stateless_fold_in(seed, i)",
        "stateless_fold_in(seed, 0)",
        NORMS + " " + ENGINES,
    ),
    ("engines/passes.py", "total / tf.cast(count, total.dtype)", "total", ENGINES),
    ("engines/passes.py", "mean + tf.cast(g, mean.dtype)", "mean", ANY),
    ("engines/passes.py", "[*targets, run.penalty], [above, weight]", "targets, directions", ANY),
    ("engines/engine.py", "hash(trained)", "0", f"{ANY}::{FROZEN}"),
    ("engines/engine.py", "+ weight_penalties(network.modules, network.loss_type)", "", PENALTIES),
    ("engines/network.py", "self.wiring.older(i + 1)", "self.wiring.older(i)", SKIPS),
    (
        "engines/network.py",
        "frame = _read(self.place.frame",
        "frame = 0 * _read(self.place.frame",
        STREAM,
    ),
    ("modules/draws.py", "key, shape = step.next_key(),", "key, shape = step.seed,", NORMS),
    (
        "modules/draws.py",
        'masks == "step" and step.count == 1',
        'masks == "step" and step.count == 0',
        NORMS,
    ),
    ("modules/draws.py", 'if step.masks == "episode":', "if True:", NORMS),
    ("modules/step.py", "self.draws += 1", "self.draws += 0", NORMS),
    ("modules/step.py", "while graph is not None:", "while False:", ANY),
    (
        "modules/folded_norm.py",
        "(1 - decay) * decay**powers",
        "(1 - decay) * decay ** (powers + 1)",
        NORMS,
    ),
    ("modules/folded_norm.py", "variance * count / tf.maximum(count - 1, 1)", "variance", NORMS),
    ("modules/folded_norm.py", "tf.stack(calls, 1)", "tf.stack(calls, 0)", f"{ANY}::{TWICE}"),
    ("modules/apart.py", "for other in (exchanged, louder)", "for other in (exchanged,)", MIXING),
    ("modules/apart.py", "for first in (True, False)", "for first in (False,)", MIXING),
    ("modules/apart.py", "pairs += zip(before.weights, alone", "zip(before.weights, alone", MIXING),
    ("modules/biases.py", "!= tf.bfloat16", "!= tf.float16", BIASES),
    ("modules/trace.py", "state += hidden", "state += []", f"{ANY}::{STATEFUL}"),
    (
        "learning.py",
        "tf.cast(self.iteration, tf.int32)])",
        "0])",
        "tests/engines/test_windows.py tests/engines/test_updates.py",
    ),
    (
        "monitor.py",
        "self.gradient_norm.assign(norm / counts)",
        "self.gradient_norm.assign(norm)",
        f"{WINDOWS}::test_two_windows_worked_by_hand",
    ),
    (
        "assembly.py",
        "return 0 < self.update_every < frames",
        "return 0 < self.update_every <= frames",
        WINDOWS,
    ),
    (
        "callbacks.py",
        "clip[:frames], targets[-frames:]",
        "clip[:frames], targets[:frames]",
        f"{DIAGNOSIS}::test_the_last_module_always_agrees_and_those_below_do_not",
    ),
    ("optimizers.py", "return rate(self.updates())", "return rate(step)", STREAM),
    ("data/sampling.py", "* stride", "* 1", SAMPLING),
    ("data/pipeline.py", "clip.frames * clip.stride", "clip.frames", CLIPS),
    ("data/pipeline.py", "random_flip(frames, flip_seed)", "random_flip(frames, crop_seed)", CLIPS),
    ("data/sampling.py", "- span, 0) + 1", "- span, 0)", SAMPLING),
    ("data/sampling.py", "tf.minimum(running, num_frames - 1)", "running % num_frames", SAMPLING),
    ("data/augment.py", "height - size + 1", "height - size", AUGMENT),
    ("data/augment.py", "left_seed, 0", "top_seed, 0", AUGMENT),
    ("data/augment.py", "axis=[-2]", "axis=[-3]", AUGMENT),
    ("data/augment.py", "stateless_uniform([], seed) < 0.5", "tf.constant(True)", AUGMENT),
    ("data/pipeline.py", "[skip * batch_size :]", "[skip:]", BATCHES),
    ("data/pipeline.py", "default_rng([seed, epoch])", "default_rng([seed])", BATCHES),
    ("data/pipeline.py", "([seed, 0], epoch)", "([seed, 0], 0)", PIPELINE),
    ("data/pipeline.py", "[:: clip.stride]", "[::1]", BATCHES),
    ("data/pipeline.py", "end >= count", "end > count", f"{PIPELINE} {BATCHES}"),
    ("data/pipeline.py", "/ 255.0", "/ 256.0", f"{PIPELINE} {BATCHES}"),
    ("data/holdout.py", "held + len(videos) / 2 <= wanted", "held <= wanted", HOLDOUT),
    ("data/holdout.py", "in order[:-1]", "in order", HOLDOUT),
    ("report/accuracy.py", "tf.nn.softmax(scores)", "scores", ACCURACY),
    ("report/accuracy.py", "self.loss / self.frames", "self.loss", ACCURACY),
    ("report/accuracy.py", "self.loss_sum / self.videos", "self.loss_sum", ACCURACY),
    ("report/accuracy.py", "_total(3) / self._total(2)", "_total(1) / self._total(0)", ACCURACY),
    ("report/reconstruction.py", "late = steps - depth + 1", "late = steps - depth", SHOWN),
    (
        "report/reconstruction.py",
        "error=_mean_squared(outputs, sources, frames, steps)",
        "error=_mean_squared(outputs, sources, frames, sources)",
        SHOWN,
    ),
    ("report/reconstruction.py", "sums / (len(a) *", "sums / (CHUNK *", SHOWN),
    ("report/table.py", "statistics.stdev", "statistics.pstdev", TABLES),
    ("report/table1.py", "best = min(settings", "best = max(settings", TABLES),
    ("report/table1.py", "if not run.departures", "if True", TABLES),
    ("report/lines.py", "np.nanmin(rows, 0)", "np.nanmean(rows, 0)", FIGURES),
    (
        "report/lines.py",
        "np.where(known, apart, 0).sum(-1) / known.sum(-1)",
        "np.where(known, apart, 0).sum(-1) / width",
        FIGURES,
    ),
    ("learning_rate.py", "step / warmup", "(step + 1) / warmup", RATES),
    ("learning_rate.py", "step >= float", "step > float", RATES),
    ("runs/make.py", "per_epoch * -(-config.frames // config.episode)", "per_epoch", RECIPE),
    ("runs/make.py", "late = depth - 1 if", "late = depth if", RECIPE),
    ("runs/make.py", 'config.algorithm == "bp"', 'config.algorithm != "bp"', RECIPE),
    ("runs/make.py", "config.momentum, config.clip_value", "config.momentum, 0.0", RECIPE),
    (
        "checkpoints.py",
        "count = min(self.done, self.window)",
        "count = self.window",
        "tests/test_save_and_resume.py",
    ),
    ("agreement.py", "left_norm / right_norm)", "right_norm / left_norm)", DIAGNOSIS),
    ("learning.py", "self.steps.assign_add(frames)", "self.steps.assign_add(1)", WINDOWS),
    (
        "model.py",
        "last = targets[targets.shape[0] - outputs.shape[0] :]",
        "last = targets[: outputs.shape[0]]",
        UPDATES,
    ),
]


def mutate(copy: Path, name: str, before: str, after: str, tests: str) -> str:
    """'caught', 'SURVIVED' or why it could not be tried."""
    path = copy / "sideways_tf" / name
    text = path.read_text() if path.is_file() else ""
    if text.count(before) < 1:
        return f"not there: {before!r}"
    path.write_text(text.replace(before, after, 1))
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--durations=0", *tests.split()]
        ran = subprocess.run(command, cwd=copy, capture_output=True, check=False)
    finally:
        path.write_text(text)
    return {0: "SURVIVED", 1: "caught"}.get(ran.returncode, f"pytest ended with {ran.returncode}")


def main() -> None:
    """Try each mutation; the survivors come last."""
    chosen = [
        m for m in MUTATIONS if not sys.argv[1:] or any(w in " ".join(m) for w in sys.argv[1:])
    ]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv"), symlinks=True)
        for name, before, after, tests in chosen:
            line = f"{name}: {before.strip()!r} -> {after.strip()!r}"
            found = mutate(copy, name, before, after, tests)
            print(f"{found}  {line}", flush=True)
            survivors += [line] if found != "caught" else []
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught", *survivors, sep="\n  ")


if __name__ == "__main__":
    main()
