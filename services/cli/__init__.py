"""The `denda` command: starts and looks after an installation, and is a client of it like any other.

`up`, `serve`, `migrate`, `doctor` and `events` stand beside the services and reach the database and the bus;
`token`, `demo`, `campaign` and `import` go through the public API with a token.
"""

from services.cli.program import main

__all__ = ["main"]
