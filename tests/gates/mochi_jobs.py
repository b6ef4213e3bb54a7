"""Mochi on a cluster of the sandbox, with what its gates run as Jobs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from bot.clusters.api import KubeApi
from bot.clusters.jobs import KubeJobs
from bot.gates.errand import name_of
from bot.gates.job import job_check
from bot.gates.k6 import k6_check
from bot.release import gates
from bot.release.app import K6, Gate, Job
from mochi import PREVIEW, mochi
from sandbox.cluster import INSTANT, Behaviour, Cluster, PatchType, wall_clock
from world import example

NS = "mochi"
LOAD = Gate("load", K6("mochi-k6", "load.js", env={"VUS": "20", "PRICE": "$(VUS) $5"}), timeout=timedelta(seconds=30))
MIGRATE = Gate("migrate-check", Job("mochi-migrate-check"), timeout=timedelta(seconds=30))
LASTS = Behaviour(ready_after=3600.0)
SCRIPT = """
import http from 'k6/http';
import { check } from 'k6';
export const options = { thresholds: { http_req_duration: ['p(95)<300'], http_req_failed: ['rate<0.01'] } };
export default function () { check(http.get(__ENV.PREVIEW_URL), { 'it answers': (r) => r.status === 200 }); }
"""


def cron_job(image="registry.example.com/migrate:ok", **spec):
    container = {"name": "migrate", "image": image, "env": [{"name": "RELEASE_LABEL", "value": "old"}]}
    pod = {"restartPolicy": "OnFailure", "containers": [container]}
    labels = {"app": "mochi", "greenlight.dev/release": "mochi-6-aaaaaa"}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "mochi-migrate-check", "namespace": NS},
        "spec": {
            "schedule": "0 3 * * *",
            "jobTemplate": {
                "spec": {"backoffLimit": 5, **spec, "template": {"metadata": {"labels": labels}, "spec": pod}}
            },
        },
    }


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mochi-k6", "namespace": NS}, "data": data}


class Place:
    """A cluster with Mochi, and what gates do there. Between two looks a test may do something."""

    def __init__(self, cluster, api, release):
        self.cluster, self.api = cluster, api
        self.jobs = KubeJobs({"": api})
        self.release = release
        self.looks = []

    def begun(self, gate):
        self.release = gates.begin(self.release, [gate], self.release.since)
        return name_of(self.release, gate)

    async def inside(self, _):
        return f"http://{PREVIEW}.{NS}.svc:80"

    async def pause(self, _):
        await asyncio.sleep(0.02)
        if self.looks:
            self.looks.pop(0)()

    def check(self, gate):
        return {"k6": k6_check, "job": job_check}[gate.kind](self.jobs, self.inside, pause=self.pause)

    async def run(self, gate, *between):
        """The finding, with what is done between looks at the Job."""
        if gates.result_of(gate, self.release) is None:
            self.begun(gate)
        self.looks += between
        async with asyncio.timeout(20):
            return await self.check(gate)(example(), self.release, gate)

    @property
    def found(self):
        return self.cluster.objects.items("jobs", NS)

    @property
    def job(self):
        [job] = self.found
        return job

    @property
    def pod(self):
        [pod] = self.cluster.objects.items("pods", NS, "batch.kubernetes.io/job-name")
        return pod

    async def there(self):
        """Until a Job is."""
        found = asyncio.Event()
        unsubscribe = self.cluster.objects.subscribe(lambda change: change.plural == "jobs" and found.set())
        async with asyncio.timeout(10):
            await found.wait()
        unsubscribe()

    def delete_job(self):
        self.cluster.objects.delete("jobs", NS, self.job["metadata"]["name"])

    def status_of_pod(self, **status):
        pod = self.pod
        body = {**pod, "status": {**pod["status"], **status}}
        self.cluster.objects.replace("pods", NS, pod["metadata"]["name"], body, subresource="status")

    def ends(self, code, message="", **more):
        """Somehow, whatever the sandbox would make of its image."""
        [container] = self.pod["status"]["containerStatuses"]
        state = {"terminated": {"exitCode": code, "message": message, "reason": "Error", **more}}
        phase = "Failed" if code else "Succeeded"
        self.status_of_pod(phase=phase, containerStatuses=[{**container, "state": state}])


@asynccontextmanager
async def placed(folder: Path, release, k6: Path | None = None) -> AsyncIterator[Place]:
    """`k6` as in `Cluster`."""
    behaviours = {
        **INSTANT,
        "slow": Behaviour(answers_after=0.4),
        "lasts": LASTS,
        "bad": Behaviour(crash="two migrations are missing"),
        "1.4.1": LASTS,
    }
    cluster = Cluster(now=wall_clock, behaviours=behaviours, k6=k6)
    await cluster.start()
    cluster.apply(
        [*mochi(NS, live_image="registry.example.com/mochi:blue"), cron_job(), config_map(**{"load.js": SCRIPT})]
    )
    (folder / "kubeconfig").write_text(json.dumps(cluster.kubeconfig()))
    api = await KubeApi.connect(kubeconfig=str(folder / "kubeconfig"))
    candidate(cluster, "registry.example.com/mochi:green")
    yield Place(cluster, api, release)
    await api.close()
    await cluster.stop()


def candidate(cluster, image):
    """Behind the preview Service."""
    container = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    cluster.objects.patch("deployments", NS, "mochiapp-green", {"spec": {"replicas": 1}})
    cluster.objects.patch("deployments", NS, "mochiapp-green", container, PatchType.JSON)
