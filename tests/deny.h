// Filters of system calls, as a container's seccomp profile has them. They stay for the process's
// life, and for its children's.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <optional>

namespace weir::test {

// From now on the call fails with that errno value; or only where its second argument has a value,
// as the first one of io_uring_register(2) behind the descriptor has.
inline bool deny(long call, int error, std::optional<unsigned> second = {}) {
  const auto failing = SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & 0xffffU);
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second.value_or(0), 0,
               static_cast<unsigned char>(second ? 1 : 0)),
      BPF_STMT(BPF_RET | BPF_K, failing),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace weir::test
