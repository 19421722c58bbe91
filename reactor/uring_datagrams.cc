#include "reactor/uring_datagrams.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "reactor/uring_abi.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {
namespace {

// What the kernel puts in front of each datagram: io_uring_recvmsg_out, the sender, control data.
// Each part begins where its type may.
constexpr std::size_t kNameBytes = (sizeof(sockaddr_in6) + 7) & ~std::size_t{7};
constexpr std::size_t kControlAt = sizeof(io_uring_recvmsg_out) + kNameBytes;
constexpr std::size_t kPayloadAt = kControlAt + KernelDatagrams::kControlBytes;

// What a peer's machine, or a router on the way, has to say about a datagram: the socket goes on.
bool is_report(int error) noexcept {
  switch (-error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case EOPNOTSUPP:
    case ECONNRESET:
    case EMSGSIZE:
    case EPROTO:
    case ENOPROTOOPT:
    case EACCES: return true;
    default: return false;
  }
}

}  // namespace

// Each has room for the largest datagram, of which only the pages that are filled become memory;
// see KernelDatagrams::Inbox.
struct UringDatagrams::Buffers {
  static constexpr std::size_t kBytes = kPayloadAt + limits::kDatagramBytesMax + 1;
  static constexpr std::size_t kStride = (kBytes + 21 * 64) & ~std::size_t{63};
  static constexpr std::size_t kRingBytes = kCount * sizeof(io_uring_buf);

  Buffers() noexcept : memory(new (std::nothrow) char[kCount * kStride]) {
    void* mapped =
        ::mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) ring = static_cast<io_uring_buf_ring*>(mapped);
    message.msg_namelen = kNameBytes;
    message.msg_controllen = KernelDatagrams::kControlBytes;
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  ~Buffers() {
    if (ring != nullptr) ::munmap(ring, kRingBytes);
  }
  char* at(std::uint16_t id) const noexcept { return memory.get() + id * kStride; }

  std::unique_ptr<char[]> memory;
  io_uring_buf_ring* ring = nullptr;
  std::uint16_t tail = 0;
  msghdr message{};  // of every request: it only has the two sizes
  std::array<std::uint32_t, kCount> sizes{};  // what a completion has said of a buffer
};

UringDatagrams::UringDatagrams(BackendCounters& counters, bool multishot) noexcept
    : KernelDatagrams(counters), multishot_(multishot) {}

// Precondition: the ring was closed, the kernel fills no more.
UringDatagrams::~UringDatagrams() = default;

bool UringDatagrams::make_buffers(io_uring& ring) noexcept {
  if (buffers_ != nullptr) return true;
  std::unique_ptr<Buffers> made(new (std::nothrow) Buffers());
  if (made == nullptr || made->memory == nullptr || made->ring == nullptr) return false;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<__u64>(made->ring);
  registration.ring_entries = kCount;
  registration.bgid = kGroup;
  if (io_uring_register_buf_ring(&ring, &registration, 0) != 0) return false;
  buffers_ = std::move(made);
  for (unsigned id = 0; id < kCount; ++id) give_back(static_cast<std::uint16_t>(id));
  return true;
}

void UringDatagrams::give_back(std::uint16_t id) noexcept {
  Buffers& all = *buffers_;
  io_uring_buf& entry = uring_abi::entries(all.ring)[all.tail & (kCount - 1)];
  entry.addr = reinterpret_cast<__u64>(all.at(id));
  entry.len = Buffers::kBytes;
  entry.bid = id;
  ++free_;
  io_uring_smp_store_release(&all.ring->tail, ++all.tail);
}

void UringDatagrams::reclaim() noexcept {
  for (const std::uint16_t id : handed_out_) give_back(id);
  handed_out_.clear();
}

void UringDatagrams::prepare(io_uring& ring, io_uring_sqe* sqe, int fd) noexcept {
  multishot_ = multishot_ && make_buffers(ring);
  inboxes_[fd].polled = !multishot_;
  if (!multishot_) return io_uring_prep_poll_multishot(sqe, fd, POLLIN);
  io_uring_prep_recvmsg_multishot(sqe, fd, &buffers_->message, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kGroup;
}

UringDatagrams::Taken UringDatagrams::take(int fd, const io_uring_cqe& cqe) noexcept {
  Inbox& inbox = inboxes_[fd];
  if (inbox.polled) return cqe.res > 0 ? Taken::news : Taken::failed;
  const bool told = inbox.next < inbox.ids.size() || inbox.error != 0;
  if (cqe.res >= 0) {
    const auto id = static_cast<std::uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_->sizes[id] = static_cast<std::uint32_t>(cqe.res);
    --free_;
    inbox.ids.push_back(id);
    return told ? Taken::nothing : Taken::news;
  }
  if (cqe.res == -ENOBUFS) {
    ++counters().ring_dry;
    return Taken::nothing;
  }
  if (cqe.res == -EINVAL) {
    // The kernel has no multishot recvmsg.
    multishot_ = false;
    return Taken::nothing;
  }
  if (!is_report(cqe.res)) return Taken::failed;
  inbox.error = cqe.res;
  return told ? Taken::nothing : Taken::news;
}

void UringDatagrams::forget(int fd) noexcept {
  Inbox& inbox = inboxes_[fd];
  for (; inbox.next < inbox.ids.size(); ++inbox.next) give_back(inbox.ids[inbox.next]);
  inbox = {};
}

Datagrams::Received UringDatagrams::receive(int fd, std::size_t most, bool coalesced) noexcept {
  Inbox& inbox = inboxes_[fd];
  if (inbox.polled) return KernelDatagrams::receive(fd, most, coalesced);
  reclaim();
  const int error = std::exchange(inbox.error, 0);
  if (error != 0) return {.entries = {}, .segments = {}, .error = error};
  const std::size_t count = std::min(most, inbox.ids.size() - inbox.next);
  if (count == 0) return {.entries = {}, .segments = {}, .error = -EAGAIN};
  std::uint32_t any_segment = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t id = inbox.ids[inbox.next++];
    handed_out_.push_back(id);
    char* buffer = buffers_->at(id);
    io_uring_recvmsg_out out;
    std::memcpy(&out, buffer, sizeof out);
    const std::size_t control = out.controllen;
    any_segment |= segments_[i] = control == 0 ? 0 : segment_of(buffer + kControlAt, control);
    entries_[i] = {.bytes = {buffer + kPayloadAt, buffers_->sizes[id] - kPayloadAt},
                   .from = posix::from_system(buffer + sizeof out)};
  }
  if (inbox.next == inbox.ids.size()) {
    inbox.ids.clear();
    inbox.next = 0;
  }
  const std::span segments(segments_.data(), any_segment == 0 ? 0 : count);
  return {.entries = {entries_.data(), count}, .segments = segments, .error = 0};
}

}  // namespace weir::inline v1
