"""A configuration: what is refused before TensorFlow, old names, and what a flag affects."""

import dataclasses

import pytest
from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder, open_run
from sideways_tf.runs.from_flags import define_flags, from_flags, from_lines, from_plain


def parsed(*arguments):
    values = flags.FlagValues()
    define_flags(values)
    options.define(values, "allow_changed", [], "run: may differ")
    options.parse(values, ["train", *map(str, arguments)])
    return values


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--target=source"], "--target=source does nothing with --model=simple_cnn"),
        (["--momentum=0.5"], "--momentum=0.5 does nothing with --optimizer=adam"),
        (["--dropout=0.5"], "it is for --model=vgg8"),
        (["--engine=gpipe"], "none of --algorithm=sideways: use pipelined, time_shifted or auto"),
        (["--engine=time_shifted", "--update_every=5"], "learns before the clip ends"),
        (["--frames=10"], "10 frames are too few for 6 modules"),
        (["--model=vgg8", "--frames=14"], "14 frames are too few for 8 modules"),
        (["--modules=3", "--frames=4"], "4 frames are too few for 3 modules"),
        (["--model=autoencoder", "--size=44"], "multiples of 8, such as 40 or 48"),
        (["--update_every=65"], "more than the --frames=64"),
        (["--update_every=5", "--diagnose_every=1"], "updates before one ends"),
        (["--beta_1=0.5", "--optimizer=sgd"], "it is for --optimizer=adam"),
        (["--delay_rates=root", "--algorithm=bp"], "it is for --algorithm=sideways"),
        (["--look_ahead=nesterov", "--beta_1=0"], "give --momentum or --beta_1 above 0"),
        (["--look_ahead=delay"], "no weights move before a loss comes back"),
        (["--look_ahead=delay", "--update_every=1", "--algorithm=bp"], "does nothing with"),
        (["--data_dir=/none"], "--data_dir=/none: no such folder"),
        (["--cache_dir=/dev/null/a"], "/dev/null is no folder to write in"),
        (["--workdir=/dev/null"], "/dev/null is no folder to write in"),
    ],
)
def test_what_is_refused(arguments, expected):
    with pytest.raises(UserError, match=expected):
        open_run(parsed(*arguments))


def test_flags_that_do_something_are_taken():
    from_flags(parsed("--model=autoencoder", "--dataset=cater", "--target=source"))
    from_flags(parsed("--optimizer=momentum", "--momentum=0.5", "--model=vgg8", "--dropout=0.5"))
    from_flags(parsed("--engine=time_shifted", "--update_every=64"))
    from_flags(parsed("--update_every=1", "--beta_1=0", "--delay_rates=root", "--look_ahead=delay"))
    from_flags(parsed("--algorithm=bp", "--look_ahead=nesterov"))
    # Given, but at its default: a run's own flagfile says so.
    from_flags(parsed(*Config().flag_lines()))


def test_a_mistyped_engine_is_answered_with_the_list():
    with pytest.raises(flags.Error, match="pipelined.*frame_by_frame.*batched.*gpipe"):
        parsed("--engine=pipelines")


def test_old_names_of_engines_go_on_working_and_are_told_the_new_ones(capsys):
    for old, new in (("pipelined", "frame_by_frame"), ("time_shifted", "batched")):
        assert from_flags(parsed("--algorithm=bp", f"--engine={old}")).engine == new
        assert capsys.readouterr().err == f"--engine={old} of bp is now called --engine={new}\n"
        assert from_lines(["--algorithm=bp", f"--engine={old}"]).engine == new
        assert from_flags(parsed(f"--engine={old}")).engine == old
    assert capsys.readouterr().err == ""


def test_an_update_a_clip_by_default_and_a_step_for_autoencoders():
    assert (Config().update_every, Config(model="autoencoder").update_every) == (0, 1)
    assert Config(model="autoencoder", update_every=0).episode == 64
    before = Config(model="autoencoder").plain()
    del before["update_every"]
    assert from_plain(before) == Config(model="autoencoder")


def test_a_flag_says_what_it_affects():
    base = Config()
    for change, differs, recipe in (
        ({"frames": 32}, True, True), ({"epochs": 3}, False, True), ({"seed": 3}, True, False),
        ({"devices": "CPU:0"}, True, False), ({"log_every": 3}, False, False),
    ):  # fmt: skip
        other = dataclasses.replace(base, **change)
        assert other.differences(base) == list(change) * differs
        assert (other.recipe != base.recipe) == recipe
        assert list(other.departures) == list(change) * recipe
    assert Config(dataset="ucf101", split=2).prepared_data == ("ucf101", 2, 128, 0)


def test_the_folder_alone_goes_on_with_its_run(tmp_path):
    made = Config(frames=16, drop_epochs=(3, 7), workdir=str(tmp_path))
    RunFolder(tmp_path).claim(made)
    assert open_run(parsed(f"--workdir={tmp_path}"))[0] == made
    longer, _ = open_run(parsed(f"--workdir={tmp_path}", "--epochs=400"))
    assert longer == dataclasses.replace(made, epochs=400)
    with pytest.raises(UserError) as error:
        open_run(parsed(f"--workdir={tmp_path}", "--frames=64", "--seed=3"))
    assert "--frames was 16, now is 64; --seed was 0, now is 3; name" in str(error.value)


def test_what_may_change_while_a_run_goes_on_is_allowed_by_name_and_kept(tmp_path):
    made = Config(workdir=str(tmp_path))
    RunFolder(tmp_path).claim(made)
    (tmp_path / "checkpoints").mkdir()
    for number in (8, 12):
        (tmp_path / f"checkpoints/ckpt-{number}.index").touch()
    given = [f"--workdir={tmp_path}", "--learning_rate=1e-5"]
    with pytest.raises(UserError, match="or go on with it by --allow_changed=learning_rate$"):
        open_run(parsed(*given))
    with pytest.raises(UserError, match="--frames was 64, now is 32"):
        open_run(parsed(*given, "--frames=32", "--allow_changed=learning_rate"))
    with pytest.raises(UserError, match="--allow_changed=frames: while a run goes on, only"):
        open_run(parsed(*given, "--frames=32", "--allow_changed=frames"))
    config, folder = open_run(parsed(*given, "--allow_changed=learning_rate,weight_decay"))
    folder.claim(config)
    change = {"iteration": 12, "flag": "learning_rate", "was": 1e-4, "now": 1e-5}
    assert RunFolder(tmp_path).changes == [change]
    assert RunFolder(tmp_path).config().learning_rate == 1e-5
