"""Programs that turn an input into an output and end."""

import hashlib
import os
import random

from context import INPUTS


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _input(name):
    with open(os.path.join(INPUTS, name), "rb") as file:
        return file.read()


def _words(count, seed):
    """Text that compresses neither well nor badly."""
    generator = random.Random(seed)
    words = [
        "".join(generator.choices("abcdefghij", k=generator.randint(2, 12))) for _ in range(3000)
    ]
    return " ".join(generator.choices(words, k=count)).encode()


def git(context):
    context.need("git")
    environment = context.environment
    for role in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{role}_NAME"] = "Somebody"
        environment[f"GIT_{role}_EMAIL"] = "somebody@example.com"
        environment[f"GIT_{role}_DATE"] = "2022-11-22T12:00:00Z"
    environment["GIT_CONFIG_NOSYSTEM"] = "1"
    repository = context.path("repository")
    context.run("git", "init", "-q", "-b", "main", repository)
    for round_number in range(4):
        for number in range(300):
            if round_number and number % (round_number + 2):
                continue
            contents = _words(40 + number % 300, number * 10 + round_number)
            context.write(f"repository/{number % 20}/{number}.txt", contents)
        context.run("git", "-C", repository, "add", "-A")
        context.run("git", "-C", repository, "commit", "-q", "-m", f"round {round_number}")
    context.run("git", "clone", "-q", "file://" + repository, context.path("clone"))
    context.run("git", "-C", context.path("clone"), "gc", "-q", "--aggressive")
    context.run("git", "-C", context.path("clone"), "fsck", "--full", "--strict")
    blame = context.run("git", "-C", context.path("clone"), "log", "--stat", "-p", "HEAD~2..")
    head = context.run("git", "-C", context.path("clone"), "cat-file", "--batch", stdin="HEAD\n")
    return hashlib.sha256(blame.encode()).hexdigest() + "\n" + head


def gcc(context):
    """The C++ compiler on a file of heavy templates: the object must be the same bit by bit."""
    context.need("g++")
    context.run(
        "g++", "-std=c++17", "-O1", "-g0", "-x", "c++", "-c", "-", "-o", context.path("heavy.o"),
        stdin=_input("heavy.cpp"),
    )
    context.run("g++", context.path("heavy.o"), "-o", context.path("heavy"))
    return context.run(context.path("heavy")) + _digest(context.path("heavy.o"))


def cmake(context):
    context.need("cmake", "make", "cc")
    context.write(
        "source/CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.16)\nproject(tiny C)\n"
        "include(CheckIncludeFile)\ncheck_include_file(stdio.h HAVE_STDIO)\n"
        "include(CheckFunctionExists)\ncheck_function_exists(printf HAVE_PRINTF)\n"
        "foreach(n RANGE 20000)\n  string(APPEND all \"${n};\")\nendforeach()\n"
        "list(SORT all)\nlist(LENGTH all length)\nmessage(STATUS \"length ${length}\")\n"
        "add_executable(tiny main.c)\n",
    )
    context.write("source/main.c", '#include <stdio.h>\nint main(void) { return puts("tiny") < 0; }\n')
    output = context.run("cmake", "-G", "Unix Makefiles", "-S", context.path("source"), "-B",
                         context.path("build"))
    context.run("cmake", "--build", context.path("build"))
    lines = [line for line in output.splitlines() if "done (" not in line]
    return "\n".join(lines) + "\n" + context.run(context.path("build/tiny"))


def sqlite3(context):
    context.need("sqlite3")
    return context.run("sqlite3", context.path("database"), stdin=_input("sample.sql"))


def z3(context):
    context.need("z3")
    return context.run("z3", "-in", stdin=_input("sample.smt2"))


def ghostscript(context):
    context.need("gs")
    context.run(
        "gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=png16m", "-r100",
        "-sOutputFile=" + context.path("page-%d.png"), "-", stdin=_input("sample.ps"),
    )
    pages = sorted(name for name in os.listdir(context.folder) if name.startswith("page-"))
    return "\n".join(f"{page} {_digest(context.path(page))}" for page in pages)


def _compressor(context, program, level):
    context.need(program)
    plain = context.write("plain", _words(600000, 5))
    for arguments in ((level, "-T2"), (level, "-T1")):
        packed = context.path("plain.packed")
        with open(plain, "rb") as file:
            contents = file.read()
        process = context.start([program, *arguments, "-c"])
        output, _ = process.communicate(contents)
        if process.returncode != 0:
            raise RuntimeError(f"{program} ended with {process.returncode}")
        with open(packed, "wb") as file:
            file.write(output)
        restored = context.run(program, "-d", "-c", stdin=output)
        if restored.encode() != contents:
            raise RuntimeError(f"{program} does not restore what it compressed")
    return _digest(packed)


def xz(context):
    return _compressor(context, "xz", "-2")


def zstd(context):
    return _compressor(context, "zstd", "-12")


CASES = (git, gcc, cmake, sqlite3, z3, ghostscript, xz, zstd)
