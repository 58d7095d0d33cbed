"""SQLAlchemy's asyncio engine, on asyncpg or on psycopg 3, one connection for each client."""

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from features import expect, fails, same, savepoint

VERSION = sqlalchemy.__version__


def state(error):
    inner = getattr(error, "orig", None) or error
    return getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None)


class Session:
    def __init__(self, engine, connection):
        self.engine = engine
        self.connection = connection

    async def query(self, question, _):
        escaped = question.text.replace("::", r"\:\:")
        statement = text(escaped.replace("$1", ":id").replace("$2", ":value"))
        rows = await self.connection.execute(statement, {"id": question.id, "value": question.value})
        return rows.all()

    async def execute(self, sql):
        await self.connection.execute(text(sql))

    def broken(self):
        return self.connection.closed or self.connection.invalidated

    async def close(self):
        await self.connection.close()
        await self.engine.dispose()


async def connect(run, client):
    dialect = run.driver.removeprefix("sqlalchemy-")
    url = run.url.replace("postgres://", f"postgresql+{dialect}://")
    if dialect == "asyncpg":
        settings = {"application_name": client.application, "TimeZone": client.zone}
        arguments = {"server_settings": settings, "ssl": False}
        if run.setting == "prepared_statement_cache_size=0":
            url += "?prepared_statement_cache_size=0"
    else:
        arguments = {"application_name": client.application, "options": f"-c TimeZone={client.zone}"}
    engine = create_async_engine(url, pool_size=1, connect_args=arguments, isolation_level="AUTOCOMMIT")
    try:
        return Session(engine, await engine.connect())
    except BaseException:
        await engine.dispose()
        raise


async def transactional(run):
    """A session whose connection begins transactions by itself, as is the default."""
    session = await run.open()
    await session.connection.close()
    engine = session.engine.execution_options(isolation_level="READ COMMITTED")
    return Session(session.engine, await engine.connect())


async def nested(run):
    session = await transactional(run)
    connection = session.connection
    async with connection.begin():
        await session.execute("create table nested (n integer)")
        await connection.execute(text("insert into nested values (:n)"), [{"n": number} for number in (1, 2, 3)])

        async def inner():
            async with connection.begin_nested():
                await session.execute("insert into nested values (8)")
                await session.execute("select 1/0")

        await fails(run, "22012", inner())
    await expect(session, "select sum(n)::bigint, count(*) from nested", (6, 3))
    await session.close()


async def stream(run):
    session = await transactional(run)
    async with session.connection.begin():
        statement = text("select n from generate_series(1, :count) n")
        rows = await session.connection.stream(statement, {"count": 1000}, execution_options={"yield_per": 50})
        same([row.n async for row in rows], list(range(1, 1001)))
    await session.close()


FEATURES = {"savepoint": savepoint, "nested": nested, "stream": stream}
