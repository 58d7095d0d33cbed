"""A real PostgreSQL in a temporary directory. Its files go with it, even if this program is killed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

# Each client has a schema of its own; so many may check and visit at once.
CLIENTS = 64


def program(name):
    """Where it is: PGBIN, else Debian's place, the newest version first."""
    if "PGBIN" in os.environ:
        return Path(os.environ["PGBIN"]) / name
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise SystemExit(f"drivers: no {name} under /usr/lib/postgresql: apt-get install postgresql, or say PGBIN")
    return found[-1]


def owner():
    """PostgreSQL and PgBouncer refuse to run as root: then they run as `postgres`, or as nobody."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        except KeyError:
            pass
    return {"user": 65534, "group": 65534, "extra_groups": []}


def free_port():
    """Free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def temporary(name):
    directory = Path(tempfile.mkdtemp(prefix=f"weir-{name}-"))
    if ids := owner():
        os.chown(directory, ids["user"], ids["group"])
    return directory


class Postgres:
    """A running server."""

    def __init__(self):
        self.directory = temporary("drivers")
        self.port = free_port()
        self.databases = 0
        data = self.directory / "data"
        self._run("initdb", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "-D", data)
        with open(data / "postgresql.auto.conf", "a") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.directory}'\n"
                "fsync = off\nmax_connections = 200\nlog_line_prefix = '%m [%p] %a '\n"
            )
        # Stops the server once its input ends, which the death of this program sees to as well.
        script = 'cat; "$1" -s -w stop -m immediate -D "$0/data"; rm -rf "$0"/*'
        self.keeper = subprocess.Popen(
            ["sh", "-c", script, self.directory, program("pg_ctl")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **owner(),
        )
        try:
            self._run("pg_ctl", "-s", "-w", "-t", "60", "start", "-D", data, "-l", self.directory / "log")
        except BaseException:
            self.stop()
            raise

    def _run(self, name, *arguments):
        # What the server inherits must not be a pipe of ours: nobody would see its end.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [program(name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=os.environ | {"LC_ALL": "C"},
                **owner(),
            )
            said.seek(0)
            text = said.read().decode(errors="replace")
        if done.returncode:
            raise SystemExit(f"drivers: {name} failed: {text}")
        return text.strip()

    def sql(self, database, text):
        """As the superuser."""
        return self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", self.directory, "-p", str(self.port),
            "-d", database, "-c", text,
        )  # fmt: skip

    def version(self):
        return self.sql("postgres", "show server_version").split()[0]

    def database(self):
        """A fresh database of an owner of the same name, with what the checked queries read."""
        self.databases += 1
        name = f"drivers{self.databases}"
        self.sql("postgres", f"create role {name} login password 'secret'")
        self.sql("postgres", f"create database {name} owner {name}")
        schemas = [f"client_{number}" for number in range(CLIENTS)]
        self.sql(
            name,
            f"set role {name}; create table own as select 'public'::text as name;"
            + "".join(f"create schema {s}; create table {s}.own as select '{s}'::text as name;" for s in schemas),
        )
        return name

    def disconnect(self, name):
        """Ends what a killed program has left behind."""
        self.sql("postgres", f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")

    def stop(self):
        self.keeper.stdin.close()
        self.keeper.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
