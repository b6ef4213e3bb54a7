"""The image grammar: what people may type, what it means, and what hostile text meets."""

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.release.errors import Refused
from bot.release.image import NAME_LIMIT, REFERENCE_LIMIT, Image, is_digest, is_same, parse, resolve_text, shown

HEX = "1a2b3c4d5e6f" + "0" * 52
DIGEST = f"sha256:{HEX}"
HOME = "registry.example.com/mochi"
# Each: a text, the reference that it is, and the image that it means to the app of HOME and nginx; null where refused.
CORPUS = json.loads((Path(__file__).parent / "image_references.json").read_text("utf-8"))

parts = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
hosts = st.sampled_from(
    [
        "docker.io",
        "registry.example.com",
        "localhost",
        "localhost:5000",
        "127.0.0.1:1",
        "[::1]:65535",
        "kind-registry:5000",
    ]
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)


@st.composite
def images(draw):
    repository = "/".join(draw(st.lists(parts, min_size=2, max_size=4)))
    return Image(draw(hosts), repository, draw(st.none() | tags), draw(st.none() | digests))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("mochi", "docker.io/library/mochi"),
        ("mochi:green", "docker.io/library/mochi:green"),
        ("team/mochi:green", "docker.io/team/mochi:green"),
        ("docker.io/mochi", "docker.io/library/mochi"),
        ("index.docker.io/mochi", "docker.io/library/mochi"),
        ("registry-1.docker.io/team/mochi", "docker.io/team/mochi"),
        ("localhost/mochi", "localhost/mochi"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("localhost:5000/mochi:v1", "localhost:5000/mochi:v1"),
        ("127.0.0.1:65535/mochi", "127.0.0.1:65535/mochi"),
        ("[::1]:5000/mochi:v1", "[::1]:5000/mochi:v1"),
        ("kind-registry:5000/a/b/c", "kind-registry:5000/a/b/c"),
        (f"{HOME}:green", f"{HOME}:green"),
        (f"{HOME}@{DIGEST}", f"{HOME}@{DIGEST}"),
        (f"{HOME}:green@{DIGEST}", f"{HOME}:green@{DIGEST}"),
        ("registry.example.org/a_b/c__d/e---f/g.h:V1_x.y-z", "registry.example.org/a_b/c__d/e---f/g.h:V1_x.y-z"),
        (f"{HOME}:{'t' * 128}", f"{HOME}:{'t' * 128}"),
    ],
)
def test_a_full_reference_is_normalised(text, whole):
    assert str(parse(text)) == whole


