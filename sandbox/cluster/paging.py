"""The `continue` token of a long list: where the page ended, and the state it belongs to."""

from __future__ import annotations

import base64
import binascii
import json

from sandbox.cluster import errors


def token(version: int, start: str) -> str:
    """`version` is the resourceVersion of the whole list, `start` the key of the last item given out."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(text: str) -> tuple[int, str]:
    """What `token` was made of; 400 for anything else."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return int(found["rv"]), str(found["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {error}") from error
