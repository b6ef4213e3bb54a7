"""A bot in a world of its own: the real controller, backend, desk and store over ports whose fakes can stop anywhere.

Read in this order: `scheduler.py` (whose turn it is), `objects.py`, `cluster.py`, `guild.py`, `database.py` and
`memory.py` (what outlives a crash), `ports.py` (how the bot reaches it), `world.py` (a world, and the bots that live
and die in it), `gates.py` (what gates and guards come to), `stories.py` and `meddlers.py` (what people do),
`oracles.py` and `checks.py` (what must hold after every step), `mutants.py` (that the oracles would see it),
`runs.py` (many lives), `coverage.py` (what has to have happened in them). What depends on how the app runs is in
`native/` (two Deployments) and `argo/` (a Rollout, with a controller that is stepped write by write); `backends.py`
puts each together. `make simulate` is the command line.
"""
