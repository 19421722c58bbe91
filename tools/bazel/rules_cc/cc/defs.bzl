"""What Bazel's own BUILD files load from @rules_cc, answered by the rules built into Bazel."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_library = native.objc_library

# Bazel's BUILD files instantiate these two, but nothing in a build of C++ depends on the targets.

def cc_flags_supplier(**_):
    pass

def compiler_flag(**_):
    pass
