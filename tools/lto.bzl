"""Link-time optimization of the library with `-c opt`: functions of one file are inlined in others.

`--//tools:lto=no` turns it off. Object files have machine code besides, for linkers that know
nothing of it. GCC's linker is told by GCC itself; Clang's has to be told that there is more in them
than machine code, by a flag that others do not know, which stands where that linker is chosen
(.bazelrc, --config=with-clang). What tools/install ships is compiled without: another release of GCC refuses it.
"""

load(":other_program.bzl", "other_program")

# Bazel's compilers keep frame pointers, as Debian's do not.
LTO_COPTS = select({
    "//tools:links_optimized": ["-flto", "-ffat-lto-objects", "-fomit-frame-pointer"],
    "//conditions:default": [],
})

# For whatever links it: as many jobs as there are processors, and without a warning of GCC 12 that
# is wrong: a string that is moved has no more bytes in place than there is place.
LTO_LINKOPTS = select({
    "//tools:links_optimized": ["-flto=auto", "-Wno-stringop-overflow"],
    "//conditions:default": [],
})

def _setting_impl(ctx):
    return []

# The flag.
lto_setting = rule(
    implementation = _setting_impl,
    build_setting = config.bool(flag = True),
)

# Of this repository, whichever is built.
_LTO = str(Label("//tools:lto"))

# Where there is none anyway nothing is built a second time.
def _without_lto_impl(settings, attr):
    # Bazel 4 hands out a value of its own, which equals no string.
    is_optimized = str(settings["//command_line_option:compilation_mode"]) == "opt"
    return {_LTO: settings[_LTO] and not is_optimized}

without_lto = transition(
    implementation = _without_lto_impl,
    inputs = [
        "//command_line_option:compilation_mode",
        _LTO,
    ],
    outputs = [_LTO],
)

program_without_lto = other_program(
    without_lto,
    doc = "`program` as `--//tools:lto=no` makes it.",
)
