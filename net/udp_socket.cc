#include "weir/net/udp_socket.h"

#include <cerrno>
#include <utility>

#include "net/udp_core.h"

namespace weir::inline v1::net {
namespace {

// The bytes in memory of their own, or ENOMEM.
Expected<Buffer> copied(std::string_view bytes) {
  Buffer copy = Buffer::copy(bytes);
  if (copy.size() == bytes.size()) return copy;
  return failure({.code = errno_code(ENOMEM), .syscall = "send"});
}

}  // namespace

UdpSocket::UdpSocket(Reactor& reactor, UdpOptions options)
    : core_(new UdpCore(reactor, std::move(options), *this)) {}

UdpSocket::~UdpSocket() {
  if (core_ != nullptr) core_->detach();
}

Expected<Address> UdpSocket::bind(const UdpAt& at, Function<void(UdpSocket&)> once_listening) {
  return core_->bind(at, std::move(once_listening));
}

Expected<Address> UdpSocket::bind_fd(int fd, Function<void(UdpSocket&)> once_listening) {
  return core_->bind_fd(fd, std::move(once_listening));
}

Expected<void> UdpSocket::connect(const UdpAt& peer, Function<void(UdpSocket&)> once_connected) {
  return core_->connect(peer, std::move(once_connected));
}

Expected<void> UdpSocket::disconnect() { return core_->disconnect(); }

// ---- Sending ----

Expected<Send> UdpSocket::send(Buffer&& bytes, Sent sent) {
  return core_->send(std::move(bytes), nullptr, std::move(sent));
}

Expected<Send> UdpSocket::send(std::string_view bytes, Sent sent) {
  auto copy = copied(bytes);
  if (!copy) return failure(copy.error());
  return send(std::move(*copy), std::move(sent));
}

Expected<Send> UdpSocket::send(Buffer&& bytes, const UdpAt& to, Sent sent) {
  return core_->send_by_name(std::move(bytes), to, std::move(sent));
}

Expected<Send> UdpSocket::send(std::string_view bytes, const UdpAt& to, Sent sent) {
  auto copy = copied(bytes);
  if (!copy) return failure(copy.error());
  return send(std::move(*copy), to, std::move(sent));
}

Expected<Send> UdpSocket::send(Buffer&& bytes, const IpEndpoint& to, Sent sent) {
  return core_->send(std::move(bytes), &to, std::move(sent));
}

Expected<Send> UdpSocket::send(std::string_view bytes, const IpEndpoint& to, Sent sent) {
  auto copy = copied(bytes);
  if (!copy) return failure(copy.error());
  return send(std::move(*copy), to, std::move(sent));
}

Expected<void> UdpSocket::close(Function<void(UdpSocket&)> done) {
  return core_->close(std::move(done));
}

// ---- Facts ----

bool UdpSocket::bound() const noexcept { return core_->bound() && !core_->closing(); }
bool UdpSocket::connected() const noexcept { return core_->connected(); }
bool UdpSocket::closed() const noexcept { return core_->closing(); }
Expected<Address> UdpSocket::address() const { return core_->address(); }
Expected<Address> UdpSocket::remote_address() const { return core_->remote_address(); }
UdpCounters UdpSocket::counters() const { return core_->counters(); }
std::size_t UdpSocket::send_queue_bytes() const noexcept { return core_->queued_bytes(); }
std::size_t UdpSocket::send_queue_datagrams() const noexcept { return core_->queued_datagrams(); }
Reactor& UdpSocket::reactor() const noexcept { return core_->reactor(); }
int UdpSocket::native_handle() const noexcept { return core_->fd(); }
void UdpSocket::ref() { core_->ref(); }
void UdpSocket::unref() { core_->unref(); }

// ---- Options and groups ----

Expected<void> UdpSocket::set_broadcast(bool on) {
  return core_->set(DatagramOption::broadcast, on ? 1 : 0, "setBroadcast");
}

Expected<void> UdpSocket::set_ttl(int hops) {
  return core_->set(DatagramOption::ttl, hops, "setTTL");
}

Expected<void> UdpSocket::set_multicast_ttl(int hops) {
  return core_->set(DatagramOption::multicast_ttl, hops, "setMulticastTTL");
}

Expected<void> UdpSocket::set_multicast_loopback(bool on) {
  return core_->set(DatagramOption::multicast_loop, on ? 1 : 0, "setMulticastLoopback");
}

Expected<void> UdpSocket::set_multicast_interface(std::string_view interface) {
  return core_->set_multicast_interface(interface);
}

Expected<void> UdpSocket::set_receive_buffer_size(int bytes) {
  if (bytes <= 0) return failure({.code = Mistake::bad_buffer_size});
  return core_->set(DatagramOption::receive_buffer, bytes, "setRecvBufferSize");
}

Expected<void> UdpSocket::set_send_buffer_size(int bytes) {
  if (bytes <= 0) return failure({.code = Mistake::bad_buffer_size});
  return core_->set(DatagramOption::send_buffer, bytes, "setSendBufferSize");
}

Expected<int> UdpSocket::receive_buffer_size() const {
  return core_->get(DatagramFact::receive_buffer, "getRecvBufferSize");
}

Expected<int> UdpSocket::send_buffer_size() const {
  return core_->get(DatagramFact::send_buffer, "getSendBufferSize");
}

Expected<void> UdpSocket::add_membership(std::string_view group, std::string_view interface) {
  return core_->change_membership({.group = group, .interface = interface}, true,
                                  "addMembership");
}

Expected<void> UdpSocket::drop_membership(std::string_view group, std::string_view interface) {
  return core_->change_membership({.group = group, .interface = interface}, false,
                                  "dropMembership");
}

Expected<void> UdpSocket::add_source_membership(std::string_view source, std::string_view group,
                                                std::string_view interface) {
  if (source.empty()) return failure({.code = Mistake::missing_arguments});
  return core_->change_membership({.group = group, .source = source, .interface = interface}, true,
                                  "addSourceSpecificMembership");
}

Expected<void> UdpSocket::drop_source_membership(std::string_view source, std::string_view group,
                                                 std::string_view interface) {
  if (source.empty()) return failure({.code = Mistake::missing_arguments});
  return core_->change_membership({.group = group, .source = source, .interface = interface},
                                  false, "dropSourceSpecificMembership");
}

// ---- Handlers ----

ListenerId UdpSocket::on_message(Function<void(UdpSocket&, const Datagram&)> call, Times times) {
  return core_->events.message.add(std::move(call), times == Times::once);
}

ListenerId UdpSocket::on_messages(Function<void(UdpSocket&, std::span<const Datagram>)> call,
                                  Times times) {
  return core_->events.messages.add(std::move(call), times == Times::once);
}

ListenerId UdpSocket::on_listening(Function<void(UdpSocket&)> call, Times times) {
  return core_->events.listening.add(std::move(call), times == Times::once);
}

ListenerId UdpSocket::on_connect(Function<void(UdpSocket&)> call, Times times) {
  return core_->events.connect.add(std::move(call), times == Times::once);
}

ListenerId UdpSocket::on_drain(Function<void(UdpSocket&)> call, Times times) {
  return core_->events.drain.add(std::move(call), times == Times::once);
}

ListenerId UdpSocket::on_error(Function<void(UdpSocket&, const Error&)> call, Times times) {
  return core_->events.error.add(std::move(call), times == Times::once);
}

ListenerId UdpSocket::on_close(Function<void(UdpSocket&)> call, Times times) {
  return core_->events.close.add(std::move(call), times == Times::once);
}

void UdpSocket::off(ListenerId id) noexcept { core_->off(id); }

}  // namespace weir::inline v1::net
