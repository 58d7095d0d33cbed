"""psycopg2, which only sends simple queries."""

import io
import select

import psycopg2

from features import COPIED, COPIED_SUM, COPIED_TEXT, cancelled, expect, notified, same, savepoint

VERSION = psycopg2.__version__.split()[0]


def state(error):
    return getattr(error, "pgcode", None)


class Session:
    def __init__(self, connection):
        self.connection = connection

    async def query(self, question, _):
        text = question.text.replace("$1", "%s").replace("$2", "%s")
        with self.connection.cursor() as cursor:
            cursor.execute(text, (question.id, question.value))
            return cursor.fetchall()

    async def execute(self, text):
        with self.connection.cursor() as cursor:
            cursor.execute(text)

    def broken(self):
        return bool(self.connection.closed)

    async def close(self):
        self.connection.close()


async def connect(run, client):
    connection = psycopg2.connect(run.url, application_name=client.application, options=f"-c TimeZone={client.zone}")
    connection.autocommit = True
    return Session(connection)


async def listen(run):
    session = await connect(run, run.visitor())
    await session.execute("listen news")
    connection = session.connection

    async def following():
        while not connection.notifies:
            select.select([connection], [], [])
            connection.poll()
        return connection.notifies.pop(0).payload

    await notified(run, following)
    await session.close()


async def copy_in(run):
    session = await run.open()
    await session.execute("create table copied (n integer, word text)")
    lines = "".join(f"{number}\tword {number}\n" for number in range(COPIED))
    with session.connection.cursor() as cursor:
        cursor.copy_expert("copy copied from stdin", io.StringIO(lines))
    await expect(session, COPIED_TEXT, COPIED_SUM)
    await session.close()


async def copy_out(run):
    session = await run.open()
    lines = io.StringIO()
    with session.connection.cursor() as cursor:
        cursor.copy_expert("copy (select n from generate_series(1, 50000) n) to stdout", lines)
    same([int(line) for line in lines.getvalue().splitlines()], list(range(1, 50001)))
    await session.close()


async def cursor(run):
    session = await run.open()
    session.connection.autocommit = False
    with session.connection.cursor("server", withhold=True) as cursor:
        cursor.itersize = 50
        cursor.execute("select n from generate_series(1, %s) n", (1000,))
        session.connection.commit()
        same([row[0] for row in cursor], list(range(1, 1001)))
    session.connection.commit()
    await session.close()


async def large_object(run):
    session = await run.open()
    session.connection.autocommit = False
    written = b"a large object " * 20000
    thing = session.connection.lobject(0, "wb")
    thing.write(written)
    oid = thing.oid
    thing.close()
    session.connection.commit()
    thing = session.connection.lobject(oid, "rb")
    same(thing.read(), written)
    thing.unlink()
    session.connection.commit()
    await session.close()


async def cancel(run):
    session = await connect(run, run.visitor())
    await cancelled(run, session, session.connection.cancel)


FEATURES = {
    "listen": listen,
    "copy in": copy_in,
    "copy out": copy_out,
    "cursor": cursor,
    "large object": large_object,
    "savepoint": savepoint,
    "cancel": cancel,
}
