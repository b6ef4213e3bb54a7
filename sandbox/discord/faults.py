"""Trouble between the bot and Discord's REST API, arranged by a test."""

import fnmatch
from dataclasses import dataclass


@dataclass(slots=True)
class Fault:
    """Answers matching calls with `status`, or cuts the connection when it is None."""

    method: str
    path: str
    status: int | None
    applied: bool
    """Whether the call takes effect nevertheless: the answer is lost, the write is not."""
    retry_after: float | None
    everywhere: bool
    html: bool
    silent: bool
    code: int
    times: int | None


class Faults:
    """Faults in the order in which they were added; each counts down by itself."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self.met: list[tuple[str, str]] = []
        """Method and path of every call that met one, in order."""

    def add(
        self,
        method: str = "*",
        path: str = "*",
        *,
        status: int | None = 500,
        applied: bool = False,
        retry_after: float | None = 0.05,
        everywhere: bool = False,
        html: bool = False,
        silent: bool = False,
        code: int = 0,
        times: int | None = 1,
    ) -> None:
        """Let the next `times` calls that match fail (None: until `clear`); `path` is such as `/channels/*/messages`.

        A 429 says how long to wait unless `retry_after` is None, and is for all calls when `everywhere`. `html`: it is
        not Discord that answers but what stands before it, with a page for people. `silent`: nothing answers at all.
        """
        fault = Fault(method, path, status, applied, retry_after, everywhere, html, silent, code, times)
        self._pending.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self._pending:
            if fault.method in ("*", method) and fnmatch.fnmatch(path, fault.path):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._pending.remove(fault)
                self.met.append((method, path))
                return fault
        return None

    def clear(self) -> None:
        self._pending.clear()
