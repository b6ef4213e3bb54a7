"""What is remembered: real SQLite files, real migrations."""

import asyncio
import gc
import sqlite3
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from bot.release.approvals import Vote
from bot.release.record import Cause, Person, Phase, Release, Version
from bot.store import Card, Event, Outdated, Store, Taken, Unusable, connect, inspect, migrate
from bot.store.engine import alembic_config

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANN, KIM, LEO = Person(11, "ann", frozenset({1001})), Person(12, "kim", frozenset({1002})), Person(13, "leo")
DIGEST = "sha256:" + "a" * 64
PREVIOUS = Version("registry.example.com/mochi:blue", "mochiapp-blue", {"app": "mochi"}, before={"app": "mochi"})


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> bytes:
    """A database just migrated: made once, since migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "greenlight.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path.read_bytes()


@pytest.fixture
def url(tmp_path, migrated):
    path = tmp_path / "greenlight.db"
    path.write_bytes(migrated)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def store(url):
    made = Store(connect(url), lambda: NOW)
    yield made
    await made.close()


def release(number: int, app: str = "mochi", **changes) -> Release:
    sound = Release(
        app=app,
        number=number,
        label=f"{app}-{number}-k3f9q2",
        image=f"registry.example.com/mochi@{DIGEST}",
        asked="mochi:green",
        digests=frozenset({DIGEST}),
        author=ANN,
        slot="mochiapp-green",
        selector={"app": "mochi", "greenlight.dev/release": f"{app}-{number}-k3f9q2"},
        previous=PREVIOUS,
        created_at=NOW + timedelta(hours=number),
        since=NOW,
    )
    return replace(sound, **changes)


async def opened(store: Store, app: str = "mochi", **changes) -> Release:
    return await store.create(app, lambda number: release(number, app, **changes))


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(url, capfd):
    """Otherwise `alembic check` raises and names the difference."""
    command.check(alembic_config(url))


async def test_migrating_twice_changes_nothing(url, store):
    made = await opened(store)
    await migrate(url)
    assert await store.newest("mochi") == made


async def test_two_processes_may_migrate_the_same_new_database_at_once(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    await asyncio.gather(migrate(url), migrate(url))
    store = Store(connect(url), lambda: NOW)
    assert (await opened(store)).number == 1
    await store.close()


async def test_a_database_that_somebody_keeps_locked_is_to_be_let_go_of_and_not_to_be_renamed(tmp_path, url):
    """At the start and in a check: the same sentence as while the bot runs."""
    with closing(sqlite3.connect(tmp_path / "greenlight.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        refusals = await asyncio.gather(migrate(url), inspect(url), return_exceptions=True)
    said = f"DATABASE_URL: {tmp_path}/greenlight.db: another program keeps it locked: close whatever has it open."
    assert [(type(each), str(each)) for each in refusals] == [(Unusable, said)] * 2


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
async def test_every_connection_is_as_durable_and_strict_as_promised(store, pragma, value):
    """With synchronous = NORMAL a committed "promoting" can vanish with the power; 2 is FULL."""
    async with store._reading.connect() as one, store._reading.connect() as other:
        for connection in (one, other):
            assert await connection.scalar(text(f"PRAGMA {pragma}")) == value


def test_a_migrated_file_has_its_write_ahead_log_before_anybody_connects(url):
    """To turn it on is refused while somebody else is connected, so two processes that start at once would collide."""
    with closing(sqlite3.connect(url.partition("///")[2])) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_reading_waits_for_nobody_who_writes(url, store):
    """A card or `/status` is drawn while another process holds the write lock."""
    made = await opened(store)
    other = sqlite3.connect(url.partition("///")[2], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        async with asyncio.timeout(2):
            assert await store.newest("mochi") == made
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_record_is_read_as_it_was_written(store):
    people = (KIM, LEO)
    changed = replace(
        await opened(store, notes=("not bound to a digest",)),
        phase=Phase.BAKING,
        approvers=people,
        live_at=NOW,
        empty_since=NOW,
        cause=Cause.EMPTY,
        by=KIM,
    )
    stored = await store.update(changed)
    assert await store.release("mochi", 1) == stored == replace(changed, version=1)
    assert await store.labelled(stored.label) == stored
    assert await store.release("mochi", 2) is None


async def test_i13_an_app_has_at_most_one_open_release(store):
    first = await opened(store)
    with pytest.raises(Taken) as taken:
        await opened(store)
    assert taken.value.open == first
    await opened(store, "other")
    ended = await store.update(replace(first, phase=Phase.DONE))
    assert (await opened(store)).number == ended.number + 1


async def test_i13_a_release_cannot_be_opened_again_beside_another(store):
    """Somebody asks to roll #1 back in the moment in which #2 is opened."""
    first = await store.update(replace(await opened(store), phase=Phase.DONE))
    await opened(store)
    with pytest.raises(Outdated):
        await store.update(replace(first, phase=Phase.REVERTING), Event("verb:roll back", "too late"))
    assert await store.release("mochi", 1) == first
    assert await store.events(first) == []


