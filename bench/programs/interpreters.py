"""Language interpreters, each on a script from inputs/ that takes its number of rounds."""

from .program import FILES, Program, checksum_of_stdout, find_binary, nothing_to_prepare


def python(inputs, scratch, quick):
    return [find_binary("/usr/bin/python3"), "-s", "-S", "-B", str(FILES / "work.py"),
            "1" if quick else "3"]


def lua(inputs, scratch, quick):
    return [find_binary("lua5.4"), str(FILES / "work.lua"), "1" if quick else "3"]


def ruby(inputs, scratch, quick):
    return [find_binary("/usr/bin/ruby"), "--disable=gems", str(FILES / "work.rb"),
            "1" if quick else "3"]


def _program(command, packages, requires, environment=()):
    return Program(command.__name__, packages, requires, nothing_to_prepare, command,
                   checksum_of_stdout, environment)


PROGRAMS = (
    # Every object of Python is then a malloc of its own.
    _program(python, ("python3",), ("/usr/bin/python3",),
             (("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0"))),
    _program(lua, ("lua5.4",), ("lua5.4",)),
    _program(ruby, ("ruby",), ("/usr/bin/ruby",)),
)
