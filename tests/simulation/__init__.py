"""A bot in a world of its own: the real controller, backend, desk and store over ports whose fakes can stop anywhere.

Read in this order: `scheduler.py` (whose turn it is), `cluster.py`, `guild.py` and `database.py` (what outlives a
crash), `ports.py` (how the bot reaches it), `world.py` (a world and the bots that live and die in it), `stories.py` and
`meddlers.py` (what people do), `oracles.py` (what must hold after every step), `mutants.py` (that the oracles would see
it), `runs.py` (many of them). `python -m simulation --help` is the command line.
"""
