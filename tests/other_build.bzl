"""A program as another build configuration makes it."""

load("//tools:other_program.bzl", "other_program")

# Of this repository, whichever is built.
_LTO = str(Label("//tools:lto"))

def _optimised_settings_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:copt": [
            "-Wall",
            "-Wextra",
            "-O3",
            "-fno-inline-small-functions",
            # GCC 12 warns of `std::string + char*` without a reason: its bug 105651.
            "-Wno-restrict",
        ],
        # Which would inline what the flags above keep apart.
        _LTO: False,
    }

_optimised_settings = transition(
    implementation = _optimised_settings_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
        _LTO,
    ],
)

optimised_program = other_program(
    _optimised_settings,
    doc = "`program`, built by `-c opt` and with other flags, whatever this build's are.",
)
