"""A directory laid out like an installed prefix: headers, one static library, package files."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("//tools:lto.bzl", "without_lto")

# Bazel puts the headers of a target with an include_prefix here, under the names that users include.
_INCLUDE_ROOT = "/_virtual_includes/"

def _headers(library):
    """Public headers of the library and its dependencies: a list of (name to include, File)."""
    headers = []
    for header in library[CcInfo].compilation_context.headers.to_list():
        if _INCLUDE_ROOT in header.path:
            target_and_name = header.path.split(_INCLUDE_ROOT)[1]
            headers.append((target_and_name.partition("/")[2], header))
    return headers

def _archives(library, workspace):
    """Archives of the library and of its dependencies in this workspace.

    Position-independent ones are preferred: they fit into programs and shared libraries alike."""
    archives = []
    for linker_input in library[CcInfo].linking_context.linker_inputs.to_list():
        if linker_input.owner.workspace_name == workspace:
            for part in linker_input.libraries:
                archive = part.pic_static_library or part.static_library
                if archive:
                    archives.append(archive)
    return archives

def _install_tree_impl(ctx):
    cc_toolchain = find_cpp_toolchain(ctx)
    tree = ctx.actions.declare_directory(ctx.label.name)
    (library,) = ctx.attr.library  # one build of it
    headers = _headers(library)
    archives = _archives(library, ctx.label.workspace_name)

    # An MRI script is the one way to make ar(1) merge archives, members of equal names included.
    merge = ctx.actions.declare_file(ctx.label.name + ".mri")
    ctx.actions.write(merge, "\n".join(
        ["create {}/lib/libweir.a".format(tree.path)] +
        ["addlib " + archive.path for archive in archives] +
        ["save", "end", ""],
    ))

    commands = [
        "set -eu",
        "mkdir -p {tree}/lib/pkgconfig {tree}/lib/cmake/weir",
        "{ar} -M < {merge}",
        "sed 's/@VERSION@/{version}/' {pkg_config} > {tree}/lib/pkgconfig/weir.pc",
        "sed 's/@VERSION@/{version}/' {cmake_version} > {tree}/lib/cmake/weir/weirConfigVersion.cmake",
        "cp {cmake_config} {tree}/lib/cmake/weir/weirConfig.cmake",
    ] + [
        "install -D -m 644 {} {{tree}}/include/{}".format(header.path, name)
        for name, header in headers
    ]
    ctx.actions.run_shell(
        outputs = [tree],
        inputs = depset(
            [merge] + ctx.files.pkg_config + ctx.files.cmake_config + ctx.files.cmake_version +
            archives + [header for _, header in headers],
            transitive = [cc_toolchain.all_files],
        ),
        command = "\n".join(commands).format(
            ar = cc_toolchain.ar_executable,
            cmake_config = ctx.file.cmake_config.path,
            cmake_version = ctx.file.cmake_version.path,
            merge = merge.path,
            pkg_config = ctx.file.pkg_config.path,
            tree = tree.path,
            version = ctx.attr.version,
        ),
        mnemonic = "InstallTree",
    )
    return [DefaultInfo(files = depset([tree]), runfiles = ctx.runfiles([tree]))]

install_tree = rule(
    implementation = _install_tree_impl,
    attrs = {
        "cmake_config": attr.label(allow_single_file = True, mandatory = True),
        "cmake_version": attr.label(allow_single_file = True, mandatory = True),
        "library": attr.label(cfg = without_lto, providers = [CcInfo], mandatory = True),
        "pkg_config": attr.label(allow_single_file = True, mandatory = True),
        "version": attr.string(mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
