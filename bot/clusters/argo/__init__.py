"""Argo Rollouts: a Rollout with the blueGreen strategy, its ReplicaSets and its two Services."""

from bot.clusters.argo.backend import ArgoCluster

__all__ = ["ArgoCluster"]
