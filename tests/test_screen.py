"""What is said while a command works: for people, for programs, or not at all."""

import io
import json

import pytest

from sideways_tf import progress
from sideways_tf.screen import SCREEN


@pytest.fixture(autouse=True)
def _as_it_was():
    yield
    SCREEN.settle(False, "text")


def test_text_is_for_people(capsys):
    SCREEN.say("result", "97.5 % of videos", accuracy=0.975)
    SCREEN.say("point", "", loss=1.0)  # Only for programs.
    SCREEN.note("left out a.avi")
    SCREEN.error("--frames=3: too few")
    out, err = capsys.readouterr()
    assert out == "97.5 % of videos\n"
    assert err == "left out a.avi\nerror: --frames=3: too few\n"


def test_json_is_one_object_a_line_on_both_streams(capsys):
    SCREEN.settle(False, "json")
    SCREEN.say("point", "", loss=float("nan"), gradient_norm=[1.0, float("inf")])
    SCREEN.note("l\u00e4uft")
    SCREEN.error("two\nlines")
    out, err = (list(map(json.loads, text.splitlines())) for text in capsys.readouterr())
    assert [(said["event"], said["loss"], said["gradient_norm"]) for said in out] == [
        ("point", None, [1.0, None])
    ]
    assert [(said["event"], said["text"]) for said in err] == [
        ("note", "l\u00e4uft"), ("error", "two\nlines")
    ]  # fmt: skip
    assert all(said["time"] > 1e9 for said in out + err)


def test_quiet_keeps_results_remarks_and_errors(capsys):
    SCREEN.settle(True, "text")
    SCREEN.tell("start", "task ...")
    SCREEN.say("result", "97.5 %")
    SCREEN.note("left out a.avi")
    with progress.bar("test", 2, " videos") as shown:
        shown.update(2)
    assert capsys.readouterr() == ("97.5 %\n", "left out a.avi\n")


def test_in_a_log_file_a_line_now_and_then_without_signs_for_a_terminal(monkeypatch):
    monkeypatch.setitem(progress.SECONDS, "log", 0.0)
    file = io.StringIO()
    with progress.bar("test", 4, " videos", done=1, file=file) as shown:
        for _ in range(3):
            shown.update()
    first, *_, last = file.getvalue().splitlines()
    assert first.startswith("test: 1 of 4 videos, 25 %")
    assert last == "test: 4 of 4 videos, 100 %, 00:00 left"
    assert "\r" not in file.getvalue()


def test_for_programs_progress_is_an_object(monkeypatch, capsys):
    SCREEN.settle(False, "json")
    monkeypatch.setitem(progress.SECONDS, "json", 0.0)
    assert list(progress.over("ab", "unpack", " files")) == ["a", "b"]
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {each["event"] for each in said} == {"progress"}
    assert [(each["what"], each["done"], each["total"]) for each in said][-1] == ("unpack", 2, 2)
