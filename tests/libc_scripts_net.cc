// TCP, Unix sockets, descriptors that change hands, UDP.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>

#include "tests/libc_scene.h"
#include "weir/net/server.h"
#include "weir/net/udp_socket.h"
#include "weir/reactor/shared_file.h"

namespace weir::test {
namespace {

using net::Server;
using net::Socket;
using net::UdpSocket;
using namespace std::chrono_literals;

// More than a socket takes at once.
const std::string kMuch(600'000, 'm');

void count_close(Scene& scene, Socket& socket, std::string what) {
  int& closed = scene.must_end(std::move(what));
  socket.on_close([&closed](Socket&, std::error_code) { ++closed; });
}

// Echoes; each of its connections must end, and it must when the script is over.
Server& make_echo(Scene& scene) {
  auto& server = scene.make<Server>(
      scene.reactor(), net::ServerOptions{.socket = {.no_delay = true, .keep_alive = true}});
  server.on_connection([&scene](Socket& socket) {
    count_close(scene, socket, "an accepted connection");
    socket.write("welcome");
  });
  server.on_data([](Socket& socket, Buffer bytes) {
    if (socket.write(std::move(bytes)) != net::Write::ok) socket.pause();
  });
  server.on_drain([](Socket& socket) { socket.resume(); });
  return server;
}

void close(Scene& scene, Server& server) {
  int& closed = scene.must_end("the server");
  server.close([&closed](Server&, std::error_code) { ++closed; });
}

bool listen(Scene& scene, Server& server, const net::ListenAt& at, net::ConnectOptions& to) {
  const auto bound = server.listen(at);
  if (!bound) return false;
  to.port = bound->port();
  to.path = at.path;
  scene.at_the_end([&scene, &server] { close(scene, server); });
  return true;
}

// Sends all of it in several pieces, and ends when it has come back.
void echo(Scene& scene, const net::ConnectOptions& to, std::string bytes) {
  auto& client = scene.make<Socket>(scene.reactor());
  count_close(scene, client, "the client that is echoed");
  const std::size_t wanted = std::string_view("welcomeone two ").size() + bytes.size();
  client.on_connect(boxed([bytes = std::move(bytes)](Socket& socket) {
    socket.write("one ");
    socket.write("two ");
    socket.write(bytes);
  }));
  client.on_data([wanted, got = std::size_t{0}](Socket& socket, Buffer more) mutable {
    got += more.size();
    if (got == wanted) socket.end();
  });
  EXPECT_TRUE(client.connect(to).has_value());
}

// Ends without having read.
void leave_unread(Scene& scene, const net::ConnectOptions& to) {
  auto& client = scene.make<Socket>(scene.reactor());
  count_close(scene, client, "the client that does not read");
  client.on_connect([](Socket& socket) {
    socket.pause();
    socket.reactor().defer([ref = socket.weak()] {
      if (ref.get() != nullptr) ref.get()->destroy();
    });
  });
  EXPECT_TRUE(client.connect(to).has_value());
}

void reset(Scene& scene, const net::ConnectOptions& to) {
  auto& client = scene.make<Socket>(scene.reactor());
  count_close(scene, client, "the client that resets");
  // Without a peer's address it is taken for none that could be reset.
  client.on_data([](Socket& socket, Buffer) {
    if (!socket.reset_and_destroy()) socket.destroy();
  });
  EXPECT_TRUE(client.connect(to).has_value());
}

void tcp(Scene& scene) {
  Server& server = make_echo(scene);
  net::ConnectOptions to{.host = "127.0.0.1"};
  if (!listen(scene, server, {.port = 0, .host = "127.0.0.1"}, to)) return;
  scene.then([&scene, to] { leave_unread(scene, to); });
  scene.then([&scene, to] { reset(scene, to); });
  scene.then([&scene, to] { echo(scene, to, kMuch); });
}

// By name: the server as well, and a client that says where it comes from.
void names(Scene& scene) {
  Server& server = make_echo(scene);
  int& heard = scene.must_end("the lookup of a name to listen on");
  server.on_listening([&](Server& self) {
    ++heard;
    const net::ConnectOptions to{.port = self.address().port()};
    scene.then([&scene, to] { echo(scene, to, "by name"); });
    scene.then([&scene, to] {
      auto own = to;
      own.host = "127.0.0.1";
      own.local_address = "127.0.0.1";
      echo(scene, own, "from here");
    });
    scene.at_the_end([&scene, &self] { close(scene, self); });
  });
  server.on_server_error([&heard](Server& self, const Error&) {
    if (!self.listening()) ++heard;
  });
  if (!server.listen({.port = 0, .host = "localhost"})) ++heard;
}

// At every address of both families; what a slow reader is sent waits, and goes on.
void everywhere(Scene& scene) {
  Server& server = make_echo(scene);
  net::ConnectOptions to{.host = "::1"};
  if (!listen(scene, server, {.port = 0, .ipv6_only = true, .reuse_port = true}, to)) return;
  server.on_connection([](Socket& socket) { socket.set_buffer_sizes(32768, 32768); });
  scene.then([&scene, to] { echo(scene, to, std::string(40'000, 's')); });
}

// ---- Files ----

// What a socket sends in parts, because of small buffers: first more than a sendfile(2) has at
// once, then less. The peer's are not small: its acknowledgements would come late.
void send_files(Scene& scene) {
  std::ofstream(scene.path("file")) << kMuch.substr(0, 70'000);
  auto& server = scene.make<Server>(scene.reactor());
  server.on_connection([&scene](Socket& socket) {
    count_close(scene, socket, "the connection that a file is sent on");
    socket.set_buffer_sizes(16384, 16384);
    auto file = SharedFile::adopt(
        scene.keep(::open(scene.path("file").c_str(), O_RDONLY | O_CLOEXEC)));
    if (!file) return socket.destroy();
    scene.forget(file->fd());
    const auto size = file->size();
    if (!size || !socket.send_file({.file = file->share(), .size = *size}) ||
        !socket.send_file({.file = std::move(*file), .size = *size / 4})) {
      return socket.destroy();
    }
    socket.end();
  });
  net::ConnectOptions to{.host = "127.0.0.1"};
  if (!listen(scene, server, {.port = 0, .host = "127.0.0.1"}, to)) return;
  scene.then([&scene, to] {
    auto& client = scene.make<Socket>(scene.reactor());
    count_close(scene, client, "the client that gets a file");
    client.on_data([](Socket&, Buffer) {});
    EXPECT_TRUE(client.connect(to).has_value());
  });
}

// ---- Unix sockets ----

// What is left of a server that is gone: a socket in the file system that nobody listens on.
void leave_stale(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  ::close(fd);
}

void unix_sockets(Scene& scene) {
  const std::string path = scene.path("socket");
  leave_stale(path);
  Server& server = make_echo(scene);
  server.on_connection([](Socket& socket) {
    socket.receive_descriptors();
    socket.peer_credentials();
  });
  server.on_descriptor([](Socket&, int fd) { ::close(fd); });
  net::ConnectOptions to;
  if (!listen(scene, server, {.path = path, .writable_all = true, .replace_stale = true}, to)) {
    return;
  }
  scene.then([&scene, to] { echo(scene, to, "by a path"); });
  scene.then([&scene, to] {
    auto& client = scene.make<Socket>(scene.reactor());
    count_close(scene, client, "the client that passes a descriptor");
    client.on_connect([](Socket& socket) {
      socket.write("here ");
      const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (!socket.send_descriptor(fd, "it is")) ::close(fd);
    });
    client.on_data([got = std::size_t{0}](Socket& socket, Buffer more) mutable {
      got += more.size();
      if (got == std::string_view("welcomehere it is").size()) socket.end();
    });
    EXPECT_TRUE(client.connect(to).has_value());
  });
}

// ---- Descriptors that change hands ----

// A listener of somebody else's, whose connections go on to other sockets.
void handover(Scene& scene) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto& server = scene.make<Server>(scene.reactor());
  server.on_connection([&scene](Socket& socket) {
    count_close(scene, socket, "the connection that is given away");
    int& given = scene.must_end("its handing over");
    const auto begun = socket.detach([&scene, &given](Socket&, Expected<net::Detached> got) {
      ++given;
      if (!got) return;
      auto& next = scene.make<Socket>(scene.reactor());
      count_close(scene, next, "the connection that is taken over");
      next.on_data([](Socket& self, Buffer bytes) { self.write(std::move(bytes)); });
      if (next.adopt(got->fd)) return;
      ::close(got->fd);
      next.destroy();
    });
    if (!begun) ++given;
  });
  net::ConnectOptions to{.host = "127.0.0.1"};
  if (!listen(scene, server, {.fd = fd}, to)) {
    ::close(fd);
    return;
  }
  scene.then([&scene, to] {
    auto& client = scene.make<Socket>(scene.reactor());
    count_close(scene, client, "the client that is handed over");
    client.on_connect([](Socket& socket) { socket.write("to whom"); });
    client.on_data([](Socket& socket, Buffer) { socket.end(); });
    EXPECT_TRUE(client.connect(to).has_value());
  });
}

// ---- Datagrams ----

// What is queued ends in an error or comes once to `receiver`, if that is known.
void send(Scene& scene, UdpSocket& from, const std::optional<net::UdpAt>& to,
          UdpSocket* receiver = nullptr) {
  int& sent = scene.must_end("a datagram's send");
  int& arrived = scene.must_end("a datagram's way");
  const std::string bytes = std::to_string(reinterpret_cast<std::uintptr_t>(&arrived));
  const auto done = [&sent, &arrived, receiver](UdpSocket&, std::error_code code) {
    ++sent;
    if (code || receiver == nullptr) ++arrived;
  };
  const auto queued = to ? from.send(bytes, *to, done) : from.send(bytes, done);
  if (!queued) done(from, queued.error().code);
  if (receiver == nullptr) return;
  receiver->on_message(boxed([&arrived, bytes](UdpSocket&, const net::Datagram& one) {
    if (one.bytes == bytes) ++arrived;
  }));
}

void use_options(UdpSocket& socket) {
  socket.set_broadcast(true);
  socket.set_ttl(8);
  socket.set_multicast_ttl(1);
  socket.set_multicast_loopback(true);
  socket.set_receive_buffer_size(100'000);
  socket.set_send_buffer_size(100'000);
  socket.receive_buffer_size();
  socket.send_buffer_size();
  socket.counters();
}

void use_groups(UdpSocket& ipv4, UdpSocket& ipv6) {
  ipv4.set_multicast_interface("127.0.0.1");
  ipv4.add_membership("239.1.2.3", "127.0.0.1");
  ipv4.drop_membership("239.1.2.3", "127.0.0.1");
  ipv4.add_source_membership("127.0.0.1", "232.1.2.3", "127.0.0.1");
  ipv4.drop_source_membership("127.0.0.1", "232.1.2.3", "127.0.0.1");
  ipv6.set_multicast_interface("::%lo");
  ipv6.add_membership("ff15::1", "::%lo");
  ipv6.drop_membership("ff15::1", "::%lo");
  ipv6.add_source_membership("::1", "ff35::1", "::%lo");
  ipv6.drop_source_membership("::1", "ff35::1", "::%lo");
}

void close(Scene& scene, UdpSocket& socket) {
  int& closed = scene.must_end("a UDP socket");
  socket.close([&closed](UdpSocket&) { ++closed; });
}

void udp(Scene& scene) {
  auto& one = scene.make<UdpSocket>(scene.reactor(), net::UdpOptions{.coalesce = true});
  auto& other = scene.make<UdpSocket>(scene.reactor());
  auto& ipv6 = scene.make<UdpSocket>(scene.reactor(), net::UdpOptions{.family = Family::ipv6});
  ipv6.bind({.host = "::1"});
  const auto bound = one.bind({.host = "127.0.0.1"});
  other.bind({.host = "127.0.0.1"});
  for (UdpSocket* socket : {&one, &other, &ipv6}) {
    scene.at_the_end([&, socket] { close(scene, *socket); });
  }
  if (!bound) return;
  use_options(one);
  use_groups(one, ipv6);
  const net::UdpAt to{.port = bound->port(), .host = "127.0.0.1"};
  for (int i = 0; i < 5; ++i) send(scene, other, to, &one);
  send(scene, other, net::UdpAt{.port = to.port, .host = "localhost"}, &one);
  send(scene, ipv6, net::UdpAt{.port = 9, .host = "::1"});
  auto& peer = scene.make<UdpSocket>(scene.reactor());
  scene.then([&, to] {
    if (peer.connect(to)) send(scene, peer, {}, &one);
  });
  scene.then([&] {
    if (peer.connected()) peer.disconnect();
    close(scene, peer);
  });
}

// A socket that was bound by somebody else.
void adopted_udp(Scene& scene) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  auto& socket = scene.make<UdpSocket>(scene.reactor());
  const auto adopted = socket.bind_fd(fd);
  if (!adopted) ::close(fd);
  const net::UdpAt itself{.port = adopted ? adopted->port() : 0, .host = "127.0.0.1"};
  if (itself.port != 0) send(scene, socket, itself, &socket);
  scene.then([&scene, &socket] { close(scene, socket); });
}

}  // namespace

std::span<const SmallScript> net_scripts() {
  static constexpr SmallScript kScripts[] = {
      {"tcp", tcp},
      {"names", names},
      {"everywhere", everywhere},
      {"send_files", send_files},
      {"unix", unix_sockets},
      {"handover", handover},
      {"udp", udp},
      {"adopted_udp", adopted_udp},
  };
  return kScripts;
}

}  // namespace weir::test
