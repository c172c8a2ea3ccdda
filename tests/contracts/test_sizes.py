"""Files and functions stay small, modules have names of their field, and only the chassis commits."""

import ast
from pathlib import Path

from tests.kit.repository import ROOT, python_files, tree_of

FOLDERS = ("chassis", "services", "tests", "proto", "benchmarks")
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc", "handlers"}


def lines_of(path: Path) -> int:
    return len((ROOT / path).read_text().splitlines())


def test_files_have_at_most_400_lines() -> None:
    assert [(str(path), lines_of(path)) for path in python_files(*FOLDERS) if lines_of(path) > 400] == []


def test_functions_have_at_most_40_lines() -> None:
    long = [
        (f"{path}:{node.lineno}", node.name, node.end_lineno - node.lineno + 1)
        for path in python_files(*FOLDERS)
        if "migrations" not in path.parts
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > 40
    ]
    assert long == []


def test_modules_have_names_of_their_field() -> None:
    assert [str(path) for path in python_files(*FOLDERS) if EMPTY_NAMES & {path.stem, *path.parent.parts}] == []


def test_only_the_chassis_commits() -> None:
    commits = [
        f"{path}:{node.lineno}"
        for path in python_files("services")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]
    assert commits == []


def test_every_module_says_what_lives_in_it() -> None:
    silent = [str(path) for path in python_files("chassis", "services") if not ast.get_docstring(tree_of(path))]
    assert silent == []
