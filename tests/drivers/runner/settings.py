"""Which client libraries run with which settings, and what each of them may see."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One client library with one setting. Whatever is not in `allowed` is a failure."""

    driver: str
    language: str
    name: str
    # SQLSTATEs of errors that the library makes with PostgreSQL alone too.
    allowed: tuple = ()
    # Of the five that `make test` runs.
    riskiest: bool = False
    # Parses in one round trip and binds in the next, or shares names: PgBouncer without tracking gives others' rows,
    # and the check is only worth something if it finds them there.
    wrong_behind_pgbouncer: bool = False

    @property
    def title(self):
        return f"{self.driver}/{self.name}"


ALL = (
    Setting("libpq", "go", "default", riskiest=True, wrong_behind_pgbouncer=True),
    Setting("libpq", "go", "binary_parameters=yes"),
    Setting("libpq", "go", "prepare"),
    Setting("pgx5", "go", "cache_statement"),
    Setting("pgx5", "go", "cache_describe"),
    Setting("pgx5", "go", "describe_exec"),
    Setting("pgx5", "go", "exec"),
    Setting("pgx5", "go", "simple_protocol"),
    Setting("pgx4", "go", "default"),
    Setting("pgx4", "go", "statement_cache_mode=describe"),
    Setting("pgx4", "go", "statement_cache_capacity=0", riskiest=True, wrong_behind_pgbouncer=True),
    Setting("psycopg", "python", "prepare_threshold=None"),
    Setting("psycopg", "python", "prepare_threshold=0", riskiest=True, wrong_behind_pgbouncer=True),
    Setting("psycopg", "python", "prepare_threshold=5"),
    Setting("psycopg2", "python", "default"),
    Setting("asyncpg", "python", "default"),
    Setting("asyncpg", "python", "statement_cache_size=0"),
    Setting("sqlalchemy-asyncpg", "python", "default"),
    Setting("sqlalchemy-asyncpg", "python", "prepared_statement_cache_size=0"),
    Setting("sqlalchemy-psycopg", "python", "default"),
    Setting("django", "python", "default"),
    Setting("django", "python", "server_side_binding"),
    Setting("pg", "node", "default"),
    Setting("pg", "node", "named"),
    Setting("postgres", "node", "default"),
    Setting("postgres", "node", "prepare=false"),
    Setting("prisma", "node", "adapter-pg"),
    Setting("drizzle", "node", "node-postgres"),
    Setting("drizzle", "node", "postgres-js"),
    Setting("pgjdbc", "java", "default", riskiest=True),
    Setting("pgjdbc", "java", "prepareThreshold=0"),
    Setting("pgjdbc", "java", "prepareThreshold=1"),
    Setting("sqlx", "rust", "default"),
    Setting("sqlx", "rust", "persistent(false)", riskiest=True, wrong_behind_pgbouncer=True),
    Setting("sqlx", "rust", "statement-cache-capacity=0"),
    Setting("tokio-postgres", "rust", "query"),
    Setting("tokio-postgres", "rust", "prepare"),
    Setting("tokio-postgres", "rust", "query_typed"),
    Setting("diesel", "rust", "default"),
)


def chosen(drivers):
    """The settings that `DRIVERS` names, in the table's order."""
    if not drivers:
        return list(ALL)
    if drivers == "riskiest":
        return [setting for setting in ALL if setting.riskiest]
    names = set(drivers.split(","))
    known = {name for setting in ALL for name in (setting.driver, setting.title)}
    if unknown := names - known:
        raise SystemExit(f"drivers: no driver {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return [setting for setting in ALL if names & {setting.driver, setting.title}]
