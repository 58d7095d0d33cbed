"""asyncpg. Settings: statement_cache_size."""

import asyncio

import asyncpg

from check import pause
from features import COPIED, COPIED_SUM, COPIED_TEXT, SLOW, expect, fails, notified, running, same, savepoint

VERSION = asyncpg.__version__


def state(error):
    return getattr(error, "sqlstate", None)


class Session:
    def __init__(self, connection):
        self.connection = connection

    async def query(self, question, random):
        if random and random.randrange(4) == 0:
            statement = await self.connection.prepare(question.text)
            await pause(random)
            return await statement.fetch(question.id, question.value)
        return await self.connection.fetch(question.text, question.id, question.value)

    async def execute(self, text):
        await self.connection.execute(text)

    def broken(self):
        return self.connection.is_closed()

    async def close(self):
        await self.connection.close(timeout=5)


async def connect(run, client):
    settings = {"application_name": client.application, "TimeZone": client.zone}
    size = {"default": {}, "statement_cache_size=0": {"statement_cache_size": 0}}[run.setting]
    return Session(await asyncpg.connect(run.url, server_settings=settings, ssl=False, **size))


async def listen(run):
    session = await connect(run, run.visitor())
    messages = asyncio.Queue()
    await session.connection.add_listener("news", lambda *message: messages.put_nowait(message[3]))
    await notified(run, messages.get)
    await session.close()


async def copy_in(run):
    session = await run.open()
    await session.execute("create table copied (n integer, word text)")
    records = [(number, f"word {number}") for number in range(COPIED)]
    await session.connection.copy_records_to_table("copied", records=records, schema_name=await schema(session))
    await expect(session, COPIED_TEXT, COPIED_SUM)
    await session.close()


async def schema(session):
    return await session.connection.fetchval("select current_schema()")


async def copy_out(run):
    session = await run.open()
    data = bytearray()

    async def take(chunk):
        data.extend(chunk)

    await session.connection.copy_from_query("select n from generate_series(1, $1::integer) n", 50000, output=take)
    same([int(line) for line in data.splitlines()], list(range(1, 50001)))
    await session.close()


async def cursor(run):
    session = await run.open()
    async with session.connection.transaction():
        text = "select n from generate_series(1, $1::integer) n"
        numbers = [record["n"] async for record in session.connection.cursor(text, 1000, prefetch=50)]
    same(numbers, list(range(1, 1001)))
    await session.close()


async def nested(run):
    session = await run.open()
    connection = session.connection
    await session.execute("create table nested (n integer)")
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute("insert into nested values ($1)", 1)

        async def inner():
            async with connection.transaction():
                await connection.execute("insert into nested values ($1)", 2)
                await connection.execute("select 1 / $1::integer", 0)

        await fails(run, "22012", inner())
        await connection.execute("insert into nested values ($1)", 4)
    await expect(session, "select sum(n)::bigint, count(*) from nested", (5, 2))
    await session.close()


async def batch_error(run):
    """The values are sent in one go; one in the middle fails, and none of them stays."""
    session = await run.open()
    await session.execute("create table batch (n integer)")
    values = [(number,) for number in (3, 2, 1, 0, 5, 6)]
    await fails(run, "22012", session.connection.executemany("insert into batch select 1 / $1::integer", values))
    await expect(session, "select count(*) from batch", (0,))
    await session.close()


async def cancel(run):
    """The library cancels on its own and hides the server's 57014; the connection stays usable."""
    session = await connect(run, run.visitor())
    query = asyncio.create_task(session.connection.execute(SLOW))
    await running(run)
    query.cancel()
    await asyncio.wait([query])
    same(query.cancelled(), True)
    await expect(session, "select 5::bigint", (5,))
    await session.close()


FEATURES = {
    "listen": listen,
    "copy in": copy_in,
    "copy out": copy_out,
    "cursor": cursor,
    "savepoint": savepoint,
    "nested": nested,
    "batch error": batch_error,
    "cancel": cancel,
}
