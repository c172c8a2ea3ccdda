"""`make migration service=contacts m="add nickname"`: the next migration of a service, written from its models.

The models are compared with a throw-away database that has all migrations so far.
"""

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from chassis import embedded, migrations
from chassis.settings import settings
from services import PORTS


@click.command()
@click.argument("service", type=click.Choice(sorted(PORTS.keys() - {"gateway"})))
@click.argument("message")
def main(service: str, message: str) -> None:
    """Write the next migration of SERVICE; read and correct what it says before it is committed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DENDA_DATABASE_URL"] = embedded.start(Path(folder))
        settings.cache_clear()
        embedded.create_databases(os.environ["DENDA_DATABASE_URL"], [service])
        try:
            built = importlib.import_module(f"services.{service}.service").SERVICE
            written = migrations.write_revision(built, message)
            subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", written], check=True)
            click.echo(written)
            built.database.close()
        finally:
            embedded.stop()


if __name__ == "__main__":
    main()
