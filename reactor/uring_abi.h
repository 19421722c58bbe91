// What liburing 2.3 (Debian 12) does not name yet: each constant with the kernel that brought it,
// defined only where the installed header lacks it. Used after probing.
#pragma once

#include <liburing.h>

#ifndef IOU_PBUF_RING_INC
#define IOU_PBUF_RING_INC 2  // Linux 6.12: a buffer is consumed piece by piece
#endif

#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4)  // Linux 6.12: the buffer has room left
#endif

#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)  // Linux 6.2: the notice says whether it was copied
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

namespace weir::inline v1::uring_abi {

// In C++ the header's flexible array `bufs` does not start at offset 0 of the ring (an empty
// struct has size 1 there): address the entries by a cast.
inline io_uring_buf* entries(io_uring_buf_ring* ring) noexcept {
  return reinterpret_cast<io_uring_buf*>(ring);
}

// liburing's io_uring_buf_reg names the word after the group id differently from 2.3 on.
struct BufferRingRegistration {
  __u64 ring_address;
  __u32 ring_entries;
  __u16 group;
  __u16 flags;
  __u64 reserved[3];
};
static_assert(sizeof(BufferRingRegistration) == sizeof(io_uring_buf_reg));

}  // namespace weir::inline v1::uring_abi
