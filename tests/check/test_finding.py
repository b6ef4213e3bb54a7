"""One part that hangs or breaks is one finding, whatever it is; and findings read well."""

import asyncio

import click
import pytest

from bot.check.finding import Finding, State, answered, fail, ok, warn
from bot.check.rendering import table


async def never() -> list[Finding]:
    await asyncio.Event().wait()
    return []


async def breaks(error: Exception) -> list[Finding]:
    raise error


async def test_a_part_that_hangs_is_one_finding():
    async with asyncio.timeout(10):
        [found] = await answered("Discord", "server", never(), within=0.01)
    assert (found.part, found.about, found.state) == ("Discord", "server", State.FAIL)
    assert found.sentence == "did not answer within 0 s."
    assert found.fix


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("two\n  lines"), "two lines."),
        (KeyError(), "KeyError."),
        (OSError("x" * 1000), f"{'x' * 300}."),
    ],
)
async def test_a_part_that_breaks_is_one_finding_of_a_line(error, said):
    assert await answered("Discord", "server", breaks(error), fix="Do something.") == [
        fail("Discord", "server", said, "Do something.")
    ]


def test_the_table_is_grouped_and_aligned_and_each_fix_has_a_line_of_its_own_and_what_is_copied_stays_as_it_is():
    shown = table(
        [
            ok("database", "database", "is up to date."),
            warn("app mochi", "#mochi", "Manage Messages is missing: " + "so it is " * 12 + "said.", "Allow it."),
            fail("app mochi", "role of a rather long name", "is no role.", "Put the id of a role of your team there."),
            warn("app mochi", "Argo CD", "puts it back.", "Leave it out.", "ignoreDifferences:\n  - kind: Ser\x1bvice"),
        ],
        width=80,
    )
    assert click.unstyle(shown).splitlines() == [
        "database",
        "  ok    database                  is up to date.",
        "",
        "app mochi",
        "  warn  #mochi                    Manage Messages is missing: so it is so it is",
        "                                  so it is so it is so it is so it is so it is",
        "                                  so it is so it is so it is so it is so it is",
        "                                  said.",
        "                                  fix: Allow it.",
        "  FAIL  role of a rather long name",
        "                                  is no role.",
        "                                  fix: Put the id of a role of your team there.",
        "  warn  Argo CD                   puts it back.",
        "                                  fix: Leave it out.",
        "        ignoreDifferences:",
        "          - kind: Ser\N{REPLACEMENT CHARACTER}vice",
        "",
        "1 of 4 fails, 2 warnings.",
    ]
