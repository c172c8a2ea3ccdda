"""docs/operations.md lists every setting with its default and its meaning, and none that is not there."""

import importlib
import re

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from tests.kit.repository import ROOT


def declared() -> dict[str, FieldInfo]:
    """Every setting by the name of its environment variable."""
    files = sorted((ROOT / "services").glob("*/settings.py"))
    modules = ["chassis.settings", *(f"services.{path.parent.name}.settings" for path in files)]
    kinds = {
        kind for module in modules for kind in vars(importlib.import_module(module)).values() if _is_settings(kind)
    }
    return {_variable(kind, name, field): field for kind in kinds for name, field in kind.model_fields.items()}


def _is_settings(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseSettings) and kind is not BaseSettings


def _variable(kind: type[BaseSettings], name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return alias if isinstance(alias, str) else f"{kind.model_config['env_prefix']}{name.upper()}"


def table() -> list[str]:
    """The rows that the page should have."""
    rows = []
    for name, field in sorted(declared().items()):
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = "" if str(default) in {"", "**********"} else f"`{default}`"
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {shown} | {meaning} |")
    return rows


def test_the_page_lists_every_setting_as_it_is() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = re.findall(r"^\| `[A-Z_]+` \|.*\|$", page, re.MULTILINE)
    assert listed == table(), "docs/operations.md should hold these rows:\n" + "\n".join(table())


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in declared().items() if not field.description] == []
