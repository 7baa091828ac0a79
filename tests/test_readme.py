"""The README's Python runs, and does what it says."""

import pathlib
import re

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def test_the_network_of_your_own_trains(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict = {}
    exec(code, scope)
    assert "(14, 8, 10)" in capsys.readouterr().out
    first = float(scope["episode"].loss)
    for _ in range(3):
        episode = scope["engine"](scope["clip"], scope["per_frame"](scope["labels"], frames=16))
        pairs = zip(
            scope["tf"].nest.flatten(episode.gradients),
            scope["tf"].nest.flatten(scope["variables"]),
            strict=True,
        )
        scope["optimizer"].apply_gradients(pairs)
    assert float(episode.loss) < first


def test_every_linked_file_is_there():
    root = pathlib.Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if "://" not in link and not (root / link).exists()]
    assert links
    assert missing == []
