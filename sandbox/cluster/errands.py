"""What containers do that end by themselves: those of Jobs.

By the behaviour of their image; but for k6's, which runs as a process of its own where there is the program, with the
container's own command, environment and files. Nothing is mounted: the paths of the container become paths of ours.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.cluster.behaviour import Images
from sandbox.cluster.errors import ApiError
from sandbox.cluster.load import outcome_of
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json

_MESSAGE, _LOG = 4096, 2048
"""Bytes that a kubelet keeps of a termination message, and of a log that stands for one."""
_SERVICE = re.compile(r"http://([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?(?::[0-9]+)?")
_VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    message: str = ""


def k6_here() -> Path | None:
    """The program that GREENLIGHT_K6 names, or that was built for the tests of the real one; None without."""
    built = Path(__file__).parents[2] / ".cluster" / "bin" / "k6"
    named = os.environ.get("GREENLIGHT_K6")
    program = Path(named) if named else built
    return program if program.is_file() else None


class Errands:
    """`serve` gives an address outside of the cluster to a Service in a namespace."""

    def __init__(self, images: Images, k6: Path | None, serve: Callable[[str, str], Awaitable[str]]) -> None:
        self._images = images
        self._k6 = k6.resolve() if k6 else None
        self._serve = serve
        self._addresses: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._running: dict[tuple[str, str], asyncio.Task[Outcome]] = {}
        """By the namespace and uid of the pod."""

    def ended(self, objects: Objects, pod: Json, again: Callable[[], None]) -> list[Outcome] | None:
        """How the containers of a pod that started end; None while they run, and then `again` is called."""
        containers, namespace = pod["spec"]["containers"], pod["metadata"]["namespace"]
        if len(containers) == 1 and _is_k6(containers[0]):
            if self._k6 is None:
                found = outcome_of(objects, self._images, namespace, pod["spec"])
                return [Outcome(*found)]
            key = (namespace, pod["metadata"]["uid"])
            if key not in self._running:
                self._running[key] = asyncio.create_task(self._run(objects, pod, self._k6))
                self._running[key].add_done_callback(lambda _: again())
            task = self._running[key]
            return [task.result()] if task.done() and not task.cancelled() else None
        found_all = []
        for container in containers:
            behaviour = self._images.behaviour(container["image"])
            found_all.append(Outcome(1, behaviour.crash) if behaviour.crash else Outcome(0))
        return found_all

    def forget(self, namespace: str, living: set[str]) -> None:
        """End what runs for pods that are gone."""
        for key in [key for key in self._running if key[0] == namespace and key[1] not in living]:
            self._running.pop(key).cancel()

    async def stop(self) -> None:
        tasks = [*self._running.values(), *self._addresses.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        self._addresses.clear()

    async def _run(self, objects: Objects, pod: Json, program: Path) -> Outcome:
        container = pod["spec"]["containers"][0]
        root = Path(tempfile.mkdtemp(prefix="pod-"))
        try:
            places = _places(objects, pod, container, root)
            env = {each["name"]: await self._outside(each.get("value", "")) for each in container.get("env") or ()}
            env = {name: _expanded(value, {}) for name, value in env.items()}
            told = [*(container.get("command") or ["k6"]), *(container.get("args") or ())]
            command = [_moved(_expanded(part, env), places) for part in told]
            env = {name: _moved(value, places) for name, value in env.items()}
            env["PATH"] = f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            code, log = await _process(command, env, root)
        except (OSError, ApiError, ValueError) as error:
            return Outcome(128, f"{type(error).__name__}: {error}")
        else:
            message = (root / "message").read_bytes()[-_MESSAGE:]
            if not message and code and container["terminationMessagePolicy"] == "FallbackToLogsOnError":
                message = log[-_LOG:]
            return Outcome(code, message.decode("utf-8", "replace"))
        finally:
            shutil.rmtree(root, ignore_errors=True)

    async def _outside(self, value: str) -> str:
        """The text with addresses of Services as they are reached from here."""
        for match in _SERVICE.finditer(value):
            service, namespace = match[1], match[2]
            if (service, namespace) not in self._addresses:
                self._addresses[service, namespace] = asyncio.ensure_future(self._serve(service, namespace))
            value = value.replace(match[0], await asyncio.shield(self._addresses[service, namespace]))
        return value


def _is_k6(container: Json) -> bool:
    name = container["image"].partition("@")[0]
    return bool(re.fullmatch(r"(.*/)?grafana/k6(:[^/]*)?", name))


def _places(objects: Objects, pod: Json, container: Json, root: Path) -> dict[str, str]:
    """The paths of a container, and what they are here: its volumes, with the files of ConfigMaps in them."""
    volumes = {each["name"]: each for each in pod["spec"].get("volumes") or ()}
    (root / "message").touch()
    places = {container["terminationMessagePath"]: str(root / "message")}
    for mount in container.get("volumeMounts") or ():
        here = root / "volumes" / mount["name"]
        here.mkdir(parents=True, exist_ok=True)
        places[mount["mountPath"]] = str(here)
        if source := volumes[mount["name"]].get("configMap"):
            data = objects.get("configmaps", pod["metadata"]["namespace"], source["name"]).get("data") or {}
            for key, text in data.items():
                (here / key).write_text(text, "utf-8")
    return places


def _moved(text: str, places: Mapping[str, str]) -> str:
    longest_first = sorted(places, key=len, reverse=True)
    wanted = "|".join(re.escape(path) for path in longest_first)
    return re.sub(rf"(?<![\w./-])({wanted})(?![\w.-])", lambda match: places[match[1]], text)


def _expanded(text: str, env: Mapping[str, str]) -> str:
    """As Kubernetes does it: `$(NAME)` where there is one of that name, and `$$` for `$`."""
    return _VARIABLE.sub(lambda match: "$" if match[0] == "$$" else env.get(match[1], match[0]), text)


async def _process(command: list[str], env: Mapping[str, str], place: Path) -> tuple[int, bytes]:
    """Its exit code, as a container has it, and all that it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=place,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        log, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    code = process.returncode or 0
    return (128 - code if code < 0 else code), log
