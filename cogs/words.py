"""All that Greenlight says on Discord, at one place: to be read at one go, and to be translated later.

Everything that goes into these sentences was made safe to show before (`cogs.text`), unless a parameter says otherwise.
"""

from bot.release.app import Action
from bot.release.snapshot import Verdict
from bot.release.verbs import Verb

APPROVE, VETO = "✅", "⛔"

PREVIEW_BUTTON = "Preview"
PRODUCTION_BUTTON = "Production"
AGAIN_BUTTON = "Deploy again"
NEWER, OLDER = "Newer", "Older"
VERB_BUTTONS = {
    Verb.PROMOTE: "Promote",
    Verb.REJECT: "Reject",
    Verb.ABANDON: "Abandon",
    Verb.ROLL_BACK: "Roll back",
    Verb.RELEASE_CAPACITY: "Release capacity",
}

APPROVALS_FIELD = "Approvals"
UNTIL_FIELD = "Until"
WATCHED_FIELD = "Watch ends"
ANSWER_FIELD = "Goes back"
ROLLBACK_FIELD = "Roll back"
GATES_FIELD = "Gates"
GUARDS_FIELD = "Guards"
GATES_AND_GUARDS_FIELD = "Gates and guards"
NO_APPROVAL_YET = "asked for once it is ready"
NO_APPROVAL_NEEDED = "not needed to go back"


def successor_button(number: int) -> str:
    return f"#{number}"


# The card's title, behind app and number

PREPARING = "preparing"
WAITING = "waiting for approval"
WAITING_FOR_PROMOTE = "approved, waiting for Promote"
WAITING_FOR_CHECKS = "waiting for checks"
SWITCHING = "switching"
WATCHED = "live, being watched"
KEEP_OR_NOT = "live, roll back or keep?"
LIVE = "live"
WAS_LIVE = "was live"
ROLLING_BACK = "rolling back"
ROLLED_BACK = "rolled back"
REPLACED = "replaced"
NOT_RELEASED_TITLE = "not released"
LEFT = "left as it is"
UNAPPROVED = "live without approval"

# The card's first line


def prepared(name: str) -> str:
    return f"🔵 {name} is being prepared"


def waiting(name: str, who: str) -> str:
    return f"🟡 {name} is waiting for {who}" if who else f"🟡 {name} is waiting for approval"


def blocked(name: str, reason: str) -> str:
    return f"🟡 {name} cannot be promoted yet: {reason}"


def press_promote(name: str) -> str:
    return f"🟡 {name} is approved and waits for an approver to press Promote"


def about_to_switch(name: str) -> str:
    return f"🟡 {name} is approved, about to switch"


def restoring(name: str, number: int) -> str:
    return f"🟠 {name} is being brought back in the place of #{number}"


def switching(name: str, approvers: str) -> str:
    return f"🔵 {name} was approved by {approvers}, switching" if approvers else f"🔵 {name} is switching"


def watched(name: str, until: str) -> str:
    return f"🟢 {name} is live, watching until {until}" if until else f"🟢 {name} is live, being watched"


def keep_or_not(name: str, reason: str, until: str) -> str:
    return f"🟡 {name} is live, but {reason}. Roll back, or keep it? It goes back {until}"


def live(name: str) -> str:
    return f"🟢 {name} is live"


def was_live(name: str, number: int) -> str:
    return f"⚪ {name} was live until #{number}"


def was_live_until_moved(name: str, by: str) -> str:
    return f"🔴 {name} was live until its traffic was moved away by {by}"


def going_back(name: str, reason: str) -> str:
    return f"🟠 {name} is being taken back: {reason}" if reason else f"🟠 {name} is being taken back"


def rejected(name: str, by: str, reason: str) -> str:
    said = f': "{reason}"' if reason else ""
    return f"⚪ {name} was rejected by {by}{said}" if by else f"⚪ {name} was rejected{said}"


def expired(name: str, reason: str) -> str:
    return f"⚪ {name} expired: {reason}" if reason else f"⚪ {name} expired"