@given(images())
def test_every_image_reads_back_as_itself(image):
    assert parse(str(image)) == image


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("green", f"{HOME}:green"),
        (":green", f"{HOME}:green"),
        ("1.2.3", f"{HOME}:1.2.3"),
        (DIGEST, f"{HOME}@{DIGEST}"),
        (f"@{DIGEST}", f"{HOME}@{DIGEST}"),
        (f"{HOME}:green", f"{HOME}:green"),
        (f"{HOME}@{DIGEST}", f"{HOME}@{DIGEST}"),
        (f"{HOME}:green@{DIGEST}", f"{HOME}:green@{DIGEST}"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("index.docker.io/nginx:1.27", "docker.io/library/nginx:1.27"),
    ],
)
@pytest.mark.parametrize("default", [HOME, parse(f"{HOME}:old@{DIGEST}")])
def test_what_a_person_types_means_a_version_of_the_app(typed, whole, default):
    assert str(resolve_text(typed, default, ["nginx"])) == whole


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("evil.io/x", "`evil.io/x` is not from a repository of mochi. Allowed: `registry.example.com/mochi`."),
        ("mochi:green", "`mochi:green` is not from a repository of mochi (it means `docker.io/library/mochi`)."),
        (HOME, f"`{HOME}` names no version: add a tag, as in `{HOME}:green`."),
        (f"{HOME}/x:green", "is not from a repository"),
        (f"{HOME}x:green", "is not from a repository"),
        ("registry.example.com:443/mochi:green", "is not from a repository"),
        ("registry.example.com/Mochi:green", "`Mochi` is not a repository name"),
        ("Registry.example.com/mochi:green", "is not a registry's host name"),
        (f"{DIGEST}:tag", "is not a digest"),
        (f"@{DIGEST}:tag", "is not a digest"),
        (f"{HOME}@{DIGEST}:tag", "is not a digest"),
        (f"{HOME}@{DIGEST}@{DIGEST}", "is not a digest"),
        ("sha256:1a2b3c4d5e6f", "is not a digest"),
        (f"sha256:{HEX.upper()}", "is not a digest"),
        (f"sha256:{HEX}0", "is not a digest"),
        (f"sha512:{HEX}{HEX}", "is not a digest"),
        (f"md5:{HEX[:32]}", "is not a digest"),
        (HEX, "write `sha256:` before it"),
        (f"{HOME}@", "Nothing is not a digest"),
        ("", "No image was given"),
        (":", "Nothing is not a tag"),
        ("::green", "`::green` is not an image"),
        (f"{HOME}:", "Nothing is not a tag"),
        ("--flag", "`--flag` is not a tag"),
        ("..", "`..` is not a tag"),
        ("registry.example.com/../mochi:x", "is not a repository name"),
        ("registry.example.com//mochi:x", "is not a repository name"),
        ("registry.example.com/mochi/:x", "is not a repository name"),
        ("/mochi:x", "is not a repository name"),
        ("../../etc/passwd", "is not a registry's host name"),
        ("user:secret@registry.example.com/mochi:green", "is not a digest"),
        ("https://registry.example.com/mochi", "leave out what stands before the host"),
        ("registry.example.com:0/mochi:x", "is not a registry's host name"),
        ("registry.example.com:65536/mochi:x", "is not a registry's host name"),
        ("registry.example.com:/mochi:x", "is not a registry's host name"),
        ("registry.example.com./mochi:x", "is not a registry's host name"),
        ("-registry.example.com/mochi:x", "is not a registry's host name"),
        ("[::1/mochi:x", "is not a registry's host name"),
        ("[:::::]:5000/mochi:x", "is not a registry's host name"),
        ("green ", "only visible ASCII without spaces"),
        ("gr een", "only visible ASCII without spaces"),
        ("green\n", "`green\\n` has a character"),
        ("green\x00", "`green\\x00` has a character"),
        ("green\x7f", "`green\\x7f` has a character"),
        ("\u202egreen", "`\\u202egreen` has a character"),
        ("gr\u0435en", "`gr\\u0435en` has a character"),
        ("green\U0001f600", "`green\\U0001f600` has a character"),
        ("gr\ud800een", "`gr\\ud800een` has a character"),
        ("`@everyone`", "`\\x60@everyone\\x60` is not an image"),
        ("<@&1>", "is not an image"),
        ("t" * 129, "is not a tag"),
        ("x" * (REFERENCE_LIMIT + 1), "is too long"),
        (f"evil.io/{'x' * NAME_LIMIT}:green", f"at most {NAME_LIMIT} characters"),
        ("$(reboot)", "is not a tag"),
        ("green;reboot", "is not a tag"),
        ("%2e%2e", "is not a tag"),
    ],
)
def test_hostile_text_is_refused_with_a_sentence(typed, says):
    with pytest.raises(Refused) as refusal:
        resolve_text(typed, HOME, app="mochi")
    assert says in str(refusal.value)
    assert_safe_to_show(str(refusal.value))


def test_s12_the_corpus_of_hostile_text_means_what_is_written_there():
    """One test for all, since it takes longer to name 380 than to read them."""
    assert len({text for text, _, _ in CORPUS}) == len(CORPUS) > 350
    read = [(text, _outcome(parse, text), _outcome(_typed, text)) for text, _, _ in CORPUS]
    assert read == [tuple(each) for each in CORPUS]


def test_s12_whatever_is_done_to_the_corpus_stays_within_the_app_s_repositories():
    """What is accepted is exactly the repository of the app or of its list, however it was written."""
    for text, _, _ in CORPUS:
        for changed in (
            text,
            text.swapcase(),
            f"{text}:green",
            f"{text}@{DIGEST}",
            f" {text}",
            f"{HOME}/{text}",
            text * 2,
        ):
            meant = _outcome(_typed, changed)
            if meant is not None:
                assert parse(meant).name in (HOME, "docker.io/library/nginx"), changed


def _typed(text):
    return resolve_text(text, HOME, ["nginx"])


def _outcome(read, text):
    try:
        return str(read(text))
    except Refused as refusal:
        assert_safe_to_show(str(refusal))
        return None


@given(st.sampled_from([text for text, _, _ in CORPUS]), st.data())
def test_s12_near_the_corpus_too_it_is_an_image_or_a_refusal(text, data):
    """One character taken out, put in or changed: grammars break at their edges."""
    at = data.draw(st.integers(0, len(text)))
    taken = data.draw(st.integers(0, 1))
    changed = text[:at] + data.draw(st.sampled_from([*"aA0:/@.-_[]% \n\u202e", ""])) + text[at + taken :]
    for read in (parse, _typed):
        meant = _outcome(read, changed)
        if meant is not None:
            assert str(parse(meant)) == meant


