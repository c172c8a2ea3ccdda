"""`python -m services.cli`, where the `denda` command is not on the path."""

from services.cli.program import main

main(prog_name="denda")
