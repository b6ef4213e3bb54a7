"""The pod template of a Rollout: its hash, and how the controller writes it back. Pure.

The real hash is FNV-1a over Go's JSON; this one is over sorted JSON, so the letters differ but not the manners: equal
templates have equal hashes, whether or not the defaults that the controller adds are there yet.
"""

from __future__ import annotations

import json

from sandbox.cluster import defaults
from sandbox.cluster.patches import Json, copied
from sandbox.cluster.rollouts.keys import HASH

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_OFFSET, _PRIME, _WORD = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


def template_hash(template: Json, collisions: int = 0) -> str:
    text = json.dumps(rewritten(template), sort_keys=True) + (str(collisions) if collisions else "")
    found = _OFFSET
    for byte in text.encode():
        found = (found ^ byte) * _PRIME & _WORD
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(found))


def rewritten(template: Json) -> Json:
    """As it comes out of Go's types: what was left out, but has no way to be absent there, is there."""
    found: Json = copied(template)
    found.setdefault("metadata", {})
    found.setdefault("spec", {})
    if not found["metadata"].get("labels", True):
        del found["metadata"]["labels"]
    for kind in ("containers", "initContainers"):
        for container in found["spec"].get(kind) or ():
            container.setdefault("resources", {})
            for port in container.get("ports") or ():
                port.setdefault("protocol", "TCP")
    return found


def defaulted(template: Json) -> Json:
    """With all that the API server adds to the template of a ReplicaSet."""
    found = rewritten(template)
    defaults.pod_spec(found["spec"])
    return found


def without_hash(template: Json) -> Json:
    found: Json = copied(template)
    (found["metadata"].get("labels") or {}).pop(HASH, None)
    return found
