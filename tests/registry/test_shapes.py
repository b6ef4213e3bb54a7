"""The large public registries, played on loopback in the shapes that are documented: see shapes/README.md."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from asking import image

from bot.registry import ImageNotFound, RegistryError
from sandbox import registry as sandbox

SHAPES = sorted((Path(__file__).parent / "shapes").glob("*.yaml"))


class Played:
    """A registry that answers as a shape says."""

    def __init__(self, shape):
        self._answers = shape["answers"]
        self.images = sandbox.Registry()
        self.asked: list[str] = []
        self.unfit: list[str] = []

    def __call__(self, request):
        asked, said = f"{request.method} {request.raw_path}", request.headers.get("Authorization", "")
        self.asked.append(asked)
        for answer in [*self._answers, {"ask": "GET /v2/*/blobs/*", "serve": "blob"}]:
            method, pattern = answer["ask"].split(" ", 1)
            if fnmatchcase(asked, f"{method} {_exactly(pattern)}") and _fits(answer.get("if"), said):
                return self._give(answer, request)
        self.unfit.append(asked)
        return web.Response(status=418)

    def _give(self, answer, request):
        name = request.path.removeprefix("/v2/").rpartition("/manifests/")[0]
        last = request.path.rpartition("/")[2]
        words = {"here": f"http://{request.host}", "host": request.host, "name": name, "last": last}
        headers = {key: _filled(value, words) for key, value in answer.get("headers", {}).items()}
        if "serve" in answer:
            blob = self._blob(last)
            given = {"Content-Type": blob.media_type, "Docker-Content-Digest": blob.digest, **headers}
            for dropped in answer.get("drop", ()):
                given.pop(dropped, None)
            return web.Response(body=blob.body, headers=given)
        body = answer.get("body", "")
        if isinstance(body, str):
            return web.Response(status=answer.get("status", 200), text=body, headers=headers)
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
        return web.Response(status=answer.get("status", 200), body=json.dumps(body).encode(), headers=headers)

    def _blob(self, reference):
        manifests, blobs = self.images._manifests["mochi"], self.images._blobs["mochi"]
        return manifests.get(reference) or blobs.get(reference) or manifests[self.images.digest("mochi", "green")]


def _exactly(pattern):
    return pattern.replace("?", "[?]")  # a query, and not any character


def _fits(condition, said):
    return not said if condition == "nobody" else said.startswith(condition or "")


def _filled(text, words):
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", value)
    return text


@pytest.mark.parametrize("file", SHAPES, ids=lambda file: file.stem)
async def test_a_large_registry_is_understood_in_the_shape_that_is_documented(odd, reach, file):
    shape = yaml.safe_load(file.read_text("utf-8"))
    played = Played(shape)
    host = await odd(played)
    client = reach(host, login=shape.get("login"))
    for expected in shape["expect"]:
        repository = expected.get("repository", shape["repository"])
        if "tags" in expected:
            assert await client.tags(image(host, repository=repository)) == expected["tags"]
            assert [each for each in played.asked if each.startswith(expected.get("asking", ""))]
        elif "says" in expected:
            with pytest.raises((ImageNotFound, RegistryError)) as raised:
                await client.resolve(image(host, expected["resolve"], repository))
            assert expected["says"].replace("{host}", host) in str(raised.value)
        else:
            resolved = await client.resolve(image(host, expected["resolve"], repository))
            assert resolved.digest == played.images.digest("mochi", "green")
            assert resolved.platforms == played.images.platforms("mochi", "green")
    assert played.unfit == []


def test_every_registry_that_people_use_most_has_a_shape():
    assert {file.stem for file in SHAPES} == {
        *("acr", "docker-hub", "ecr", "ecr-public", "ghcr", "gitlab", "google", "harbor", "quay")
    }
