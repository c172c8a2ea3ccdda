"""The command line: which commands there are, and how their expected failures are told."""

import click

from services.cli.campaigns import campaign
from services.cli.dead_letters import events
from services.cli.demo.command import demo
from services.cli.doctor import doctor
from services.cli.failures import explained
from services.cli.imports import import_group
from services.cli.migrate import migrate
from services.cli.serve import serve
from services.cli.tokens import token
from services.cli.up import up


class Program(click.Group):
    """A group whose commands end with a sentence instead of a traceback where the failure was to be expected."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if (told := explained(error)) is None:
                raise
            raise click.ClickException(told) from error


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="denda", prog_name="denda")
def main() -> None:
    """Denda, a CRM over gRPC and events.

    `denda up` starts everything on this machine. Settings come from the environment (DENDA_…); docs/operations.md
    lists them.
    """


for command in (up, serve, migrate, demo, doctor, token, campaign, import_group, events):
    main.add_command(command)
