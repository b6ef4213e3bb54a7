"""What a person sees of a version: one page in its colour. Pure text."""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

_COLORS = {"blue": "#2558d9", "green": "#138a4e", "amber": "#b46a09", "violet": "#6d3fc7", "rose": "#c02f63"}
_PALETTE = ("#6d3fc7", "#b46a09", "#0e7c86", "#c02f63", "#4a5a70", "#a8482f", "#7a2f8f", "#5c7a11")
_EMPTY = "#3a404a"


def color_of(version: str) -> str:
    """A colour's own name gives that colour, any other version always the same one of a palette."""
    digest = hashlib.sha256(version.encode()).digest()
    return _COLORS.get(version) or _PALETTE[digest[0] % len(_PALETTE)]


@dataclass(frozen=True)
class Face:
    """What a page shows; `serving` is false when no pod could answer."""

    app: str
    headline: str
    detail: str
    color: str
    serving: bool = True

    def as_json(self) -> dict[str, Any]:
        """What `/version` answers with, which the page polls."""
        found = {"app": self.app, "headline": self.headline, "detail": self.detail, "color": self.color}
        if self.serving:
            found |= {"version": self.headline, "pod": self.detail}
        return {**found, "state": "serving" if self.serving else "unavailable"}

    def as_html(self) -> str:
        # `</` inside a script would end it.
        shown = json.dumps(self.as_json()).replace("</", "<\\/")
        return _template().substitute(
            color=self.color,
            title=html.escape(f"{self.app}: {self.headline}"),
            mode="" if self.serving else "empty",
            length=len(self.headline),
            app=html.escape(self.app),
            state="serving" if self.serving else "unavailable",
            version=html.escape(self.headline),
            pod=html.escape(self.detail),
            shown=shown,
        )


def version_face(app: str, version: str, pod: str) -> Face:
    return Face(app, version, pod, color_of(version))


def failing_face(app: str, pod: str) -> Face:
    """A pod is there, and breaks."""
    return Face(app, "Error 500", pod, _EMPTY, serving=False)


def empty_face(service: str) -> Face:
    """Nobody can answer for a Service."""
    return Face(service, "Nothing is running here", f"Service {service} has no ready endpoint", _EMPTY, serving=False)


@cache
def _template() -> Template:
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
