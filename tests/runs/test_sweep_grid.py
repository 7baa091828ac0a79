"""The grid: axes, their combinations, and what is refused."""

import pytest
from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.runs.config import Config
from sideways_tf.runs.sweep.grid import combinations, configure, parse_axes, words


def test_all_combinations_the_last_axis_fastest():
    axes = parse_axes(["learning_rate=1e-4, 1e-5", "algorithm=bp,sideways"])
    assert [words(setting) for setting in combinations(axes)] == [
        "learning_rate=1e-4,algorithm=bp",
        "learning_rate=1e-4,algorithm=sideways",
        "learning_rate=1e-5,algorithm=bp",
        "learning_rate=1e-5,algorithm=sideways",
    ]
    assert combinations({}) == [{}]


def test_a_setting_changes_its_flags_alone():
    base = Config(frames=32, drop_epochs=(3, 7), allow_missing_videos=True)
    made = configure(base, {"learning_rate": "1e-5", "algorithm": "bp"}, seed=4, holdout=0.2)
    assert sorted(made.differences(base)) == ["algorithm", "holdout", "learning_rate", "seed"]
    assert (made.learning_rate, made.seed, made.drop_epochs) == (1e-5, 4, (3, 7))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "the grid is empty"),
        (["learning_rat=1e-4"], "no flag --learning_rat"),
        (["learning_rate"], "give values"),
        (["learning_rate=,"], "give values"),
        (["data_dir=/a,/b"], "without '/'"),
        (["learning_rate=1,1"], "is there twice"),
        (["stride=1", "stride=2"], "is there twice"),
        (["seed=1,2"], "a sweep sets --seed by itself"),
        (["holdout=0.1"], "a sweep sets --holdout by itself"),
    ],
)
def test_a_wrong_grid_is_refused(texts, message):
    with pytest.raises(UserError, match=message):
        parse_axes(texts)


@pytest.mark.parametrize("setting", [{"learning_rate": "fast"}, {"algorithm": "sgd"}])
def test_a_wrong_value_names_its_flag(setting):
    with pytest.raises(flags.Error, match=next(iter(setting))):
        configure(Config(), setting)
