"""The cards that TensorBoard shows of a run, read back."""

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

from sideways_tf.report.card import write_cards
from sideways_tf.report.layout import run_layout

CONFIGURATION = {"learning_rate": 1e-3, "drop_epochs": (3, 7), "model": "vgg8", "seed": 2}


def read(run):
    """Plugin -> values of the one file in the folder `run`."""
    (file,) = run.glob("events*")
    values = [v for event in EventFileLoader(str(file)).Load() for v in event.summary.value]
    return {value.metadata.plugin_data.plugin_name: value for value in values}


def test_configuration_layout_and_hparams_are_in_the_two_runs_that_have_curves(tmp_path):
    folder = tmp_path / "rate=1,seed=2"
    for _ in range(2):  # Continued: once all the same.
        write_cards(folder, CONFIGURATION, run_layout(2))
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    train, test = read(folder / "train"), read(folder / "test")
    assert sorted(train) == ["custom_scalars", "text"]
    card = train["text"].tensor.string_val[0].decode()
    assert "| drop_epochs | 3,7 |\n| model | vgg8 |" in card
    data = plugin_data_pb2.HParamsPluginData.FromString(
        test["hparams"].metadata.plugin_data.content
    )
    found = data.session_start_info.hparams
    assert found["learning_rate"].number_value == 1e-3
    assert found["model"].string_value == "vgg8"


def test_a_change_gets_a_card_of_its_own_at_its_iteration(tmp_path):
    write_cards(tmp_path, CONFIGURATION, run_layout(2))
    for _ in range(2):
        write_cards(tmp_path, {**CONFIGURATION, "seed": 3}, run_layout(2), [{"iteration": 12}])
    (file,) = (tmp_path / "train").glob("events*.card1")
    (event,) = [event for event in EventFileLoader(str(file)).Load() if event.summary.value]
    assert event.step == 12
    assert "| seed | 3 |" in event.summary.value[0].tensor.string_val[0].decode()
    assert len(list(tmp_path.glob("*/events*"))) == 3


def test_without_a_layout_there_is_a_card_alone(tmp_path):
    write_cards(tmp_path, CONFIGURATION, None)
    assert list(read(tmp_path / "train")) == ["text"]
