"""What `make check` demands of the imports, where its contracts can only name what they already know."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "bot" / "release").glob("*.py"))
REACHES_OUT = {"asyncio", "io", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}


def imported(file: Path) -> set[str]:
    """Top-level names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively"
            names.add(node.module)
    return names


@pytest.mark.parametrize("file", CORE, ids=lambda file: file.name)
def test_the_core_imports_only_itself_and_python_and_nothing_that_reaches_out(file):
    """A dependency that is added tomorrow is in no list of forbidden ones today."""
    foreign = {name for name in imported(file) if not name.startswith("bot.release")}
    tops = {name.split(".")[0] for name in foreign}
    assert tops <= sys.stdlib_module_names
    assert tops & REACHES_OUT == set()


def test_every_part_of_the_bot_is_in_a_contract():
    """A module that nobody thought of may import anything."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = set()
    for contract in project["tool"]["importlinter"]["contracts"]:
        for line in (
            *contract.get("layers", ()),
            *contract.get("source_modules", ()),
            *contract.get("forbidden_modules", ()),
        ):
            named |= {name.strip() for part in line.split("|") for name in part.split(":")}
    parts = {path.stem for path in (ROOT / "bot").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    below_settings = {"duration", "toml_places"}
    assert {f"bot.{part}" for part in parts - below_settings - {"__init__"}} - named == set()


def test_no_two_files_of_tests_have_one_name():
    """Pytest imports them by it, and of two it collects one, when it is given both."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
