"""What an Ingress says that cannot work: a port that is not there, a host without a certificate; and late balancers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clusters.ingress import backends, missing_port, not_atomic, ports, uncovered

DOMAIN, XYZ = "mochiapp.bluegreen.domain", "mochiapp.bluegreen.xyz"


def ingress(*, host=XYZ, port=None, tls=(DOMAIN,), service="mochiapp", default=None, notes=None, kind="nginx"):
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {"ingressClassName": kind, "rules": [{"host": host, "http": {"paths": [path]}}]}
    if tls:
        spec["tls"] = [{"hosts": [each], "secretName": "s"} for each in tls]
    if default:
        spec["defaultBackend"] = {"service": {"name": service, "port": default}}
    return {"metadata": {"name": "entrance", "annotations": notes or {}}, "spec": spec}


def service(*, notes=None, **numbers):
    named = [{"name": name, "port": number, "targetPort": "http"} for name, number in numbers.items()]
    metadata = {"name": "mochiapp", "annotations": notes or {}}
    return {"metadata": metadata, "spec": {"ports": named or [{"port": 80, "targetPort": "http"}]}}


@pytest.mark.parametrize(
    ("found", "item", "expected"),
    [
        (ingress(), service(), None),
        (ingress(port={"name": "web"}), service(web=80), None),
        (ingress(port={"name": "http"}), service(), ("entrance", "http")),  # the name is the container's, not its own
        (ingress(port={"number": 8080}), service(), ("entrance", 8080)),
        (ingress(default={"number": 81}), service(), ("entrance", 81)),
        (ingress(port={"number": 8080}, service="other"), service(), None),
        (ingress(port={"number": True}), service(), None),
    ],
)
def test_a_port_that_the_service_does_not_have_is_named(found, item, expected):
    assert missing_port(item, [ingress(), found]) == expected


def test_a_service_is_reached_by_the_name_and_by_the_number_of_its_ports():
    assert ports(service(web=80, admin=9000)) == {"web", 80, "admin", 9000}


def test_a_host_without_a_certificate_is_named_where_others_have_one():
    """The example that people copy: `tls` names another host than `rules`, and the browser is shown a stranger's."""
    assert [*uncovered("mochiapp", [ingress()])] == [("entrance", XYZ, [DOMAIN])]
    assert [*uncovered("mochiapp", [ingress(tls=(DOMAIN, "*.bluegreen.xyz"))])] == []
    assert [*uncovered("mochiapp", [ingress(tls=(DOMAIN, XYZ))])] == []
    assert [*uncovered("mochiapp", [ingress(tls=())])] == []  # plain http is what was meant
    assert [*uncovered("other", [ingress()])] == []


@pytest.mark.parametrize(
    ("found", "item", "said"),
    [
        (ingress(), service(), ""),
        (ingress(kind="alb"), service(), "Ingress entrance is a load balancer of AWS (ALB)"),
        (
            ingress(notes={"kubernetes.io/ingress.class": "alb"}),
            service(),
            "Ingress entrance is a load balancer of AWS (ALB)",
        ),
        (
            ingress(notes={"alb.ingress.kubernetes.io/target-type": "ip"}),
            service(),
            "Ingress entrance is a load balancer of AWS (ALB)",
        ),
        (ingress(kind="alb", notes={"alb.ingress.kubernetes.io/target-type": "instance"}), service(), ""),
        (ingress(kind="alb", service="other"), service(), ""),
        (
            ingress(),
            service(notes={"cloud.google.com/neg": '{"ingress": true}'}),
            "Service mochiapp has network endpoint groups (GKE)",
        ),
        (
            ingress(),
            service(notes={"cloud.google.com/neg-status": "{}"}),
            "Service mochiapp has network endpoint groups (GKE)",
        ),
    ],
)
def test_a_load_balancer_that_knows_pods_by_itself_is_told(found, item, said):
    """It learns of a switch pod by pod, after the Service."""
    assert not_atomic(item, [found]) == said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 90) | st.sampled_from(["mochiapp", "a.example", "alb", "http"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "rules", "http", "paths", "backend", "service", "name", "port", "tls", "hosts", "metadata"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(JSON, JSON)
def test_strange_objects_say_nothing_and_break_nothing(found, item):
    assert isinstance([*backends(found)], list)
    assert isinstance([*uncovered("mochiapp", [found])], list)
    assert missing_port(item, [found]) is None or isinstance(missing_port(item, [found]), tuple)
    assert isinstance(not_atomic(item, [found]), str)
