"""The core: what a release is, how it moves and who decides. Pure: no I/O, no clock, nothing but the standard library."""
