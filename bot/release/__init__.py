"""The core: what a release is, how it moves, who decides. Pure: no I/O, no clock, only the standard library."""
