"""A small cluster with a conscience: it obeys orders, and itself asserts that traffic never moves to an empty side."""

from dataclasses import dataclass, field, replace

from bot.release.machine import Order
from bot.release.record import Phase, Release
from bot.release.snapshot import Side, Snapshot, Traffic

PODS = 3


def scaled(side: Side, ready: int, wanted: int = PODS) -> Side:
    return replace(side, wanted=wanted, ready=ready, complete=0 < ready == wanted)


@dataclass
class Cluster:
    traffic: Traffic
    candidate: Side
    previous: Side
    healthy: bool = True
    """Whether pods that are asked for ever become ready."""
    controlled: bool = False
    """Whether a controller of its own carries out what it is told, when its time comes (`act`)."""
    wants_candidate: bool = False
    """What that controller works towards; it switches to it when it was told to."""
    told: Order | None = None
    """What it was told and has not done yet."""
    given_up: str = ""
    promoted_by: str = ""
    restarting: bool = False
    done: list[Order] = field(default_factory=list)
    """Orders that changed something."""

    @property
    def undone(self) -> bool:
        return not self.controlled or not (self.wants_candidate or self.told)

    def look(self, now, phase, *, fresh=True) -> Snapshot:
        """`phase`: of the release that is looked at."""
        owes = self.told and (phase is not Phase.REVERTING or self.told is Order.REVERT)
        return Snapshot(
            self.traffic,
            self.candidate,
            self.previous,
            now,
            "kubectl",
            "helm",
            "argocd",
            fresh,
            pending=f"it was told to {self.told}" if owes else "",
            undone=self.undone,
            given_up=self.given_up,
            promoted_by=self.promoted_by,
            restarting=self.restarting,
        )

    def obey(self, order: Order, release: Release) -> bool:
        """One write of the order; whether nothing is left to write."""
        before = self._all
        match order:
            case Order.STAGE:
                if not self.candidate.present or not self.candidate.wanted:
                    self.candidate = replace(scaled(self.candidate, 0), present=True, failed=False, trouble=None)
                self.wants_candidate = self.controlled
            case Order.PROMOTE if self.controlled:
                assert self.told is None, "it was told something already"
                self.told = Order.PROMOTE
                return False
            case Order.PROMOTE:
                self._switch(Traffic.CANDIDATE, self.candidate)
            case Order.REVERT if self.traffic is Traffic.PREVIOUS:
                assert self.told is not Order.REVERT, "it was told so already"
                self.wants_candidate, self.told = False, Order.REVERT
            case Order.REVERT if not self.previous.wanted:
                self.previous = scaled(self.previous, 0)
                self.restarting = self.controlled
            case Order.REVERT:
                self._switch(Traffic.PREVIOUS, self.previous)
            case Order.RETIRE if release.phase is Phase.REVERTED:
                assert self.traffic is Traffic.PREVIOUS, "only what has no traffic is scaled down"
                self.candidate = scaled(self.candidate, 0, 0)
            case Order.RETIRE:
                assert self.traffic is Traffic.CANDIDATE, "only what has no traffic is scaled down"
                self.previous = scaled(self.previous, 0, 0)
        changed = before != self._all
        self.done += [order] * changed
        return not changed

    def act(self) -> None:
        """The controller does what it was told; a promotion that it cannot make now it forgets."""
        told, self.told = self.told, None
        if told is Order.PROMOTE and self.candidate.ready and self.candidate.present and not self.given_up:
            self._switch(Traffic.CANDIDATE, self.candidate)
            self.done.append(Order.PROMOTE)

    def give_up(self) -> None:
        """The controller aborts the release: as far as it had come, it takes it back."""
        self.given_up = "its analysis failed"
        if self.told is Order.PROMOTE:
            self.told = None
        if self.traffic is Traffic.CANDIDATE and self.previous.ready and self.previous.present:
            self._switch(Traffic.PREVIOUS, self.previous)

    def start_pods(self) -> None:
        """Every pod that can become ready does."""
        if self.healthy:
            self.candidate, self.previous = (self._started(side) for side in (self.candidate, self.previous))

    @property
    def _all(self) -> tuple[object, ...]:
        return self.traffic, self.candidate, self.previous, self.wants_candidate, self.told

    def _started(self, side: Side) -> Side:
        return side if side.failed else scaled(side, side.wanted, side.wanted)

    def _switch(self, to: Traffic, side: Side) -> None:
        assert side.ready > 0, f"traffic was moved to {side.name}, which has no ready pod"
        assert side.present, f"traffic was moved to {side.name}, which is not what the record says"
        self.traffic = to
