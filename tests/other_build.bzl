"""A program as another build configuration makes it."""

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
    }

_optimised_settings = transition(
    implementation = _optimised_settings_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
    ],
)

def _optimised_program_impl(ctx):
    made = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = made,
        target_file = ctx.executable.program,
        is_executable = True,
    )
    return [DefaultInfo(executable = made, files = depset([made]))]

optimised_program = rule(
    implementation = _optimised_program_impl,
    doc = "`program`, built by `-c opt` and with other flags, whatever this build's are.",
    attrs = {
        "program": attr.label(
            cfg = _optimised_settings,
            executable = True,
            mandatory = True,
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
