"""The bot as its own process, with its cards, while the API server fails: what people read, and how it ends."""

import re
import secrets

import pytest
from api_faults import Mochi, Sandbox, selectors
from team import APPROVE, Team

import mochi
from bot.clusters.cluster import LABEL

ACTIVE = rf"/services/{mochi.ACTIVE}\?"


@pytest.fixture
async def team(tmp_path):
    async with Sandbox(f"mochi-{secrets.token_hex(4)}").running() as target, Team(target, tmp_path).at_work() as made:
        await target.apply(mochi.mochi(target.namespace, live_image=made.image("blue")))
        await Mochi(target).serving(2)
        await made.start_bot()
        yield made
        await made.bot.stop()


async def shows(team, words):
    """The card's text or embed has them."""

    def there():
        cards = [message for message in team.discord.messages(team.channel) if message.embeds]
        return cards and words in f"{cards[-1].content} {cards[-1].embeds}"

    await team.discord.until(there, within=30, what=words)


SWITCH, LOOK = ("PATCH", ACTIVE), ("GET", rf"/services/{mochi.ACTIVE}$")
FAULTS = {
    "504 after the switch": (lambda faults: faults.answer_afterwards(504, *SWITCH), "answer", "answered 504"),
    "answer of the switch cut": (lambda faults: faults.cut(*SWITCH), "reset", "cannot be reached"),
    "504 before the switch": (lambda faults: faults.answer(504, *LOOK), "answer", "answered 504"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_card_says_why_it_waits_and_then_the_truth(team, fault):
    installed, faults = Mochi(team.target), team.target.cluster.server.faults
    await team.person("ann").slash(team.channel, "deploy", image="green")
    card = await team.ballot()
    await team.person("kim").react(card, APPROVE)
    arrange, lasting, words = FAULTS[fault]
    async with installed.record_service() as service:
        met = arrange(faults).met
        await team.person("leo").react(card, APPROVE)
        await met.wait()
        # As long as nothing can be looked at it is not over: three seconds may be too short to see it on a card.
        away = faults.reset(*LOOK) if lasting == "reset" else faults.answer(504, *LOOK)
        away.times = 1000
        await shows(team, words)
        away.times = 0
        await team.card("🟢")
        [_, now] = selectors(await service.so_far())
    assert LABEL in now
    assert not re.search("our side|Traceback", team.log.read_text())
