"""How asking a registry may fail: what is raised is a sentence, which holds no token, header or body."""

from bot.release.errors import Refused


class RegistryError(Exception):
    """The registry is away, or does not let us in; its text is a sentence that says which, and what to do."""


class ImageNotFound(Refused):
    """There is no such image; its text is a sentence for the person who asked."""
