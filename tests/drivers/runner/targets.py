"""What the clients connect to: PostgreSQL itself, the sidecar, or PgBouncer."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time

from .places import PROGRAMS
from .postgres import free_port, owner, temporary

PATIENCE = 30


@contextlib.contextmanager
def target(kind, pool_mode, postgres, database, maximum, log):
    """Yields the URL that the clients get. `log` is a file for what the pooler says."""
    if kind == "direct":
        yield url(database, postgres.port)
        return
    directory = temporary(kind)
    try:
        start = {"sidecar": sidecar, "pgbouncer": pgbouncer}[kind]
        process, port = start(pool_mode, postgres, database, maximum, directory, log)
        try:
            yield url(database, port())
            if process.poll() is not None:
                raise SystemExit(f"drivers: {kind} has ended by itself: {log.name}")
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def url(database, port):
    return f"postgres://{database}:secret@127.0.0.1:{port}/{database}"


def until(what, process, log, ask):
    """Asks until there is an answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := ask():
            return answer
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise SystemExit(f"drivers: {what}: {log.name}")


def sidecar(pool_mode, postgres, database, maximum, directory, log):
    program = PROGRAMS / "weir-sidecar"
    if not program.exists():
        raise SystemExit(f"drivers: no {program}: make build")
    settings = {
        "version": 1, "pool": "test/drivers", "generation": 1, "profile": "test", "poolMode": pool_mode, "client": "none",
        "limits": {"min": 1, "max": maximum, "idleTimeout": "30s", "connectionTimeout": "30s", "maxLifetime": "30m"},
        "thresholds": {"warning": 80, "critical": 90},
    }  # fmt: skip
    (directory / "state").mkdir()
    (directory / "termination").touch()
    process = subprocess.Popen(
        [program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        cwd="/",
        env={
            "WEIR_SETTINGS": json.dumps(settings),
            "WEIR_DATABASE_URL": url(database, postgres.port),
            "WEIR_LISTEN": "127.0.0.1:0",
            "WEIR_CONTROL": "127.0.0.1:0",
            "WEIR_POD_UID": "4f2b6c1e-6a35-4c3c-9d5e-0b7f6f0a1c2d",
            "WEIR_LOG_FORMAT": "json",
            "WEIR_STATE": str(directory / "state"),
            "WEIR_TERMINATION_LOG": str(directory / "termination"),
        },
    )

    def listen():
        with open(log.name, errors="replace") as said:
            for line in said:
                if '"starting"' in line and line.endswith("\n"):
                    return int(json.loads(line)["listen"].rpartition(":")[2])
        return None

    return process, lambda: until("the sidecar does not start", process, log, listen)


def pgbouncer(pool_mode, postgres, database, maximum, directory, log):
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/sbin")
    if not program:
        raise SystemExit("drivers: pgbouncer is missing: apt-get install pgbouncer")
    port = free_port()
    file = directory / "pgbouncer.ini"
    file.write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={postgres.port} user={database} password=secret\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {pool_mode}\ndefault_pool_size = {maximum}\nmax_client_conn = 200\n"
        "ignore_startup_parameters = extra_float_digits, options\nlog_connections = 0\nlog_disconnections = 0\n"
    )
    file.chmod(0o644)
    command = [program, "-q", str(file)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=os.environ | {"LC_ALL": "C"}, **owner()
    )

    def listen():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port

    return process, lambda: until("pgbouncer does not start", process, log, listen)
