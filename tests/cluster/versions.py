"""In what the versions of Argo Rollouts differ that the tests run on: each fact that does not hold on all of them.

The tests of a fact ask here for what is to be expected. One that fails on a new version is a fault of ours, or another
line here, with what Greenlight does about it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Version:
    """Of the controller, by its facts."""

    loses_writes: bool
    """It puts its own last copy of a Rollout over what others wrote meanwhile (argo-rollouts #4786 ended that), so
    Greenlight nudges."""
    leaves_the_service: bool
    """It leaves the active Service wherever somebody points it, until there is another version. Later ones take every
    look at a stable version for a rollback to it, which gets the traffic at once; so on the way back they may switch
    once more to what is being left, and Greenlight's template, and its second write to the Service, end that."""
    deadline_is_a_promotion: bool
    """A version whose pods are to be scaled down is live without a pause, though it was never live before: retried
    after an abort, or set again after another one. Later ones ask whether it is older than what is live, to the second;
    so Greenlight's releases, which all have a hash of their own, are shown first on either."""
    metrics_port: str = "--metricsPort"
    """How the option is called."""


BEFORE_1_10 = Version(loses_writes=True, leaves_the_service=True, deadline_is_a_promotion=True)
BEFORE_1_9 = replace(BEFORE_1_10, metrics_port="--metricsport")
FROM_1_10 = Version(loses_writes=False, leaves_the_service=False, deadline_is_a_promotion=False)
SIMULATED = BEFORE_1_10
"""The sandbox's, written after 1.9.1."""


def of(version: str) -> Version:
    """As the module has it, `v1.9.1`."""
    major, minor, *_ = version.removeprefix("v").split(".")
    found = int(major), int(minor)
    if found >= (1, 10):
        return FROM_1_10
    return BEFORE_1_10 if found >= (1, 9) else BEFORE_1_9
