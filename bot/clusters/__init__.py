"""Where releases happen: the protocol of a cluster and the backends behind it."""
