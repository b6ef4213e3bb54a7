"""A simulated cluster for the tests of this folder: in process on virtual time, or served over HTTP."""

from collections.abc import AsyncIterator

import pytest
from kubernetes_asyncio import client

from sandbox.cluster import Cluster, wall_clock


@pytest.fixture
def cluster() -> Cluster:
    """Virtual time, no sockets; the namespace `mochi` is there."""
    made = Cluster(seed=7)
    made.objects.create("namespaces", "", {"metadata": {"name": "mochi"}})
    return made


@pytest.fixture
async def served() -> AsyncIterator[Cluster]:
    """The same over HTTP, on real time, with its controllers running."""
    made = Cluster(now=wall_clock, seed=7)
    made.objects.create("namespaces", "", {"metadata": {"name": "mochi"}})
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def api(served: Cluster) -> AsyncIterator[client.ApiClient]:
    """An unmodified client of the served cluster, as its administrator."""
    settings = client.Configuration(host=served.url)
    settings.api_key["BearerToken"] = f"Bearer {served.token}"
    async with client.ApiClient(settings) as made:
        yield made
