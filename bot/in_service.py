"""Which apps could begin a release: looked at now and then, so that a broken one is told before somebody needs it."""

import structlog

from bot.clusters.cluster import Cluster
from bot.clusters.errors import ClusterError, Forbidden, Malformed, Missing, Unfit
from bot.release.app import App

log = structlog.get_logger()


class InService:
    """One app that is out of service is logged once, and keeps no other from anything."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._out: dict[str, str] = {}

    def why_not(self, app: App) -> str:
        """The sentence that `/deploy` would be answered with at the last look; "" when it would not be refused."""
        return self._out.get(app.name, "")

    async def look(self, app: App) -> None:
        before = self.why_not(app)
        try:
            self._out[app.name] = (await self._cluster.start(app)).unheard
        except (Unfit, Missing, Forbidden, Malformed) as error:
            self._out[app.name] = str(error)
        except ClusterError:  # about the cluster: of no use to whoever maintains the app, and its watches tell
            return
        now = self.why_not(app)
        if now and now != before:
            log.warning("app is out of service", app=app.name, reason=now)
        if before and not now:
            log.info("app is in service again", app=app.name)
