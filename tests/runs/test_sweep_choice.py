"""The choice: by accuracy on held-out videos or by training loss, never by the test."""

from pathlib import Path

from sideways_tf.cli.sweep import TEST, differences, table
from sideways_tf.runs.config import Config
from sideways_tf.runs.sweep.choice import candidates, choose
from sideways_tf.runs.sweep.job import Job
from sideways_tf.runs.sweep.runner import Outcome


def outcome(algorithm, rate, seed, accuracy, loss, train_loss, error=None):
    setting = {"learning_rate": rate, "algorithm": algorithm}
    job = Job(setting, Config(seed=seed), Path(f"{rate}-{algorithm}-{seed}"))
    results = {"test_video_accuracy": accuracy, "test_loss": loss, "train_loss": train_loss}
    return Outcome(job, None if error else results, error)


OUTCOMES = [
    outcome("bp", "1e-4", 0, 0.5, 1.0, 0.3),
    outcome("bp", "1e-4", 1, 0.7, 1.0, 0.3),
    outcome("bp", "1e-5", 0, 0.6, 0.9, 0.1),
    outcome("bp", "1e-5", 1, 0.6, 0.9, 0.1),
    outcome("sideways", "1e-4", 0, 0.4, 1.0, 0.2),
    outcome("sideways", "1e-4", 1, 0.9, 1.0, 0.2, error="status 2, out of memory"),
    outcome("sideways", "1e-5", 0, 0.3, 0.1, 0.1),
    outcome("sideways", "1e-6", 0, 0.9, 0.1, 0.1, error="status 2, out of memory"),
]


def chosen(rule):
    best = choose(candidates(OUTCOMES), ["algorithm"], rule)
    return {group: candidate.setting["learning_rate"] for group, candidate in best.items()}


def test_holdout_takes_the_highest_mean_accuracy_then_the_lower_loss():
    # BP: both settings 0.6 in the mean, the second with the lower loss. Sideways: 0.4 beats 0.3;
    # a run that failed counts nowhere, whatever it might have reached.
    assert chosen("holdout") == {"algorithm=bp": "1e-5", "algorithm=sideways": "1e-4"}


def test_train_loss_takes_the_lowest():
    assert chosen("train_loss") == {"algorithm=bp": "1e-5", "algorithm=sideways": "1e-5"}


def test_of_equals_the_first_in_the_grid():
    equal = [outcome("bp", rate, 0, 0.5, 1.0, 0.3) for rate in ("1e-3", "1e-4")]
    for rule in ("holdout", "train_loss"):
        best = choose(candidates(equal), ["algorithm"], rule)
        assert best["algorithm=bp"].setting["learning_rate"] == "1e-3"


def test_the_table_has_mean_and_deviation_of_finished_runs():
    figures = {"accuracy %": "test_video_accuracy", "loss": "train_loss"}
    text = table(OUTCOMES, figures)
    assert text.startswith("| learning_rate | algorithm | runs | accuracy %  | loss          |")
    assert "| 1e-4          | bp        | 2    | 60.0 ± 14.1 | 0.300 ± 0.000 |" in text
    assert "| 1e-4          | sideways  | 1    | 40.0        | 0.200         |" in text
    assert "1e-6" not in text


def stream_outcome(setting, seed, error):
    job = Job(setting, Config(seed=seed, model="autoencoder"), Path("run"))
    results = {"test_error": error, "test_source_error": error / 2, "train_loss": 0.5}
    return Outcome(job, results, None)


def test_auto_encoders_are_chosen_by_the_lowest_error():
    rates = {"1e-3": (0.25, 0.75), "1e-4": (0.375, 0.5)}
    outcomes = [
        stream_outcome({"learning_rate": rate, "algorithm": "bp"}, seed, error)
        for rate, errors in rates.items()
        for seed, error in enumerate(errors)
    ]
    best = choose(candidates(outcomes), ["algorithm"], "holdout")
    assert best["algorithm=bp"].setting["learning_rate"] == "1e-4"
    assert "| 1e-4          | bp        | 2    | 0.43750 ± 0.08839 |" in table(outcomes, TEST[True])


def test_the_best_of_both_algorithms_are_compared_by_equal_seeds():
    # Sideways is 0.25 and 0.125 lower: mean -0.1875, deviation 0.0884, t(1) = 12.706.
    outcomes = [
        stream_outcome({"learning_rate": "1e-3", "algorithm": "bp"}, 0, 0.75),
        stream_outcome({"learning_rate": "1e-3", "algorithm": "bp"}, 1, 0.5),
        stream_outcome({"learning_rate": "1e-4", "algorithm": "sideways"}, 1, 0.375),
        stream_outcome({"learning_rate": "1e-4", "algorithm": "sideways"}, 0, 0.5),
    ]
    said = "Sideways - BP, test error: -0.18750 ± 0.79412 (95 %, 2 pairs)"
    assert differences(outcomes, ["algorithm"], TEST[True]) == [said]
    assert differences(outcomes, ["learning_rate", "algorithm"], TEST[True]) == []
    assert differences(outcomes, ["learning_rate"], TEST[True]) == []


def test_accuracies_are_compared_in_percent_for_each_of_what_else_is_compared():
    both = [o for o in OUTCOMES if o.results]
    # 1e-4: seed 0 alone has both, 0.4 - 0.5; 1e-5: 0.3 - 0.6.
    assert differences(both, ["learning_rate", "algorithm"], TEST[False]) == [
        "Sideways - BP, test accuracy %, learning_rate=1e-4: -10.0 (1 pair)",
        "Sideways - BP, test accuracy %, learning_rate=1e-5: -30.0 (1 pair)",
    ]