async def test_i13_of_two_stores_on_one_file_one_opens_the_release(url):
    stores = [Store(connect(url), lambda: NOW) for _ in range(2)]
    for number in range(1, 6):
        answers = await asyncio.gather(*(opened(store) for store in stores), return_exceptions=True)
        won = [answer for answer in answers if isinstance(answer, Release)]
        assert [type(answer) for answer in answers if answer not in won] == [Taken]
        assert won[0].number == number
        await stores[0].update(replace(won[0], phase=Phase.REVERTED))
    for store in stores:
        await store.close()


RACER = """
import asyncio, sys
from test_store import NOW, opened
from bot.store import Store, Taken, connect

async def race(url):
    store = Store(connect(url), lambda: NOW)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print("won", (await opened(store)).number)
    except Taken as taken:
        print("lost", taken.open.number)
    await store.close()

asyncio.run(race(sys.argv[1]))
"""


async def test_i13_of_two_processes_on_one_file_one_opens_the_release(url, pytestconfig):
    where = {"PYTHONPATH": f"{pytestconfig.rootpath}:{pytestconfig.rootpath / 'tests'}"}
    pipe = asyncio.subprocess.PIPE
    racers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", RACER, url, stdin=pipe, stdout=pipe, env=where)
        for _ in range(2)
    ]
    async with asyncio.timeout(30):
        assert [await racer.stdout.readline() for racer in racers] == [b"ready\n", b"ready\n"]
        said = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    assert sorted(out for out, _ in said) == [b"lost 1\n", b"won 1\n"]


LEAKS = """
import asyncio, sys
from bot.store import connect

async def leak(url):
    engine = connect(url)
    kept.append(await engine.connect())

kept = []
asyncio.run(leak(sys.argv[1]))
print("the end", flush=True)
"""


async def test_a_connection_that_nobody_closed_does_not_keep_the_process(url, pytestconfig):
    where, pipe = {"PYTHONPATH": str(pytestconfig.rootpath)}, asyncio.subprocess.PIPE
    leaking = await asyncio.create_subprocess_exec(sys.executable, "-c", LEAKS, url, stdout=pipe, env=where)
    assert await leaking.stdout.readline() == b"the end\n"
    try:
        async with asyncio.timeout(10):
            assert await leaking.wait() == 0
    finally:
        if leaking.returncode is None:
            leaking.kill()
            await leaking.wait()


async def test_an_update_based_on_an_old_record_is_refused_whole(store):
    first = await opened(store)
    second = await store.update(replace(first, reason="one"), Event("note", "one"))
    with pytest.raises(Outdated):
        await store.update(replace(first, reason="two"), Event("note", "two"))
    assert await store.newest("mochi") == second
    assert [event.text for event in await store.events(first)] == ["one"]


