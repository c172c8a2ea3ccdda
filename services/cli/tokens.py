"""`denda token`: a short-lived token on standard output, for grpcurl, curl and scripts."""

import click
import grpc

from chassis.client import DEADLINE, plain_channel
from denda.identity.v1.tokens_service_pb2 import LogInRequest
from denda.identity.v1.tokens_service_pb2_grpc import TokensServiceStub
from services import address
from services.cli import session
from services.cli.screen import notes, out

# So that a script need not put the password on a command line, where others can read it.
PASSWORD_VARIABLE = "DENDA_PASSWORD"  # noqa: S105 - a name, not a secret


@click.command()
@click.option("--email", metavar="EMAIL", help="Log in as this member of staff; asks for the password.")
@click.option(
    "--password",
    metavar="PASSWORD",
    envvar=PASSWORD_VARIABLE,
    show_envvar=True,
    help="The password, where nobody can be asked. Others may see it on the command line; use the variable.",
)
def token(email: str | None, password: str | None) -> None:
    """Print a token that is valid for 15 minutes: TOKEN=$(denda token)

    With --email it has the roles of that member of staff; else those of DENDA_API_KEY. Without either, an
    installation whose data directory you can read gives one with the role SERVICE, which may do what marketers and
    agents may, but not look after users and keys.
    """
    if email:
        secret = password or click.prompt("Password", hide_input=True, err=True)
        stub = TokensServiceStub(plain_channel(address("identity")))
        try:
            text = stub.LogIn(LogInRequest(email=email, password=secret), timeout=DEADLINE).access_token
        except grpc.RpcError as error:
            # The usual remedy for a caller who is not known speaks of keys, and none was used.
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise click.ClickException(str(error.details())) from error
            raise
    else:
        text = session.token_source()()
    out.print(text, markup=False)
    if out.is_terminal:
        notes.print("Valid for 15 minutes. Send it as metadata: authorization: Bearer …", markup=False)
