"""Discord's documented limits, as numbers to render within and as checks of what is sent.

The numbers are those of Discord's developer documentation (messages, embeds, components, threads, commands). Lengths
are counted in UTF-16 units, the strictest of the ways in which Discord's parts count.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

CONTENT = 2000
TITLE = 256
DESCRIPTION = 4096
FIELDS = 25
FIELD_NAME = 256
FIELD_VALUE = 1024
FOOTER = 2048
AUTHOR = 256
EMBED_TOTAL = 6000
EMBEDS = 10
ROWS = 5
BUTTONS = 5
LABEL = 80
CUSTOM_ID = 100
BUTTON_URL = 512
NONCE = 25
THREAD_NAME = 100
MODAL_TITLE = 45
INPUT_LABEL = 45
INPUT_PLACEHOLDER = 100
INPUT_VALUE = 4000
CHOICES = 25
CHOICE = 100
COMMAND_DESCRIPTION = 100
REACTIONS = 20

_COMMAND_NAME = re.compile(r"[-_'\w]{1,32}")
_LINK_STYLE = 5
_ROW, _BUTTON, _INPUT, _FORM_LABEL = 1, 2, 4, 18


class OverLimit(ValueError):
    """Discord would refuse it; the text lists every reason."""


def length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def validate_message(payload: Mapping[str, Any]) -> None:
    """A message as it is posted or edited (the JSON body); raises `OverLimit`."""
    _raise(_message(payload))


def validate_thread(payload: Mapping[str, Any]) -> None:
    """A thread as it is created."""
    _raise(_text(payload.get("name"), "thread name", THREAD_NAME, empty=False))


def validate_modal(payload: Mapping[str, Any]) -> None:
    """A modal as it is answered to an interaction."""
    _raise(_modal(payload))


def validate_choices(choices: Iterable[Mapping[str, Any]]) -> None:
    """Autocomplete choices as they are answered to an interaction."""
    _raise(_choices(list(choices)))


def validate_command(payload: Mapping[str, Any]) -> None:
    """An application command as it is synced."""
    _raise(_command(payload))


def validate_response(payload: Mapping[str, Any]) -> None:
    """Any answer to an interaction: its `type` says what `data` is."""
    data = payload.get("data") or {}
    check: dict[int, Callable[[Mapping[str, Any]], None]] = {
        4: validate_message,
        7: validate_message,
        8: lambda found: validate_choices(found.get("choices", ())),
        9: validate_modal,
    }
    if payload.get("type") in check:
        check[payload["type"]](data)


def validate_reactions(emojis: Iterable[str]) -> None:
    """The different reactions on one message."""
    count = len(set(emojis))
    _raise([f"{count} different reactions, {REACTIONS} are allowed"] if count > REACTIONS else [])


def _raise(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise OverLimit("; ".join(found))


def _text(value: Any, what: str, limit: int, *, empty: bool) -> list[str]:
    if value is None or value == "":
        return [] if empty else [f"{what} is empty"]
    if not isinstance(value, str):
        return [f"{what} is not text"]
    found = [f"{what} is blank"] if not value.strip() else []
    return [*found, f"{what} has {length(value)} characters, {limit} are allowed"] if length(value) > limit else found


def _message(payload: Mapping[str, Any]) -> list[str]:
    embeds, rows = payload.get("embeds") or [], payload.get("components") or []
    found = _text(payload.get("content"), "content", CONTENT, empty=True)
    found += _text(payload.get("nonce"), "nonce", NONCE, empty=True)
    if len(embeds) > EMBEDS:
        found.append(f"{len(embeds)} embeds, {EMBEDS} are allowed")
    for embed in embeds:
        found += _embed(embed)
    if sum(_embed_length(embed) for embed in embeds) > EMBED_TOTAL:
        found.append(f"embeds have more than {EMBED_TOTAL} characters in all")
    return found + _rows(rows)


def _embed(embed: Mapping[str, Any]) -> list[str]:
    fields = embed.get("fields") or []
    found = _text(embed.get("title"), "embed title", TITLE, empty=True)
    found += _text(embed.get("description"), "embed description", DESCRIPTION, empty=True)
    found += _text((embed.get("footer") or {}).get("text"), "embed footer", FOOTER, empty=True)
    found += _text((embed.get("author") or {}).get("name"), "embed author", AUTHOR, empty=True)
    found += _url(embed["url"], "embed address", BUTTON_URL * 4) if embed.get("url") else []
    if len(fields) > FIELDS:
        found.append(f"{len(fields)} embed fields, {FIELDS} are allowed")
    for field in fields:
        found += _text(field.get("name"), "field name", FIELD_NAME, empty=False)
        found += _text(field.get("value"), "field value", FIELD_VALUE, empty=False)
    return found


def _embed_length(embed: Mapping[str, Any]) -> int:
    texts = [embed.get("title"), embed.get("description"), (embed.get("footer") or {}).get("text")]
    texts += [(embed.get("author") or {}).get("name")]
    texts += [field.get(part) for field in embed.get("fields") or [] for part in ("name", "value")]
    return sum(length(text) for text in texts if isinstance(text, str))


def _rows(rows: list[Mapping[str, Any]]) -> list[str]:
    found = [f"{len(rows)} rows of buttons, {ROWS} are allowed"] if len(rows) > ROWS else []
    ids: list[str] = []
    for row in rows:
        buttons = row.get("components") or []
        if row.get("type") != _ROW or not 1 <= len(buttons) <= BUTTONS:
            found.append(f"a row has {len(buttons)} buttons, 1 to {BUTTONS} are allowed")
        for button in buttons:
            found += _button(button)
            ids += [button["custom_id"]] if button.get("custom_id") else []
    return [*found, "two components have one custom id"] if len(set(ids)) < len(ids) else found


def _button(button: Mapping[str, Any]) -> list[str]:
    if button.get("type") != _BUTTON:
        return [f"component type {button.get('type')} is not one of ours"]
    found = _text(button.get("label"), "button label", LABEL, empty=bool(button.get("emoji")))
    if button.get("style") == _LINK_STYLE:
        if button.get("custom_id"):
            found.append("a link button has a custom id")
        return found + _url(button.get("url"), "button address", BUTTON_URL)
    if button.get("url"):
        found.append("a button that is no link has an address")
    return found + _text(button.get("custom_id"), "custom id", CUSTOM_ID, empty=False)


def _url(url: Any, what: str, limit: int) -> list[str]:
    found = _text(url, what, limit, empty=False)
    return found or ([] if is_link(url) else [f"{what} is not an address that Discord links to"])


def is_link(url: str) -> bool:
    """Whether Discord takes it as the address of a button (http, https or its own scheme, with a host)."""
    if not all("!" <= character <= "~" for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https", "discord"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _modal(payload: Mapping[str, Any]) -> list[str]:
    rows = payload.get("components") or []
    found = _text(payload.get("title"), "modal title", MODAL_TITLE, empty=False)
    found += _text(payload.get("custom_id"), "custom id", CUSTOM_ID, empty=False)
    if not 1 <= len(rows) <= ROWS:
        found.append(f"a modal has {len(rows)} parts, 1 to {ROWS} are allowed")
    for row in rows:
        if row.get("type") == _FORM_LABEL:
            found += _text(row.get("label"), "input label", INPUT_LABEL, empty=False)
            found += _text(row.get("description"), "input description", INPUT_PLACEHOLDER, empty=True)
        for field in [row["component"]] if row.get("type") == _FORM_LABEL else row.get("components") or []:
            found += _input(field, labelled=row.get("type") == _FORM_LABEL)
    return found


def _input(field: Mapping[str, Any], *, labelled: bool) -> list[str]:
    if field.get("type") != _INPUT:
        return [f"component type {field.get('type')} is not one of ours"]
    found = _text(field.get("custom_id"), "custom id", CUSTOM_ID, empty=False)
    found += _text(field.get("label"), "input label", INPUT_LABEL, empty=labelled)
    found += _text(field.get("placeholder"), "input placeholder", INPUT_PLACEHOLDER, empty=True)
    return found + _text(field.get("value"), "input value", INPUT_VALUE, empty=True)


def _choices(choices: list[Mapping[str, Any]]) -> list[str]:
    found = [f"{len(choices)} choices, {CHOICES} are allowed"] if len(choices) > CHOICES else []
    for choice in choices:
        found += _text(choice.get("name"), "choice name", CHOICE, empty=False)
        if isinstance(choice.get("value"), str):
            found += _text(choice["value"], "choice value", CHOICE, empty=False)
    return found


def _command(payload: Mapping[str, Any]) -> list[str]:
    name = payload.get("name")
    found = [] if _is_command_name(name) else [f"{name!r} is not a name of a command or option"]
    found += _text(payload.get("description"), "description", COMMAND_DESCRIPTION, empty=False)
    options = payload.get("options") or []
    if len(options) > CHOICES:
        found.append(f"{len(options)} options, {CHOICES} are allowed")
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        found.append("a required option stands behind one that is not")
    for option in options:
        found += _command(option) + _choices(option.get("choices") or [])
    return found


def _is_command_name(name: Any) -> bool:
    return isinstance(name, str) and name == name.lower() and _COMMAND_NAME.fullmatch(name) is not None
