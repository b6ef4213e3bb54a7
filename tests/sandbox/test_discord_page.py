"""Discord in the browser: what the page sends is asked for over HTTP here, as its scripts ask."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import discord
import pytest

from sandbox.discord import DiscordServer, World
from sandbox.discord.page import ChannelPage, Pages

BUTTON = {"type": 2, "style": 4, "label": "Roll back", "custom_id": "roll:7"}
CARD = {"content": "🟡 mochi #7", "components": [{"type": 1, "components": [BUTTON]}]}


class Tab:
    """A browser tab on the page of one channel."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._base, _, capability = url.partition("#")
        self._headers = {"X-Simcord-Capability": capability}
        self.snapshot: dict = {}

    async def open(self) -> None:
        async with self._session.post(f"{self._base}api/pages", json={}, headers=self._headers) as answer:
            self.snapshot = await answer.json()
        self._headers["X-Simcord-Context"] = self.snapshot["context"]["id"]

    async def look(self) -> dict:
        async with self._session.get(f"{self._base}api/state", headers=self._headers) as answer:
            self.snapshot = await answer.json()
        return self.snapshot

    async def act(self, kind: str, **body) -> dict:
        """An action on what the tab shows, which may be behind."""
        envelope = {
            "kind": kind,
            "protocol_version": 3,
            "sequence": 1,
            "request_id": f"{kind}-1",
            "generation": self.snapshot["context"]["generation"],
            "bot_generation": self.snapshot["botGeneration"],
            "published_revision": self.snapshot["publishedRevision"],
        }
        async with self._session.post(f"{self._base}api/action", json=envelope | body, headers=self._headers) as answer:
            return await answer.json()

    def press(self, message: int) -> dict:
        return {"target_id": str(message), "control_key": f"message:{message}:component:0.components.0"}


