"""Programs as another build configuration makes them."""

def _impl(ctx):
    made = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = made,
        target_file = ctx.executable.program,
        is_executable = True,
    )
    return [DefaultInfo(executable = made, files = depset([made]))]

def other_program(settings, doc):
    """A rule whose `program` is built with the settings of that transition."""
    return rule(
        implementation = _impl,
        doc = doc,
        attrs = {
            "program": attr.label(
                cfg = settings,
                executable = True,
                mandatory = True,
            ),
            "_allowlist_function_transition": attr.label(
                default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
            ),
        },
        executable = True,
    )
