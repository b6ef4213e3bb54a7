"""How it is said that a value of `greenlight.toml` is missing, unknown or of the wrong type."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic_core import ErrorDetails

from bot.policy.gates import OF_GATES, OF_GUARDS, SORTS
from bot.policy.tables import ROLLED, SLOTTED, keys_of, tables_at
from bot.policy.values import shown
from bot.toml_places import Loc, header

_FIXES = {
    "string_type": "must be text in quotes, not {shown}.",
    "bool_type": "must be true or false, without quotes, not {shown}.",
    "int_type": "must be a whole number, without quotes, not {shown}.",
    "greater_than_equal": "must be at least {ge}, not {shown}.",
    "list_type": "must be a list, [ … ], not {shown}.",
    "dict_type": "must be a table, not {shown}.",
    "model_type": "must be a table, not {shown}.",
    "literal_error": "must be one of {expected}, in quotes, not {shown}.",
    "less_than_equal": "must be at most {le}, not {shown}.",
    "model_attributes_type": "must be a table, not {shown}.",
    "enum": "must be one of {expected}, in quotes, not {shown}.",
}


_WHERE = ("service", "preview", "slots")
"""The keys by which an app says that it runs on two Deployments."""
_FOLLOWS = ("namespace", "image", "service", "preview")
"""What only such an app has to say."""


def faults(errors: Iterable[ErrorDetails]) -> Iterator[tuple[Loc, str]]:
    """Where each of them is, and what to do about it."""
    known = [(_place(error["loc"]), error["loc"][2:3], error) for error in errors]
    lost = {loc for loc, _, error in known if error["type"] == "missing"}
    beside = [loc for loc, of, error in known if of == (ROLLED,) and _is_where(loc) and error["type"] == _TOO_MUCH]
    for table in dict.fromkeys(loc[:2] for loc in beside):
        keys = ", ".join(f"`{loc[2]}`" for loc in beside if loc[:2] == table)
        yield (
            (*table, "rollout"),
            f"stands beside {keys}, which a Rollout tells by itself: leave out the one or the other.",
        )
    for loc, of, error in known:
        if error["type"] == _TOO_MUCH and (unused := _of_another_check(loc, error["loc"])) is not None:
            yield from [(loc, unused)] if unused else []
            continue
        says_nothing = of == (SLOTTED,) and lost >= {(*loc[:2], key) for key in _WHERE}
        if loc in beside or (says_nothing and loc in lost and loc[2:] in {(key,) for key in _FOLLOWS}):
            continue  # it follows from what is told
        if says_nothing and loc[2:] == ("slots",):
            yield loc, f"is missing: write {EXAMPLES['slots']}{_OR_ROLLOUT}."
        else:
            yield loc, _sentence(loc, error)


_TOO_MUCH = "extra_forbidden"
_OR_ROLLOUT = ' with `service` and `preview`, or rollout = "<Rollout>" if it runs on Argo Rollouts'


_LISTED = {("gates",), ("guards",)}
_SORTS = {SLOTTED, ROLLED, *SORTS}


def _place(loc: Loc) -> Loc:
    """As it stands in the file: without what pydantic says of which table it took."""
    return tuple(part for part in loc if part not in _SORTS)


def _is_where(loc: Loc) -> bool:
    return loc[2:] in {(key,) for key in _WHERE}


def _sentence(loc: Loc, error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "greenlight":
        return str(error["msg"])
    if kind == "missing":
        example = EXAMPLES.get(".".join(map(str, loc[2::2]))) or EXAMPLES.get(str(loc[-1]))
        return f"is missing: write {example}." if example else "is missing."
    if kind == _TOO_MUCH:
        return _unknown(loc)
    if kind == "list_type" and isinstance(error["input"], dict) and loc[0] == "apps" and loc[2:] in _LISTED:
        return f"are several, so the header of each has double brackets: write [{header(loc)}]."
    values = {"shown": shown(error["input"]), **error.get("ctx", {})}
    return _FIXES[kind].format_map(values) if kind in _FIXES else f"{error['msg']}: {values['shown']}."


EXAMPLES = {
    "guild": "guild = <the id of your Discord server>",
    "apps": "a table [apps.<name>], as in greenlight.example.toml",
    "namespace": 'namespace = "<the Kubernetes namespace>"',
    "channel": "channel = <the id of the channel for its cards>",
    "image": 'image = "registry.example.com/<repository>"',
    "service": 'service = "<the Service that has the traffic>"',
    "preview": 'preview = "<the Service that shows the candidate>"',
    "slots": 'slots = ["<blue Deployment>", "<green Deployment>"]',
    "deployers": "deployers = [<id of a role that may deploy>]",
    "approval": "a table [apps.<name>.approval] with require = [{ roles = [<role id>], count = 1 }]",
    "require": "require = [{ roles = [<role id>], count = 1 }]",
    "roles": "roles = [<role id>]",
    "kind": 'kind = "http", "prometheus", "k6" or "job"',
    "guards.kind": 'kind = "http" or "prometheus"',
    "script": 'script = { configmap = "<ConfigMap>", key = "load.js" }',
    "configmap": 'configmap = "<the ConfigMap that holds the script>"',
    "key": 'key = "<its key, such as load.js>"',
    "template": 'template = { cronjob = "<the CronJob whose template is run>" }',
    "cronjob": 'cronjob = "<the CronJob whose template is run>"',
    "name": 'name = "<what people call it>"',
    "query": "query = '<PromQL that gives one number>'",
    "pass": 'pass = "< 0.01"',
    "url": 'url = "https://prometheus.example.com"',
}


_KINDS = {"gates": OF_GATES, "guards": OF_GUARDS}
_INSTEAD = {
    "gates": ("guards", "is for guards, which watch what is live: leave it out, or make a guard of this, {table}."),
    "guards": ("gates", "is for gates, which check the candidate: leave it out, or make a gate of this, {table}."),
}


def _of_another_check(loc: Loc, told: Loc) -> str | None:
    """What to do about a key of a gate or a guard that is one of another kind of them; None if it is of none, and ""
    if it may be right, since nobody knows yet which kind is meant. `told` is the way to it with pydantic's sorts.
    """
    match loc:
        case ("apps", name, "gates" | "guards" as which, int(), str() as key):
            pass
        case _:
            return None
    other, sentence = _INSTEAD[which]
    if key in keys_of(*tables_at(("apps", str(name), which))):
        kind = next((kind for kind, sort in _KINDS[which].items() if sort in told), "")
        return f'has no use with kind = "{kind}": leave it out, or write the kind that it is for.' if kind else ""
    if key in keys_of(*tables_at(("apps", str(name), other))):
        return sentence.format(table=f"[{header(('apps', str(name), other))}]")
    return None


def _unknown(loc: Loc) -> str:
    key, parents = str(loc[-1]), [part for part in loc[:-1] if isinstance(part, str)]
    known = keys_of(*tables_at(parents))
    if key in known:  # of the other kind of app: `adopt`
        return "has no use without `rollout`: versions that others bring up are seen there. Leave it out."
    if parents[:1] == ["apps"] and key not in known:
        for inner in ("", "approval", "timing", "links"):
            table = (*parents[:2], *([inner] if inner else []))
            if key in keys_of(*tables_at(table)):
                # TOML: what stands below a table's header belongs to it, indented or not.
                return f"belongs into the table {header(table)}: move it below that header."
    close = get_close_matches(key, known, n=1)
    return f"is not known; did you mean `{close[0]}`?" if close else f"is not known; known here: {', '.join(known)}."
