#!/usr/bin/env python3
"""Checks that the allocator's layers depend on each other in one direction.

  layer    A file includes files of its own layer and of lower ones only. The
           public header belongs to the lowest layer that fills its structures.
  cycle    No file includes itself, directly or through others.
  missing  Every file included exists.
  system   No standard header that allocates, throws or locks: of the C++ ones
           only those in CXX_HEADERS. Headers of the kernel interface are for
           os/ alone.
  if       Conditional compilation stands in base/ and os/. Elsewhere there are
           include guards, __cplusplus, and what ALLOWED_CONDITIONALS lists.

Usage: tools/check_layering.py [--root DIR]

Exit codes: 0 clean, 1 violations (one line each on stderr), 2 no sources
found.
"""

import argparse
import pathlib
import re
import sys

# Lowest first.
LAYERS = ("base", "os", "page", "central", "thread", "scavenge", "profile",
          "observe", "api")
LAYERS_WITH_CONDITIONALS = ("base", "os")
SUFFIXES = {".h", ".cc", ".def", ".inc"}

# The public header: C and C++, included as its users do.
PUBLIC_FOLDER = "include"
PUBLIC_PREFIX = "spanmalloc/"
PUBLIC_LAYER = "observe"

# C++ headers that are usable below the C++ runtime and below malloc: templates
# and declarations, nothing that needs libstdc++ at run time.
CXX_HEADERS = {
    "algorithm", "array", "atomic", "cerrno", "cinttypes", "climits", "cstdarg",
    "cstddef", "cstdint", "cstdio", "cstdlib", "cstring", "ctime",
    "initializer_list", "iterator", "limits", "new", "numeric", "tuple",
    "type_traits", "utility"
}

# Headers through which the kernel is spoken to.
OS_ONLY_HEADERS = re.compile(r"(linux|asm|sys)/.*")

# (file, macro) of the conditionals allowed above os/, with the reason.
ALLOWED_CONDITIONALS = {
    # One source, two libraries: the prefixed names alone, or malloc's as well.
    ("api/malloc.cc", "SPANMALLOC_OVERRIDE"),
    # One source, two libraries: the C++ runtime surely there, or perhaps.
    ("api/new_delete.cc", "SPANMALLOC_WEAK_CXX_RUNTIME"),
}

INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')
CONDITIONAL = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif)\b(.*)")
DEFINE = re.compile(r"\s*#\s*define\s+(\w+)")


def strip_comments(text):
    """The text without comments, line numbers unchanged."""

    def blank(match):
        if match[0].startswith('"') or match[0].startswith("'"):
            return match[0]
        return "\n" * match[0].count("\n")

    return re.sub(
        r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|//[^\n]*|/\*.*?\*/',
        blank,
        text,
        flags=re.S)


def layer_of(path):
    """Rank of the layer that a path inside allocator/ belongs to, or None."""
    folder = path.split("/", 1)[0]
    if folder == PUBLIC_FOLDER:
        folder = PUBLIC_LAYER
    return LAYERS.index(folder) if folder in LAYERS else None


class Checker:
    """Collects the violations and the include graph of one tree."""

    def __init__(self, root):
        self.folder = root / "allocator"
        self.problems = []
        self.includes = {}  # Path inside allocator/ -> [(line, path)].

    def report(self, path, line, text):
        self.problems.append(f"allocator/{path}:{line}: {text}")

    def check_include(self, path, line, quote, name):
        """Checks one include directive."""
        if name.startswith("allocator/"):
            target = name.removeprefix("allocator/")
        elif name.startswith(PUBLIC_PREFIX):
            target = f"{PUBLIC_FOLDER}/{name}"
        elif quote == '"':
            self.report(path, line,
                        f'layer: "{name}" is not written from the root')
            return
        else:
            self.check_system_include(path, line, name)
            return
        if not (self.folder / target).is_file():
            self.report(path, line, f"missing: {name} does not exist")
            return
        self.includes[path].append((line, target))
        mine, other = layer_of(path), layer_of(target)
        if other is None:
            self.report(path, line, f"layer: {name} is in no layer")
        elif mine is not None and other > mine:
            self.report(
                path, line,
                f"layer: {LAYERS[mine]} must not include {LAYERS[other]} "
                f"({name})")

    def check_system_include(self, path, line, name):
        """Checks the include of a header that is not ours."""
        rank = layer_of(path)
        is_cxx = "/" not in name and not name.endswith(".h")
        if is_cxx and name not in CXX_HEADERS:
            self.report(path, line,
                        f"system: <{name}> may allocate, throw or lock")
        elif (OS_ONLY_HEADERS.fullmatch(name) and rank is not None
              and rank > LAYERS.index("os")):
            self.report(path, line, f"system: <{name}> is for os/ alone")

    def check_conditionals(self, path, lines):
        """Checks the #if directives of one file above os/."""
        guard = None
        first = next((index for index, line in enumerate(lines)
                      if line.lstrip().startswith("#")), None)
        if first is not None:
            opening = CONDITIONAL.match(lines[first])
            following = next(
                (line for line in lines[first + 1:] if line.strip()), "")
            define = DEFINE.match(following)
            if (opening and opening[1] == "ifndef" and define
                    and define[1] == opening[2].strip()):
                guard = first
        for index, line in enumerate(lines):
            match = CONDITIONAL.match(line)
            if not match or index == guard:
                continue
            macros = set(re.findall(r"[A-Za-z_]\w*", match[2])) - {"defined"}
            for macro in sorted(macros - {"__cplusplus"}):
                if (path, macro) not in ALLOWED_CONDITIONALS:
                    self.report(path, index + 1,
                                f"if: #{match[1]} {macro} above os/")
            if not macros:
                self.report(path, index + 1,
                            f"if: #{match[1]}{match[2].rstrip()} above os/")

    def check_cycles(self):
        """Reports each cycle of includes once."""
        done, stack = set(), []

        def visit(path):
            if path in done:
                return
            stack.append(path)
            for line, target in self.includes.get(path, []):
                if target in stack:
                    cycle = stack[stack.index(target):] + [target]
                    self.report(path, line, "cycle: " + " -> ".join(cycle))
                else:
                    visit(target)
            stack.pop()
            done.add(path)

        for path in sorted(self.includes):
            visit(path)

    def check_file(self, path):
        """Checks one file, given by its path inside allocator/."""
        self.includes[path] = []
        lines = strip_comments((self.folder / path).read_text()).split("\n")
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if match:
                self.check_include(path, number, match[1], match[2])
        rank = layer_of(path)
        if rank is None:
            self.report(path, 1, "layer: in no layer")
        elif LAYERS[rank] not in LAYERS_WITH_CONDITIONALS:
            self.check_conditionals(path, lines)

    def run(self):
        """Checks the tree; returns how many files it has."""
        paths = sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*") if path.suffix in SUFFIXES)
        for path in paths:
            self.check_file(path)
        self.check_cycles()
        return len(paths)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root",
        type=pathlib.Path,
        default=pathlib.Path(__file__).resolve().parent.parent,
        help="the tree to check (default: the one this script is in)")
    checker = Checker(parser.parse_args().root)
    if checker.run() == 0:
        print(f"check_layering: no sources in {checker.folder}",
              file=sys.stderr)
        return 2
    for problem in checker.problems:
        print(problem, file=sys.stderr)
    if checker.problems:
        print(f"check_layering: {len(checker.problems)} violations",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
