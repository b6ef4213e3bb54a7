"""Which namespace credentials mean where nobody names one."""

import json

import pytest

from bot.clusters import namespace
from bot.clusters.api import credentials
from bot.clusters.namespace import current_namespace


@pytest.fixture
def kubeconfig(tmp_path):
    place = tmp_path / "kubeconfig"

    def write(**contexts):
        named = [
            {"name": called, "context": {"cluster": "c", "user": "u"} | ({"namespace": meant} if meant else {})}
            for called, meant in contexts.items()
        ]
        base = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster": {"server": "http://x"}}]}
        base |= {"users": [{"name": "u", "user": {}}], "contexts": named, "current-context": next(iter(contexts))}
        place.write_text(json.dumps(base))
        return str(place)

    return write


def test_it_is_that_of_the_context(kubeconfig):
    place = kubeconfig(here="mochi", there="next", nowhere="")
    assert current_namespace(place, None) == "mochi"
    assert current_namespace(place, "there") == "next"
    assert current_namespace(place, "nowhere") == "default"


def test_credentials_that_cannot_be_read_mean_the_default(tmp_path):
    """Whoever connects with them says what is wrong."""
    assert current_namespace(str(tmp_path / "nothing"), None) == "default"


def test_in_a_pod_it_is_that_of_its_service_account(tmp_path, monkeypatch, kubeconfig):
    """Where no file is named: a kubeconfig means what it says in a pod too."""
    for name, text in (("token", "t"), ("ca.crt", "c"), ("namespace", "greenlight\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(namespace, "IN_THE_POD", str(tmp_path))
    loader = credentials.config.incluster_config
    monkeypatch.setattr(loader, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(loader, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert current_namespace(None, None) == "greenlight"
    assert current_namespace(kubeconfig(here="mochi"), None) == "mochi"
