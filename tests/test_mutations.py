"""The mutations of tests/mutate.py name code that is there, and tests that are."""

import shlex

import pytest

from tests.mutate import MUTATIONS, ROOT

pytestmark = pytest.mark.once


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m[0]}: {m[1].strip()}")
def test_a_mutation_changes_code_that_is_there(mutation):
    name, before, after, tests = mutation
    text = (ROOT / "sideways_tf" / name).read_text()
    assert before in text
    assert text.replace(before, after, 1) != text
    for test in shlex.split(tests):
        assert (ROOT / test.partition("::")[0]).exists(), test
