// Runs a program in a world with less: for tests of refusals.
//
//     confined [--deny ERRNO] [--deny-enter ERRNO] [--deny-register ERRNO]
//              [--nofile N] [--memlock BYTES] [--nproc N] [--uid UID] -- PROGRAM [ARGUMENT...]
//
// --deny makes io_uring_setup(2) fail with that error number, as a container's seccomp profile
// does; the other two io_uring_enter(2) and io_uring_register(2).
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/deny.h"

namespace {

bool limit(int resource, const char* value) {
  const auto amount = static_cast<rlim_t>(std::strtoull(value, nullptr, 10));
  const rlimit both{.rlim_cur = amount, .rlim_max = amount};
  return setrlimit(static_cast<__rlimit_resource>(resource), &both) == 0;
}

bool become(const char* value) {
  const auto id = static_cast<uid_t>(std::strtoul(value, nullptr, 10));
  return setgid(id) == 0 && setuid(id) == 0;
}

bool apply(const std::string& flag, const char* value) {
  using weir::test::deny;
  if (flag == "--deny") return deny(SYS_io_uring_setup, std::atoi(value));
  if (flag == "--deny-enter") return deny(SYS_io_uring_enter, std::atoi(value));
  if (flag == "--deny-register") return deny(SYS_io_uring_register, std::atoi(value));
  if (flag == "--nofile") return limit(RLIMIT_NOFILE, value);
  if (flag == "--memlock") return limit(RLIMIT_MEMLOCK, value);
  if (flag == "--nproc") return limit(RLIMIT_NPROC, value);
  if (flag == "--uid") return become(value);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  int at = 1;
  while (at + 1 < argc && std::strcmp(argv[at], "--") != 0) {
    if (!apply(argv[at], argv[at + 1])) {
      std::fprintf(stderr, "confined: cannot apply %s %s\n", argv[at], argv[at + 1]);
      return 125;
    }
    at += 2;
  }
  if (at + 1 >= argc) {
    std::fprintf(stderr, "confined: -- PROGRAM is missing\n");
    return 125;
  }
  execv(argv[at + 1], argv + at + 1);
  std::perror("confined: execv");
  return 126;
}
