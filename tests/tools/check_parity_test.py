#!/usr/bin/env python3
"""Tests of tools/check_parity.py: small trees, each with one thing wrong.

Usage: tests/tools/check_parity_test.py
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).parents[2] / "tools" / "check_parity.py"

# A tree in which both builds are equal.
TREE = {
    "allocator/CMakeLists.txt": """\
# A comment with (parentheses.
spanmalloc_layer(
  base
  SRCS base/bits.cc
  HDRS base/bits.h)
spanmalloc_variant(
  malloc_override
  SRCS api/malloc.cc
  COPTS -DSPANMALLOC_OVERRIDE=1)
""",
    "allocator/BUILD.bazel": """\
load("//bazel:spanmalloc.bzl", "spanmalloc_layer", "spanmalloc_variant")

spanmalloc_layer(
    name = "base",
    srcs = ["base/bits.cc"],
    hdrs = ["base/bits.h"],
)

spanmalloc_variant(
    name = "malloc_override",
    srcs = ["api/malloc.cc"],
    copts = ["-DSPANMALLOC_OVERRIDE=1"],
    deps = [":base"],
)
""",
    "allocator/base/bits.h": "",
    "allocator/base/bits.cc": "",
    "allocator/api/malloc.cc": "",
    "tests/CMakeLists.txt": """\
spanmalloc_test(base/bits_test SRCS base/bits_test.cc)
spanmalloc_test(api/linked_test SRCS api/linked_test.cc
                MALLOC static)
spanmalloc_script_test(
  api/library_test
  SRCS api/library_test.sh
  ARGS $<TARGET_FILE:spanmalloc> ${PROJECT_SOURCE_DIR}/allocator/base/bits.h)
""",
    "tests/BUILD.bazel": """\
spanmalloc_test(
    name = "base/bits_test",
    srcs = ["base/bits_test.cc"],
)

spanmalloc_test(
    name = "api/linked_test",
    srcs = ["api/linked_test.cc"],
    malloc = ["static"],
)

spanmalloc_script_test(
    name = "api/library_test",
    srcs = ["api/library_test.sh"],
    args = [
        "$(location //:libspanmalloc.so)",
        "$(location //allocator:base/bits.h)",
    ],
    data = ["//:libspanmalloc.so"],
)
""",
    "bench/CMakeLists.txt": """\
set(spanmalloc_workloads
  batch
  growth
)
function(spanmalloc_add_bench_program name source)
  add_executable(bench_${name} ${source})
endfunction()
foreach(name IN LISTS spanmalloc_workloads)
  spanmalloc_add_bench_program(${name} workloads/${name}.c)
endforeach()
spanmalloc_add_bench_program(measure measure.c)
""",
    "bench/BUILD.bazel": """\
spanmalloc_workloads = [
    "batch",
    "growth",
]

[
    spanmalloc_add_bench_program(
        name = name,
        source = "workloads/%s.c" % name,
        deps = [":headers"],
    )
    for name in spanmalloc_workloads
]

spanmalloc_add_bench_program(
    name = "measure",
    source = "measure.c",
    deps = [":headers"],
)
""",
    "bench/micro/CMakeLists.txt": """\
spanmalloc_component_benchmark(bits_benchmark SRCS bits_benchmark.cc)
spanmalloc_malloc_benchmark(free_benchmark SRCS free_benchmark.cc)
""",
    "bench/micro/BUILD.bazel": """\
spanmalloc_component_benchmark(
    name = "bits_benchmark",
    srcs = ["bits_benchmark.cc"],
)

spanmalloc_malloc_benchmark(
    name = "free_benchmark",
    srcs = ["free_benchmark.cc"],
)
""",
    "bench/measure.c": "",
    "bench/workloads/batch.c": "",
    "bench/workloads/growth.c": "",
    "bench/workloads/workload.h": "",
    "bench/micro/bits_benchmark.cc": "",
    "bench/micro/free_benchmark.cc": "",
    "tests/base/bits_test.cc": "",
    "tests/api/linked_test.cc": "",
    "tests/api/library_test.sh": "",
    "cmake/spanmalloc.cmake": """\
target_compile_options(spanmalloc_flags INTERFACE -Wall
  $<$<BOOL:${SPANMALLOC_WERROR}>:-Werror>)
target_compile_options(spanmalloc_core_flags INTERFACE -fno-rtti)
""",
    "bazel/spanmalloc.bzl": """\
