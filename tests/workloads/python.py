"""Reads DATABASE_URL and nothing else, as psycopg 3 applications do. Prints one JSON line for each answer."""

import json
import os

import psycopg


def say(name, value):
    print(json.dumps({name: value}), flush=True)


with psycopg.connect(os.environ["DATABASE_URL"], prepare_threshold=2) as connection:
    say("who", connection.execute("select session_user, current_database()").fetchone())
    wrong = 0
    for i in range(200):
        (n,) = connection.execute(f"select %s::int + {i % 3}", (i,)).fetchone()
        wrong += n != i + i % 3
    say("wrong", wrong)
    with connection.pipeline():
        cursors = [connection.execute("select %s::int * 2", (i,)) for i in range(50)]
    say("pipeline", sum(cursor.fetchone()[0] for cursor in cursors))
    connection.execute("create temporary table t (n int, s text)")
    with connection.cursor().copy("copy t from stdin") as copy:
        for i in range(1000):
            copy.write_row((i, "x" * (i % 100)))
    say("copied", connection.execute("select count(*), sum(length(s)) from t").fetchone())
    with connection.cursor().copy("copy t to stdout") as copy:
        say("out", sum(len(block) for block in copy))
    try:
        connection.execute("select 1/0")
    except psycopg.Error as error:
        connection.rollback()
        say("error", error.sqlstate)
