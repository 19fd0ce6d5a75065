"""Every outside repository that the build needs.

Nothing is fetched where Debian's packages bazel-bootstrap, libabsl-dev,
libgtest-dev and libbenchmark-dev are installed: the rules are Bazel's own under
the names that it looks for, and Abseil, GoogleTest and Google Benchmark are the
system's. Elsewhere these three are downloaded. ncurses (libncurses-dev)
and zlib (zlib1g-dev) are the system's or none.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "objc_library",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_lite_proto_library",
    "java_package_configuration",
    "java_plugin",
    "java_proto_library",
    "java_runtime",
    "java_test",
    "java_toolchain",
]

_GOOGLETEST_BUILD = """\
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "gtest",
    linkopts = ["-lgtest", "-lpthread"],
)

cc_library(
    name = "gtest_main",
    linkopts = ["-lgtest_main"],
    deps = [":gtest"],
)
"""

_BENCHMARK_BUILD = """\
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "benchmark",
    linkopts = ["-lbenchmark", "-lpthread"],
)

cc_library(
    name = "benchmark_main",
    linkopts = ["-lbenchmark_main"],
    deps = [":benchmark"],
)
"""

# Abseil's libraries depend on each other; what is not used is not linked.
_ABSL_LIBRARIES = [
    "bad_optional_access",
    "bad_variant_access",
    "base",
    "city",
    "civil_time",
    "cord",
    "cord_internal",
    "cordz_functions",
    "cordz_handle",
    "cordz_info",
    "debugging_internal",
    "demangle_internal",
    "exponential_biased",
    "flags_commandlineflag",
    "flags_commandlineflag_internal",
    "flags_config",
    "flags_internal",
    "flags_marshalling",
    "flags_private_handle_accessor",
    "flags_program_name",
    "flags_reflection",
    "graphcycles_internal",
    "hash",
    "hashtablez_sampler",
    "int128",
    "log_severity",
    "low_level_hash",
    "malloc_internal",
    "raw_hash_set",
    "raw_logging_internal",
    "spinlock_wait",
    "stacktrace",
    "str_format_internal",
    "strings",
    "strings_internal",
    "symbolize",
    "synchronization",
    "throw_delegate",
    "time",
    "time_zone",
]

_ABSL_PACKAGE = """\
package(default_visibility = ["//visibility:public"])

[cc_library(
    name = name,
    deps = ["//:absl"],
) for name in %r]
"""

_ABSL_FILES = {
    "BUILD.bazel": """\
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "absl",
    linkopts = ["-Wl,--start-group"] + [
        "-l:libabsl_%%s.a" %% name
        for name in %r
    ] + ["-Wl,--end-group"],
)
""" % _ABSL_LIBRARIES,
    "absl/flags/BUILD.bazel": _ABSL_PACKAGE % ["flag", "reflection"],
    "absl/strings/BUILD.bazel": _ABSL_PACKAGE % ["str_format", "strings"],
}

_OPTIONAL_BUILD = """\
package(default_visibility = ["//visibility:public"])

cc_library(
    name = %r,
    defines = %r,
    linkopts = %r,
)
"""

_COVERAGE_BUILD = """\
package(default_visibility = ["//visibility:public"])

sh_binary(
    name = "coverage_report_generator",
    srcs = ["none.sh"],
)

sh_binary(
    name = "lcov_merger",
    srcs = ["none.sh"],
)
"""

def _write_files(rctx):
    rctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % rctx.name)
    for path, text in rctx.attr.files.items():
        rctx.file(path, text)

_written_repository = repository_rule(
    implementation = _write_files,
    attrs = {"files": attr.string_dict(mandatory = True)},
    doc = "A repository whose files are given here.",
)

def _installed_or_downloaded(rctx):
    if rctx.path(rctx.attr.header).exists:
        rctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % rctx.name)
        for path, text in rctx.attr.files.items():
            rctx.file(path, text)
        return
    rctx.download_and_extract(
        url = rctx.attr.url,
        sha256 = rctx.attr.sha256,
        stripPrefix = rctx.attr.strip_prefix,
    )

def _installed_or_none(rctx):
    there = rctx.path(rctx.attr.header).exists
    rctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % rctx.name)
    rctx.file("BUILD.bazel", _OPTIONAL_BUILD % (
        rctx.name,
        [rctx.attr.define] if there else [],
        rctx.attr.linkopts if there else [],
    ))

_optional_repository = repository_rule(
    implementation = _installed_or_none,
    attrs = {
        "header": attr.string(mandatory = True),
        "define": attr.string(mandatory = True),
        "linkopts": attr.string_list(mandatory = True),
    },
    doc = "A library of the system's, or one with nothing in it.",
)

_library_repository = repository_rule(
    implementation = _installed_or_downloaded,
    attrs = {
        "header": attr.string(mandatory = True),
        "files": attr.string_dict(mandatory = True),
        "url": attr.string(mandatory = True),
        "sha256": attr.string(mandatory = True),
        "strip_prefix": attr.string(mandatory = True),
    },
    doc = "A library: the system's, as `files` say, where `header` is there.",
)

def _native(rules):
    return "".join(["%s = native.%s\n" % (rule, rule) for rule in rules])

def spanmalloc_repositories():
    """Declares the rules, the coverage tools and the libraries."""
    rules_cc = {
        "cc/%s.bzl" % rule: "%s = native.%s\n" % (rule, rule)
        for rule in ["cc_binary", "cc_library", "cc_test"]
    }
    rules_cc["cc/BUILD.bazel"] = ""
    rules_cc["cc/defs.bzl"] = _native(_CC_RULES)
    _written_repository(name = "rules_cc", files = rules_cc)
    _written_repository(
        name = "rules_java",
        files = {
            "java/BUILD.bazel": "",
            "java/defs.bzl": _native(_JAVA_RULES),
        },
    )
    _written_repository(
        name = "remote_coverage_tools",
        files = {
            "BUILD.bazel": _COVERAGE_BUILD,
            "none.sh": "#!/bin/sh\n",
        },
    )
    _optional_repository(
        name = "ncurses",
        header = "/usr/include/curses.h",
        define = "SPANMALLOC_TOOL_CURSES=1",
        linkopts = ["-lncursesw", "-ltinfo"],
    )
    _optional_repository(
        name = "zlib",
        header = "/usr/include/zlib.h",
        define = "SPANMALLOC_TOOL_ZLIB=1",
        linkopts = ["-lz"],
    )
    _library_repository(
        name = "com_google_googletest",
        header = "/usr/include/gtest/gtest.h",
        files = {"BUILD.bazel": _GOOGLETEST_BUILD},
        url = "https://github.com/google/googletest/archive/release-1.12.1.tar.gz",
        sha256 = "81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2",
        strip_prefix = "googletest-release-1.12.1",
    )
    _library_repository(
        name = "com_github_google_benchmark",
        header = "/usr/include/benchmark/benchmark.h",
        files = {"BUILD.bazel": _BENCHMARK_BUILD},
        url = "https://github.com/google/benchmark/archive/v1.7.1.tar.gz",
        sha256 = "6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7",
        strip_prefix = "benchmark-1.7.1",
    )
    _library_repository(
        name = "com_google_absl",
        header = "/usr/include/absl/flags/reflection.h",
        files = _ABSL_FILES,
        url = "https://github.com/abseil/abseil-cpp/archive/refs/tags/20220623.1.tar.gz",
        sha256 = "91ac87d30cc6d79f9ab974c51874a704de9c2647c40f6932597329a282217ba8",
        strip_prefix = "abseil-cpp-20220623.1",
    )
