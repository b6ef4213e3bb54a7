"""The Jobs of gates, as the real API server takes them and the real Job controller ends them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.clusters.api import KubeApi
from bot.clusters.jobs import KubeJobs
from bot.gates.errand import name_of
from bot.gates.job import job_check
from bot.gates.k6 import k6_check
from bot.release import gates
from bot.release.app import K6, App, Approval, Gate, Job, Native
from bot.release.record import Person, Phase, Release, Version
from bot.release.snapshot import Verdict
from control_plane import ControlPlane

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
LOAD = Gate("load", K6("mochi-k6", "load.js", "registry.example.com/k6:1.4.0"), timeout=timedelta(seconds=60))
MIGRATE = Gate("migrate-check", Job("mochi-migrate"), timeout=timedelta(seconds=60))


def release() -> Release:
    candidate = {"app": "mochi", "greenlight.dev/release": "mochi-7-k3f9q2"}
    live = Version("registry.example.com/mochi:blue", "mochiapp-blue", {"app": "mochi"})
    image = "registry.example.com/mochi@sha256:" + "a" * 64
    told = ("mochi", 7, "mochi-7-k3f9q2", image, "mochi:green", frozenset(), Person(1, "ann"), "mochiapp-green")
    return Release(*told, candidate, live, NOW, NOW, phase=Phase.READY, ready_at=NOW)


class Gated:
    def __init__(self, plane: ControlPlane, namespace: str, api: KubeApi) -> None:
        self.plane, self.namespace, self.api = plane, namespace, api
        native = Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green"))
        self.app = App("mochi", namespace, 1, "", native, frozenset(), Approval(()))

    async def run(self, gate: Gate):
        check = {"k6": k6_check, "job": job_check}[gate.kind]
        begun = gates.begin(release(), [gate], NOW)
        self.name = name_of(begun, gate)
        async with asyncio.timeout(60):
            return await check(KubeJobs({"": self.api}), self.inside)(self.app, begun, gate)

    async def inside(self, _: App) -> str:
        return "http://mochiapp-preview:80"

    def create(self, kind: str, body) -> None:
        path = {"CronJob": "/apis/batch/v1", "ConfigMap": "/api/v1"}[kind]
        self.plane.request("POST", f"{path}/namespaces/{self.namespace}/{kind.lower()}s", body)

    def cron_job(self, tag: str) -> None:
        container = {"name": "migrate", "image": f"registry.example.com/migrate:{tag}"}
        spec = {"restartPolicy": "OnFailure", "containers": [container]}
        template = {"spec": {"backoffLimit": 5, "template": {"spec": spec}}}
        metadata = {"name": "mochi-migrate"}
        body = {"metadata": metadata, "spec": {"schedule": "0 3 * * *", "suspend": True, "jobTemplate": template}}
        self.create("CronJob", body)


@pytest.fixture
async def gated(control_plane, namespace, tmp_path):
    (tmp_path / "kubeconfig").write_text(json.dumps(control_plane.kubeconfig(control_plane.admin_token)))
    api = await KubeApi.connect(kubeconfig=str(tmp_path / "kubeconfig"))
    yield Gated(control_plane, namespace, api)
    await api.close()


@pytest.mark.parametrize(
    ("tag", "verdict", "detail"),
    [
        ("ok", Verdict.PASSED, "exit code 0"),
        ("crash", Verdict.FAILED, "container migrate ended with exit code 1"),
        ("nopull", Verdict.NONE, "its container cannot start (ImagePullBackOff"),
    ],
)
async def test_a_job_after_a_cronjob_ends_as_its_container_does(gated, tag, verdict, detail):
    gated.cron_job(tag)
    finding = await gated.run(MIGRATE)
    assert (finding.verdict, finding.detail[: len(detail)]) == (verdict, detail)


@pytest.fixture
def restricted(gated):
    """The Pod Security Standard that allows least."""
    path = f"/api/v1/namespaces/{gated.namespace}"
    namespace = gated.plane.request("GET", path)
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    gated.plane.request("PUT", path, namespace)
    return gated


async def test_what_runs_k6_is_taken_where_the_pod_security_standard_is_restricted(restricted):
    """The pod maker's k6 says nothing at all, and that is no verdict."""
    restricted.create("ConfigMap", {"metadata": {"name": "mochi-k6"}, "data": {"load.js": "…"}})
    finding = await restricted.run(LOAD)
    assert (finding.verdict, finding.detail) == (Verdict.NONE, "k6 left no summary that can be read: nothing")
    job = restricted.plane.request("GET", f"/apis/batch/v1/namespaces/{restricted.namespace}/jobs/{restricted.name}")
    assert [c["type"] for c in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]


async def test_a_pod_that_is_refused_is_no_verdict(restricted):
    """The Job does not say so: there is no pod, and an event."""
    restricted.cron_job("ok")
    finding = await restricted.run(MIGRATE)
    assert finding.verdict is Verdict.NONE
    assert finding.detail == f"no pod was made for it; kubectl describe job {restricted.name} says why"
