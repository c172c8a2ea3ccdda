"""Migrations make exactly what the models say, can be repeated, and stand in one line."""

from collections.abc import Callable

import pytest
from alembic.script import ScriptDirectory

from chassis import migrations
from chassis.migrations import MigrationsPending
from chassis.service import Service
from tests.kit.doors import service_named
from tests.kit.repository import services


@pytest.mark.parametrize("name", services())
def test_a_migrated_database_is_what_the_models_say(migrated: Callable[[str], Service], name: str) -> None:
    assert migrations.differences(migrated(name)) == []


@pytest.mark.parametrize("name", services())
def test_migrating_again_does_nothing(migrated: Callable[[str], Service], name: str) -> None:
    service = migrated(name)
    assert migrations.upgrade(service) == []
    assert migrations.pending(service) == []


@pytest.mark.parametrize("name", services())
def test_revisions_stand_in_one_line(name: str) -> None:
    folder = service_named(name).migrations
    scripts = ScriptDirectory(str(migrations.ENVIRONMENT), version_locations=[str(folder)])
    assert len(scripts.get_heads()) == 1
    assert sorted(path.name.partition("_")[0] for path in folder.glob("[0-9]*.py")) == sorted(
        revision.revision for revision in scripts.walk_revisions()
    )


def test_a_service_without_its_migrations_does_not_start(make_database: Callable[[str], str]) -> None:
    service = service_named("identity")
    make_database("identity_empty")
    service.database.close()
    empty = type(service.database)("identity_empty", service.database.metadata)
    with pytest.raises(MigrationsPending, match="denda migrate"):
        migrations.require_current(Service("identity", 0, empty, service.migrations, (), ()))
    empty.close()
