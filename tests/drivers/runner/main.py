"""Starts PostgreSQL, and for each setting a fresh database, a fresh pooler, and the program."""

import json
import os
import re
import signal
import subprocess
import sys
import time

from .languages import install
from .places import LOGS, TARGET
from .postgres import Postgres
from .report import HEADER, failures, line, row
from .settings import chosen
from .targets import target


def main(environment):
    kind = environment.get("TARGET", "sidecar")
    queries = int(environment.get("QUERIES", "100000"))
    connections = int(environment.get("CONNECTIONS", "12"))
    maximum = int(environment.get("MAX", "4"))
    seed = int(environment.get("SEED", "1"))
    pool_mode = environment.get("POOL_MODE", "transaction")
    if kind not in ("sidecar", "direct", "pgbouncer"):
        raise SystemExit(f"drivers: TARGET is {kind!r}, not sidecar, direct or pgbouncer")
    settings = chosen(environment.get("DRIVERS", ""))
    LOGS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    commands = {}
    for language in dict.fromkeys(setting.language for setting in settings):
        started = time.monotonic()
        commands[language] = install(language)
        print(f"{language} is installed in {time.monotonic() - started:.0f} s", flush=True)
    failed = []
    postgres = Postgres()
    try:
        print(f"{kind} ({pool_mode}), PostgreSQL {postgres.version()}, {connections} clients over {maximum}, seed {seed}", flush=True)
        print(line(HEADER), flush=True)
        with open(TARGET / f"results-{kind}.jsonl", "w") as results:
            for setting in settings:
                log = LOGS / f"{kind}-{re.sub('[^a-z0-9]+', '-', setting.title.lower())}"
                variables = {
                    "DRIVER": setting.driver,
                    "SETTING": setting.name,
                    "CONNECTIONS": str(connections),
                    "QUERIES": str(queries),
                    "SEED": str(seed),
                }
                result = one(kind, pool_mode, postgres, maximum, commands[setting.language], variables, log, 120 + queries // 200)
                print(row(setting, result), flush=True)
                results.write(json.dumps({"driver": setting.driver, "setting": setting.name} | result) + "\n")
                if wrong := failures(setting, result, kind, pool_mode, queries - queries % connections):
                    failed.append((setting, wrong, result.get("examples", []), log))
    finally:
        postgres.stop()
    for setting, wrong, examples, log in failed:
        print(f"\n{setting.title}:")
        for text in dict.fromkeys(brief(text) for text in (*wrong, *examples)):
            print(f"  {text}")
        print(f"  logs: {log}.*")
    print(f"\n{len(settings) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def brief(text):
    return " ".join(text.split())[:160]


def one(kind, pool_mode, postgres, maximum, command, variables, log, seconds):
    """Runs one program; what it printed, or how it failed."""
    database = postgres.database()
    started = time.monotonic()
    with open(f"{log}.pooler", "w") as pooler, open(f"{log}.program", "w") as said:
        with target(kind, pool_mode, postgres, database, maximum, pooler) as url:
            result = program(command, variables | {"URL": url}, said, seconds)
    postgres.disconnect(database)
    return result | {"seconds": time.monotonic() - started}


def program(command, variables, said, seconds):
    """A session of its own, so that what it started ends with it. More than `seconds`: it hangs."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        env=os.environ | variables,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"did not end within {seconds} s"}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = out.strip().splitlines()
    if process.returncode or not lines:
        return {"failed": f"ended with {process.returncode}"}
    return json.loads(lines[-1])
