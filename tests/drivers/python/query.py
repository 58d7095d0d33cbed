"""Texts, values that only their asker knows, and the comparison."""

from dataclasses import dataclass

SETTINGS = (
    "current_setting('application_name'), current_setting('TimeZone'), current_setting('search_path'), pg_backend_pid()"
)


@dataclass(frozen=True)
class Question:
    """One text with two parameters, $1 and $2."""

    text: str
    id: int
    value: object
    # Of the second column, one for each row.
    expected: list
    # Where the table is another one for each client: what was joined to its name.
    word: str | None = None


@dataclass(frozen=True)
class Client:
    """Who asks. Clients with an odd number have settings of their own; the others share theirs, so that a pooler has
    nothing to set between them: PgBouncer's SET would drop the unnamed statement, and an error would hide the wrong rows."""

    index: int

    @property
    def group(self):
        return self.index if self.index % 2 else 0

    @property
    def application(self):
        return f"driver-{self.group}"

    @property
    def schema(self):
        return f"client_{self.group}"

    @property
    def zone(self):
        return f"Etc/GMT{self.group % 26 - 12:+d}"

    def ask(self, random, id):
        def simple(kind, value):
            return Question(f"select $1::bigint, $2::{kind}, {SETTINGS}", id, value, [value])

        word = f"ä{random.getrandbits(64):x}"
        match random.randrange(7):
            case 0:
                return simple("integer", random.getrandbits(31))
            case 1:
                return simple("text", word)
            case 2:
                return simple("double precision", random.random())
            case 3:
                return simple("boolean", random.random() < 0.5)
            case 4:
                return simple("bytea", random.randbytes(random.randrange(40)))
            case 5:
                text = f"select $1::bigint, own.name || $2::text, {SETTINGS} from own"
                return Question(text, id, word, [self.schema + word], word)
            case _:
                count = random.randint(1, 5)
                text = f"select $1::bigint, n, {SETTINGS} from generate_series(1, $2::integer) n"
                return Question(text, id, count, list(range(1, count + 1)))

    def judge(self, question, rows):
        """What is wrong with the rows, what with the settings, and the server's process that answered."""
        if len(rows) != len(question.expected):
            return f"{len(rows)} rows, not {len(question.expected)}", None, None
        setting = pid = None
        for row, expected in zip(rows, question.expected):
            if len(row) != 6:
                return f"{len(row)} columns", None, None
            id, value, *settings, pid = row
            if isinstance(value, memoryview):
                value = bytes(value)
            if id != question.id:
                return f"id {id}, not {question.id}", None, pid
            if type(value) is not type(expected) or value != expected:
                if not (question.word and isinstance(value, str) and value.endswith(question.word)):
                    return f"value {value!r}, not {expected!r}", None, pid
                setting = f"table of {value!r}, not {expected!r}"
            for seen, own in zip(settings, (self.application, self.zone, self.schema)):
                if seen != own:
                    setting = f"setting {seen!r}, not {own!r}"
        return None, setting, pid
