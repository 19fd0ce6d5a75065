#!/usr/bin/env python3
"""Checks that CMake, Bazel and the tree on disk hold the same files and tests.

Compared, target by target, are the calls of spanmalloc_layer,
spanmalloc_variant, spanmalloc_tool..., spanmalloc_test... and
spanmalloc_..._benchmark in every CMakeLists.txt and BUILD.bazel, the programs of
bench/, and the compiler options in cmake/spanmalloc.cmake and
bazel/spanmalloc.bzl. On disk, every source and header of allocator/, tests/ and
tools/ and every source of bench/ has to stand in a target of both builds, a
layer's file in that layer alone, and every *_test.* file has to be a test.

Usage: tools/check_parity.py [--root DIR]

Exit codes: 0 equal, 1 differences (one line each on stderr), 2 a build file
cannot be read.
"""

import argparse
import ast
import dataclasses
import pathlib
import re
import sys

# The folders that hold build files, and which of their files have to be in a
# target. Headers of bench/ are named in Bazel only.
ALL_SUFFIXES = {".c", ".cc", ".h", ".def", ".inc"}
CHECKED_FOLDERS = {
    "allocator": ALL_SUFFIXES,
    "bench": {".c", ".cc"},
    "tools": ALL_SUFFIXES,
    "tests": ALL_SUFFIXES,
}
TEST_SUFFIXES = {".c", ".cc", ".py", ".sh"}

KINDS = {
    "spanmalloc_layer": "layer",
    "spanmalloc_variant": "variant",
    "spanmalloc_tool_library": "tool library",
    "spanmalloc_tool": "tool",
    "spanmalloc_test_library": "test library",
    "spanmalloc_test_plugin": "test plugin",
    "spanmalloc_test": "test",
    "spanmalloc_script_test": "script test",
    "spanmalloc_component_benchmark": "component benchmark",
    "spanmalloc_malloc_benchmark": "malloc benchmark",
    "spanmalloc_add_bench_program": "bench program",
}
# The one kind whose function in CMake has no keywords: (name source).
PROGRAM = "spanmalloc_add_bench_program"
# A list, a variable of both builds: NAME is the bench program made of
# workloads/NAME.c.
WORKLOADS = "spanmalloc_workloads"
# The attributes compared, under Bazel's names.
ATTRIBUTES = ("srcs", "hdrs", "copts", "args", "malloc", "deps", "dynamic_deps",
              "linked_deps")
CMAKE_KEYWORDS = {
    "SRCS": "srcs",
    "HDRS": "hdrs",
    "COPTS": "copts",
    "ARGS": "args",
    "MALLOC": "malloc",
    "DEPS": "deps",
    "DYNAMIC_DEPS": "dynamic_deps",
    "LINKED_DEPS": "linked_deps",
}
# Layers depend on each other in Bazel only: in CMake they are object libraries.
KINDS_WITH_EQUAL_DEPS = {"test", "test library", "tool", "tool library"}

# Options that one build gives by other means: CMake by an option of its own
# and by POSITION_INDEPENDENT_CODE.
BAZEL_ONLY_OPTIONS = {"-Werror", "-fPIC"}


# Files whose names end in _test have to be in one of these.
TEST_KINDS = {"test", "test library", "script test"}

# How each build writes the path of a library that it makes, and of a source.
CMAKE_PATH = re.compile(
    r"\$<TARGET_FILE:(\w+)>|\$\{PROJECT_SOURCE_DIR\}/(\S+)")
BAZEL_PATH = re.compile(r"\$\((?:location|rootpath) (\S+)\)")
# A command's target in CMake is NAME_tool, for the library may be called NAME.
BAZEL_TOOL = re.compile(r"//tools/(\w+):\1")
BAZEL_LIBRARY = re.compile(r"(?://)?[\w/]*:?(?:lib)?(\w+)\.so")


class BuildFileError(Exception):
    """A build file that this script does not understand."""


@dataclasses.dataclass
class Target:
    """One target of one build."""

    kind: str
    name: str
    file: str  # The build file, for messages.
    values: dict

    def files(self):
        """Paths of its sources and headers, from the root."""
        folder = pathlib.PurePosixPath(self.file).parent
        names = self.values.get("srcs", []) + self.values.get("hdrs", [])
        return [str(folder / name) for name in names if ":" not in name]