def withdrawn(name: str, by: str, reason: str) -> str:
    who = f" by {by}" if by else ""
    return f"⚪ {name} was abandoned{who}: {reason}" if reason else f"⚪ {name} was abandoned{who}"


def replaced(name: str, number: int | None) -> str:
    return f"⚪ {name} was replaced by #{number}" if number else f"⚪ {name} was replaced by a newer release"


def could_not_start(name: str, reason: str) -> str:
    return f"⚪ {name} could not start: {reason}" if reason else f"⚪ {name} could not start"


def never_switched(name: str, reason: str) -> str:
    return f"⚪ {name} was not released: {reason}" if reason else f"⚪ {name} was not released"


def rolled_back(name: str, by: str, to: str, after: str, reason: str) -> str:
    who = f" by {by}" if by else ""
    when = f" after {after}" if after else ""
    return f"🟠 {name} was rolled back{who} to {to}{when}" + (f": {reason}" if reason else "")


def left_alone(name: str, reason: str) -> str:
    return f"🔴 {name} was left alone: {reason}" if reason else f"🔴 {name} was left alone"


def went_live_unapproved(name: str, reason: str) -> str:
    return f"🔴 {name} went live without approval: {reason}" if reason else f"🔴 {name} went live without approval"


# The card's body


def live_now(image: str, since: str, by: str) -> str:
    return f"live now: {image}" + (f", since {since}" if since else "") + (f", by {by}" if by else "")


def live_unknown(changed_by: str) -> str:
    return "live now: not known" + (f", the traffic was moved by {changed_by}" if changed_by else "")


def before_this(image: str) -> str:
    return f"before it: {image}"


def progress(ready: int, wanted: int) -> str:
    """As the core says it of a side: then it need not be said twice."""
    return f"{ready} of {wanted} pods ready"


def pods_ready(bar: str, pods: str) -> str:
    return f"`{bar}` {pods}"


def waits_because(reason: str) -> str:
    return f"⏳ {reason}"


def because(reason: str) -> str:
    return f"Reason: {reason}"


def warning(note: str) -> str:
    return f"⚠️ {note}"


PREVIEW_SILENT = "The preview does not answer yet."
PRODUCTION_SILENT = "Production does not answer."
OPEN_CONNECTIONS = "Connections that were open before the switch may still end at the old version."
NO_PREVIEW_ADDRESS = "No address leads to the preview."


def requirement_line(roles: str, have: int, need: int, people: str) -> str:
    return f"{roles} {have} of {need}" + (f" {APPROVE} {people}" if people else "")


def missing(roles: str, count: int) -> str:
    return roles if count == 1 else f"{count} from {roles}"


def and_more(count: int) -> str:
    return f"… and {count} more"


def vetoed(people: str) -> str:
    return f"{VETO} {people}"


def approved_by(people: str) -> str:
    return f"{APPROVE} {people}"


def instant_until(until: str) -> str:
    return f"instant until {until}" if until else "instant"


def by_redeploy(image: str) -> str:
    return f"redeploys {image}"


NO_WAY_BACK = "nothing to go back to"


TAKE_BACK = "`/rollback` takes it back."


def check_line(verdict: Verdict, name: str, kind: str, detail: str, *, begun: str = "", lasted: str = "") -> str:
    sign, said = {
        Verdict.RUNNING: ("⏳", "is running"),
        Verdict.PASSED: ("✅", "passed"),
        Verdict.FAILED: ("❌", "failed"),
        Verdict.NONE: ("❔", "has no verdict"),
    }[verdict]
    how_long = f", begun {begun}" if begun else f" after {lasted}" if lasted else ""
    return f"{sign} {name} ({kind}) {said}{how_long}" + (f": {detail}" if detail else "")


ALARMS = {
    Action.ROLL_BACK: "rolls back",
    Action.ASK: "asks",
    Action.WARN: "only warns",
}
"""What becomes of a guard's alarm."""
ALARMS_BEFORE = {
    Action.ROLL_BACK: "rolled back",
    Action.ASK: "asked",
    Action.WARN: "only warned",
}
"""What became of it, once the watch is over."""


def kept_by(who: str) -> str:
    return f"kept by {who}"


def keep_guard(guard: str) -> str:
    return f"Keep despite {guard}"


def guard_kept(title: str, guard: str) -> str:
    return f"{title} stays live in spite of guard {guard}; everybody reads that you keep it."


def result_in(thread: int) -> str:
    return f" · <#{thread}>"


def repeat_gate(gate: str) -> str:
    return f"Repeat {gate}"


def accept_gate(gate: str) -> str:
    return f"Accept {gate} anyway"


def stop_gate(gate: str) -> str:
    return f"Stop {gate}"


ACCEPT_REASON = "Reason"
ACCEPT_HINT = "Why may it be released all the same? Everybody will read it on the card."


def gate_repeated(title: str, gate: str) -> str:
    return f"Gate {gate} of {title} runs again."


def gate_stopped(title: str, gate: str) -> str:
    return f"Gate {gate} of {title} is stopped; it has no verdict."


def gate_accepted(title: str, gate: str) -> str:
    return f"Gate {gate} of {title} is accepted; it is on the card with your reason."


def asked_by(who: str) -> str:
    return f"asked by {who}"


def started_by(who: str, begun_by: str) -> str:
    """`who` is "" where only what began it is known, and when."""
    return f"started by {who} ({begun_by})" if who else f"started by {begun_by}"


def footer(origin: str, label: str) -> str:
    return f"{origin} · {label}"


def nobody_can_approve(roles: str) -> str:
    return f"⚠️ Nobody can approve: {roles} is not on this server any more. Name another role in greenlight.toml."


def unknown_role(role: int) -> str:
    return f"role {role}"


# Around the card


def your_turn(mentions: str, title: str, preview: str) -> str:
    return f"{mentions}: {title} is ready to look at" + (f": {preview}" if preview else "")


def guard_asks(mentions: str, title: str, reason: str, until: str) -> str:
    return f"{mentions}: {title} is live, but {reason}. Roll back, or keep it? Unless it is kept, it goes back {until}."


def unapproved(mentions: str, title: str, reason: str) -> str:
    return f"{mentions}: {title} went live without your approval ({reason}). {TAKE_BACK}"


def over(mention: str, text: str) -> str:
    return f"{mention} {text}"


def did_not_pass(mention: str, title: str, gates: str, *, acceptable: bool) -> str:
    accepted = ", have it accepted" if acceptable else ""
    fix = f"repeat it on the card{accepted}, or take the release back"
    return f"{mention} {title} waits for gate {gates}, which did not pass: {fix}."


def thread_name(title: str, version: str) -> str:
    return f"{title} {version}"


def event_line(at: str, text: str) -> str:
    return f"{at} {text}"


def more_rows(count: int) -> str:
    return f"… {count} more, in the file"


# Forms that ask back


def roll_back_form(title: str) -> str:
    return f"Roll back {title}"


def reject_form(title: str) -> str:
    return f"Reject {title}"


REASON = "Reason (optional)"
REJECT_HINT = "What is wrong with it? Everybody will read it on the card."


def back_at_once(image: str) -> str:
    return f"Moves traffic back to {image} at once."


def back_by_redeploy(image: str) -> str:
    return f"Redeploys {image}, about 40 s: the old pods are gone."


BACK_BEFORE_SWITCH = "The traffic has not moved; the new version is taken away again."
BACK_SOMEHOW = "Moves traffic back to the version before."


# Answers to commands and presses


def started(title: str, image: str, card: str) -> str:
    return f"{title} ({image}) is being prepared" + (f": {card}" if card else ".")


def done(verb: Verb, title: str, kind: str = "") -> str:
    return {
        Verb.PROMOTE: f"{title} is promoted as soon as the last checks are through.",
        Verb.REJECT: f"{title} is rejected; nothing was released.",
        Verb.ABANDON: f"{title} is abandoned; nothing was released.",
        Verb.ROLL_BACK: f"{title} is being rolled back. {kind}".strip(),
        Verb.RELEASE_CAPACITY: f"The pods of the version before {title} are released; rolling back will redeploy it.",
        Verb.REPLACE: f"{title} is replaced.",
    }[verb]


def with_link(sentence: str, url: str) -> str:
    return f"{sentence} {url}"


OLD_BUTTON = "That release is not known any more: this button acts on nothing."
OTHER_GUILD = "Greenlight works on the server of its team only."
NOT_ANSWERED = (
    "Discord did not confirm that your request arrived, so nothing was done. "
    "Look at /status and ask again if it is needed."
)
NO_SUCH_COMMAND = "I know `deploy`, `rollback`, `status`, `history` and `releases`."


def which_app(apps: str) -> str:
    return f"Which app? This channel belongs to {apps}: add `app:`."


def no_app_here(apps: str) -> str:
    return f"Which app? This is no app's channel: add `app:`. The apps are {apps}." if apps else "No app is set up."


def unknown_app(app: str, apps: str) -> str:
    return f"There is no app {app}. The apps are {apps}." if apps else f"There is no app {app}."


def not_newest(title: str) -> str:
    return f"{title} is not the newest release any more: the buttons of an old card act on nothing."


def not_understood(why: str) -> str:
    return (
        f"That was not understood: {why.rstrip('.')}. I know `deploy`, `rollback`, `status`, `history` and `releases`."
    )


def broke(ref: str) -> str:
    return f"That broke on our side (ref {ref})"


def bad_date(text: str) -> str:
    return f"{text} is not a date: write it as 2026-01-31, or as an age such as 7d."


# /status, /releases, /history

NOTHING_LIVE = "not known"
STATUS_LIVE = "Live"
STATUS_OPEN = "Open release"
STATUS_ADDRESSES = "Addresses"
STATUS_LATEST = "Last releases"
NO_OPEN_RELEASE = "none"
NO_HISTORY = "No release matches."
BOARD_TITLE = "Releases"


def history_title(app: str, page: int, pages: int) -> str:
    return f"{app} · releases" + (f" · page {page} of {pages}" if pages > 1 else "")


def board_empty(app: str) -> str:
    return f"⚪ {app}: no release yet"


def since(at: str) -> str:
    return f"since {at}"


def by(who: str) -> str:
    return f"by {who}"


def with_card(text: str, url: str) -> str:
    return f"{text} [card]({url})"


def outcome(sign: str, number: int, version: str, happened: str, duration: str) -> str:
    return f"{sign} #{number} {version} · {happened} · {duration}"


def history_line(what: str, at: str, origin: str, approvers: str) -> str:
    return f"{what} · {at}, {origin}" + (f", approved by {approvers}" if approvers else "")


def because_of(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what


def by_whom(what: str, who: str) -> str:
    return f"{what} by {who}" if who else what


IS_PREPARED = "being prepared"
IS_WAITING = "waiting for approval"
IS_SWITCHING = "switching"
IS_WATCHED = "live, being watched"
IS_GOING_BACK = "rolling back"
WENT_LIVE = "went live"
WAS_LEFT = "left as it was"
WENT_LIVE_UNAPPROVED = "went live without approval"
WAS_ROLLED_BACK = "rolled back"
WAS_REJECTED = "rejected"
HAS_EXPIRED = "expired"
WAS_REPLACED = "replaced"
WAS_ABANDONED = "abandoned"
DID_NOT_START = "could not start"
NOT_RELEASED = "not released"

# What the commands are for, as Discord shows it in its picker

DEPLOY = "Release a new version beside the live one, for others to look at and approve"
DEPLOY_IMAGE = "A tag such as green, a digest, or a full image name"
DEPLOY_REPLACE = "Put it in the place of a release that is still open, or deploy a version that was rolled back"
ROLLBACK = "Put an app back as it was before its newest release"
ROLLBACK_REASON = "Why; everybody will read it on the card"
STATUS = "What is live, what is being released, and where to look at it"
RELEASES = "The newest release of every app, one line each"
HISTORY = "Past releases of an app, newest first"
HISTORY_PAGE = "Which page; ten releases are on each"
HISTORY_PERSON = "Only releases that this person asked for"
HISTORY_SINCE = "Only releases since a date (2026-01-31) or an age (7d)"
APP = "Which app; may be left out in an app's own channel"
PRODUCTION, PREVIEW = "Production", "Preview"
