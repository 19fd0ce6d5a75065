"""A command for gdb: what spanmalloc holds in a process or a core file.

Usage: gdb -x tools/spanmalloc-gdb.py [PROGRAM [CORE]]
       (gdb) spanmalloc-stat

Prints the same summary as `spanmalloc stat`. It needs the symbol
spanmalloc_stat_root and no debug information, and calls nothing in the process,
so it works in the middle of malloc, too. allocator/observe/stat_root.h says what
is at the symbol.
"""

import struct

import gdb

VERSION = 2
MAGIC = (0x6c616d6e61707320, 0x746f6f7220636f6c)
# More than that is no list of caches but a loop.
MAX_CACHES = 1 << 20

# The fields of StatRoot, in their order, and how they are packed. An array's
# field is its address and the stride of its elements.
FIELDS = (
    ("magic", "2Q"), ("version", "I"), ("root_bytes", "I"), ("self", "Q"),
    ("library_version", "3I"), ("classes", "I"), ("page_bytes", "Q"),
    ("small_span_bytes", "Q"), ("span_record_bytes", "Q"),
    ("thread_cache_bytes", "Q"), ("threads", "Q"), ("first_cache", "Q"),
    ("direct_mallocs", "2Q"), ("direct_frees", "2Q"), ("cache_next", "Q"),
    ("cache_bins", "Q"), ("cache_bin_stride", "Q"), ("cache_bin_mallocs", "Q"),
    ("cache_bin_frees", "Q"), ("central_spans", "2Q"),
    ("central_free_objects", "2Q"), ("central_free_guests", "2Q"),
    ("transfer_objects", "2Q"),
    ("transfer_objects_width", "Q"), ("page_record", "Q"),
    ("page_record_words", "I"), ("mapped_pages", "I"), ("used_pages", "I"),
    ("fresh_pages", "I"), ("huge_pages", "I"), ("large_pages", "I"),
    ("peak_used_pages", "I"), ("peak_backed_pages", "I"), ("large_count", "I"),
    ("large_mallocs", "I"), ("large_frees", "I"),
    ("large_bytes_allocated", "I"), ("large_bytes_freed", "I"),
    ("released_bytes", "I"),
    ("arena_system_bytes", "Q"), ("arena_spans", "Q"),
    ("arena_thread_caches", "Q"), ("arena_transfer_caches", "Q"),
    ("arena_page_map", "Q"), ("class_map_bytes", "Q"), ("lock_waits", "Q"),
    ("peak_alloc", "Q"))
HEADER = "=" + "".join(packing for _, packing in FIELDS)


def read(address, size):
    """Bytes of the process."""
    return bytes(gdb.selected_inferior().read_memory(address, size))


def number(address):
    """The number of eight bytes at the address."""
    return struct.unpack("=Q", read(address, 8))[0]


def read_root():
    """The fields of the root by name, and the sizes of the classes."""
    try:
        address = int(
            gdb.parse_and_eval("(unsigned long)&spanmalloc_stat_root"))
    except gdb.error:
        raise gdb.GdbError("the process does not use spanmalloc")
    values = struct.unpack(HEADER, read(address, struct.calcsize(HEADER)))
    root, at = {}, 0
    for name, packing in FIELDS:
        count = int(packing[:-1] or 1)
        root[name] = values[at] if count == 1 else values[at:at + count]
        at += count
    if root["magic"] != MAGIC:
        raise gdb.GdbError("spanmalloc_stat_root has not been written yet")
    if root["version"] != VERSION:
        raise gdb.GdbError(
            f"spanmalloc has statistics of layout version {root['version']}, "
            f"this script reads version {VERSION}")
    table = read(address + struct.calcsize(HEADER), 16 * root["classes"])
    sizes = [0] + [entry[0] for entry in struct.iter_unpack("=4I", table)]
    return root, sizes


def read_counts(root):
    """Mallocs and frees of all threads by class, and nothing for class 0."""
    mallocs, frees = [0], [0]
    for c in range(1, root["classes"] + 1):
        for counts, field in ((mallocs, "direct_mallocs"),
                              (frees, "direct_frees")):
            address, stride = root[field]
            counts.append(number(address + c * stride))
    stride = root["cache_bin_stride"]
    cache, seen = number(root["first_cache"]), 0
    while cache:
        seen += 1
        if seen > MAX_CACHES:
            raise gdb.GdbError("the list of caches has no end")
        bins = read(cache + root["cache_bins"], (root["classes"] + 1) * stride)
        for c in range(1, root["classes"] + 1):
            for counts, field in ((mallocs, "cache_bin_mallocs"),
                                  (frees, "cache_bin_frees")):
                counts[c] += struct.unpack_from("=Q", bins,
                                                c * stride + root[field])[0]
        cache = number(cache + root["cache_next"])
    return mallocs, frees


def human(count):
    """A number of bytes for people."""
    if count < 1024:
        return f"{count} B"
    value, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def summary():
    """The lines of the summary."""
    root, sizes = read_root()
    mallocs, frees = read_counts(root)
    count = root["page_record_words"]
    record = struct.unpack(f"={count + 1}Q",
                           read(root["page_record"], 8 * (count + 1)))

    def word(name):
        return record[1 + root[name]]

    def pages(name):
        return word(name) * root["page_bytes"]

    alloc = word("large_bytes_allocated") - word("large_bytes_freed") + sum(
        (m - f) * size for m, f, size in zip(mallocs, frees, sizes))
    inuse = max(pages("used_pages"), alloc)
    heap = max(pages("mapped_pages"), inuse)
    released = min(pages("fresh_pages"), heap - inuse)
    records = number(root["arena_system_bytes"]) + number(
        root["class_map_bytes"])
    lines = ["spanmalloc " + ".".join(map(str, root["library_version"])), ""]
    for what, value in (
        ("in use by the program", alloc),
        ("held free in caches and spans", inuse - alloc),
        ("idle in the heap", heap - inuse - released),
        ("released, address space only", released),
        ("records of the allocator", records),
        ("address space in all", heap + records),
        ("most ever in use", max(number(root["peak_alloc"]), alloc)),
    ):
        lines.append(f"{what:34} {human(value):>11} {value:20} bytes")
    all_mallocs = sum(mallocs) + word("large_mallocs")
    all_frees = sum(frees) + word("large_frees")
    lines.append(f"{all_mallocs} mallocs, {all_frees} frees, "
                 f"{all_mallocs - all_frees} blocks live, "
                 f"{number(root['threads'])} threads")
    if record[0] % 2:
        lines.append("note: the process is in the middle of a step: figures "
                     "about pages and large blocks may be one step apart")
    return lines


class SpanmallocStat(gdb.Command):
    """What spanmalloc holds in this process or core file."""

    def __init__(self):
        super().__init__("spanmalloc-stat", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        if argument:
            raise gdb.GdbError("spanmalloc-stat takes no argument")
        try:
            print("\n".join(summary()))
        except gdb.MemoryError as error:
            raise gdb.GdbError(f"memory that is needed is not there: {error}")


SpanmallocStat()
