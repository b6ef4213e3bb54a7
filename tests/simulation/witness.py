"""How an oracle sees."""

from collections.abc import Callable
from functools import wraps
from typing import Any


def witness(see: Callable[..., None]) -> Callable[..., None]:
    """What goes wrong in an oracle must not look to the bot like trouble of its world."""

    @wraps(see)
    def safely(self: Any, *args: Any, **more: Any) -> None:
        try:
            see(self, *args, **more)
        except Exception as error:  # noqa: BLE001 - the bot would catch it
            self.fail("oracle", repr(error))

    return safely
