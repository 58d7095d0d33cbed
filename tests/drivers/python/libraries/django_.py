"""Django on psycopg 3 with persistent connections. Settings: client-side or server-side binding."""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings

from features import cancelled, fails, same, savepoint
from query import Client

VERSION = django.__version__


def database(number):
    client = Client(number)
    url = urlsplit(os.environ["URL"])
    options = {"application_name": client.application}
    if os.environ["SETTING"] == "server_side_binding":
        options["server_side_binding"] = True
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path[1:],
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.hostname,
        "PORT": url.port,
        "CONN_MAX_AGE": None,
        "TIME_ZONE": client.zone,
        "OPTIONS": options,
    }


# One alias for each client; a thread has its own connection to each.
settings.configure(
    DATABASES={"default": {}} | {str(number): database(number) for number in range(64)},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import connections, models, transaction  # noqa: E402
from django.db.models import BigIntegerField, CharField, F, Func, IntegerField, Value  # noqa: E402
from django.db.models.functions import Concat  # noqa: E402


class Own(models.Model):
    name = models.TextField(primary_key=True)

    class Meta:
        app_label = "drivers"
        managed = False
        db_table = "own"


class Number(models.Model):
    n = models.IntegerField(primary_key=True)

    class Meta:
        app_label = "drivers"
        managed = False
        db_table = "numbers"


def state(error):
    inner = getattr(error, "__cause__", None) or error
    return getattr(inner, "sqlstate", None)


def setting(name):
    return Func(Value(name), function="current_setting", output_field=CharField())


class Session:
    def __init__(self, alias):
        self.alias = alias
        self.connection = connections[alias]
        # For another thread, which cancels.
        self.connection.inc_thread_sharing()

    async def query(self, question, _):
        # What happens at the end of each request.
        if not self.connection.in_atomic_block:
            self.connection.close_if_unusable_or_obsolete()
        if question.word:
            return self.by_model(question)
        text = question.text.replace("$1", "%s").replace("$2", "%s")
        with self.connection.cursor() as cursor:
            cursor.execute(text, (question.id, question.value))
            return cursor.fetchall()

    def by_model(self, question):
        rows = Own.objects.using(self.alias).annotate(
            asked=Value(question.id, BigIntegerField()),
            said=Concat(F("name"), Value(question.value), output_field=models.TextField()),
            application=setting("application_name"),
            zone=setting("TimeZone"),
            path=setting("search_path"),
            pid=Func(function="pg_backend_pid", output_field=IntegerField()),
        )
        return list(rows.values_list("asked", "said", "application", "zone", "path", "pid"))

    async def execute(self, text):
        with self.connection.cursor() as cursor:
            cursor.execute(text)

    def broken(self):
        return self.connection.connection is None or self.connection.connection.closed

    async def close(self):
        self.connection.close()


async def connect(run, client):
    # Django asks for nothing but its own settings at first; the connection stays from then on.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    session = Session(str(client.index))
    session.connection.ensure_connection()
    return session


async def atomic(run):
    session = await run.open()
    await session.execute("create table numbers (n integer primary key)")
    objects = Number.objects.using(session.alias)
    with transaction.atomic(using=session.alias):
        objects.bulk_create(Number(n) for n in range(1, 101))

        async def inner():
            with transaction.atomic(using=session.alias):
                objects.create(n=1000)
                objects.create(n=1)

        await fails(run, "23505", inner())
        objects.filter(n__gt=50).delete()
    same(list(objects.order_by("n").values_list("n", flat=True)), list(range(1, 51)))
    await session.close()


async def iterator(run):
    """In autocommit: by a cursor WITH HOLD, which outlives its transaction."""
    session = await run.open()
    await session.execute("create table numbers as select n from generate_series(1, 5000) n")
    objects = Number.objects.using(session.alias).order_by("n")
    seen = []
    for number in objects.iterator(chunk_size=500):
        if number.n % 1000 == 0:
            same(objects.filter(n__lte=number.n).count(), number.n)
        seen.append(number.n)
    same(seen, list(range(1, 5001)))
    await session.close()


async def cancel(run):
    session = await connect(run, run.visitor())
    await cancelled(run, session, session.connection.connection.cancel_safe)


FEATURES = {"savepoint": savepoint, "atomic": atomic, "iterator": iterator, "cancel": cancel}
