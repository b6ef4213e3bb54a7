"""Which addresses come out of Ingresses, HTTPRoutes and Gateways, and that nothing in them can do harm."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.clusters.links import LIMIT, best_link, links


def ingress(*rules: dict, tls: list | None = None, default: str = "", status: list | None = None) -> dict:
    spec: dict[str, Any] = {"rules": list(rules)}
    if tls is not None:
        spec["tls"] = tls
    if default:
        spec["defaultBackend"] = {"service": {"name": default, "port": {"number": 80}}}
    return {"kind": "Ingress", "spec": spec, "status": {"loadBalancer": {"ingress": status or []}}}


def rule(host: str = "", path: str = "/", service: str = "mochi") -> dict:
    paths = [{"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"name": "http"}}}}]
    return {"http": {"paths": paths}} | ({"host": host} if host else {})


def route(*hosts: str, parent: dict | None = None, rules: list | None = None) -> dict:
    return {
        "kind": "HTTPRoute",
        "metadata": {"name": "mochi", "namespace": "shop"},
        "spec": {
            "hostnames": list(hosts),
            "parentRefs": [parent or {"name": "edge"}],
            "rules": rules if rules is not None else [backends({"name": "mochi", "port": 80})],
        },
    }


def backends(*refs: dict, matches: list | None = None) -> dict:
    return {"backendRefs": list(refs)} | ({"matches": matches} if matches is not None else {})


def gateway(*listeners: dict, addresses: tuple[str, ...] = (), namespace: str = "shop") -> dict:
    return {
        "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": namespace},
        "spec": {"listeners": list(listeners)},
        "status": {"addresses": [{"type": "IPAddress", "value": value} for value in addresses]},
    }


HTTP = {"name": "web", "protocol": "HTTP", "port": 80}
HTTPS = {"name": "secure", "protocol": "HTTPS", "port": 443}
BALANCER = [{"ip": "192.0.2.7"}]
MOCHI = {"name": "mochi", "port": 80}


@pytest.mark.parametrize(
    ("given_ingress", "expected"),
    [
        pytest.param(ingress(rule("a.example")), ["http://a.example/"], id="no tls is http"),
        pytest.param(ingress(rule("a.example"), tls=[{"hosts": ["a.example"]}]), ["https://a.example/"], id="tls"),
        pytest.param(
            ingress(rule("a.b.example"), tls=[{"hosts": ["*.b.example"]}]), ["https://a.b.example/"], id="wild"
        ),
        pytest.param(
            ingress(rule("x.a.b.example"), tls=[{"hosts": ["*.b.example"]}]),
            ["http://x.a.b.example/"],
            id="a wildcard certificate is good for one label only",
        ),
        pytest.param(
            ingress(rule("b.example"), tls=[{"hosts": ["*.b.example"]}]), ["http://b.example/"], id="not zero"
        ),
        pytest.param(
            ingress(rule("a.example"), tls=[{"hosts": ["b.example"]}]), ["http://a.example/"], id="other's tls"
        ),
        pytest.param(
            ingress(rule("a.example"), tls=[{"secretName": "s"}]), ["http://a.example/"], id="tls for no host"
        ),
        pytest.param(ingress(rule("a.example", "/shop")), ["http://a.example/shop"], id="path"),
        pytest.param(ingress(rule("a.example", "")), ["http://a.example/"], id="no path"),
        pytest.param(ingress(rule("a.example", "/shop(/|$)(.*)")), ["http://a.example/shop"], id="nginx's idiom"),
        pytest.param(ingress(rule("a.example", "/v1/.*")), ["http://a.example/v1/"], id="a pattern up to its slash"),
        pytest.param(ingress(rule("a.example", "/v[0-9]+/x")), ["http://a.example/"], id="a pattern in the first part"),
        pytest.param(ingress(rule("*.example.com")), [], id="a wildcard host is no address"),
        pytest.param(ingress(rule("a.example", service="other")), [], id="another Service"),
        pytest.param(ingress(rule()), [], id="no host and no balancer yet"),
        pytest.param(ingress(rule(), status=BALANCER), ["http://192.0.2.7/"], id="no host: the balancer"),
        pytest.param(
            ingress(rule(path="/x"), status=[{"hostname": "lb.example"}]), ["http://lb.example/x"], id="by name"
        ),
        pytest.param(ingress(rule(), status=[{"ip": "2001:db8::7"}]), ["http://[2001:db8::7]/"], id="IPv6 in brackets"),
        pytest.param(ingress(rule(), status=[{"ip": "fe80::1%eth0"}]), [], id="an address of one link only"),
        pytest.param(ingress(default="mochi", status=BALANCER), ["http://192.0.2.7/"], id="default backend"),
        pytest.param(ingress(default="other", status=BALANCER), [], id="another's default backend"),
        pytest.param(
            ingress(rule("a.example", "/long"), rule("a.example"), rule("b.example"), tls=[{"hosts": ["b.example"]}]),
            ["https://b.example/", "http://a.example/", "http://a.example/long"],
            id="https first, then the shortest path",
        ),
        pytest.param(
            ingress(rule(), rule("a.example", "/deep/down"), status=BALANCER),
            ["http://a.example/deep/down", "http://192.0.2.7/"],
            id="a name before an IP address",
        ),
        pytest.param(ingress(rule("a.example"), rule("a.example")), ["http://a.example/"], id="no address twice"),
        pytest.param(ingress(rule('a.example/"onclick')), [], id="a host that is none"),
        pytest.param(ingress(rule("user@a.example")), [], id="no userinfo"),
        pytest.param(ingress(rule("a.example", "/" + "x" * 512)), [], id="longer than a button takes"),
        pytest.param(ingress(rule("a.example", "/%zz")), ["http://a.example/"], id="a broken escape"),
        pytest.param(ingress(rule("a.example", "no-slash")), ["http://a.example/"], id="a path that is none"),
    ],
)
def test_an_ingress_gives_these_addresses(given_ingress, expected):
    assert links("mochi", [given_ingress], []) == expected


@pytest.mark.parametrize(
    ("given_route", "gateways", "expected"),
    [
        pytest.param(route("a.example"), [], ["http://a.example/"], id="an unknown Gateway is taken for http"),
        pytest.param(
            route("a.example", parent={"name": "edge", "sectionName": "https-web"}),
            [],
            ["https://a.example/"],
            id="unless the section's name says https",
        ),
        pytest.param(route("a.example", parent={"name": "edge", "port": 443}), [], ["https://a.example/"], id="or 443"),
        pytest.param(
            route("a.example"),
            [gateway(HTTP, HTTPS)],
            ["https://a.example/", "http://a.example/"],
            id="all listeners of a known Gateway",
        ),
        pytest.param(
            route("a.example", parent={"name": "edge", "sectionName": "web"}),
            [gateway(HTTP, HTTPS)],
            ["http://a.example/"],
            id="only the section that is named",
        ),
        pytest.param(
            route("a.example", parent={"name": "edge", "port": 443}),
            [gateway(HTTP, HTTPS)],
            ["https://a.example/"],
            id="only the port that is named",
        ),
        pytest.param(
            route("a.example", parent={"name": "edge", "namespace": "infra"}),
            [gateway(HTTP), gateway(HTTPS, namespace="infra")],
            ["https://a.example/"],
            id="the Gateway of the namespace that is named",
        ),
        pytest.param(
            route("a.example"),
            [gateway(HTTPS | {"port": 8443})],
            ["https://a.example:8443/"],
            id="a port of its own is part of the address",
        ),
        pytest.param(
            route("x.a.example"),
            [gateway(HTTPS | {"hostname": "*.example"}, HTTP | {"hostname": "other.example"})],
            ["https://x.a.example/"],
            id="a listener lets in only its own hosts, several labels deep",
        ),
        pytest.param(route("a.example"), [gateway({"protocol": "TCP", "port": 80})], [], id="no listener for HTTP"),
        pytest.param(
            route(), [gateway(HTTPS | {"hostname": "a.example"})], ["https://a.example/"], id="the listener's own host"
        ),
        pytest.param(route(), [gateway(HTTP, addresses=("192.0.2.7",))], ["http://192.0.2.7/"], id="or its address"),
        pytest.param(route("*.example.com"), [], [], id="a wildcard host is no address"),
        pytest.param(
            route("a.example", rules=[backends(MOCHI, matches=[{"path": {"type": "PathPrefix", "value": "/shop"}}])]),
            [],
            ["http://a.example/shop"],
            id="path",
        ),
        pytest.param(
            route("a.example", rules=[backends(MOCHI, matches=[{"headers": [{"name": "x", "value": "y"}]}])]),
            [],
            [],
            id="a browser sends no header of its own",
        ),
        pytest.param(
            route("a.example", rules=[backends(MOCHI, matches=[{"method": "POST"}, {"method": "GET"}])]),
            [],
            ["http://a.example/"],
            id="a browser opens a page by GET",
        ),
        pytest.param(
            route("a.example", rules=[backends(MOCHI | {"weight": 0})]), [], [], id="a backend without traffic"
        ),
        pytest.param(route("a.example", rules=[backends(MOCHI | {"kind": "Bucket"})]), [], [], id="no Service"),
        pytest.param(
            route("a.example", rules=[backends(MOCHI | {"namespace": "x"})]), [], [], id="another namespace's"
        ),
        pytest.param(route("a.example", rules=[backends({"name": "other"})]), [], [], id="another Service"),
        pytest.param(
            route("a.example", rules=[backends({"name": "other"}, MOCHI)]),
            [],
            ["http://a.example/"],
            id="one of several",
        ),
    ],
)
def test_a_route_gives_these_addresses(given_route, gateways, expected):
    assert links("mochi", [], [given_route], gateways) == expected


def test_the_best_link_is_the_first_and_may_be_missing():
    assert (
        best_link("mochi", [ingress(rule("a.example"))], [route("b.example")], [gateway(HTTPS)]) == "https://b.example/"
    )
    assert best_link("mochi", [], []) is None


def service(*ports: dict, name: str = "mochi") -> dict:
    return {"kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": {"ports": list(ports)}}


@pytest.mark.parametrize(
    ("services", "leads"),
    [
        ([], True),
        ([service({"name": "http", "port": 80})], True),
        ([service({"name": "web", "port": 8080}, {"name": "http", "port": 80})], True),
        ([service({"name": "web", "port": 8080}, name="other"), {}, None], True),
        ([service({"name": "web", "port": 8080})], False),
        ([service({"port": 81})], False),
        ([service()], False),
        ([service({"name": ["http"], "port": "80"}, None)], False),
    ],
)
def test_a_port_that_the_service_does_not_have_is_no_address(services, leads):
    """Ingress controllers answer 503 there. A Service that is not known may have any port."""
    by_name, by_route = ingress(rule("a.example")), route("b.example")
    assert links("mochi", [by_name], [], services=services) == ["http://a.example/"] * leads
    assert links("mochi", [], [by_route], services=services) == ["http://b.example/"] * leads


def test_one_path_to_a_port_that_is_there_is_enough():
    gone, there = rule("a.example", "/old"), rule("a.example", "/new")
    gone["http"]["paths"][0]["backend"]["service"]["port"] = {"number": 8080}
    there["http"]["paths"][0]["backend"]["service"]["port"] = {"number": 80}
    found = links("mochi", [ingress(gone, there)], [], services=[service({"port": 80})])
    assert found == ["http://a.example/new"]


INGRESS = ingress(rule("a.example"), rule(), tls=[{"hosts": ["a.example"]}], default="mochi", status=BALANCER)
ROUTE = route("a.example", rules=[backends(MOCHI, matches=[{"path": {"value": "/x"}, "method": "GET"}])])
GATEWAY = gateway(HTTP, HTTPS | {"hostname": "*.example"}, addresses=("::1",))


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


# The very names that the code looks for, so that arbitrary JSON gets deep into it.
SERVICE = service({"name": "http", "port": 80}, {"name": "admin", "port": 9000})
KEYS = st.sampled_from(sorted(keys_of([INGRESS, ROUTE, GATEWAY, SERVICE])))
TEXTS = st.sampled_from(
    [
        "mochi",
        "a.example",
        "*.example",
        "/",
        "/x",
        "javascript:alert(1)",
        "http",
        "HTTPS",
        "edge",
        "::1",
        "fe80::1%eth0",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-1, 70_000) | st.floats() | TEXTS | st.text(max_size=8)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=30
)


@st.composite
def broken(draw, whole):
    """A good object in which any part has been replaced by any JSON."""
    value = draw(whole) if isinstance(whole, st.SearchStrategy) else whole
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    if isinstance(value, dict):
        return {key: draw(broken(inner)) for key, inner in value.items()}
    if isinstance(value, list):
        return [draw(broken(inner)) for inner in value]
    return value


@given(
    st.lists(broken(INGRESS), min_size=1, max_size=2),
    st.lists(broken(ROUTE), min_size=1, max_size=2),
    st.lists(broken(GATEWAY), min_size=1, max_size=2),
    st.lists(broken(SERVICE), max_size=2),
)
@example([ingress(rule("a.example", "/a\nb"))], [], [], [])
@example([], [route("a.example")], [gateway(HTTPS | {"port": True})], [])
@example([], [route("a.example")], [gateway(HTTPS | {"port": -1})], [])
def test_whatever_the_cluster_holds_only_plain_web_addresses_come_out(ingresses, routes, gateways, services):
    for url in links("mochi", ingresses, routes, gateways, services):
        parts = urlsplit(url)
        assert parts.scheme in {"http", "https"}
        assert parts.hostname
        assert parts.username is None
        assert parts.port != 0
        assert parts.path.startswith("/")
        assert not parts.query
        assert not parts.fragment
        assert url.isascii()
        assert not set(url) & set(" \"'<>()`\\|^{}\n\r\t*")
        assert len(url) <= LIMIT


def replaced(value, wrong):
    """The object once for each of its parts, with that part wrong."""
    yield wrong
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        for other in replaced(part, wrong):
            copy = value.copy()
            copy[key] = other
            yield copy


@pytest.mark.parametrize("wrong", [None, True, 5, -1, 1.5, "x", [], [5], [None], {}, {"name": 5}], ids=repr)
def test_one_wrong_part_never_hides_another_object(wrong):
    """Exhaustively: every single part of each kind of object, beside an intact Ingress."""
    intact = ingress(rule("intact.example"))
    for bad in replaced(INGRESS, wrong):
        assert "http://intact.example/" in links("mochi", [bad, intact], [])
    for bad in replaced(ROUTE, wrong):
        assert "http://intact.example/" in links("mochi", [intact], [bad], [GATEWAY])
    for bad in replaced(GATEWAY, wrong):
        assert "http://intact.example/" in links("mochi", [intact], [ROUTE], [bad])
    for bad in replaced(service({"name": "http", "port": 80}, name="other"), wrong):
        assert "http://intact.example/" in links("mochi", [intact], [], [], [bad, SERVICE])
