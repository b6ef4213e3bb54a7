"""Makes the pictures in docs/pictures from the running demo: `python scripts/pictures.py`. Needs Chromium."""
# ruff: noqa: INP001 - scripts are not a package

import asyncio
import base64
import contextlib
import itertools
import json
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sandbox import demo as demonstration  # noqa: E402 - the line above makes it importable
from sandbox.apps import DANGO, MOCHI, DemoApp  # noqa: E402 - the same
from sandbox.cluster import LIFELIKE  # noqa: E402 - the same
from sandbox.demo import Demo  # noqa: E402 - the same
from sandbox.discord import Message  # noqa: E402 - the same

OUT = ROOT / "docs" / "pictures"
LARGEST = 150_000
"""Bytes of a picture: more would make the repository heavy with every change of a word."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
PATIENCE = 30.0
DRAIN = 31.0
PREPARING = 8.0
SETTLES = 1.0
"""Seconds in which what is drawn scrolls to its newest message."""
PAGE = (1440, 900)
CARD = (760, 1400)
MARGIN = 8


class Browser:
    """One tab of a headless Chromium, over its debugging protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None

    async def open_tab(self) -> None:
        target = await self._call("Target.createTarget", url="about:blank")
        attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    async def show(self, url: str, size: tuple[int, int], scale: float = 1) -> None:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": scale, "mobile": False}
        await self._call("Emulation.setDeviceMetricsOverride", **metrics)
        # Between two addresses that differ only behind `#` a browser would not load anew.
        await self._call("Page.navigate", url="about:blank")
        await self._call("Page.navigate", url=url)

    async def value(self, script: str) -> Any:
        answer = await self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, script: str, what: str) -> Any:
        """The first true value of a script in the tab."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not (found := await self.value(script)):
            if asyncio.get_running_loop().time() > deadline:
                raise click.ClickException(f"The page did not show {what} within {PATIENCE:g} s.")
            await asyncio.sleep(0.1)
        return found

    async def picture(self, clip: dict[str, float] | None = None) -> bytes:
        area = {"clip": {**clip, "scale": 1}} if clip else {}
        answer = await self._call("Page.captureScreenshot", format="png", **area)
        return base64.b64decode(answer["data"])

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        async for message in self._socket:
            answer = json.loads(message.data)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
        raise RuntimeError(f"Chromium went away during {method}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise click.ClickException(f"No Chromium here (looked for {', '.join(NAMES)}): install one to make pictures.")
    profile = tempfile.mkdtemp(prefix="greenlight-pictures-")
    process = await asyncio.create_subprocess_exec(
        program, *FLAGS, f"--user-data-dir={profile}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(await _address(process), max_msg_size=0) as tab,
        ):
            browser = Browser(tab)
            await browser.open_tab()
            yield browser
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _address(process: asyncio.subprocess.Process) -> str:
    if process.stderr is not None:
        async with asyncio.timeout(PATIENCE):
            async for line in process.stderr:
                if found := re.search(r"DevTools listening on (ws://\S+)", line.decode(errors="replace")):
                    return found[1]
    raise click.ClickException("Chromium ended before it listened.")


class Album:
    """Walks through a release of each app and takes pictures on the way."""

    def __init__(self, demo: Demo, browser: Browser) -> None:
        self._demo = demo
        self._browser = browser

    async def make(self) -> None:
        people = self._demo.discord.people
        for app in (MOCHI, DANGO):
            async with asyncio.timeout(PATIENCE):
                # Who serves is not an event: it has to be asked for.
                while await self._demo.live(app) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        await self._deploy(MOCHI, MOCHI.next)
        await self._card("preparing", MOCHI, "🔵")
        waiting = await self._reached(MOCHI, "🟡")
        await people["kim"].react(waiting, "✅")
        await self._demo.discord.until(lambda: "kim" in self._shown(waiting), what="kim's vote shows", within=PATIENCE)
        await self._card("half-approved", MOCHI, "🟡")
        await self._page("demo", MOCHI)
        await people["leo"].react(waiting, "✅")
        live = await self._card("live", MOCHI, "🟢")
        form = await people["sam"].click(live, "Roll back")
        await people["sam"].submit_modal(form, **_filled_in(form.modal, "the logo is upside down"))
        await self._card("rolled-back", MOCHI, "🟠", "rolled back")
        await self._deploy(DANGO, DANGO.next)
        waiting = await self._reached(DANGO, "🟡")
        for name in ("kim", "leo"):
            await people[name].react(waiting, "✅")
        await self._reached(DANGO, "🟢")
        await self._page("demo-argo-rollouts", DANGO)
        # The pods that were taken back finish before their slot is used again.
        await asyncio.sleep(DRAIN)
        await self._deploy(MOCHI, "crash")
        await self._card("could-not-start", MOCHI, "⚪", "could not start")

    async def _deploy(self, app: DemoApp, tag: str) -> None:
        await self._demo.discord.people["ann"].slash(self._demo.discord.channel_id(app.name), "deploy", image=tag)

    def _shown(self, card: Message) -> str:
        text = self._demo.discord.message(card.channel_id, card.id).text
        return text.replace(f"<@{self._demo.discord.people['kim'].id}>", "kim")

    async def _reached(self, app: DemoApp, *words: str) -> Message:
        def reached() -> Message | None:
            cards = self._demo.cards(app)
            return cards[-1] if cards and all(word in cards[-1].content for word in words) else None

        return await self._demo.discord.until(reached, what=f"the card of {app.name} says {words}", within=120)

    async def _card(self, name: str, app: DemoApp, *words: str) -> Message:
        card = await self._reached(app, *words)
        await self._browser.show(await self._demo.channel_page(card.channel_id), CARD, scale=2)
        first_line = json.dumps(card.content[:20])
        box = f"document.querySelector('.channel-message[data-message-id=\"{card.id}\"]')"
        await self._browser.until(f"{box}?.textContent.includes({first_line}) && simcordPreview.ready", name)
        await self._browser.value(f"{box}.scrollIntoView()")
        area = await self._browser.value(
            f"(() => {{ const r = {box}.getBoundingClientRect();"
            " return {x: r.x, y: r.y, width: r.width, height: r.height}; })()"
        )
        area = {"x": 0, "y": area["y"] - MARGIN, "width": CARD[0], "height": area["height"] + 2 * MARGIN}
        self._save(name, await self._browser.picture(area))
        return card

    async def _page(self, name: str, app: DemoApp) -> None:
        await self._browser.show(self._demo.page.url, PAGE)
        chosen = f"document.querySelector('[data-app=\"{app.name}\"]')"
        await self._browser.until(f"({chosen}?.click(), Boolean({chosen}?.ariaSelected === 'true'))", name)
        drawn = "[...document.querySelectorAll('iframe.shown')].every((each) => each.dataset.drawn)"
        await self._browser.until(drawn, name)
        await asyncio.sleep(SETTLES)
        self._save(name, await self._browser.picture())

    def _save(self, name: str, png: bytes) -> None:
        small = _smaller(png)
        if len(small) > LARGEST:
            raise click.ClickException(f"{name}.png would have {len(small)} bytes, more than {LARGEST}.")
        file = OUT / f"{name}.png"
        file.write_bytes(small)
        click.echo(f"{file.relative_to(ROOT)}  {len(small) // 1024} KiB")


def _filled_in(modal: dict[str, Any] | None, text: str) -> dict[str, str]:
    """Every text input of a form with the same text."""
    found: dict[str, str] = {}
    queue = list((modal or {}).get("components", []))
    while queue:
        part = queue.pop()
        queue += part.get("components", []) + ([part["component"]] if "component" in part else [])
        if "custom_id" in part:
            found[part["custom_id"]] = text
    return found


def _smaller(png: bytes) -> bytes:
    """The same picture without its alpha channel, and only if that is not small enough with 256 colours."""
    from io import BytesIO  # noqa: PLC0415 - with Pillow, below

    from PIL import Image  # noqa: PLC0415 - comes with the sandbox's extra, not needed for --help

    whole = Image.open(BytesIO(png)).convert("RGB")
    few = whole.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    for image in (whole, few):
        out = BytesIO()
        image.save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST:
            break
    return out.getvalue()


async def make() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    # Long enough for the browser to see a release being prepared.
    unhurried = {**LIFELIKE, "": replace(LIFELIKE[""], ready_after=PREPARING)}
    async with demonstration.running(behaviours=unhurried) as demo, chromium() as browser:
        await Album(demo, browser).make()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make the README's pictures from the demo, with Chromium."""
    try:
        asyncio.run(make())
    except demonstration.DemoError as why:
        raise click.ClickException(str(why)) from None


if __name__ == "__main__":
    main()
