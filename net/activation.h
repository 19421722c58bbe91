// Descriptors that a service manager hands to the process: systemd's socket activation.
#pragma once

#include <string>
#include <vector>

#include "weir/reactor/error.h"

namespace weir::inline v1::net {

struct InheritedDescriptor {
  int fd = -1;
  std::string name;  // of LISTEN_FDNAMES, or empty
};

// What sd_listen_fds(3) gives: the fds from 3 on that LISTEN_FDS counts, if LISTEN_PID is this
// process; none when nobody has passed any. To be listened on with ListenAt::fd. Close-on-exec is
// set, and the variables are removed, so that children do not take them for theirs: a second call
// gives none. EINVAL when LISTEN_FDS is no number or names a descriptor that is not open. To be
// called once, at the start of main(), while there are no other threads (it changes the
// environment).
Expected<std::vector<InheritedDescriptor>> inherited_descriptors();

}  // namespace weir::inline v1::net
