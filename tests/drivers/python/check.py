"""The clients: each is a thread with an event loop and a connection of its own."""

import asyncio
import itertools
import random
import threading
from collections import Counter
from dataclasses import dataclass, field

from query import Client

PATIENCE = 20


@dataclass
class Run:
    """One library with one setting. The module has VERSION, connect(run, client), state(error) and FEATURES."""

    module: object
    driver: str
    url: str
    setting: str
    connections: int
    queries: int
    seed: int
    visitors: itertools.count = field(default_factory=lambda: itertools.count(1))

    def check(self):
        workers = [Worker(self, Client(index)) for index in range(self.connections)]
        threads = [threading.Thread(target=lambda w=worker: asyncio.run(w.work()), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        features = {}
        for name, attempt in self.module.FEATURES.items():
            features[name] = self.outcome(attempt)
        for thread in threads:
            thread.join()
        total = Counter()
        errors = Counter()
        for worker in workers:
            total.update(worker.counts)
            errors.update(worker.errors)
        names = ("queries", "wrong_rows", "wrong_settings", "transactions", "moved")
        return {
            "version": self.module.VERSION,
            **{name: total[name] for name in names},
            "errors": dict(errors),
            "features": features,
            "examples": [example for worker in workers for example in worker.examples][:8],
        }

    def outcome(self, attempt):
        """A library may wait for ever in C: then only the thread stays behind."""
        said = []

        def run():
            try:
                asyncio.run(attempt(self))
                said.append("ok")
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        return said[0] if said else f"did not end within {PATIENCE} s"

    def visitor(self):
        """A client beside those that run the checked queries."""
        return Client(self.connections + next(self.visitors))

    async def connect(self, client):
        """A session whose client's settings are set: one at start-up, one either way, one by SQL."""
        session = await self.module.connect(self, client)
        try:
            await session.execute(f"set search_path to {client.schema}")
        except BaseException:
            await session.close()
            raise
        return session

    async def open(self):
        return await self.connect(self.visitor())


class Worker:
    """One client: it asks, and compares."""

    def __init__(self, run, client):
        self.run = run
        self.client = client
        self.random = random.Random(run.seed << 32 | client.index)
        self.session = None
        self.pid = None
        # A transaction of several queries is.
        self.open = False
        self.counts = Counter()
        self.errors = Counter()
        self.examples = []

    async def work(self):
        failures = 0
        while self.counts["queries"] < self.run.queries // self.run.connections and failures < 100:
            try:
                if self.session is None:
                    self.session = await self.run.connect(self.client)
                failures = 0
                await self.transaction()
            except Exception as error:
                if self.session is None:
                    failures += 1
                self.failed(error)
                await self.mend()
        if self.session:
            await self.session.close()

    async def mend(self):
        """No text without need: each drops the server's unnamed statement, and so hides who else's it was."""
        if self.session is None:
            return
        try:
            if not self.session.broken():
                if self.open:
                    await self.session.execute("rollback")
                    self.open = False
                return
        except Exception as error:
            self.failed(error)
        self.open = False
        session, self.session = self.session, None
        try:
            await session.close()
        except Exception as error:
            self.failed(error)

    async def transaction(self):
        """One query, or now and then two in a transaction, which one server connection must answer."""
        if self.random.randrange(16):
            self.ended(await self.query())
            return
        self.open = True
        await self.session.execute("begin")
        first = await self.query()
        second = await self.query()
        if first and second and first != second:
            self.counts["wrong_rows"] += 1
            self.example("one transaction on two server connections")
        self.ended(second)
        await self.session.execute("commit")
        self.open = False

    async def query(self):
        await pause(self.random)
        self.counts["queries"] += 1
        question = self.client.ask(self.random, (self.client.index << 32) + self.counts["queries"])
        rows = await self.session.query(question, self.random)
        row, setting, pid = self.client.judge(question, rows)
        if row or setting:
            self.counts["wrong_rows" if row else "wrong_settings"] += 1
            self.example(row or setting)
        return pid

    def ended(self, pid):
        if pid and self.pid:
            self.counts["transactions"] += 1
            self.counts["moved"] += pid != self.pid
        self.pid = pid or self.pid

    def failed(self, error):
        state = self.run.module.state(error) or ("client" if self.session else "connect")
        self.errors[state] += 1
        self.example(f"{state}: {type(error).__name__}: {error}")

    def example(self, text):
        if len(self.examples) < 2:
            self.examples.append(text)


async def pause(random):
    if random.randrange(4) == 0:
        await asyncio.sleep(random.random() / 1000)
