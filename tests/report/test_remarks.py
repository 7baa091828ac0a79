"""What reports leave out is said in few lines."""

from sideways_tf.report.remarks import folded, say


def test_runs_left_out_for_one_reason_are_one_line():
    reason, other = "of another recipe, left out (--stride=2, not 1)", "unfinished"
    remarks = [
        f"a: {reason}",
        f"b: {other}",
        "3 runs were held out",
        f"c: {reason}",
        f"d: {reason}",
    ]
    assert folded(remarks) == [f"3 runs, a to d: {reason}", f"b: {other}", "3 runs were held out"]
    assert folded([]) == []


def test_what_cannot_be_split_stays_whole():
    remarks = ["a: damaged (Expecting value: line 1)", "b: damaged (Expecting value: line 1)"]
    assert folded(remarks) == remarks


def test_they_are_said_on_stderr(capsys):
    say(["a: unfinished", "b: unfinished"])
    assert capsys.readouterr() == ("", "2 runs, a to b: unfinished\n")
