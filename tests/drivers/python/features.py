"""What is tried once under each library, while others run their queries."""

import asyncio

from query import Question

COPIED = 20000
COPIED_TEXT = "select sum(n)::bigint, count(distinct word)::bigint from copied"
COPIED_SUM = (COPIED * (COPIED - 1) // 2, COPIED)
SLOW = "select pg_sleep(60) /* slow */"


async def expect(session, text, expected):
    """The one row of a text without parameters, asked as all the others, so that each library answers it in its own way."""
    rows = await session.query(Question(f"{text} where $1::bigint = 7 and $2::boolean", 7, True, []), None)
    same([tuple(row) for row in rows], [expected])


def same(seen, expected):
    if seen != expected:
        raise AssertionError(f"{str(seen)[:200]}, not {str(expected)[:200]}")


async def fails(run, state, attempt):
    try:
        await attempt
    except Exception as error:
        if run.module.state(error) != state:
            raise AssertionError(f"{error!r}, not {state}") from error
    else:
        raise AssertionError(f"no {state}")


async def notified(run, following):
    """Somebody listens to `news` already, and gets what is sent now."""
    session = await run.open()
    expected = [f"message {number}" for number in range(3)]
    for message in expected:
        await session.execute(f"notify news, '{message}'")
    same([await following() for _ in expected], expected)
    await session.close()


async def savepoint(run):
    session = await run.open()
    for text in (
        "create table saved (n integer)",
        "begin",
        "insert into saved values (1)",
        "savepoint one",
        "insert into saved values (2)",
    ):
        await session.execute(text)
    await fails(run, "22012", session.execute("select 1/0"))
    await fails(run, "25P02", session.execute("select 1"))
    for text in (
        "rollback to savepoint one",
        "insert into saved values (4)",
        "release savepoint one",
        "commit",
    ):
        await session.execute(text)
    await expect(session, "select sum(n)::bigint, count(*) from saved", (5, 2))
    await session.close()


async def running(run):
    """Waits until the slow query surely runs."""
    session = await run.open()
    text = f"select count(*) from pg_stat_activity where state = 'active' and query = '{SLOW}' and pid <> pg_backend_pid()"
    while True:
        try:
            await expect(session, f"select n from ({text}) t (n)", (1,))
            break
        except AssertionError:
            await asyncio.sleep(0.01)
    await session.close()


async def cancelled(run, session, cancel):
    """Cancels a query of a session whose methods block: it ends with 57014, and the session is usable."""

    def query():
        return asyncio.run(fails(run, "57014", session.execute(SLOW)))

    ended = asyncio.create_task(asyncio.to_thread(query))
    await running(run)
    cancel()
    await ended
    await expect(session, "select 5::bigint", (5,))
    await session.close()
