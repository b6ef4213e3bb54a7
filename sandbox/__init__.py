"""A Discord, a Kubernetes cluster and a registry on loopback: for the demo and tests. The bot knows nothing of it."""
