"""The README's Python runs, and does what it says."""

import pathlib
import re

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def test_a_keras_model_of_your_own_trains(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict = {}
    exec(code, scope)
    assert "(8, 10, 3)" in capsys.readouterr().out
    assert (tmp_path / "plain.keras").exists()
    assert int(scope["model"].iteration) == 2 * 8 // 4


def test_every_linked_file_is_there():
    root = pathlib.Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if "://" not in link and not (root / link).exists()]
    assert links
    assert missing == []
