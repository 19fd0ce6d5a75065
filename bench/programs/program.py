"""What a program's row says, and what the rows' functions share."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

FILES = pathlib.Path(__file__).absolute().parent / "inputs"
SYSTEM_FOLDERS = "/usr/bin:/usr/sbin:/bin:/sbin"
SECONDS = 120  # What one call of a tool may take.


@dataclasses.dataclass(frozen=True)
class Program:
    """One real program with a fixed amount of work.

    prepare(inputs, quick)           Makes what `command` needs in the folder
                                     `inputs`; does nothing where it is there.
    command(inputs, scratch, quick)  The process to measure, without a shell in
                                     between. It runs in the empty folder
                                     `scratch`, with nothing on its stdin.
    drive(inputs, scratch, quick)    Where the process is a server: called while
                                     it runs. Waits for it, gives it its work
                                     and lets it end; returns further figures.
    checksum(inputs, scratch, stdout)  Of the result, after the process has
                                     ended: the same under every allocator.

    `quick` asks for the small size: under a second instead of two to four. Only
    the measured process may run with a library preloaded.
    """

    name: str
    packages: tuple  # of Debian
    requires: tuple  # executables
    prepare: object
    command: object
    checksum: object
    environment: tuple = ()  # pairs
    drive: object = None


def find(executable):
    """Absolute path of an executable; Debian's own comes before others."""
    path = shutil.which(executable, path=f"{SYSTEM_FOLDERS}:{os.environ.get('PATH', '')}")
    if path is None:
        raise FileNotFoundError(f"{executable} is not installed")
    return path


def find_binary(executable):
    """The same, with links (python3 to python3.11) followed to their end."""
    return os.path.realpath(find(executable))


def run_tool(arguments, environment=(), **keywords):
    """Runs a command that is not measured; fails unless it ends with status 0."""
    variables = {**os.environ, **dict(environment)}
    variables.pop("LD_PRELOAD", None)
    keywords.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(arguments, check=True, env=variables, timeout=SECONDS,
                          stdout=subprocess.PIPE, **keywords).stdout


def make_once(path, make):
    """Lets make(other_path) write a file or folder that then becomes `path`.

    Does nothing where `path` exists. What was interrupted leaves no `path`.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="unfinished-", dir=path.parent))
    try:
        make(folder / path.name)
        os.rename(folder / path.name, path)
    finally:
        shutil.rmtree(folder)


def size(quick):
    """For names of inputs that differ between the two sizes."""
    return "quick" if quick else "full"


def digest(contents):
    return hashlib.sha256(contents).hexdigest()[:16]


def nothing_to_prepare(inputs, quick):
    """For programs whose inputs are all in the folder inputs/ beside this file."""


def checksum_of_stdout(inputs, scratch, stdout):
    return digest(stdout)
