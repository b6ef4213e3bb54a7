"""discord.py is imported before the tests are: `-W error` would stop at a deprecation inside it."""

import warnings

with warnings.catch_warnings():
    # discord.py 2.7.1 imports audioop, which leaves Python in 3.13; it works without.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord  # noqa: F401 - imported for its side effect on the import of everything after it
