"""The embedded database keeps its data over stops, kills and odd places, and one Denda at a time uses it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from chassis import embedded
from chassis.errors import FailedPrecondition, Unavailable
from tests.conftest import UNSAFE_AND_FAST
from tests.kit.repository import ROOT

KILLED_AFTER_START = """
import os, signal, sys
from collections.abc import Iterator
from pathlib import Path
from chassis import embedded
embedded.launch(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not in pytest's own folder, which every other run of pytest shuts to the database's account.
    with tempfile.TemporaryDirectory(prefix="denda-home-") as place:
        folder = Path(place) / "a place with spaces"
        embedded.launch(folder, UNSAFE_AND_FAST).stop()
        yield folder


def write(url: str, row: int) -> None:
    with psycopg.connect(url.replace("{service}", "shop"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (row int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (row,))


def rows(url: str) -> set[int]:
    with psycopg.connect(url.replace("{service}", "shop")) as connection:
        return {row for (row,) in connection.execute("SELECT row FROM kept")}


def test_a_second_start_finds_the_data_again(home: Path) -> None:
    server = embedded.launch(home)
    embedded.create_databases(server.url, ["shop"])
    embedded.create_databases(server.url, ["shop"])
    write(server.url, 1)
    server.stop()
    assert embedded.running(home) is None
    again = embedded.launch(home)
    assert embedded.running(home) == again.url
    assert 1 in rows(again.url)
    again.stop()


def test_what_was_committed_survives_the_databases_kill(home: Path) -> None:
    server = embedded.launch(home)
    embedded.create_databases(server.url, ["shop"])
    write(server.url, 2)
    psutil.Process(server.pid).kill()
    server.stop()
    again = embedded.launch(home)
    assert 2 in rows(again.url)
    again.stop()


def test_a_server_that_a_killed_denda_left_is_taken_over_and_stopped(home: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_START, home], cwd=ROOT, env=_path(), check=False)
    assert killed.returncode == -signal.SIGKILL
    left = embedded.running(home)
    server = embedded.launch(home)
    assert server.url == left
    server.stop()
    assert not psutil.pid_exists(server.pid)


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "gen")])}


def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(home: Path) -> None:
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{home}\n")
    embedded.launch(home).stop()


def test_two_dendas_cannot_use_one_directory(home: Path) -> None:
    server = embedded.launch(home)
    with pytest.raises(FailedPrecondition, match=f"process {os.getpid()}.*DENDA_DATA_DIR"):
        embedded.launch(home)
    server.stop()


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    server = embedded.launch(tmp_path / ("x" * 100), UNSAFE_AND_FAST)
    with psycopg.connect(server.url.replace("{service}", "postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


def test_what_postgresql_says_is_told_when_it_does_not_start(home: Path) -> None:
    with pytest.raises(Unavailable, match="shared_buffers"):
        embedded.launch(home, {"shared_buffers": "nonsense"})


def test_a_failed_start_gives_the_directory_free(home: Path) -> None:
    with pytest.raises(Unavailable):
        embedded.launch(home, {"shared_buffers": "nonsense"})
    embedded.launch(home).stop()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        embedded.launch(tmp_path / "file" / "data")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    # Not in pytest's own folder either.
    with tempfile.TemporaryDirectory(prefix="denda-small-") as place:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("a small disk cannot be mounted here: needs root with CAP_SYS_ADMIN")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_named(small_disk: Path) -> None:
    with pytest.raises(Unavailable, match="is full") as refused:
        embedded.launch(small_disk / "data")
    assert refused.value.reason == "DISK_FULL"


def test_secrets_are_made_once_and_are_the_owners_alone(tmp_path: Path) -> None:
    made = embedded.secrets_of(tmp_path)
    assert embedded.secrets_of(tmp_path) == made
    assert set(made) == {"DENDA_SECRET_KEY", "DENDA_SERVICE_KEY"}
    assert len(set(made.values())) == 2
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
