"""Greenlight: blue-green releases on Kubernetes, from Discord."""
