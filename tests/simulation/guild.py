"""Discord as far as a release meets it: members with roles, cards, and the reactions on them. It outlives the bot."""

from bot.release.record import Person

DEVELOPER, QC, LEAD, ON_CALL = 1001, 1002, 1003, 1004
ANN = Person(11, "ann", frozenset({DEVELOPER}))
KIM = Person(12, "kim", frozenset({QC}))
LEO = Person(13, "leo", frozenset({LEAD}))
SAM = Person(14, "sam", frozenset({ON_CALL}))
BO = Person(15, "bo", frozenset({DEVELOPER, QC, LEAD}))
GUEST = Person(16, "guest")
BEEP = Person(17, "beep", frozenset({QC, LEAD}), bot=True)
EVERYBODY = (ANN, KIM, LEO, SAM, BO, GUEST, BEEP)


class Guild:
    def __init__(self) -> None:
        self.members = {person.id: person for person in EVERYBODY}
        self.cards: dict[str, int] = {}
        """Message ids by release label."""
        self.faces: dict[str, str] = {}
        """The phase that each card shows."""
        self.reactions: set[tuple[int, int, bool]] = set()
        """(message, person, approve)"""
        self.away_until = 0.0

    def copy(self) -> "Guild":
        other = Guild()
        other.members, other.cards, other.faces = dict(self.members), dict(self.cards), dict(self.faces)
        other.reactions, other.away_until = set(self.reactions), self.away_until
        return other

    def post(self, label: str) -> int:
        """Twice with the same nonce is once."""
        return self.cards.setdefault(label, 5000 + len(self.cards))
