"""The library's page: every public name is on it, and its Python runs."""

import pathlib
import re

import numpy as np

import sideways_tf as sw

PAGE = (pathlib.Path(__file__).parents[1] / "docs" / "api.md").read_text()


def test_the_examples_run(capsys):
    scope: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, scope)
    assert "can be cut into 1 to 4" in capsys.readouterr().out
    assert scope["episode"].outputs.shape == (7, 4, 3)
    assert np.isclose(scope["diagnosis"].found.cosine[-1], 1.0)
    assert next(iter(scope["batches"]))[0].shape == (2, 9, 16, 16, 3)
    assert scope["h"].shape == (4, 3)


def test_every_public_name_is_there_and_documented():
    names = {
        name for line in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) for name in line.split(", ")
    }
    assert names == set(sw.__all__)
    for name in names:
        assert getattr(sw, name).__doc__
        assert f"sw.{name}" in PAGE
