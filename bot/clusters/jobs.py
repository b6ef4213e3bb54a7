"""The Jobs that gates run: made, found again by their names, and deleted."""

from collections.abc import Mapping

from bot.clusters.api import CONFIG_MAP, CRON_JOB, JOB, POD, Api, Json
from bot.clusters.errors import Malformed
from bot.clusters.raw import mapping, text
from bot.release.app import App

OF_JOB = "batch.kubernetes.io/controller-uid"
"""Label of a Job's pods (Kubernetes 1.27 and newer): a name may be another Job's by now, its uid never."""


class KubeJobs:
    """`bot.gates.job.Jobs`, for the apps of several clusters."""

    def __init__(self, apis: Mapping[str, Api]) -> None:
        """By the names that `App.cluster` uses."""
        self._apis = apis

    async def job(self, app: App, name: str) -> Json:
        return await self._apis[app.cluster].get(JOB, app.namespace, name)

    async def create(self, app: App, job: Json) -> None:
        await self._apis[app.cluster].create(JOB, app.namespace, job)

    async def delete(self, app: App, name: str) -> None:
        await self._apis[app.cluster].delete(JOB, app.namespace, name)

    async def pods(self, app: App, job: Json) -> list[Json]:
        uid = text(mapping(job.get("metadata")).get("uid"))
        if not uid:
            raise Malformed("a Job without a uid")
        return (await self._apis[app.cluster].list(POD, app.namespace, labels=f"{OF_JOB}={uid}")).items

    async def template(self, app: App, cronjob: str) -> Json:
        """The `jobTemplate` of a CronJob."""
        found = await self._apis[app.cluster].get(CRON_JOB, app.namespace, cronjob)
        return dict(mapping(mapping(found.get("spec")).get("jobTemplate")))

    async def keys(self, app: App, configmap: str) -> frozenset[str]:
        """Under which a ConfigMap holds text."""
        found = await self._apis[app.cluster].get(CONFIG_MAP, app.namespace, configmap)
        return frozenset(mapping(found.get("data")))
