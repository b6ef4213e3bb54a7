"""A copy of the database, made and put back as `deploy/README.md` says."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import KIM, LEO, SAM

GUIDE = (Path(__file__).parent.parent / "deploy" / "README.md").read_text("utf-8")


def copied(world) -> Path:
    """By the guide's own command, while the bot has the file open."""
    [program] = re.findall(r'python -c "(import sqlite3;.*?)"\n', GUIDE)
    copy = world.database.with_name("copy.db")
    program = (
        program.replace(r"\"", '"')
        .replace("/data/greenlight.db", str(world.database))
        .replace("/data/copy.db", str(copy))
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    return copy


def in_its_place(database: Path, copy: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    copy.rename(database)


async def put_back(world, copy: Path) -> None:
    await world.store.close()
    in_its_place(world.database, copy)
    world.build()
    await world.run()


async def test_a_copy_that_is_made_while_greenlight_runs_is_whole(world):
    release = await world.release_live()
    await world.desk.vote(release, SAM, True)
    with sqlite3.connect(copied(world)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT label FROM releases").fetchall() == [(release.label,)]
    assert (await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)).phase is Phase.REVERTING


async def test_a_release_that_was_promoted_since_is_left_to_people(world):
    """Nobody's votes are on record any more: that it is live is seen, and nothing is done about it."""
    await world.deploy("green")
    copy = copied(world)
    promoted = await world.approve(KIM, LEO)
    written = len(world.api.writes)
    await put_back(world, copy)
    known = await world.newest()
    assert (known.label, known.phase, known.cause) == (promoted.label, Phase.ABANDONED, Cause.FOREIGN)
    assert world.serving() == {"green"}
    assert len(world.api.writes) == written


async def test_a_release_that_was_begun_since_is_not_known_and_the_next_begins_from_what_is_live(world):
    await world.release_live("green")
    await world.advance(hours=2)
    copy = copied(world)
    unknown = await world.release_live("purple")
    await world.advance(hours=2)
    await put_back(world, copy)
    assert (await world.newest()).number == unknown.number - 1
    following = await world.deploy("green")
    assert (following.phase, following.previous.image) == (Phase.READY, unknown.image)
    assert (await world.approve(KIM, LEO)).phase is Phase.BAKING
    await world.desk.ask("mochi", following.number, Verb.ROLL_BACK, SAM)
    await world.run()
    assert world.serving() == {"purple"}