class Scene:
    """A server, its bot's REST calls made by hand, and a tab on #mochi as ann."""

    def __init__(self, server: DiscordServer, session: aiohttp.ClientSession, pages: Pages) -> None:
        self.server, self.session, self.pages = server, session, pages
        self.channel = server.channel_id("mochi")

    async def bot(self, method: str, path: str, body: dict) -> dict:
        headers = {"Authorization": f"Bot {self.server.token}"}
        async with self.session.request(method, self.server.api_url + path, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def card(self) -> int:
        return int((await self.bot("POST", f"/channels/{self.channel}/messages", CARD))["id"])

    async def edit(self, card: int, **changes) -> None:
        await self.bot("PATCH", f"/channels/{self.channel}/messages/{card}", changes)

    async def tab(self) -> Tab:
        tab = Tab(self.session, await self.pages.url(self.channel))
        await tab.open()
        return tab

    async def shown(self, tab: Tab, card: int) -> str:
        """The card's text on the page, once the page has caught up."""
        env = self.server.env
        await self.server.until(lambda: self.pages.drawn == env.display_revision, what="the pages are drawn")
        return str((await tab.look())["messages"][str(card)]["content"])


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    server = DiscordServer(World(channels=("mochi",), roles=("QC",), people={"ann": ("QC",), "kim": ()}))
    await server.start()
    pages = Pages(server)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield Scene(server, session, pages)
    await pages.close()
    await server.stop()


async def test_the_page_may_stand_in_a_frame_of_this_machine_and_of_no_other(scene):
    url = await scene.pages.url(scene.channel)
    async with scene.session.get(url) as answer:
        assert "X-Frame-Options" not in answer.headers
        assert "frame-ancestors http://127.0.0.1:* http://localhost:*" in answer.headers["Content-Security-Policy"]
        assert "/dress.js" in await answer.text()


async def test_the_dress_is_served_beside_the_page(scene):
    url = (await scene.pages.url(scene.channel)).partition("#")[0]
    for name in ("dress.css", "dress.js"):
        async with scene.session.get(url + name) as answer:
            assert (answer.status, len(await answer.text()) > 0) == (200, True)


async def test_the_page_is_refused_under_a_name_that_is_not_this_machines(scene):
    url = (await scene.pages.url(scene.channel)).partition("#")[0]
    async with scene.session.get(url, headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403


async def test_an_edit_by_the_bot_reaches_an_open_page(scene):
    card = await scene.card()
    tab = await scene.tab()
    await scene.edit(card, content="🟢 mochi #7 is live")
    assert "is live" in await scene.shown(tab, card)


async def test_a_page_that_is_still_being_opened_does_not_end_the_drawing_of_the_others(scene, monkeypatch):
    """Threads get pages of their own while the channel's is drawn again and again."""
    card = await scene.card()
    tab = await scene.tab()
    thread = int((await scene.bot("POST", f"/channels/{scene.channel}/messages/{card}/threads", {"name": "#7"}))["id"])
    opening, may_open, opened = asyncio.Event(), asyncio.Event(), ChannelPage.open

    async def open_slowly(page: ChannelPage) -> None:
        opening.set()
        await may_open.wait()
        await opened(page)

    monkeypatch.setattr(ChannelPage, "open", open_slowly)
    second = asyncio.create_task(scene.pages.url(thread))
    await opening.wait()
    await scene.edit(card, content="🟢 mochi #7 is live")
    assert "is live" in await scene.shown(tab, card)
    may_open.set()
    assert (await second).startswith("http://127.0.0.1:")


async def test_a_press_counts_although_the_card_was_edited_since(scene, monkeypatch):
    """The bot edits all the time; a press on a button that is still the same must not be lost."""
    monkeypatch.setattr("sandbox.discord.environment.ANSWER_WITHIN", 0.1)  # nobody is there to answer
    card = await scene.card()
    tab = await scene.tab()
    behind = tab.snapshot
    await scene.edit(card, content="🟡 mochi #7, 1 of 2")
    assert "1 of 2" in await scene.shown(tab, card)
    assert tab.snapshot["publishedRevision"] > behind["publishedRevision"]
    tab.snapshot = behind
    receipt = await tab.act("click", **tab.press(card))
    assert (receipt["rejected"], receipt["dispatch"]) == (False, "dispatched")
    assert scene.server.env.last_asked.source_message_id == card


async def test_a_press_on_a_button_that_has_become_another_is_rejected(scene):
    """Promote must never be what a late press on Reject hits."""
    card = await scene.card()
    tab = await scene.tab()
    behind = tab.snapshot
    promote = {"type": 2, "style": 3, "label": "Promote", "custom_id": "promote:7"}
    await scene.edit(card, content="changed", components=[{"type": 1, "components": [promote]}])
    assert "changed" in await scene.shown(tab, card)
    tab.snapshot = behind
    receipt = await tab.act("click", **tab.press(card))
    assert receipt["rejected"] is True
    with pytest.raises(LookupError):
        _ = scene.server.env.last_asked


async def test_a_reaction_can_be_toggled_on_a_page_that_is_behind(scene):
    card = await scene.card()
    await scene.server.people["kim"].react(scene.server.message(scene.channel, card), "✅")
    tab = await scene.tab()
    behind = tab.snapshot
    await scene.edit(card, content="later")
    assert "later" in await scene.shown(tab, card)
    tab.snapshot = behind
    receipt = await tab.act("set_reaction", target_id=str(card), emoji="✅", reacted=True)
    assert receipt["rejected"] is False, receipt
    assert scene.server.message(scene.channel, card).reactions == {"✅": frozenset({"ann", "kim"})}


async def test_mentions_in_an_embed_are_shown_by_name(scene):
    ann = scene.server.people["ann"].id
    embed = discord.Embed(description=f"by <@{ann}>").to_dict()
    posted = await scene.bot("POST", f"/channels/{scene.channel}/messages", {"embeds": [embed]})
    tab = await scene.tab()
    assert "@ann" in str(tab.snapshot["messages"][posted["id"]]["embeds"])


async def test_a_file_is_shown_with_its_message(scene):
    form = aiohttp.FormData()
    form.add_field("payload_json", '{"content": "k6 said"}', content_type="application/json")
    form.add_field("files[0]", b'{"label": "x"}', filename="load.json", content_type="application/json")
    headers = {"Authorization": f"Bot {scene.server.token}"}
    posted = f"{scene.server.api_url}/channels/{scene.channel}/messages"
    async with scene.session.post(posted, data=form, headers=headers) as answer:
        message = (await answer.json())["id"]
    tab = await scene.tab()
    [shown] = tab.snapshot["messages"][message]["attachments"]
    assert (shown["filename"], shown["size"], shown["available"]) == ("load.json", 14, True)


async def test_a_thread_in_an_embed_is_shown_by_name(scene):
    card = await scene.card()
    thread = await scene.bot("POST", f"/channels/{scene.channel}/messages/{card}/threads", {"name": "mochi #7 green"})
    field = {"name": "Gates", "value": f"passed · <#{thread['id']}>"}
    await scene.edit(card, embeds=[{"title": "mochi", "fields": [field]}])
    tab = await scene.tab()
    assert "mochi #7 green" in str(tab.snapshot["messages"][str(card)]["embeds"])
