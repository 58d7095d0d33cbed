"""One row for each run, and what is wrong with it."""

# Of four server connections a saturated pool gives the last one again by chance once in four times: fewer moves than this, and
# hardly anything was shared.
MOVED = 0.5


def failures(setting, result, kind, pool_mode, queries):
    """Why a run does not pass; none: it does."""
    if kind == "pgbouncer":
        # Known to be wrong there: only that the programs see it counts.
        if setting.wrong_behind_pgbouncer and not result.get("wrong_rows"):
            return ["the program saw no wrong row, though there must have been some"]
        return []
    if "failed" in result:
        return [result["failed"]]
    found = []
    for name in ("wrong_rows", "wrong_settings"):
        if result[name]:
            found.append(f"{result[name]} {name.replace('_', ' ')}")
    for state, count in result["errors"].items():
        if state not in setting.allowed:
            found.append(f"{count} errors {state}")
    for name, outcome in result["features"].items():
        if outcome != "ok":
            found.append(f"{name}: {outcome}")
    if result["queries"] < queries:
        found.append(f"only {result['queries']} queries")
    if kind == "sidecar" and pool_mode == "transaction" and moved(result) < MOVED:
        found.append(f"only {moved(result):.0%} of the transactions on another server connection")
    return found


def moved(result):
    return result["moved"] / max(1, result["transactions"])


HEADER = ("driver", "version", "setting", "queries", "wrong rows", "wrong settings", "errors", "moved", "features", "s")
WIDTHS = (18, 9, 31, 8, 10, 14, 24, 6, 30, 5)


def line(cells):
    return "  ".join(str(cell).ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def row(setting, result):
    head = (setting.driver, result.get("version", "?").removeprefix("v"), setting.name)
    if "failed" in result:
        return line((*head, result["failed"].splitlines()[0], "", "", "", "", "", f"{result['seconds']:.0f}"))
    features = result["features"]
    good = sum(outcome == "ok" for outcome in features.values())
    bad = ", ".join(name for name, outcome in features.items() if outcome != "ok")
    errors = " ".join(f"{state}:{count}" for state, count in sorted(result["errors"].items()))
    return line(
        (
            *head, result["queries"], result["wrong_rows"], result["wrong_settings"], errors or "-", f"{moved(result):.0%}",
            f"{good} ok" + (f"; failed: {bad}" if bad else ""), f"{result['seconds']:.0f}",
        )
    )  # fmt: skip
