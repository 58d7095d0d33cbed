"""psycopg 3. Settings: prepare_threshold."""

import psycopg

from features import COPIED, COPIED_SUM, COPIED_TEXT, cancelled, expect, fails, notified, same, savepoint

VERSION = psycopg.__version__


def state(error):
    return getattr(error, "sqlstate", None)


class Session:
    def __init__(self, connection):
        self.connection = connection

    async def query(self, question, _):
        text = question.text.replace("$1", "%s").replace("$2", "%s")
        return self.connection.execute(text, (question.id, question.value)).fetchall()

    async def execute(self, text):
        # Never by name: without tracking nobody would get through the set-up of a session.
        self.connection.execute(text, prepare=False if text.startswith("set ") else None)

    def broken(self):
        return self.connection.broken or self.connection.closed

    async def close(self):
        self.connection.close()


async def connect(run, client):
    threshold = {"prepare_threshold=None": None, "prepare_threshold=0": 0, "prepare_threshold=5": 5}[run.setting]
    parameters = {"application_name": client.application}
    if threshold == 5:
        parameters["options"] = f"-c TimeZone={client.zone}"
    connection = psycopg.connect(run.url, autocommit=True, prepare_threshold=threshold, **parameters)
    session = Session(connection)
    if threshold != 5:
        await session.execute(f"set TimeZone to '{client.zone}'")
    return session


async def listen(run):
    session = await connect(run, run.visitor())
    session.connection.execute("listen news")
    notices = session.connection.notifies()

    async def following():
        return next(notices).payload

    await notified(run, following)
    notices.close()
    await session.close()


async def copy_in(run):
    session = await run.open()
    await session.execute("create table copied (n integer, word text)")
    with session.connection.cursor().copy("copy copied from stdin") as copy:
        for number in range(COPIED):
            copy.write_row((number, f"word {number}"))
    await expect(session, COPIED_TEXT, COPIED_SUM)
    await session.close()


async def copy_out(run):
    session = await run.open()
    with session.connection.cursor().copy("copy (select n from generate_series(1, 50000) n) to stdout") as copy:
        same([int(row[0]) for row in copy.rows()], list(range(1, 50001)))
    await expect(session, "select 1::bigint", (1,))
    await session.close()


async def cursor(run):
    """Two that are read in turns; one outlives its transaction."""
    session = await run.open()
    text = "select n from generate_series(1, %s) n"
    connection = session.connection
    with connection.cursor("held", withhold=True) as held:
        held.execute(text, (1000,))
        with connection.transaction(), connection.cursor("short") as short:
            short.execute(text, (500,))
            for start in range(1, 500, 50):
                expected = [(number,) for number in range(start, start + 50)]
                same(short.fetchmany(50), expected)
                same(held.fetchmany(50), expected)
        for start in range(501, 1000, 50):
            same(held.fetchmany(50), [(number,) for number in range(start, start + 50)])
    await session.close()


async def pipeline_error(run):
    """An error in the middle of a pipeline: what is before it has its rows, and nobody is confused afterwards."""
    session = await run.open()
    for number in range(10):

        async def attempt():
            with session.connection.pipeline() as pipeline:
                first = session.connection.execute("select %s::integer", (number,))
                session.connection.execute("select 1 / %s::integer", (0,))
                # Its own text: the library takes what it wanted to prepare here as prepared, though the server ignored it.
                session.connection.execute(f"select {number} + %s::integer", (number,))
                try:
                    pipeline.sync()
                finally:
                    same(first.fetchall(), [(number,)])

        await fails(run, "22012", attempt())
        await expect(session, "select 5::bigint", (5,))
    await session.close()


async def cancel(run):
    session = await connect(run, run.visitor())
    await cancelled(run, session, session.connection.cancel_safe)


FEATURES = {
    "listen": listen,
    "copy in": copy_in,
    "copy out": copy_out,
    "cursor": cursor,
    "savepoint": savepoint,
    "pipeline error": pipeline_error,
    "cancel": cancel,
}
