# Provides the target weir::weir. Everything is found from this file's own place.
get_filename_component(weir_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

find_library(weir_LIBURING uring)
find_library(weir_ZLIB z)
mark_as_advanced(weir_LIBURING weir_ZLIB)
if(NOT weir_LIBURING OR NOT weir_ZLIB)
  set(weir_FOUND FALSE)
  set(weir_NOT_FOUND_MESSAGE
    "weir needs liburing and zlib (on Debian: liburing-dev and zlib1g-dev)")
  return()
endif()

if(NOT TARGET weir::weir)
  add_library(weir::weir STATIC IMPORTED)
  set_target_properties(weir::weir PROPERTIES
    IMPORTED_LOCATION "${weir_prefix}/lib/libweir.a"
    INTERFACE_INCLUDE_DIRECTORIES "${weir_prefix}/include"
    INTERFACE_COMPILE_FEATURES cxx_std_23
    INTERFACE_LINK_LIBRARIES "${weir_LIBURING};${weir_ZLIB}")
endif()
