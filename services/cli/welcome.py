"""What `denda up` tells whoever has just started it: where to look, how to log in, what to try."""

import os
import shlex
import sys
from pathlib import Path

from chassis.settings import settings
from services import address, public_url
from services.cli.catalogue import GRPC_SERVICES
from services.cli.demo.names import made_up
from services.cli.screen import out
from services.gateway.settings import gateway_settings
from services.identity.settings import identity_settings


def show_addresses(password: str | None) -> None:
    """Where everything is, and the new administrator's password where there is one."""
    places = {
        "HTTP": public_url(),
        "reference of REST": f"{public_url()}/docs",
        "sent messages": f"{public_url()}/sandbox",
        "form for customers": f"{public_url()}/help",
        "mail from customers": _mail_door(),
        **{f"gRPC {name}": address(name) for name in GRPC_SERVICES},
    }
    out.print("\n[bold]Denda runs.[/] Ctrl-C stops it.\n")
    for name, place in places.items():
        out.print(f"  {name:20} {place}", markup=False)
    out.print(f"  {'data':20} {_database()}", markup=False)
    out.print(f"\n  {'administrator':20} {identity_settings().admin_email}", markup=False)
    told = f"{password}   (shown only now)" if password else "as shown at the first start"
    out.print(f"  {'password':20} {told}", markup=False)


def show_next(*, with_demo: bool) -> None:
    """Commands for a second terminal, complete as they stand."""
    denda, contacts = _command(), address("contacts")
    call = 'grpcurl -plaintext -H "authorization: Bearer $TOKEN"'
    person = '{"person": {"given_name": "Ane", "addresses": [{"kind": "KIND_EMAIL", "value": "ane@shop.example"}]}}'
    commands = {
        "as here": _exports(),
        "campaigns and how they went": [f"{denda} campaign list", f"{denda} campaign watch CAMPAIGN"],
        "why somebody got one, or not": _explanations(denda) if with_demo else [],
        "the API, which describes itself": [
            f"export TOKEN=$({denda} token)",
            f"{call} {contacts} list",
            f"{call} -d '{person}' {contacts} denda.contacts.v1.PeopleService/CreatePerson",
        ],
        "your own people": [f"{denda} import people FILE.csv --dry-run"],
        "whether all is well": [f"{denda} doctor"],
    }
    out.print("\nTry in a second terminal:")
    for what, lines in commands.items():
        if not lines:
            continue
        out.print(f"\n  [dim]# {what}[/]")
        for line in lines:
            out.print(f"  {line}", markup=False)
    out.print()


def _explanations(denda: str) -> list[str]:
    """Two people of the demo: one who allows email, and one who does not."""
    people = (made_up(2).email, made_up(4).email)
    return [f"{denda} campaign explain 'Letter to everybody' {email}" for email in people]


def _mail_door() -> str:
    edge = gateway_settings()
    port = edge.smtp_in_port + settings().port_offset
    return f"{settings().bind}:{port} (SMTP), to anything@{edge.inbound_domain}" if edge.smtp_in_port else "no port"


def _database() -> str:
    url = settings().database_url
    if "host=/" in url:
        return f"{settings().data_dir.resolve()} (embedded PostgreSQL)"
    # Without user and password, which are nobody's business on a screen.
    return url.rpartition("@")[2]


def _command() -> str:
    """How this command can be called from here, so that the lines can be copied."""
    called = Path(sys.argv[0]).absolute()
    # That it is on this process's path says little: make puts it there. An activated environment says it for sure.
    if called.name != "denda" or os.environ.get("VIRTUAL_ENV") == sys.prefix:
        return "denda"
    return os.path.relpath(called) if called.is_relative_to(Path.cwd()) else str(called)


def _exports() -> list[str]:
    """What a second terminal has to know of this one's environment."""
    values = {name: os.environ[name] for name in ("DENDA_DATA_DIR", "DENDA_PORT_OFFSET") if name in os.environ}
    return ["export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())] if values else []