def common_name(text):
    """What both builds mean by an item of a list."""
    match = CMAKE_PATH.fullmatch(text)
    if match:
        return f"<{match[1]}>" if match[1] else match[2]
    match = BAZEL_PATH.fullmatch(text)
    if match:
        library = BAZEL_LIBRARY.fullmatch(match[1])
        if library:
            return f"<{library[1]}>"
        tool = BAZEL_TOOL.fullmatch(match[1])
        if tool:
            return f"<{tool[1]}_tool>"
        return match[1].removeprefix("//").replace(":", "/")
    # A target, perhaps of another folder: in CMake names are global.
    return re.sub("^(//[^:]*)?:", "", text)


def cmake_commands(text, path):
    """Yields (name, arguments) of every command in a CMake file."""
    token = re.compile(
        r'\s+|#[^\n]*|"(?P<quoted>(?:[^"\\]|\\.)*)"'
        r"|(?P<paren>[()])|(?P<word>[^\s()#\"]+)", re.S)
    position, name, depth, arguments = 0, None, 0, []
    while position < len(text):
        match = token.match(text, position)
        if not match:
            raise BuildFileError(f"{path}: cannot read: {text[position:][:40]!r}")
        position = match.end()
        if match["paren"] == "(":
            depth += 1
        elif match["paren"] == ")":
            depth -= 1
            if depth == 0:
                yield name, arguments
                name, arguments = None, []
        elif match["quoted"] is not None:
            arguments.append(match["quoted"])
        elif match["word"] and depth == 0:
            name = match["word"]
        elif match["word"]:
            arguments.append(match["word"])
    if depth:
        raise BuildFileError(f"{path}: a parenthesis is not closed")


def workload(name, path):
    """The target that an item of the list of workloads stands for."""
    return Target(KINDS[PROGRAM], name, path,
                  {"srcs": [f"workloads/{name}.c"]})


def read_cmake(root, path):
    """The targets that a CMakeLists.txt declares."""
    targets = []
    for name, arguments in cmake_commands((root / path).read_text(), path):
        if name == "set" and arguments[:1] == [WORKLOADS]:
            targets += [workload(item, path) for item in arguments[1:]]
        if name == PROGRAM and len(arguments) == 2:
            if "${" not in arguments[0]:  # Those are the workloads.
                targets.append(
                    Target(KINDS[name], arguments[0], path,
                           {"srcs": [arguments[1]]}))
            continue
        if name not in KINDS:
            continue
        values, key = {}, None
        for argument in arguments[1:]:
            if argument in CMAKE_KEYWORDS:
                key = CMAKE_KEYWORDS[argument]
                values.setdefault(key, [])
            elif key is None:
                raise BuildFileError(
                    f"{path}: {arguments[0]}: {argument} has no keyword")
            else:
                values[key].append(common_name(argument))
        targets.append(Target(KINDS[name], arguments[0], path, values))
    return targets


def plain_list(node, name, path):
    """The items of a list in a BUILD.bazel, or the one that stands alone."""
    try:
        value = ast.literal_eval(node)
    except ValueError as error:
        raise BuildFileError(
            f"{path}:{node.lineno}: {name} is not a plain list") from error
    return value if isinstance(value, list) else [value]


def read_bazel(root, path):
    """The targets that a BUILD.bazel declares."""
    targets = []
    try:
        tree = ast.parse((root / path).read_text(), path)
    except SyntaxError as error:
        raise BuildFileError(f"{path}:{error.lineno}: {error.msg}") from error
    for node in tree.body:
        if (isinstance(node, ast.Assign)
                and getattr(node.targets[0], "id", None) == WORKLOADS):
            names = plain_list(node.value, WORKLOADS, path)
            targets += [workload(name, path) for name in names]
        call = getattr(node, "value", None)
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
                and call.func.id in KINDS):
            continue
        values = {
            keyword.arg: plain_list(keyword.value, keyword.arg, path)
            for keyword in call.keywords
        }
        if "source" in values:
            values["srcs"] = values.pop("source")
        if "name" not in values:
            raise BuildFileError(f"{path}:{call.lineno}: target has no name")
        name = values.pop("name")[0]
        for key in ATTRIBUTES:
            if key in values:
                values[key] = [common_name(item) for item in values[key]]
        targets.append(Target(KINDS[call.func.id], name, path, values))
    return targets


def find_targets(root, file_name, read):
    """The targets of all build files of one build, by kind and name."""
    targets, problems = {}, []
    for folder in CHECKED_FOLDERS:
        for path in sorted((root / folder).rglob(file_name)):
            for target in read(root, path.relative_to(root).as_posix()):
                key = (path.parent.relative_to(root).as_posix(), target.kind,
                       target.name)
                if key in targets:
                    problems.append(
                        f"{target.file}: {target.kind} {target.name}: "
                        "declared twice")
                targets[key] = target
    return targets, problems


