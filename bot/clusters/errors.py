"""What a cluster may answer instead of what was asked, as sentences for the card."""


class ClusterError(Exception):
    """Kubernetes refused, is away or is not set up as the app needs it; the text says which and what to do."""


class Away(ClusterError):
    """No answer, or none that tells whether the request was carried out: read before writing again."""


class Stale(ClusterError):
    """The condition of a write no longer held (409, 422): nothing was written; look again and decide again."""


class Pending(ClusterError):
    """Nothing is wrong: the cluster is still at it, the next write comes later."""


class Gone(ClusterError):
    """A watch was asked to go on from a resourceVersion that the API server no longer has (410): list again."""


class Missing(ClusterError):
    """No such object (404)."""


class Forbidden(ClusterError):
    """The bot's rights do not cover it (401, 403)."""


class Busy(ClusterError):
    """The API server has too much to do (429): nothing was done, later it will be."""


class Malformed(ClusterError):
    """An object is not as Kubernetes makes them: what it means cannot be told."""


class Unfit(ClusterError):
    """The app's objects are there for the taking, but do not allow a release as they stand."""

    def __init__(self, wrong: str, fix: str) -> None:
        """`wrong` names the object, `fix` says what to do with it, as the rest of one sentence."""
        super().__init__(f"{wrong}: {fix}")
        self.wrong = wrong
        self.fix = fix


class NotThere(Unfit):
    """The object that an app is about does not exist."""