@pytest.mark.parametrize(
    "same", ["nginx", "docker.io/nginx", "index.docker.io/library/nginx", "registry-1.docker.io/nginx"]
)
@pytest.mark.parametrize("other", ["nginx:1", "docker.io/library/nginx:1", "index.docker.io/nginx:1"])
def test_the_allow_list_does_not_care_how_docker_hub_is_written(same, other):
    assert str(resolve_text(other, HOME, [same])) == "docker.io/library/nginx:1"
    assert str(resolve_text(other, same)) == "docker.io/library/nginx:1"


def test_a_repository_is_not_allowed_because_it_begins_like_an_allowed_one():
    with pytest.raises(Refused):
        resolve_text("registry.example.com/mochi-evil:x", HOME, ["registry.example.com/mochi/tools"])


def test_a_refusal_names_only_a_few_of_many_repositories():
    """Discord takes 2,000 characters a message."""
    allowed = [f"registry.example.com/{'x' * 200}/{n}" for n in range(40)]
    with pytest.raises(Refused, match=r"and 36 more\.$") as refusal:
        resolve_text("evil.io/x:1", HOME, allowed)
    assert len(str(refusal.value)) < 2000


@given(st.text() | st.text(string.printable) | st.text("ab:/@.-_[]A0\u202e\n`", max_size=30))
@example("a" * 10_000)
def test_any_text_gives_an_image_or_a_refusal_that_is_safe_to_show(text):
    for read in (parse, lambda typed: resolve_text(typed, HOME)):
        try:
            image = read(text)
        except Refused as refusal:
            assert_safe_to_show(str(refusal))
        else:
            assert parse(str(image)) == image


@given(st.text())
def test_no_text_typed_for_an_app_leaves_its_repositories(text):
    try:
        image = resolve_text(text, HOME, ["nginx"])
    except Refused:
        return
    assert image.name in (HOME, "docker.io/library/nginx")
    assert image.tag or image.digest


@given(st.text() | st.text("`\\@", max_size=80))
def test_shown_text_never_leaves_its_code_span(text):
    assert_safe_to_show(shown(text))
    assert len(shown(text)) <= 62


@pytest.mark.parametrize(
    "fields",
    [
        ("index.docker.io", "library/mochi"),
        ("docker.io", "mochi"),
        ("", "mochi"),
        ("registry.example.com", ""),
        ("registry.example.com", "mochi", ""),
        ("registry.example.com", "mochi", None, ""),
    ],
)
def test_no_image_exists_that_is_not_legal_and_normalised(fields):
    with pytest.raises(Refused):
        Image(*fields)


def test_a_pinned_image_is_written_without_its_tag():
    """The tag may move later, and the kubelet would say so in `kubectl describe`."""
    pinned = parse(f"{HOME}:green").at(DIGEST)
    assert str(pinned) == f"{HOME}@{DIGEST}"
    assert pinned.pinned
    assert not parse(f"{HOME}:green").pinned


def test_an_image_cannot_be_pinned_to_anything_but_a_digest():
    with pytest.raises(Refused):
        parse(HOME).at("latest")
    assert not is_digest("latest")


@pytest.mark.parametrize(
    ("text", "short", "digest"),
    [
        (f"{HOME}:green", "mochi:green", ""),
        (f"{HOME}:green@{DIGEST}", "mochi:green", "sha256:1a2b3c4d5e6f"),
        (f"{HOME}@{DIGEST}", "mochi@1a2b3c4d5e6f", "sha256:1a2b3c4d5e6f"),
        (HOME, "mochi", ""),
        ("registry.example.org/team/shop/mochi:1", "mochi:1", ""),
    ],
)
def test_a_card_shows_the_last_part_of_the_name(text, short, digest):
    assert parse(text).short == short
    assert parse(text).short_digest == digest


def assert_safe_to_show(sentence):
    """Visible ASCII and our own ellipsis, all code spans closed, and nothing of the person's outside them."""
    assert all(" " <= c <= "~" or c == "…" for c in sentence)
    assert sentence.count("`") % 2 == 0
    outside = re.sub(r"`[^`]*`", "", sentence)
    assert not set(outside) & set("@<>*_|~#[]\\")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("nginx:1", "docker.io/library/nginx:1", True),
        (f"{HOME}@{DIGEST}", f"mirror.example.net/cache/mochi@{DIGEST}", True),
        (f"{HOME}:green@{DIGEST}", f"{HOME}@{DIGEST}", True),
        ("Not An Image", "Not An Image", True),
        (f"{HOME}:green", f"{HOME}:blue", False),
        (f"{HOME}:green", "mirror.example.net/mochi:green", False),
        (f"{HOME}:green", f"{HOME}@{DIGEST}", False),
        (f"{HOME}@{DIGEST}", f"{HOME}@sha256:{'0' * 64}", False),
        ("Not An Image", f"{HOME}:green", False),
    ],
)
def test_two_names_of_one_image(one, other, same):
    assert is_same(one, other) is is_same(other, one) is same
