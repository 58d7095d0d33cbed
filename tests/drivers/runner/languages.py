"""Installs what the programs of a language need, pinned, under target/drivers/, and says how to run them."""

import hashlib
import os
import shutil
import subprocess
import sys

from .places import HERE, TARGET


def install(language):
    """Returns the command that runs the language's program."""
    return {"go": go, "python": python, "node": node, "java": java, "rust": rust}[language]()


def need(program, advice):
    if not shutil.which(program):
        raise SystemExit(f"drivers: {program} is missing: {advice}")


def run(*command, directory=None, **environment):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"drivers: {' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")


def once(place, *files):
    """False where `place` was made from these very files."""
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    stamp = place / "installed"
    if stamp.exists() and stamp.read_text() == digest:
        return None
    return lambda: stamp.write_text(digest)


def go():
    need("go", "install 1.26 or newer")
    program = TARGET / "go" / "drivers"
    run("go", "vet", ".", directory=HERE / "go")
    run("go", "build", "-mod=readonly", "-o", program, ".", directory=HERE / "go")
    return [program]


def python():
    place = TARGET / "python"
    requirements = HERE / "python" / "requirements.txt"
    if finish := once(place, requirements):
        shutil.rmtree(place, ignore_errors=True)
        run(sys.executable, "-m", "venv", place)
        run(place / "bin" / "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:", "-r", requirements)
        finish()
    return [place / "bin" / "python", "-B", HERE / "python" / "main.py"]


def node():
    need("npm", "apt-get install npm")
    place = TARGET / "node"
    source = HERE / "node"
    place.mkdir(parents=True, exist_ok=True)
    lock = [source / "package.json", source / "package-lock.json", source / "schema.prisma"]
    finish = once(place, *lock)
    # A program finds its modules beside itself.
    shutil.copytree(source, place, dirs_exist_ok=True)
    if finish:
        run("npm", "ci", "--ignore-scripts", directory=place)
        # The client is generated without the engine for migrations, which is downloaded where it is not named.
        prisma = ("npx", "--no-install", "prisma", "generate", "--schema", "schema.prisma")
        run(*prisma, directory=place, PRISMA_SCHEMA_ENGINE_BINARY=shutil.which("true"))
        finish()
    return ["node", place / "main.mjs"]


def java():
    need("mvn", "apt-get install maven")
    place = TARGET / "java"
    run("mvn", "-q", "-B", f"-Dplace={place}", "process-classes", directory=HERE / "java")
    return ["java", "-cp", f"{place / 'classes'}:{place / 'libraries'}/*", "Main"]


def rust():
    need("cargo", "install Rust")
    place = TARGET / "rust"
    run("cargo", "build", "--quiet", "--locked", directory=HERE / "rust", CARGO_TARGET_DIR=str(place))
    return [place / "debug" / "drivers"]
