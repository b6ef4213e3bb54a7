"""The apps of the demo, one a file: each as a team has it before it meets Greenlight."""

from sandbox.apps.app import NAMESPACE, DemoApp
from sandbox.apps.dango import DANGO
from sandbox.apps.mochi import MOCHI

__all__ = ["APPS", "DANGO", "IMAGES", "MOCHI", "NAMESPACE", "DemoApp"]

APPS = (MOCHI, DANGO)
IMAGES = {app.name: (*app.others, app.live, app.next) for app in APPS}
"""What the registry has, by repository, the newest last: whoever misses a tag is told what to take instead."""