async def test_of_concurrent_updates_exactly_one_is_taken(store):
    first = await opened(store)
    answers = await asyncio.gather(
        *(store.update(replace(first, reason=str(n)), Event("note", str(n))) for n in range(5)), return_exceptions=True
    )
    taken = [answer for answer in answers if isinstance(answer, Release)]
    assert [type(answer) for answer in answers if answer not in taken] == [Outdated] * 4
    assert [event.text for event in await store.events(first)] == [taken[0].reason]


@pytest.mark.parametrize("turns", [*range(12), 15, 20, 30])
async def test_a_cancelled_write_is_in_the_file_whole_or_not_at_all(store, turns):
    """However far it got: aiosqlite's thread goes on, so the record and its journal must go together."""
    first = await opened(store)
    task = asyncio.create_task(store.update(replace(first, reason="said"), Event("note", "said")))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.note(first, Event("note", "after"))  # queues behind whatever is still under way
    after, texts = await store.newest("mochi"), [event.text for event in await store.events(first)]
    assert (after.reason, texts, after.version) in [("", ["after"], 0), ("said", ["said", "after"], 1)]


async def test_a_cancelled_write_that_has_begun_is_finished(store):
    """A caller that is cancelled leaves; the write ends. A later caller then sees it."""
    first = await opened(store)
    begun = asyncio.Event()
    change = store._change

    async def noticed(*args):
        begun.set()
        return await change(*args)

    store._change = noticed
    task = asyncio.create_task(store.update(replace(first, reason="said"), Event("note", "said")))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store._change = change
    await store.note(first, Event("note", "after"))
    assert (await store.newest("mochi")).reason == "said"
    assert [event.text for event in await store.events(first)] == ["said", "after"]


