"""What `greenlight.toml` says: which apps there are, and who may do what to them.

Hides the shape of the file, its line numbers and pydantic's errors. Whatever is wrong becomes one line that names the
file, the line, the table, the key and the fix.
"""

from bot.policy.file import Credentials, CurrentNamespace, Policy, SettingsError, read_policy

__all__ = ["Credentials", "CurrentNamespace", "Policy", "SettingsError", "read_policy"]
