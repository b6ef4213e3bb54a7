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
    retry_after: float
    times: int


class Faults:
    """Faults in the order in which they were added; each counts down by itself."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def add(
        self,
        method: str = "*",
        path: str = "*",
        *,
        status: int | None = 500,
        applied: bool = False,
        retry_after: float = 0.05,
        times: int = 1,
    ) -> None:
        """Let the next `times` calls that match fail; `path` is a pattern such as `/channels/*/messages`."""
        self._pending.append(Fault(method, path, status, applied, retry_after, times))

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self._pending:
            if fault.method in ("*", method) and fnmatch.fnmatch(path, fault.path):
                fault.times -= 1
                if fault.times <= 0:
                    self._pending.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        self._pending.clear()
