"""Runs checked queries through one Python client library and prints one JSON line: see ../README.md."""

import importlib
import json
import os

from check import Run

MODULES = {"psycopg": "psycopg3", "psycopg2": "psycopg2_", "asyncpg": "asyncpg_", "django": "django_"}
SQLALCHEMY = {"sqlalchemy-psycopg", "sqlalchemy-asyncpg"}

if __name__ == "__main__":
    driver = os.environ["DRIVER"]
    module = importlib.import_module("libraries." + ("sqlalchemy_" if driver in SQLALCHEMY else MODULES[driver]))
    run = Run(
        module=module,
        driver=driver,
        url=os.environ["URL"],
        setting=os.environ["SETTING"],
        connections=int(os.environ["CONNECTIONS"]),
        queries=int(os.environ["QUERIES"]),
        seed=int(os.environ["SEED"]),
    )
    print(json.dumps(run.check()))
