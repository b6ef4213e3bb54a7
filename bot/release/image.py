"""What an image is called: the OCI reference grammar, normalised and strict.

Pure text, no network. An `Image` that exists is legal and normalised, so two names are the same image exactly when they
are equal. The grammar is that of distribution/reference, which Docker, containerd and the kubelet share; it is narrowed
where a legal name is more likely an attack or a slip: sha256 digests only, lower-case hosts that DNS can look up, real
port numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address

from bot.release.errors import Refused

DOCKER_HUB = "docker.io"
DOCKER_HUB_ALIASES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})

# distribution/reference: RepositoryNameTotalLengthMax. Older registries and clients count the host too, so we do.
NAME_LIMIT = 255
REFERENCE_LIMIT = NAME_LIMIT + len(":") + 128 + len("@sha256:") + 64
_SHOWN_LIMIT = 60
_LISTED_LIMIT = 5  # of the longest names there are: then a refusal still fits into one Discord message

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1035: at most 63
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?P<ipv6>[0-9a-f:]+)\])(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BARE_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOOKS_LIKE_A_DIGEST = re.compile(r"@|(?:sha|md)[0-9]+:")
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Image:
    """`registry/repository[:tag][@digest]`, whole. Raises `Refused` sooner than exist with an illegal part."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if not _is_host(self.registry):
            raise Refused(f"{shown(self.registry)} is not a registry's host name (lower case, with an optional port).")
        if not _REPOSITORY.fullmatch(self.repository):
            raise Refused(
                f"{shown(self.repository)} is not a repository name: lower-case letters and digits, "
                "parted by `/` and by single `.`, `_` or `-`."
            )
        if self.registry in DOCKER_HUB_ALIASES and (self.registry != DOCKER_HUB or "/" not in self.repository):
            raise Refused(f"{shown(self.name)} is an alias: its full name is {shown(_hub_name(self.repository))}.")
        if len(self.name) > NAME_LIMIT:
            raise Refused(f"{shown(self.name)} is too long: a repository's name has at most {NAME_LIMIT} characters.")
        if self.tag is not None and not is_tag(self.tag):
            raise Refused(
                f"{shown(self.tag)} is not a tag: at most 128 letters, digits and `_`, "
                "and after the first of them also `.` and `-`."
            )
        if self.digest is not None and not is_digest(self.digest):
            raise Refused(f"{shown(self.digest)} is not a digest: `sha256:` and 64 hexadecimal digits in lower case.")

    @property
    def name(self) -> str:
        """Where its versions live: registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def pinned(self) -> bool:
        """Whether it can only ever mean one content."""
        return self.digest is not None

    @property
    def short(self) -> str:
        """For people: `mochi:green`, or `mochi@1a2b3c4d5e6f` when there is no tag."""
        last = self.repository.rpartition("/")[2]
        if self.tag is not None:
            return f"{last}:{self.tag}"
        return last if self.digest is None else f"{last}@{self.digest[7:19]}"

    @property
    def short_digest(self) -> str:
        """`sha256:` and the first 12 hexadecimal digits; empty when the digest is not known."""
        return "" if self.digest is None else self.digest[:19]

    def at(self, digest: str) -> Image:
        """The same repository pinned to `digest`. The tag goes: it may move, and the cluster must not follow it."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


def is_tag(text: str) -> bool:
    """Whether a registry may call a version so."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether `text` is a whole sha256 digest, algorithm included."""
    return _DIGEST.fullmatch(text) is not None


def one_name(host: str) -> str:
    """The one name of a registry that has several: `docker.io` for each of its aliases, any other host for itself."""
    return DOCKER_HUB if host in DOCKER_HUB_ALIASES else host


def parse(text: str) -> Image:
    """Read a full reference as Docker and the kubelet do: `mochi:green` is `docker.io/library/mochi:green`.

    A missing tag stays missing (no silent `latest`). Raises `Refused` for anything outside the grammar.
    """
    _check_characters(text)
    _check_bare_digest(text)
    if "://" in text:
        raise Refused(f"{shown(text)} is a web address, not an image: leave out what stands before the host.")
    name, at, digest = text.partition("@")
    host, slash, path = name.partition("/")
    if not slash or not (host == "localhost" or "." in host or ":" in host):
        host, path = DOCKER_HUB, name
    repository, colon, tag = path.partition(":")
    host = one_name(host)
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    try:
        return Image(host, repository, tag if colon else None, digest if at else None)
    except Refused as why:
        raise Refused(f"{shown(text)} is not an image. {why}") from None


