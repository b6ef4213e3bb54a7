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
    done: list[Order] = field(default_factory=list)
    """Orders that changed something."""

    def look(self, now, *, fresh=True) -> Snapshot:
        return Snapshot(self.traffic, self.candidate, self.previous, now, "kubectl", "helm", "argocd", fresh)

    def obey(self, order: Order, release: Release) -> bool:
        """One write of the order; whether nothing is left to write."""
        before = (self.traffic, self.candidate, self.previous)
        match order:
            case Order.STAGE:
                if not self.candidate.present or not self.candidate.wanted:
                    self.candidate = replace(scaled(self.candidate, 0), present=True, failed=False, trouble=None)
            case Order.PROMOTE:
                self._switch(Traffic.CANDIDATE, self.candidate)
            case Order.REVERT if not self.previous.wanted:
                self.previous = scaled(self.previous, 0)
            case Order.REVERT:
                self._switch(Traffic.PREVIOUS, self.previous)
            case Order.RETIRE if release.phase is Phase.REVERTED:
                assert self.traffic is Traffic.PREVIOUS, "only what has no traffic is scaled down"
                self.candidate = scaled(self.candidate, 0, 0)
            case Order.RETIRE:
                assert self.traffic is Traffic.CANDIDATE, "only what has no traffic is scaled down"
                self.previous = scaled(self.previous, 0, 0)
        changed = before != (self.traffic, self.candidate, self.previous)
        self.done += [order] * changed
        return not changed

    def start_pods(self) -> None:
        """Every pod that can become ready does."""
        if self.healthy:
            self.candidate, self.previous = (self._started(side) for side in (self.candidate, self.previous))

    def _started(self, side: Side) -> Side:
        return side if side.failed else scaled(side, side.wanted, side.wanted)

    def _switch(self, to: Traffic, side: Side) -> None:
        assert side.ready > 0, f"traffic was moved to {side.name}, which has no ready pod"
        assert side.present, f"traffic was moved to {side.name}, which is not what the record says"
        self.traffic = to
