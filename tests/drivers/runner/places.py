"""Where things are."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROJECT = HERE.parent.parent
TARGET = PROJECT / "target" / "drivers"
LOGS = TARGET / "logs"
PROGRAMS = Path(os.environ.get("WEIR_PROGRAMS", PROJECT / "target" / "programs"))
