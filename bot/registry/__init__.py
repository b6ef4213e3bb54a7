"""What image registries know: which digest a tag means, and which tags there are."""

from bot.registry.client import Registry, Resolved
from bot.registry.errors import ImageNotFound, RegistryError
from bot.registry.hosts import RegistryHost
from bot.registry.logins import Login, read_logins

__all__ = ["ImageNotFound", "Login", "Registry", "RegistryError", "RegistryHost", "Resolved", "read_logins"]
