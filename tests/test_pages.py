"""Two pages make promises and name the tests that hold them: those tests exist, and no promise is without one."""

import re

import pytest

PAGES = ("docs/safety.md", "docs/operations.md")
THREATS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15, 16, 19, 21)


@pytest.fixture(scope="module")
def tests(pytestconfig) -> set[str]:
    written = "\n".join(path.read_text("utf-8") for path in (pytestconfig.rootpath / "tests").rglob("test_*.py"))
    return set(re.findall(r"def (test_\w+)\(", written))


@pytest.fixture(scope="module")
def rows(pytestconfig) -> dict[str, list[str]]:
    """The lines of each page's tables, but for their heads."""
    found = {}
    for page in PAGES:
        lines = (pytestconfig.rootpath / page).read_text("utf-8").splitlines()
        found[page] = [
            line
            for line, below in zip(lines, [*lines[1:], ""], strict=True)
            if line.startswith("| ") and not re.fullmatch(r"[|-]+", below)
        ]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists_and_every_promise_names_one(tests, rows, page):
    assert rows[page]
    for row in rows[page]:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert {*named} <= tests, row


def test_every_invariant_and_every_threat_that_is_met_has_its_row(tests, rows):
    numbers = [re.match(r"\| ([IS]\d+) \|", row) for row in rows["docs/safety.md"]]
    assert [found[1] for found in numbers if found] == [
        *(f"I{number}" for number in range(1, 16)),
        *(f"S{number}" for number in THREATS),
    ]
    for test in tests:
        number = re.match(r"test_(i|s)(\d+)_", test)
        if number:
            assert int(number[2]) in (range(1, 16) if number[1] == "i" else THREATS), test
