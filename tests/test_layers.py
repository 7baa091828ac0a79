"""Who may import whom: reports hang at the end, networks know no engine, sweeps no report."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sideways_tf"
# What they import themselves is no more than each other.
COMMON = {"errors", "disk", "limits", "progress", "screen", "whole_file"}
MAY_IMPORT = {
    "data": {"data"},
    "networks": {"networks"},
    "modules": {"modules", "plan", "start"},
    "engines": {"engines", "modules"},
    "report": {"report", "engines"},
    "runs/sweep": {"runs"},
}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_from_these_alone(folder):
    found = set()
    for file in (PACKAGE / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "sideways_tf":
                names = [f"sideways_tf.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            found |= {n.split(".")[1] for n in names if n.startswith("sideways_tf.")}
    assert found
    assert found <= MAY_IMPORT[folder] | COMMON
