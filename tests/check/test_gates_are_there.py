"""What gates run in the cluster is there, and Greenlight may run it."""

import pytest

from bot.check.finding import State
from world import NAMESPACE

GATES = """
[[apps.mochi.gates]]
name = "load"
kind = "k6"
script = { configmap = "mochi-k6", key = "load.js" }
[[apps.mochi.gates]]
name = "migrate"
kind = "job"
template = { cronjob = "mochi-migrate" }
mode = "warn"
"""


def config_map(**data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mochi-k6", "namespace": NAMESPACE},
        "data": data,
    }


def cron_job():
    pod = {"restartPolicy": "Never", "containers": [{"name": "migrate", "image": "registry.example.com/migrate:1"}]}
    spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    metadata = {"name": "mochi-migrate", "namespace": NAMESPACE}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


@pytest.fixture
async def gated(team):
    file = team.folder / "greenlight.toml"
    file.write_text(file.read_text() + GATES)
    team.cluster.apply([config_map(**{"load.js": "…"}), cron_job()])
    team.may(team.allowed())
    return team


async def test_what_gates_run_is_told(checked, gated):
    found = await checked()
    assert found.wrong == []
    told = {each.about: each.sentence for each in found if each.about.startswith("gate")}
    assert told == {
        "gate load": "runs load.js of ConfigMap mochi-k6.",
        "gate migrate": "runs what CronJob mochi-migrate runs.",
    }


async def test_a_script_and_a_cronjob_that_are_not_there_are_told_with_the_fix(checked, gated):
    gated.cluster.objects.delete("configmaps", NAMESPACE, "mochi-k6")
    gated.cluster.objects.delete("cronjobs", NAMESPACE, "mochi-migrate")
    load, migrate = (await checked()).wrong
    assert (load.about, load.state, migrate.about, migrate.state) == (
        "gate load",
        State.FAIL,
        "gate migrate",
        State.WARN,
    )
    assert load.sentence == "has no script: there is no ConfigMap mochi-k6 in namespace mochi."
    assert load.fix == "Make it: kubectl -n mochi create configmap mochi-k6 --from-file=load.js"
    assert migrate.sentence == "has nothing to run: there is no CronJob mochi-migrate in namespace mochi."


async def test_a_configmap_without_the_key_is_told(checked, gated):
    await gated.replace("configmaps", "mochi-k6", config_map(**{"smoke.js": "…"}))
    [wrong] = (await checked()).wrong
    assert wrong.sentence == "has no script: ConfigMap mochi-k6 has no load.js, but smoke.js."


async def test_each_right_that_gates_add_is_asked_for(checked, gated):
    """None of them is given by default, and without a gate none is wanted."""
    added = ("jobs", "configmaps", "cronjobs")
    gated.may([rule for rule in gated.allowed() if rule["resources"][0] not in added])
    told = {(each.sentence, each.state) for each in (await checked()).wrong}
    assert told == {
        ("Greenlight may not get ConfigMap mochi/mochi-k6: no release is possible.", State.FAIL),
        ("Greenlight may not get CronJob mochi/mochi-migrate: gate migrate comes to no verdict.", State.WARN),
        *(
            (f"Greenlight may not {verb} jobs in mochi: no release is possible.", State.FAIL)
            for verb in ("create", "get", "delete")
        ),
    }


async def test_without_such_a_gate_no_right_is_wanted_and_that_to_start_jobs_is_too_much(checked, team):
    rules = team.allowed()
    assert not {"jobs", "configmaps", "cronjobs"} & {each for rule in rules for each in rule["resources"]}
    team.may([*rules, {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}])
    [wrong] = (await checked()).wrong
    assert wrong.sentence == "Greenlight may do more here than it needs: start Jobs."
