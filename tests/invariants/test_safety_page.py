"""The page on safety names the tests that hold each promise: those tests exist, and no promise is without one."""

import re


def test_every_test_that_the_page_names_exists_and_every_promise_names_one(pytestconfig):
    root = pytestconfig.rootpath
    page = (root / "docs/safety.md").read_text(encoding="utf-8")
    written = "\n".join(path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)\(", written))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named - there == set()
    rows = [line for line in page.splitlines() if re.match(r"\| I\d+ \|", line)]
    assert [re.match(r"\| I(\d+)", row)[1] for row in rows] == [str(number) for number in range(1, 16)]
    for row in rows:
        assert re.search(r"`test_\w+`", row), row
    for test in sorted(name for name in there if re.match(r"test_i\d+_", name)):
        assert 1 <= int(re.match(r"test_i(\d+)", test)[1]) <= len(rows)
