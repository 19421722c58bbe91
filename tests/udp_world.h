// UDP sockets that note what they tell, and names that are found as a test says.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/pair.h"
#include "tests/rules.h"
#include "weir/net/block_list.h"
#include "weir/net/resolver.h"
#include "weir/net/udp_socket.h"

namespace weir::test {

using net::Datagram;
using net::Send;
using net::UdpAt;
using net::UdpOptions;
using net::UdpSocket;

inline constexpr std::size_t kDatagramMax = 65507;
inline constexpr std::size_t kDatagramMaxIpv6 = 65527;

// What a call was refused with: "" when it was not, "bind EADDRINUSE", or the name of a mistake.
template <class T>
std::string refusal(const Expected<T>& result) {
  if (result) return "";
  const std::string code(name_of(result.error().code));
  const bool mistake = result.error().number() == 0;
  return mistake ? code : std::string(result.error().syscall) + " " + code;
}

inline std::string error_text(const std::error_code& code) {
  return code ? std::string(name_of(code)) : "ok";
}

// A socket, and what it has told.
class Party : public EventLog {
 public:
  explicit Party(Reactor& reactor, UdpOptions options = {})
      : socket(std::make_unique<UdpSocket>(reactor, std::move(options))) {
    socket->on_listening([this](UdpSocket&) { note("listening"); });
    socket->on_connect([this](UdpSocket&) { note("connect"); });
    socket->on_drain([this](UdpSocket&) { note("drain"); });
    socket->on_error([this](UdpSocket&, const Error& error) {
      note("error");
      errors.push_back(error);
    });
    socket->on_close([this](UdpSocket&) { note("close"); });
    socket->on_message([this](UdpSocket&, const Datagram& one) {
      note("message", true);
      got.emplace_back(one.bytes);
      from.push_back(one.from);
    });
  }
  Party(const Party&) = delete;
  Party& operator=(const Party&) = delete;

  UdpSocket* operator->() const { return socket.get(); }

  // "send EMSGSIZE", of the first 'error'.
  std::string error() const {
    if (errors.empty()) return "";
    return std::string(errors[0].syscall) + " " + std::string(name_of(errors[0].code));
  }
  // What came, one space behind each.
  std::string texts() const {
    std::string all;
    for (const std::string& one : got) all += one + " ";
    return all;
  }

  // A callback for send(), which notes its number and what became of it.
  UdpSocket::Sent noted(int number = 0) {
    return [this, number](UdpSocket& which, std::error_code code) {
      EXPECT_EQ(&which, socket.get());
      note("sent");
      numbers.push_back(number);
      outcomes.push_back(error_text(code));
    };
  }

  UdpAt at() const {
    const auto address = socket->address();
    EXPECT_TRUE(address.has_value()) << (address ? "" : address.error().message());
    if (!address) return {};
    const bool any = address->host() == "0.0.0.0" || address->host() == "::";
    return {.port = address->port(), .host = any ? std::string() : address->host()};
  }
  IpEndpoint endpoint() const {
    const auto address = socket->address();
    EXPECT_TRUE(address.has_value()) << (address ? "" : address.error().message());
    return address ? address->ip() : IpEndpoint{};
  }

  std::unique_ptr<UdpSocket> socket;
  std::vector<std::string> got;
  std::vector<IpEndpoint> from;
  std::vector<Error> errors;
  std::vector<int> numbers;  // of sends, as their callbacks came
  std::vector<std::string> outcomes;
};

// Answers as it is told: at once with an address or a failure, or never.
class Names final : public net::Resolver {
 public:
  void resolve(std::string_view host, Family family, net::ResolveReply reply) override {
    asked.emplace_back(host);
    families.push_back(family);
    if (keeps) {
      kept.push_back(std::move(reply));
    } else {
      answer(reply);
    }
  }
  void answer(net::ResolveReply& reply) const {
    if (code) {
      reply.failed(code);
    } else {
      reply.found({Address::parse_ip(ip, 0)->ip()});
    }
  }
  void answer_all() {
    std::vector<net::ResolveReply> all = std::move(kept);
    kept.clear();
    for (net::ResolveReply& reply : all) answer(reply);
  }

