"""A call of curl for each method, which works as printed where TOKEN and `first` are set as the page says.

Ids are looked up: of the place that a path names, or of the list of things that a field's name speaks of, or where
`FOUND` says. Values are the examples that the contract's rules give, and what rules require otherwise.
"""

import json
import re
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

from services.gateway.reference.document import is_partial, roles_of
from services.gateway.reference.rules import enum_names, examples, is_required, keywords, may_be_nothing, rules_of
from services.gateway.rest.bindings import Binding, bindings, field_of
from services.gateway.rest.transcode import is_structure, query_fields

# Stands in the JSON of a body where the shell is to look something up, which is percent-encoded.
LOOK_UP = "\N{LEFT WHITE SQUARE BRACKET}{}\N{RIGHT WHITE SQUARE BRACKET}"
LOOK_UPS = re.compile(LOOK_UP.format("(.+?)"))
# What a place in a path is called where nothing lists what could stand there.
UNKNOWN = "00000000-0000-7000-8000-000000000000"
LOST = '"inbound?state=INBOUND_STATE_QUARANTINED"'
DRAFT, PAUSED = '"campaigns?state=STATE_DRAFT"', '"campaigns?state=STATE_PAUSED"'
SCHEDULED = '"campaigns?state=STATE_SCHEDULED"'
FINISHED = '"campaigns?state=STATE_FINISHED"'
# A ticket of several messages by somebody known, the first of which has a file.
TALK = '"tickets?filter=text(%22photo%22)"'
NORA = """'{"email": "nora@shop.example", "password": "a long and secret one"}'"""
KEY = """'{"apiKey": {"displayName": "till", "roles": ["ROLE_VIEWER"]}}'"""
# What `first` is to be told for what is not the id of any one thing in the list that a name speaks of.
FOUND = {
    "AddCustomerMessage.person_id": f"{TALK} requesterId",
    "AddCustomerMessage.ticket_id": TALK,
    "BatchGetPeople.ids": "people",
    "BatchUpdateTickets.ids": "tickets",
    "CancelCampaign.id": SCHEDULED,
    "DeleteQueue.id": "queues id 2",
    "DiscardInbound.id": LOST,
    "DownloadAttachment.id": f"tickets/$(first {TALK})/messages id 2",
    "ExchangeApiKey.secret": f"apiKeys secret 1 {KEY}",
    "ExplainRecipient.campaign_id": FINISHED,
    "LinkTickets.other_id": "tickets id 2",
    "LaunchCampaign.id": DRAFT,
    "ListRecipients.campaign_id": FINISHED,
    "LogOut.refresh_token": f"sessions refreshToken 1 {NORA}",
    "MergeTickets.ids": "tickets id 2",
    "PauseCampaign.id": PAUSED,
    "RefreshSession.refresh_token": f"sessions refreshToken 1 {NORA}",
    "ResumeCampaign.id": PAUSED,
    "RetryInbound.id": LOST,
    "ScheduleCampaign.id": DRAFT,
    "SetPassword.id": "users id 2",
    "SplitTicket.id": TALK,
    "SplitTicket.message_ids": f"tickets/$(first {TALK})/messages",
    "UnlinkTickets.other_id": "tickets id 2",
    "UnmergeTicket.id": '"tickets?filter=state=%22MERGED%22"',
    "UnscheduleCampaign.id": SCHEDULED,
    "UpdateCampaign.campaign.id": DRAFT,
    "UpdateUser.user.id": "users id 2",
}
WELL_KNOWN = {"Timestamp": "2030-01-31T09:00:00Z", "Duration": "86400s", "FieldMask": "", "Struct": {}}


def setting(url: str) -> str:
    """What to say to a shell once, before the examples."""
    return (
        "TOKEN=$(.venv/bin/denda token)\n"
        f'first() {{ found=$(curl -s -H "Authorization: Bearer ${{ADMIN:-$TOKEN}}" \\\n'
        f'    ${{4:+--json}} ${{4:+"$4"}} "{url}/v1/$1")\n'
        '  printf %s "$found" | grep -o "\\"${2:-id}\\":\\"[^\\"]*\\"" | sed -n "${3:-1}p" | cut -d \'"\' -f 4 '
        "| grep . ||\n"
        '  echo "There is no ${2:-id} to use in /v1/$1: $found" >&2; }\n'
        "# For what administrators alone may do; asks for the password that the first start has shown.\n"
        "ADMIN=$(.venv/bin/denda token --email admin@denda.example)"
    )


def example(binding: Binding, url: str) -> str:
    """The call, in a shell's words."""
    parts = ["curl"]
    if binding.verb not in {"GET", "POST"} or (binding.verb == "POST" and not binding.body):
        parts.append(f"-X {binding.verb}")
    if binding.rpc.streams:
        parts.append("-N")
    if roles := roles_of(binding):
        parts.append(f'-H "Authorization: Bearer ${"ADMIN" if roles == ["ROLE_ADMIN"] else "TOKEN"}"')
    place = f'"{url}{_path(binding)}{_query(binding)}"'
    if not binding.body:
        return " ".join([*parts, place])
    return " ".join([*parts, '-H "Content-Type: application/json"', place]) + f" \\\n  -d '{_body(binding)}'"


def _path(binding: Binding) -> str:
    path = binding.template
    for variable in binding.variables:
        before, after = path.split("{" + variable + "}", 1)
        path = f"{before}{_place(binding, variable, before)}{after}"
    return path


def _place(binding: Binding, variable: str, before: str) -> str:
    """What stands in a path for a variable; `before` is the path up to it, with its own variables filled in."""
    field: Any = field_of(binding.rpc.descriptor.input_type, variable)
    if field.enum_type:
        return _name(field)
    if told := FOUND.get(f"{binding.rpc.descriptor.name}.{variable}"):
        return _shell(told)
    collection = binding.template.partition("/{" + variable + "}")[0]
    if listed := next((one for one in bindings() if (one.verb, one.template) == ("GET", collection)), None):
        own = "" if "id" in _resource(listed).fields_by_name else f" {field.json_name}"
        return f"$(first {before.removeprefix('/v1/').rstrip('/')}{own})"
    return _shell(_look_up(field)) or UNKNOWN


def _query(binding: Binding) -> str:
    """The parameters that the call needs, or has an example of."""
    said = []
    owner = next((field for _, field in query_fields(binding) if _names_a_thing(field)), None)
    for name, field in query_fields(binding):
        if field is owner:
            said.append(f"{name}={_shell(_look_up(field))}")
        elif shown := examples(field):
            said.append(f"{name}={_escaped(str(shown[0]))}")
        elif field.is_repeated or is_required(field):
            found = _look_up(field)
            said.append(f"{name}={_shell(found)}" if found else "")
        elif name == "pageSize":
            said.append("pageSize=2")
    return "?" + "&".join(filter(None, said)) if any(said) else ""


def _names_a_thing(field: Any) -> bool:
    """Whether a field holds the id of something that is listed; alternatives do without it."""
    return field.name.endswith("_id") and field.containing_oneof is None and bool(_look_up(field))


def _body(binding: Binding) -> str:
    message: Any = binding.rpc.descriptor.input_type
    skipped = set(binding.variables)
    if binding.body == "*":
        tree = _message(message, skipped)
    else:
        field: Any = field_of(message, binding.body)
        inner = {name.removeprefix(f"{binding.body}.") for name in skipped}
        tree = _message(field.message_type, inner, partial=is_partial(binding))
    said = json.dumps(tree, ensure_ascii=False).replace("'", "'\\''")
    return LOOK_UPS.sub(lambda found: f"'{_shell(unquote(found[1]))}'", said)


def _message(message: Any, skipped: set[str], *, partial: bool = False, depth: int = 0) -> dict[str, Any]:
    """An example of a message: what it has to hold, and what the contract has an example of."""
    tree = {}
    for field in message.fields:
        if field.name in skipped or depth > 4 or (field.name == "id" and depth):
            continue
        if examples(field) or is_required(field) or _is_wanted(field) or _holds_examples(field, depth):
            tree[field.json_name] = _field(field, depth)
    return dict(list(tree.items())[-1:]) if partial else tree


def _is_wanted(field: Any) -> bool:
    """Whether a rule speaks of the field although it may be left out: drafts are better with it."""
    rules = rules_of(field)
    return bool(getattr(rules.enum, "in")) or (may_be_nothing(field) and _names_a_thing(field))


def _holds_examples(field: Any, depth: int) -> bool:
    shown = is_structure(field) and any(examples(inner) for inner in field.message_type.fields)
    masked = "update_mask" in field.containing_type.fields_by_name
    return bool(shown and depth < 3 and not masked)


def _field(field: Any, depth: int) -> Any:
    shown = examples(field)
    one = shown[0] if shown else _value(field, depth)
    return [one] if field.is_repeated else one


def _value(field: Any, depth: int) -> Any:
    if field.enum_type:
        return _name(field)
    if is_structure(field):
        return _message(field.message_type, set(), depth=depth + 1)
    if field.message_type:
        return WELL_KNOWN.get(field.message_type.name, {})
    known = keywords(rules_of(field).repeated.items if field.is_repeated else rules_of(field))
    if known.get("format") == "uuid" or _key(field) in FOUND:
        found = _look_up(field)
        return LOOK_UP.format(quote(found)) if found else UNKNOWN
    if field.type == field.TYPE_STRING:
        return "x" * max(1, known.get("minLength", 1))
    return known.get("minimum", 1)


def _name(field: Any) -> str:
    """A value of an enum that says something; in a list, of which the first may say most, the last."""
    zero = field.enum_type.values_by_number[0].name
    names = [name for name in enum_names(field) if name != zero]
    return names[-1] if field.is_repeated else names[0]


def _look_up(field: Any) -> str:
    """What `first` is to be told to find the thing that a field speaks of: `people` for `person_id`; "" for none."""
    thing = field.name.removesuffix("_ids").removesuffix("_id")
    return FOUND.get(_key(field)) or _lists().get(thing, "")


def _key(field: Any) -> str:
    """What `FOUND` calls a field of a request."""
    return f"{field.containing_type.name.removesuffix('Request')}.{field.name}"


def _shell(look_up: str) -> str:
    return f"$(first {look_up})" if look_up else ""


@cache
def _lists() -> dict[str, str]:
    """Where things are listed that have an id, by what they are called."""
    return {
        _snake(_resource(binding).name): binding.template.removeprefix("/v1/")
        for binding in bindings()
        if binding.verb == "GET" and not binding.variables and "id" in getattr(_resource(binding), "fields_by_name", ())
    }


def _resource(binding: Binding) -> Any:
    """What a call lists: the messages of its answer's first list."""
    answer: Any = binding.rpc.descriptor.output_type
    return next((field.message_type for field in answer.fields if field.is_repeated and field.message_type), answer)


def _snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name).lstrip("_")


def _escaped(text: str) -> str:
    """Text in a URL between a shell's double quotes."""
    return "".join(
        sign if sign.isalnum() or sign in "-._~:" else "".join(f"%{b:02X}" for b in sign.encode()) for sign in text
    )
