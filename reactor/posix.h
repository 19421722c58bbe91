// System calls on sockets, descriptors and clocks, without system types in the signatures. Together
// with the backends this is all that includes system I/O headers.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/reactor/address.h"
#include "weir/reactor/backend.h"
#include "weir/reactor/error.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::posix {

// Closes what it holds.
class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept;

 private:
  int fd_ = -1;
};

Instant now() noexcept;
std::int64_t unix_seconds() noexcept;
void random(std::span<std::uint8_t> into) noexcept;  // getrandom(2)
// Calls `run` in every child that the process forks from now on, before fork(2) returns there.
void in_forked_child(void (*run)()) noexcept;
// getaddrinfo(3), which may block for long. Any thread. With no error there is an address.
std::error_code resolve(const std::string& host, Family family, std::vector<IpEndpoint>& found);
std::uint32_t interface_index(std::string_view name) noexcept;  // 0 when there is none

// The address in the kernel's form in `scratch` of 128 bytes; its length, or 0 when a Unix path is
// too long or the address is empty.
std::uint32_t to_system(const Address& address, std::byte* scratch) noexcept;
int system_family(Family family) noexcept;  // AF_INET, ...
// From the kernel's form of an IP address; Family::none for any other kind.
IpEndpoint from_system(const void* socket_address) noexcept;
int set_int(int fd, int level, int name, int value) noexcept;  // setsockopt(2): 0 or -errno

// Stream sockets, non-blocking and close-on-exec. A path over 108 bytes is EINVAL.
Expected<int> open_stream(const Address& peer, const Address& local) noexcept;
Expected<int> listen_stream(const Address& at, const ListenOptions& options) noexcept;
Expected<void> adopt_stream(int fd) noexcept;
Expected<void> adopt_listener(int fd, int backlog) noexcept;
Address address_of(int fd, End end) noexcept;
Expected<PeerCredentials> peer_credentials(int fd) noexcept;
int set_option(int fd, SocketOption option, int value) noexcept;
int get_fact(int fd, SocketFact fact) noexcept;
std::int32_t shutdown(int fd, Direction direction) noexcept;
void close(int fd) noexcept;
// The connection is broken off at this moment, whoever else holds the socket: what is unsent goes.
void reset(int fd) noexcept;
void remove(const std::string& path) noexcept;

// True for a TCP socket whose connection the kernel has torn down (TCP_CLOSE): after a short send
// that is how a reset shows, the kernel having swallowed its error (measured on Linux 6.18).
bool is_torn_down(int fd) noexcept;
// True for sockets on which a read that does not fill its buffer has emptied the receive queue.
bool is_tcp(int fd) noexcept;

// Plain calls that never block and never raise SIGPIPE; -errno on failure, EINTR retried.
int accept(int fd) noexcept;
std::int32_t receive(int fd, std::span<char> room) noexcept;
std::int32_t receive_with_descriptors(int fd, std::span<char> room,
                                      std::vector<int>& descriptors) noexcept;
// The message header of a send, in its scratch space; the kernel's msghdr.
void* message_of(SendOp& op) noexcept;
std::int32_t send(SendOp& op) noexcept;
std::int32_t send(int fd, std::string_view bytes) noexcept;
int connect(int fd, const std::byte* system, std::uint32_t size) noexcept;
// What is true of `fd` at this moment.
Events poll_now(int fd, Events wanted) noexcept;
// Of a TCP socket that has nothing to give (EAGAIN). Where the next byte is urgent (tcp(7)) and a
// signal is pending, tcp_recvmsg() says so although it has.
inline bool is_readable(int fd) noexcept {
  return (poll_now(fd, {Events::readable}).bits & Events::readable) != 0;
}
int process_id() noexcept;
bool set_close_on_exec(int fd) noexcept;  // false: not open
// Sets O_NONBLOCK and FD_CLOEXEC.
void make_nonblocking(int fd) noexcept;

// What a file is at this moment (fstat(2)). Two that are equal are the same file with the same
// content, as far as the kernel's clock tells: it ticks some hundred times a second.
struct FileFacts {
  bool is_regular = false;
  bool is_directory = false;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // seconds since 1970-01-01T00:00:00Z
  std::uint32_t modified_nanoseconds = 0;
  std::int64_t changed = 0;   // with its owner, permissions and names
  std::uint32_t changed_nanoseconds = 0;

  bool operator==(const FileFacts&) const = default;
};
Expected<FileFacts> file_facts(int fd) noexcept;
// For OpenOp::directory; nothing can be read of it. May wait for a disk.
Expected<Fd> open_directory(const std::string& path) noexcept;
// Nobody can foresee them (getrandom(2)).
std::uint64_t random_bits() noexcept;

Expected<Fd> make_eventfd() noexcept;
void signal_eventfd(int fd) noexcept;  // async-signal-safe
bool drain_eventfd(int fd) noexcept;  // whether it was signalled

}  // namespace weir::inline v1::posix