  std::string ip = "127.0.0.1";
  std::error_code code;
  bool keeps = false;
  std::vector<net::ResolveReply> kept;
  std::vector<std::string> asked;
  std::vector<Family> families;
};

class UdpTest : public WorldTest {
 protected:
  void SetUp() override {
    WorldTest::SetUp();
    if (!IsSkipped()) open_before_ = open_sockets();
  }

  void TearDown() override {
    parties_.clear();
    if (!IsSkipped() && !at_once_) {
      EXPECT_EQ(reactor().counters().queue_bytes, 0U);
      EXPECT_EQ(reactor().counters().sockets, 0U);
      for (int i = 0; i < 100 && open_sockets() != open_before_; ++i) {
        run_for(std::chrono::milliseconds(1));
      }
      EXPECT_EQ(open_sockets(), open_before_) << "descriptors have leaked";
    }
    WorldTest::TearDown();
  }

  // Of this process, or of the simulated machine.
  std::size_t open_sockets() {
    if (simulated()) return static_cast<SimBackend&>(reactor().backend()).open_fds();
    std::size_t count = 0;
    std::error_code gone;  // of what closes meanwhile
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
      if (target.starts_with("socket:")) ++count;
    }
    return count;
  }

  Party& party(UdpOptions options = {}) {
    return parties_.emplace_back(reactor(), std::move(options));
  }
  Party& bound(const std::string& host = "127.0.0.1", UdpOptions options = {}) {
    if (host.find(':') != std::string::npos) options.family = Family::ipv6;
    Party& made = party(std::move(options));
    const auto at = made->bind({.host = host});
    EXPECT_TRUE(at.has_value()) << (at ? "" : at.error().message());
    return made;
  }
  // Connected to `peer`, and told so.
  Party& connected(const Party& peer, UdpOptions options = {}) {
    Party& made = party(std::move(options));
    const auto started = made->connect(peer.at());
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
    EXPECT_TRUE(run_until([&] { return made.has("connect"); }));
    return made;
  }

  // Queued, and no callback: a failure would be an 'error'.
  static void send(Party& from, std::string_view bytes, const Party& to) {
    const auto queued = from->send(bytes, to.at());
    ASSERT_TRUE(queued.has_value()) << queued.error().message();
    ASSERT_EQ(*queued, Send::ok);
  }
  bool run_until_got(const Party& party, std::size_t count) {
    return run_until([&] { return party.got.size() >= count; });
  }

  // Everything in its order, many at a time, as much as any receive buffer holds. A datagram costs
  // the kernel about twice its bytes and 1 KiB.
  void transfer(Party& from, Party& to, const std::vector<std::string>& all) {
    const std::size_t before = to.got.size();
    const UdpAt at = to.at();
    for (std::size_t next = 0; next < all.size();) {
      std::size_t cost = 0;
      for (int wave = 0; wave < 100 && next < all.size(); ++wave, ++next) {
        cost += 2 * all[next].size() + 1024;
        if (wave != 0 && cost > 150'000) break;
        const auto queued = from->send(all[next], at);
        ASSERT_TRUE(queued.has_value() && *queued == Send::ok) << next;
      }
      ASSERT_TRUE(run_until_got(to, before + next)) << to.got.size() << " of " << all.size();
    }
    ASSERT_EQ(to.got.size(), before + all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      ASSERT_TRUE(to.got[before + i] == all[i])
          << "number " << i << ": " << to.got[before + i].size() << " bytes, not "
          << all[i].size();
    }
  }

  // Runs until run() returns by itself; false when it would not within `patience`.
  bool run_returns(Duration patience) {
    bool gave_up = false;
    Timer guard = reactor().after(patience, [&] {
      gave_up = true;
      reactor().stop();
    });
    guard.unref();
    reactor().run();
    return !gave_up;
  }

  std::deque<Party> parties_;
  bool at_once_ = false;  // the reactor goes without another turn

 private:
  std::size_t open_before_ = 0;
};

}  // namespace weir::test
