"""`denda doctor`: whether all is well, and what to do where it is not."""

import click

from services.cli import installation
from services.cli.checks import CHECKS, Finding, findings, problems_of, settings_classes
from services.cli.screen import out

MARKS = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]", "idle": "[dim]·[/]"}


@click.command(short_help="Say whether all is well, and what to do where it is not.")
def doctor() -> None:
    """Check configuration, disk, databases, migrations, clocks, bus, providers, mailbox, ports and identity.

    Each failure comes with its remedy; the exit code is 1 when there is one. It starts nothing but, where nobody runs
    it, the embedded database for as long as it looks.
    """
    # Before the settings that are left open get their values, so that only those from outside are counted.
    failed = _show("configuration")
    if any(problems_of(kind) for kind in settings_classes()):
        out.print("\nThe rest is looked at when these settings are right.")
        raise click.exceptions.Exit(1)
    with installation.prepared():
        failed += sum(_show(name) for name in CHECKS if name != "configuration")
    if failed:
        out.print(f"\n{failed} to be put right.")
        raise click.exceptions.Exit(1)
    out.print("\nAll is well.")


def _show(name: str) -> int:
    """Show what a check finds; answers how much of it is bad."""
    out.print(f"[bold]{name}[/]")
    bad = 0
    for finding in findings(CHECKS[name]):
        _show_finding(finding)
        bad += finding.state == "bad"
    return bad


def _show_finding(finding: Finding) -> None:
    out.print(f"  {MARKS[finding.state]} ", end="")
    out.print(finding.what, markup=False)
    for line in finding.remedy.splitlines():
        out.print(f"      → {line}", markup=False)