def compare_targets(cmake, bazel):
    """Differences between the two builds, one line each."""
    problems = []
    for key in sorted(cmake.keys() | bazel.keys()):
        folder, kind, name = key
        mine, other = cmake.get(key), bazel.get(key)
        if mine is None or other is None:
            missing = "CMakeLists.txt" if mine is None else "BUILD.bazel"
            problems.append(f"{folder}/{missing}: {kind} {name}: missing")
            continue
        for attribute in ATTRIBUTES:
            if attribute.endswith("deps") and kind not in KINDS_WITH_EQUAL_DEPS:
                continue
            left = mine.values.get(attribute, [])
            right = other.values.get(attribute, [])
            for item in sorted(set(left) - set(right)):
                problems.append(f"{other.file}: {kind} {name}: "
                                f"{attribute} lacks {item}")
            for item in sorted(set(right) - set(left)):
                problems.append(f"{mine.file}: {kind} {name}: "
                                f"{attribute} lacks {item}")
    return problems


def compare_with_disk(root, targets, build):
    """Files in no target, in two layers, or in a target but not on disk."""
    problems, owners, tested = [], {}, set()
    for target in targets.values():
        for path in target.files():
            if not (root / path).is_file():
                problems.append(f"{target.file}: {target.kind} {target.name}: "
                                f"{path} does not exist")
            owners.setdefault(path, []).append(target)
            if target.kind in TEST_KINDS:
                tested.add(path)
    for path, users in sorted(owners.items()):
        layers = [user.name for user in users if user.kind == "layer"]
        if layers and len(users) > 1:
            names = ", ".join(sorted(user.name for user in users))
            problems.append(f"{path}: in more than one {build} target: {names}")
    for folder, suffixes in CHECKED_FOLDERS.items():
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if "__pycache__" in name or not path.is_file():
                continue
            is_test = (path.stem.endswith("_test")
                       and path.suffix in TEST_SUFFIXES)
            if is_test and name not in tested:
                problems.append(f"{name}: not a test in {build}")
            elif path.suffix in suffixes and name not in owners:
                problems.append(f"{name}: in no {build} target")
    return problems


def cmake_options(root):
    """The compiler options of cmake/spanmalloc.cmake: of all, of the core."""
    path = "cmake/spanmalloc.cmake"
    options = {"spanmalloc_flags": set(), "spanmalloc_core_flags": set()}
    for name, arguments in cmake_commands((root / path).read_text(), path):
        if name == "target_compile_options" and arguments[0] in options:
            options[arguments[0]].update(
                item for item in arguments[2:] if item.startswith("-"))
    return options["spanmalloc_flags"], options["spanmalloc_core_flags"]


def bazel_options(root):
    """The compiler options of bazel/spanmalloc.bzl: of all, of the core."""
    options = {"_COPTS": set(), "_CORE_COPTS": set()}
    tree = ast.parse((root / "bazel/spanmalloc.bzl").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id in options:
            options[node.targets[0].id] = {
                item.value
                for item in ast.walk(node.value)
                if isinstance(item, ast.Constant)
            }
    return options["_COPTS"], options["_CORE_COPTS"]


def compare_options(root):
    """Compiler options that only one build uses."""
    problems = []
    for cmake, bazel in zip(cmake_options(root), bazel_options(root)):
        for item in sorted(cmake - bazel):
            problems.append(f"bazel/spanmalloc.bzl: lacks {item}")
        for item in sorted(bazel - cmake - BAZEL_ONLY_OPTIONS):
            problems.append(f"cmake/spanmalloc.cmake: lacks {item}")
    return problems


def check(root):
    """Every difference, one line each."""
    cmake, problems = find_targets(root, "CMakeLists.txt", read_cmake)
    bazel, more = find_targets(root, "BUILD.bazel", read_bazel)
    problems += more
    problems += compare_targets(cmake, bazel)
    problems += compare_with_disk(root, cmake, "CMake")
    problems += compare_with_disk(root, bazel, "Bazel")
    problems += compare_options(root)
    if not cmake:
        problems.append("allocator/CMakeLists.txt: no targets found")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root",
        type=pathlib.Path,
        default=pathlib.Path(__file__).resolve().parent.parent,
        help="the tree to check (default: the one this script is in)")
    root = parser.parse_args().root
    try:
        problems = check(root)
    except (BuildFileError, OSError) as error:
        print(f"check_parity: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"check_parity: {len(problems)} differences", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