_COPTS = ["-Wall", "-Werror"]

_CORE_COPTS = _COPTS + ["-fno-rtti", "-fPIC"]
""",
}


class CheckParityTest(unittest.TestCase):

    def check(self, *edits, remove=()):
        """Runs the checker on TREE with (path, old, new) edits applied."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            tree = dict(TREE)
            for path, old, new in edits:
                self.assertIn(old, tree.setdefault(path, ""))
                tree[path] = tree[path].replace(old, new) if old else new
            for path in remove:
                del tree[path]
            for path, text in tree.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            result = subprocess.run(
                [sys.executable, CHECKER, "--root", root],
                check=False,
                capture_output=True,
                text=True)
        return result.returncode, result.stderr.splitlines()

    def assert_fails(self, line, *edits, **kwargs):
        code, lines = self.check(*edits, **kwargs)
        self.assertIn(line, lines)
        self.assertEqual(code, 1)

    def test_equal_trees_pass(self):
        self.assertEqual(self.check(), (0, []))

    def test_source_missing_in_bazel(self):
        self.assert_fails(
            "allocator/BUILD.bazel: layer base: srcs lacks base/bits.cc",
            ("allocator/BUILD.bazel", '"base/bits.cc"', ""))

    def test_header_missing_in_cmake(self):
        self.assert_fails(
            "allocator/CMakeLists.txt: layer base: hdrs lacks base/bits.h",
            ("allocator/CMakeLists.txt", "HDRS base/bits.h", ""))

    def test_header_in_no_target(self):
        edits = [("allocator/base/new.h", "", "// new")]
        self.assert_fails("allocator/base/new.h: in no CMake target", *edits)
        self.assert_fails("allocator/base/new.h: in no Bazel target", *edits)

    def test_header_in_two_layers(self):
        self.assert_fails(
            "allocator/base/bits.h: in more than one CMake target: base, os",
            ("allocator/CMakeLists.txt", "# A comment",
             "spanmalloc_layer(os HDRS base/bits.h)\n#"))

    def test_source_that_does_not_exist(self):
        self.assert_fails(
            "allocator/BUILD.bazel: layer base: allocator/base/bits.cc "
            "does not exist",
            remove=["allocator/base/bits.cc"])

    def test_test_missing_in_cmake(self):
        self.assert_fails(
            "tests/CMakeLists.txt: test base/bits_test: missing",
            ("tests/CMakeLists.txt",
             "spanmalloc_test(base/bits_test SRCS base/bits_test.cc)", ""))

    def test_test_registered_nowhere(self):
        edits = [("tests/programs/sort_test.sh", "", "#!/bin/sh")]
        self.assert_fails("tests/programs/sort_test.sh: not a test in CMake",
                          *edits)
        self.assert_fails("tests/programs/sort_test.sh: not a test in Bazel",
                          *edits)

    def test_test_declared_twice(self):
        self.assert_fails(
            "tests/CMakeLists.txt: test api/linked_test: declared twice",
            ("tests/CMakeLists.txt", "base/bits_test SRCS",
             "api/linked_test SRCS"))

    def test_other_malloc(self):
        self.assert_fails(
            "tests/CMakeLists.txt: test api/linked_test: "
            "malloc lacks shared",
            ("tests/BUILD.bazel", '"static"', '"shared"'))

    def test_other_arguments(self):
        self.assert_fails(
            "tests/BUILD.bazel: script test api/library_test: "
            "args lacks <spanmalloc>",
            ("tests/BUILD.bazel", "$(location //:libspanmalloc.so)",
             "$(location //:libother.so)"))

    def test_tools(self):
        cmake = ("tools/sum/CMakeLists.txt", "",
                 "spanmalloc_tool_library(sum_core SRCS core.cc)\n"
                 "spanmalloc_tool(sum SRCS main.cc DEPS sum_core)\n")
        bazel = ("tools/sum/BUILD.bazel", "",
                 'spanmalloc_tool_library(name="sum_core", srcs=["core.cc"])\n'
                 'spanmalloc_tool(name="sum", srcs=["main.cc"],\n'
                 '                deps=[":sum_core"])\n')
        sources = [("tools/sum/core.cc", "", "// core"),
                   ("tools/sum/main.cc", "", "// main")]
        # A tool and a tool library as what a test uses.
        users = [
            ("tests/CMakeLists.txt", "SRCS base/bits_test.cc",
             "SRCS base/bits_test.cc ARGS $<TARGET_FILE:sum_tool> "
             "DEPS sum_core"),
            ("tests/BUILD.bazel", 'srcs = ["base/bits_test.cc"],',
             'srcs = ["base/bits_test.cc"],\n'
             '    args = ["$(location //tools/sum:sum)"],\n'
             '    deps = ["//tools/sum:sum_core"],'),
        ]
        self.assertEqual(self.check(cmake, bazel, *sources, *users), (0, []))
        self.assert_fails("tools/sum/core.cc: in no Bazel target", cmake,
                          *sources)
        self.assert_fails(
            "tools/sum/BUILD.bazel: tool sum: deps lacks sum_core", cmake,
            bazel, ("tools/sum/BUILD.bazel", '":sum_core"', ""), *sources)

    def test_other_compiler_option_of_a_target(self):
        self.assert_fails(
            "allocator/BUILD.bazel: variant malloc_override: "
            "copts lacks -DSPANMALLOC_OVERRIDE=1",
            ("allocator/BUILD.bazel", "OVERRIDE=1", "OVERRIDE=0"))

    def test_other_compiler_option_of_all(self):
        self.assert_fails("bazel/spanmalloc.bzl: lacks -fno-rtti",
                          ("bazel/spanmalloc.bzl", '"-fno-rtti", ', ""))
        self.assert_fails("cmake/spanmalloc.cmake: lacks -Wall",
                          ("cmake/spanmalloc.cmake", "-Wall", ""))

    def test_workload_missing_in_bazel(self):
        self.assert_fails("bench/BUILD.bazel: bench program growth: missing",
                          ("bench/BUILD.bazel", '    "growth",\n', ""))

    def test_workload_missing_in_cmake(self):
        self.assert_fails(
            "bench/CMakeLists.txt: bench program growth: missing",
            ("bench/CMakeLists.txt", "  growth\n", ""))

    def test_workload_in_no_list(self):
        edits = [("bench/workloads/phases.c", "", "// new")]
        self.assert_fails("bench/workloads/phases.c: in no CMake target",
                          *edits)
        self.assert_fails("bench/workloads/phases.c: in no Bazel target",
                          *edits)

    def test_workload_that_does_not_exist(self):
        self.assert_fails(
            "bench/CMakeLists.txt: bench program batch: "
            "bench/workloads/batch.c does not exist",
            remove=["bench/workloads/batch.c"])

    def test_bench_program_missing_in_bazel(self):
        self.assert_fails(
            "bench/BUILD.bazel: bench program measure: missing",
            ("bench/BUILD.bazel", 'name = "measure"', 'name = "other"'))

    def test_bench_program_with_another_source(self):
        self.assert_fails(
            "bench/BUILD.bazel: bench program measure: srcs lacks measure.c",
            ("bench/BUILD.bazel", '"measure.c"', '"workloads/batch.c"'))

    def test_benchmark_missing_in_cmake(self):
        self.assert_fails(
            "bench/micro/CMakeLists.txt: malloc benchmark free_benchmark: "
            "missing", ("bench/micro/CMakeLists.txt",
                        "spanmalloc_malloc_benchmark(free_benchmark "
                        "SRCS free_benchmark.cc)", ""))

    def test_benchmark_of_another_kind(self):
        self.assert_fails(
            "bench/micro/BUILD.bazel: malloc benchmark free_benchmark: missing",
            ("bench/micro/BUILD.bazel", "spanmalloc_malloc_benchmark",
             "spanmalloc_component_benchmark"))

    def test_build_files_that_cannot_be_read(self):
        for edit in (("allocator/CMakeLists.txt", "HDRS base/bits.h)", "HDRS"),
                     ("allocator/CMakeLists.txt", "SRCS base/bits.cc", "x"),
                     ("allocator/BUILD.bazel", '["base/bits.cc"]', "glob()"),
                     ("allocator/BUILD.bazel", '["base/bits.cc"]', "["),
                     ("bench/BUILD.bazel", '[\n    "batch"',
                      'glob([]) + [\n    "batch"')):
            with self.subTest(edit=edit):
                code, lines = self.check(edit)
                self.assertEqual(code, 2)
                self.assertEqual(len(lines), 1)


if __name__ == "__main__":
    unittest.main()
