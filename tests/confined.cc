// Runs a program in a world with less: for tests of refusals.
//
//     confined [--deny ERRNO] [--nofile N] [--memlock BYTES] [--uid UID] -- PROGRAM [ARGUMENT...]
//
// --deny makes io_uring_setup(2) fail with that error number, as a container's seccomp profile
// does.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

bool deny_io_uring(int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & 0xffffU)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

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
  if (flag == "--deny") return deny_io_uring(std::atoi(value));
  if (flag == "--nofile") return limit(RLIMIT_NOFILE, value);
  if (flag == "--memlock") return limit(RLIMIT_MEMLOCK, value);
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