async def test_a_cancelled_write_that_was_overtaken_is_no_error_of_anybody(store):
    """Who would hear of it has left, and asyncio would report it as lost."""
    first = await opened(store)
    await store.update(replace(first, reason="said"))
    told, loop = [], asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    task = asyncio.create_task(store.update(replace(first, reason="too late")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.note(first, Event("note", "after"))
    del task
    gc.collect()
    assert told == []
    assert (await store.newest("mochi")).reason == "said"


async def test_a_store_that_is_closed_finishes_what_was_begun(url):
    """Whoever asked for the write has left already; the process is about to end."""
    store = Store(connect(url), lambda: NOW)
    first = await opened(store)
    begun = asyncio.Event()
    change = store._change

    async def noticed(*args):
        begun.set()
        return await change(*args)

    store._change = noticed
    task = asyncio.create_task(store.update(replace(first, reason="said"), Event("note", "said")))
    await begun.wait()
    task.cancel()
    await store.close()
    assert not store._under_way
    again = Store(connect(url), lambda: NOW)
    assert (await again.newest("mochi")).reason == "said"
    await again.close()


def workers_since(before):
    return [each for each in set(threading.enumerate()) - before if "connection_worker" in each.name]


LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT count(*) FROM n"


async def test_of_a_store_that_is_closed_no_thread_is_left_even_if_a_query_was_cancelled(url):
    """It would wake an event loop that is closed by then, and the error stream would have a stack trace."""
    await migrate(url)
    before, begun = set(threading.enumerate()), asyncio.Event()
    engine = connect(url)

    async def asked():
        async with engine.connect() as connection:
            begun.set()
            await connection.execute(text(LONG))

    asking = asyncio.create_task(asked())
    await begun.wait()
    while not asking.done():
        asking.cancel()
        await asyncio.sleep(0)
    await Store(engine, lambda: NOW).close()
    assert not workers_since(before)


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_whose_opening_was_cancelled_is_closed(url, turns, recwarn):
    """Whenever that was."""
    await migrate(url)
    before, engine = set(threading.enumerate()), connect(url)

    async def asked():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    asking = asyncio.create_task(asked())
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await Store(engine, lambda: NOW).close()
    assert not workers_since(before)
    gc.collect()
    assert [str(each.message) for each in recwarn] == []


async def test_a_record_that_cannot_be_read_hides_no_other(store):
    await opened(store)
    other = await opened(store, "daifuku")
    async with store._engine.begin() as connection:
        await connection.execute(text("update releases set record = '{}' where app = 'mochi'"))
    assert await store.current() == [other]


async def test_a_write_that_fails_in_the_middle_leaves_nothing(store):
    first = await opened(store)
    unjournalled = Event("note", "x", detail={"cannot": {"be", "JSON"}})
    with pytest.raises(Exception, match="JSON"):
        await store.update(replace(first, reason="half"), Event("note", "one"), unjournalled)
    assert await store.newest("mochi") == first
    assert await store.events(first) == []


@pytest.mark.parametrize("statement", ["UPDATE events SET text = 'nothing happened'", "DELETE FROM events"])
async def test_i14_the_journal_can_only_grow(url, store, statement):
    await store.note(await opened(store), Event("note", "it happened"))
    with sqlite3.connect(url.partition("///")[2]) as raw, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        raw.execute(statement)
    raw.close()


async def test_events_come_in_order_and_from_where_one_stopped(store):
    first = await opened(store)
    await store.note(first, Event("a", "1"), Event("b", "2", actor="x" * 200))
    await store.note(first, Event("c", "3", detail={"patch": [1]}, at=NOW - timedelta(days=1)))
    events = await store.events(first)
    assert [event.text for event in events] == ["1", "2", "3"]
    assert [event.at for event in events] == [NOW, NOW, NOW - timedelta(days=1)]
    assert len(events[1].actor) == 128
    assert [event.text for event in await store.events(first, after=events[1].id)] == ["3"]


async def test_nothing_is_kept_of_a_release_that_does_not_exist(store):
    with pytest.raises(DatabaseError):
        await store.note(release(9), Event("note", "of nothing"))
    with pytest.raises(DatabaseError):
        await store.save_card(Card(release(9).label, 1, 2))


async def test_the_replaced_release_ends_in_the_transaction_that_opens_the_new_one(store):
    first = await opened(store)
    ended = replace(first, phase=Phase.REVERTED, cause=Cause.REPLACED)
    second = await store.create("mochi", release, Event("asked", "again"), replacing=ended)
    old = await store.release("mochi", 1)
    assert (old.phase, old.replaced_by, second.number) == (Phase.REVERTED, 2, 2)
    assert await store.current() == [second]


async def test_replacing_an_outdated_release_opens_nothing(store):
    first = await opened(store)
    moved = await store.update(replace(first, phase=Phase.PROMOTING))
    with pytest.raises(Outdated):
        await store.create("mochi", release, replacing=replace(first, phase=Phase.REVERTED, cause=Cause.REPLACED))
    assert await store.newest("mochi") == moved


async def test_history_is_newest_first_ten_a_page(store):
    for _ in range(23):
        made = await opened(store)
        await store.update(replace(made, phase=Phase.REVERTED))
    await opened(store, "other")

    async def page(number, **of):
        found = await store.history("mochi", number, **of)
        return [each.number for each in found.releases], found.number, found.pages

    assert await page(1) == (list(range(23, 13, -1)), 1, 3)
    assert await page(3) == ([3, 2, 1], 3, 3)
    assert await page(99) == ([3, 2, 1], 3, 3)
    assert await page(-1) == (list(range(23, 13, -1)), 1, 3)
    assert await page(1, author=KIM.id) == ([], 1, 1)
    assert await page(1, author=ANN.id, since=NOW + timedelta(hours=22)) == ([23, 22], 1, 1)


async def test_what_was_live_is_found_by_any_of_its_digests(store):
    platform = "sha256:" + "b" * 64
    live = await opened(store, digests=frozenset({DIGEST, platform}), live_at=NOW)
    live = await store.update(replace(live, phase=Phase.DONE))
    unborn = await opened(store)
    await store.update(replace(unborn, phase=Phase.REVERTED))
    assert await store.last_live("mochi", {platform}) == live
    assert await store.last_live("mochi", {"sha256:" + "c" * 64}) is None
    assert await store.last_live("other", {platform}) is None


async def test_a_vote_counts_once_however_often_it_is_cast(store):
    first = await opened(store)
    for _ in range(3):
        first = await store.cast(first, Vote(KIM, approve=True))
    first = await store.cast(first, Vote(replace(KIM, roles=frozenset()), approve=True))
    assert await store.votes(first) == (Vote(replace(KIM, roles=frozenset()), approve=True),)
    await store.cast(first, Vote(KIM, approve=False))
    assert len(await store.votes(first)) == 2


async def test_a_vote_is_taken_back_once(store):
    first = await store.cast(await opened(store), Vote(KIM, approve=True), Event("vote", "yes"))
    first = await store.withdraw(first, KIM.id, Event("vote", "no"), approve=True)
    await store.withdraw(first, KIM.id, Event("vote", "no"), approve=True)
    assert await store.votes(first) == ()
    assert [event.text for event in await store.events(first)] == ["yes", "no"]


async def test_a_recount_replaces_all_votes(store):
    first = await store.cast(await opened(store), Vote(KIM, approve=True))
    first = await store.recount(first, [Vote(LEO, approve=True), Vote(LEO, approve=True)], Event("vote", "leo"))
    assert await store.votes(first) == (Vote(LEO, approve=True),)
    assert [event.text for event in await store.events(first)] == ["leo"]


async def test_i7_every_change_of_the_votes_makes_older_looks_at_them_outdated(store):
    """So an intent to switch is never stored upon votes that have changed meanwhile."""
    first = await opened(store)
    cast = await store.cast(first, Vote(KIM, approve=True))
    withdrawn = await store.withdraw(cast, KIM.id, approve=True)
    counted = await store.recount(withdrawn, [Vote(LEO, approve=True)])
    for old in (first, cast, withdrawn):
        with pytest.raises(Outdated):
            await store.update(replace(old, phase=Phase.PROMOTING))
        with pytest.raises(Outdated):
            await store.cast(old, Vote(KIM, approve=False))
        with pytest.raises(Outdated):
            await store.recount(old, [])
    assert await store.update(counted)
    assert await store.votes(first) == (Vote(LEO, approve=True),)


async def test_a_card_is_found_by_its_message_only(store):
    first = await opened(store)
    card = Card(first.label, 500, 2**63 - 1, told=3)
    await store.save_card(card)
    await store.save_card(replace(card, thread=7, shown="x", pinged=True))
    assert await store.card(first) == replace(card, thread=7, shown="x", pinged=True)
    assert await store.shown_at(2**63 - 1) == first
    assert await store.shown_at(1) is None
    assert await store.shown_at(2**63 - 1, 500) == first
    assert await store.shown_at(2**63 - 1, 501) is None


async def test_odds_and_ends_are_kept_by_key(store):
    assert await store.get_meta("seen") is None
    await store.set_meta("seen", "1")
    await store.set_meta("seen", "2")
    assert await store.get_meta("seen") == "2"


async def test_i13_a_store_knows_itself_by_an_id_that_no_other_has(url, store, tmp_path, migrated):
    """For as long as its file lives, and from the first moment: two that ask at once are told the same."""
    (tmp_path / "other.db").write_bytes(migrated)
    again, other = (Store(connect(each), lambda: NOW) for each in (url, f"sqlite+aiosqlite:///{tmp_path}/other.db"))
    mine, same, theirs = await asyncio.gather(store.identity(), again.identity(), other.identity())
    assert mine == same == await store.identity() != theirs
    await again.close()
    await other.close()