def is_same(one: str, other: str) -> bool:
    """Whether two references from a cluster mean one image: by whatever name of its registry, and by its digest also
    behind another registry, which an admission policy may have put before it.
    """
    digest = one.partition("@")[2]
    if one == other or (digest and digest == other.partition("@")[2]):
        return True
    try:
        return parse(one) == parse(other)
    except Refused:
        return False


def resolve_text(text: str, default: Image | str, allowed: Iterable[str] = (), app: str = "this app") -> Image:
    """What a person typed for an app, as an image of one of the app's repositories.

    `green`, `:green`, `sha256:…` and `@sha256:…` mean a version of `default`'s repository; anything with a `/`, or with
    a `:` or `@` further in, is a full reference. The repository must be exactly that of `default` or of one in
    `allowed`. The image has a tag or a digest. Raises `Refused` with the sentence for that person.
    """
    home = default if isinstance(default, Image) else parse(default)
    _check_characters(text)
    _check_bare_digest(text)
    if _LOOKS_LIKE_A_DIGEST.match(text):
        return home.at(text.removeprefix("@"))
    tag = text.removeprefix(":")
    if not set(tag) & set("/:@"):
        return replace(home, tag=tag, digest=None)
    image = parse(text)
    names = dict.fromkeys([home.name, *(parse(each).name for each in allowed)])
    if image.name not in names:
        meaning = "" if text.startswith(image.name) else f" (it means {shown(image.name)})"
        listed = ", ".join([f"`{each}`" for each in names][:_LISTED_LIMIT])
        more = len(names) - _LISTED_LIMIT
        listed += f" and {more} more" if more > 0 else ""
        raise Refused(f"{shown(text)} is not from a repository of {app}{meaning}. Allowed: {listed}.")
    if image.tag is None and image.digest is None:
        raise Refused(f"{shown(text)} names no version: add a tag, as in {shown(image.name + ':green')}.")
    return image


def shown(text: str) -> str:
    """Hostile text made safe to show in a Discord message: one code span of visible ASCII, cut to 60 characters."""
    # Beyond the cut nothing is shown, and nobody should be able to make us escape a megabyte.
    head = text[: _SHOWN_LIMIT + 1]
    # A backtick would end the code span; inside one neither markdown nor mentions mean anything.
    escaped = "".join(c if " " <= c <= "~" and c != "`" else _escape(c) for c in head)
    cut = escaped if len(escaped) <= _SHOWN_LIMIT else escaped[: _SHOWN_LIMIT - 1] + "…"
    return f"`{cut}`" if cut else "Nothing"


def _escape(character: str) -> str:
    return "\\x60" if character == "`" else character.encode("unicode_escape").decode("ascii")


def _check_characters(text: str) -> None:
    if not text:
        raise Refused("No image was given: type a tag, such as `green`.")
    if len(text) > REFERENCE_LIMIT:
        raise Refused(f"{shown(text)} is too long: an image reference has at most {REFERENCE_LIMIT} characters.")
    if not all("!" <= c <= "~" for c in text):
        raise Refused(f"{shown(text)} has a character that no image has: only visible ASCII without spaces is allowed.")


def _check_bare_digest(text: str) -> None:
    # distribution/reference refuses it too: it would be read as a name or a tag, and was surely meant as neither.
    if _BARE_DIGEST.fullmatch(text):
        raise Refused(f"{shown(text)} looks like a digest without its algorithm: write `sha256:` before it.")


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > _HIGHEST_PORT:
        return False
    if match["ipv6"] is None:
        return True
    try:
        IPv6Address(match["ipv6"])
    except AddressValueError:
        return False
    return True


def _hub_name(repository: str) -> str:
    return f"{DOCKER_HUB}/{repository}" if "/" in repository else f"{DOCKER_HUB}/library/{repository}"
