"""The command line, as its own process: what is printed where, and with which exit code."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

CHECKOUT = Path(__file__).parent.parent
EXAMPLE = CHECKOUT / "greenlight.example.toml"


@pytest.fixture
def greenlight(tmp_path):
    """Runs `greenlight …` in an empty directory with nothing in the environment but what is given."""

    def run(*arguments: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        base = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
        return subprocess.run(
            [sys.executable, *(["-c", code] if code else ["-m", "bot"]), *arguments],
            cwd=tmp_path,
            env=base | {"PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8"} | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


def test_help_names_every_command(greenlight):
    answer = greenlight("--help")
    assert answer.returncode == 0
    for command in ("init", "check", "run", "demo", "migrate", "healthcheck"):
        assert f"\n  {command} " in answer.stdout


def test_the_version_is_told(greenlight):
    answer = greenlight("--version")
    assert answer.returncode == 0
    assert answer.stdout.startswith("greenlight ")


@pytest.mark.parametrize("command", ["run", "check"])
def test_wrong_settings_are_lines_on_stderr_and_exit_2(greenlight, command):
    """A start-up error is no traceback: who sees it is the person who can put it right."""
    answer = greenlight(command)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert [line.split()[0] for line in answer.stderr.splitlines()] == ["DISCORD_TOKEN", "greenlight.toml:"]


def test_a_wrong_key_names_its_line(greenlight, tmp_path):
    (tmp_path / "mine.toml").write_text("gild = 5\n" + EXAMPLE.read_text("utf-8"), "utf-8")
    answer = greenlight("check", "--offline", GREENLIGHT_CONFIG="mine.toml")
    assert answer.returncode == 2
    assert answer.stderr == "mine.toml:1: gild: is not known; did you mean `guild`?\n"


def test_a_bot_that_cannot_start_ends_with_a_sentence(greenlight):
    """After the settings were right: no traceback either, but what to do."""
    answer = greenlight("run", GREENLIGHT_CONFIG=str(EXAMPLE), DISCORD_TOKEN="abc", KUBECONFIG="nowhere")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert answer.stderr.splitlines()[-1].endswith("nowhere is no file: mend KUBECONFIG, or `kubeconfig` in the file.")


@pytest.mark.parametrize("command", ["run", "migrate"])
@pytest.mark.parametrize("kind", ["no database", "newer", "a directory"])
def test_a_database_that_cannot_be_used_is_one_line(greenlight, tmp_path, command, kind):
    place = tmp_path / "green.db"
    if kind == "no database":
        place.write_text("hello, this is some text" * 100, "utf-8")
    elif kind == "a directory":
        place.mkdir()
    else:
        with contextlib.closing(sqlite3.connect(place)) as database, database:
            database.execute("create table alembic_version (version_num varchar(32) not null)")
            database.execute("insert into alembic_version values ('9999')")
    given = {"GREENLIGHT_CONFIG": str(EXAMPLE), "DISCORD_TOKEN": "abc", "DISCORD_API_URL": "http://127.0.0.1:9"}
    given |= {"KUBECONFIG": "nowhere"}
    answer = greenlight(command, DATABASE_URL=f"sqlite+aiosqlite:///{place}", **given)
    said = {
        "no database": "file is not a database",
        "newer": "was made by a newer Greenlight",
        "a directory": "unable to open database file",
    }
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    [line] = answer.stderr.splitlines()
    assert f"DATABASE_URL: {place}: {said[kind]}" in line


def test_i13_a_second_bot_on_a_database_does_not_start_and_a_check_does(greenlight, tmp_path):
    """The one that is there has it locked; whoever only asks is answered."""
    (tmp_path / "green.db.running").write_text("host web-1, process 17, since 2026-01-05 09:00 UTC", "utf-8")
    given = {"GREENLIGHT_CONFIG": str(EXAMPLE), "DISCORD_TOKEN": "abc", "DISCORD_API_URL": "http://127.0.0.1:9"}
    given |= {"KUBECONFIG": "nowhere"}
    given["DATABASE_URL"] = f"sqlite+aiosqlite:///{tmp_path / 'green.db'}"
    with filelock.FileLock(tmp_path / "green.db.running.lock"):
        second, check = greenlight("run", **given), greenlight("check", "--json", **given)
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == (
        f"DATABASE_URL: {tmp_path / 'green.db'}: another Greenlight is running on it "
        "(host web-1, process 17, since 2026-01-05 09:00 UTC): "
        "stop that one first. Two would both do what is asked of one."
    )
    assert "Traceback" not in second.stderr
    assert [each["state"] for each in json.loads(check.stdout) if each["part"] == "database"] == ["ok"]


CONFIG_OF_NO_CLUSTER = """
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: test, user: {token: a-token-of-the-test}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
"""


@pytest.mark.parametrize(
    ("kubeconfig", "said"),
    [
        (CONFIG_OF_NO_CLUSTER, "cannot be reached at http://127.0.0.1:9"),
        (None, "kubeconfig is no file"),
        ("not: [yaml", "kubeconfig cannot be used: while parsing"),
        ("{}", "kubeconfig cannot be used: "),
    ],
    ids=["away", "missing", "no yaml", "empty"],
)
def test_a_check_tells_everything_that_does_not_answer(greenlight, tmp_path, kubeconfig, said):
    """One part that fails hides no other."""
    if kubeconfig is not None:
        (tmp_path / "kubeconfig").write_text(kubeconfig, "utf-8")
    (tmp_path / "greenlight.toml").write_text(
        EXAMPLE.read_text("utf-8").replace("registry.example.com/mochi", "127.0.0.1:9/mochi"), "utf-8"
    )
    away = {"DISCORD_API_URL": "http://127.0.0.1:9", "KUBECONFIG": "kubeconfig"}
    answer = greenlight("check", "--json", DISCORD_TOKEN="abc", **away)
    assert (answer.returncode, answer.stderr) == (1, "")
    told = json.loads(answer.stdout)
    assert [(each["part"], each["about"], each["state"]) for each in told] == [
        ("settings", "mochi", "ok"),
        ("database", "database", "ok"),
        ("Discord", "Discord", "fail"),
        ("cluster", "API server", "fail"),
        ("app mochi", "registry", "fail"),
    ]
    assert said in told[3]["sentence"]
    assert all(each["fix"] for each in told if each["state"] == "fail")


def test_an_offline_check_needs_no_token_and_prints_what_each_app_was_taken_for(greenlight):
    answer = greenlight("check", "--offline", GREENLIGHT_CONFIG=str(EXAMPLE))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        "settings",
        "  ok    mochi  registry.example.com/mochi → mochi/mochiapp (mochiapp-blue and mochiapp-green)",
        "",
        "All is right.",
    ]


def test_migrate_makes_the_database_and_may_be_repeated(greenlight, tmp_path):
    for _ in range(2):
        answer = greenlight("migrate", DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/green.db")
        assert (answer.returncode, answer.stdout) == (0, "The database is up to date.\n"), answer.stderr
    assert (tmp_path / "green.db").stat().st_size > 0


def test_migrate_needs_neither_token_nor_file(greenlight):
    assert greenlight("migrate").returncode == 0


def test_the_demo_says_what_to_do_where_it_is_not_installed(greenlight, tmp_path):
    """A wheel holds no sandbox."""
    (tmp_path / "bot").mkdir()
    source = (CHECKOUT / "bot" / "__main__.py").read_text("utf-8")
    (tmp_path / "bot" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "bot" / "__main__.py").write_text(source, "utf-8")
    answer = greenlight("demo", PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr.startswith("The demo is not part of this installation: clone ")


def test_the_demo_takes_the_place_of_the_command_with_its_arguments(greenlight, tmp_path):
    """So that Ctrl-C and the exit code are the demo's own."""
    for package in ("bot", "sandbox"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("", "utf-8")
    (tmp_path / "bot" / "__main__.py").write_text((CHECKOUT / "bot" / "__main__.py").read_text("utf-8"), "utf-8")
    tell = "import os, sys; print(os.environ['STARTED'] == str(os.getpid()), sys.argv[1:]); sys.exit(7)"
    (tmp_path / "sandbox" / "__main__.py").write_text(tell, "utf-8")
    start = "import os; os.environ['STARTED'] = str(os.getpid()); from bot.__main__ import main; main()"
    answer = greenlight("demo", "--port", "8080", "--help", code=start, PYTHONPATH=str(tmp_path))
    assert answer.stdout == "True ['demo', '--port', '8080', '--help']\n", answer.stderr
    assert answer.returncode == 7


def test_a_bot_that_is_not_there_is_not_healthy(greenlight):
    answer = greenlight("healthcheck", GREENLIGHT_HEALTH="127.0.0.1:9")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("127.0.0.1:9: ")
    assert "no bot is running with this GREENLIGHT_HEALTH, or not yet" in answer.stderr


@pytest.mark.parametrize("address", ["", "8080", "localhost:http"])
def test_a_probe_without_an_address_is_a_wrong_setting(greenlight, address):
    answer = greenlight("healthcheck", GREENLIGHT_HEALTH=address)
    assert answer.returncode == 2
    assert answer.stderr.startswith("GREENLIGHT_HEALTH is not set to host:port")


def test_help_and_health_check_load_nothing_heavy(greenlight):
    """A probe runs every few seconds beside the bot, in the same memory limit."""
    code = (
        "import sys, contextlib; from bot.__main__ import greenlight\n"
        "with contextlib.suppress(SystemExit): greenlight(['healthcheck'], standalone_mode=False)\n"
        "print([name for name in ('discord', 'sqlalchemy', 'pydantic', 'kubernetes_asyncio') if name in sys.modules])"
    )
    answer = greenlight(code=code, GREENLIGHT_HEALTH="127.0.0.1:9")
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr
