"""How it is said that a value of `greenlight.toml` is missing, unknown or of the wrong type."""

from difflib import get_close_matches

from pydantic_core import ErrorDetails

from bot.policy.tables import keys_of, table_at
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
    "model_attributes_type": "must be a table, not {shown}.",
    "enum": "must be one of {expected}, in quotes, not {shown}.",
}


def sentence(error: ErrorDetails) -> str:
    kind, loc = error["type"], error["loc"]
    if kind == "greenlight":
        return str(error["msg"])
    if kind == "missing":
        example = _EXAMPLES.get(str(loc[-1]))
        return f"is missing: write {example}." if example else "is missing."
    if kind == "extra_forbidden":
        return _unknown(loc)
    values = {"shown": shown(error["input"]), **error.get("ctx", {})}
    return _FIXES[kind].format_map(values) if kind in _FIXES else f"{error['msg']}: {values['shown']}."


_EXAMPLES = {
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
}


def _unknown(loc: Loc) -> str:
    key, parents = str(loc[-1]), [part for part in loc[:-1] if isinstance(part, str)]
    if key == "rollout" and len(parents) == 2:  # noqa: PLR2004 - in an app's own table
        return "Argo Rollouts are not supported yet: name two Deployments in `slots`."
    known = keys_of(table_at(parents))
    if parents[:1] == ["apps"] and key not in known:
        for inner in ("", "approval", "timing", "links"):
            table = (*parents[:2], *([inner] if inner else []))
            if key in keys_of(table_at(table)):
                # TOML: what stands below a table's header belongs to it, indented or not.
                return f"belongs into the table {header(table)}: move it below that header."
    close = get_close_matches(key, known, n=1)
    return f"is not known; did you mean `{close[0]}`?" if close else f"is not known; known here: {', '.join(known)}."
