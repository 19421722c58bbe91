// The same script tells the same story on every backend.
#include <gtest/gtest.h>

#include "tests/pair.h"
#include "tests/trace.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// A server that records each accepted socket, and a client beside it.
struct Scene {
  Scene(Stage& its_stage, ServerOptions options = {}, SocketOptions client_options = {},
        bool peer_data = true)
      : stage(its_stage),
        server(stage.reactor(), options),
        client(stage.reactor(), client_options) {
    server.on_connection([this, peer_data](Socket& socket) {
      Track& track = stage.track("peer " + std::to_string(++accepted));
      trace(socket, track, peer_data);
      peer = &socket;
      socket.on_close([this](Socket& gone, std::error_code) {
        if (peer == &gone) peer = nullptr;
      });
    });
    server.on_server_close([this](Server&) { stage.track("server").note("close"); });
  }

  void listen() {
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    to = {.host = "127.0.0.1", .port = bound->port()};
  }
  void join(bool client_data = true) {
    listen();
    trace(client, mine(), client_data);
    ASSERT_TRUE(client.connect(to).has_value());
    stage.await([this] { return peer != nullptr && mine().has("ready"); });
    ASSERT_NE(peer, nullptr);
  }
  Track& mine() { return stage.track("client"); }
  Track& theirs() { return stage.track("peer 1"); }
  void await_all_closed() {
    stage.await([this] { return mine().closed() && theirs().closed(); });
  }
  void cut() { mine().cut = theirs().cut = true; }

  Stage& stage;
  Server server;
  Socket client;
  Socket* peer = nullptr;
  net::ConnectOptions to;
  int accepted = 0;
};

struct Script {
  const char* name;
  void (*run)(Stage&);
};

void PrintTo(const Script& script, std::ostream* out) { *out << script.name; }

const std::string kMuch = pattern(3'000'000, 7);

const Script kScripts[] = {
    {"TheClientEndsFirst",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.client.write("hello");
       scene.client.end();
       scene.await_all_closed();
     }},
    {"TheServerEndsFirst",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.peer->end("bye");
       scene.await_all_closed();
     }},
    {"HalfOpenAnswersAfterTheEnd",
     [](Stage& stage) {
       Scene scene(stage, {.socket = {.allow_half_open = true}});
       scene.join();
       scene.client.end("question");
       stage.await([&] { return scene.theirs().has("end"); });
       scene.peer->end("answer");
       scene.await_all_closed();
     }},
    {"BothEndAtOnce",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.client.end("a");
       scene.peer->end("b");
       scene.await_all_closed();
     }},
    {"MuchDataUnderBackpressure",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       std::size_t sent = 0;
       const auto fill = [&scene, &sent] {
         while (sent < kMuch.size()) {
           const std::size_t size = std::min<std::size_t>(100'000, kMuch.size() - sent);
           const Write result = scene.client.write(std::string_view(kMuch).substr(sent, size));
           sent += size;
           if (result != Write::ok) return;
         }
         scene.client.end();
       };
       scene.client.on_drain([&fill](Socket&) { fill(); });
       fill();
       scene.await_all_closed();
     }},
    {"APausedReaderGetsAllAfterResume",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.peer->pause();
       scene.client.end(kMuch);
       stage.await([&] { return scene.client.writable_length() < kMuch.size(); });
       stage.note("bytes while paused: " + std::to_string(scene.theirs().bytes.size()));
       scene.peer->resume();
       scene.await_all_closed();
     }},
    {"DestroyWithoutUnreadData",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.client.destroy();
       scene.await_all_closed();
     }},
    {"DestroyWithAnError",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.client.destroy(errno_code(EBADMSG));
       scene.await_all_closed();
     }},
    {"DestroyWithUnreadDataResets",
     [](Stage& stage) {
       Scene scene(stage, {}, {}, false);
       scene.cut();
       scene.join();
       scene.client.write("nobody reads this");
       stage.await([&] {
         return stage.reactor().backend().get(scene.peer->native_handle(),
                                              SocketFact::unread_bytes) > 0;
       });
       scene.peer->destroy();
       scene.await_all_closed();
     }},
    {"Reset",
     [](Stage& stage) {
       Scene scene(stage);
       scene.cut();
       scene.join();
       EXPECT_TRUE(scene.client.reset_and_destroy().has_value());
       scene.await_all_closed();
     }},
    {"ResetWhileConnecting",
     [](Stage& stage) {
       Scene scene(stage);
       scene.cut();
       scene.listen();
       trace(scene.client, scene.mine());
       ASSERT_TRUE(scene.client.connect(scene.to).has_value());
       EXPECT_TRUE(scene.client.reset_and_destroy().has_value());
       scene.await_all_closed();
     }},
    {"DestroySoonSendsWhatIsQueued",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       scene.client.write("last words");
       scene.client.destroy_soon();
       scene.await_all_closed();
     }},
    {"Refused",
     [](Stage& stage) {
       Scene scene(stage);
       scene.listen();
       EXPECT_TRUE(scene.server.close().has_value());
       stage.await([&] { return stage.track("server").has("close"); });
       trace(scene.client, scene.mine());
       ASSERT_TRUE(scene.client.connect(scene.to).has_value());
       stage.await([&] { return scene.mine().closed(); });
     }},
    {"AMissingUnixSocket",
     [](Stage& stage) {
       Scene scene(stage);
       trace(scene.client, scene.mine());
       ASSERT_TRUE(scene.client.connect({.path = stage.path()}).has_value());
       stage.await([&] { return scene.mine().closed(); });
     }},
    {"OverAUnixSocket",
     [](Stage& stage) {
       Scene scene(stage);
       ASSERT_TRUE(scene.server.listen({.path = stage.path()}).has_value());
       trace(scene.client, scene.mine());
       ASSERT_TRUE(scene.client.connect({.path = stage.path()}).has_value());
       scene.client.end(kMuch);
       scene.await_all_closed();
     }},
    {"TimeoutsAreNotices",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       EXPECT_TRUE(scene.client.set_timeout(20ms).has_value());
       stage.await([&] { return scene.mine().has("timeout"); });
       scene.client.end("still here");
       scene.await_all_closed();
     }},
    {"WriteAfterEnd",
     [](Stage& stage) {
       Scene scene(stage);
       scene.cut();
       scene.join();
       scene.client.end();
       scene.client.write("too late", [&stage](Socket&, std::error_code code) {
         stage.note("callback(" + trace_name(code) + ")");
       });
       scene.await_all_closed();
     }},
    {"CallbacksOfADestroyedSocket",
     [](Stage& stage) {
       Scene scene(stage);
       scene.cut();
       scene.join();
       for (const char* name : {"first", "second"}) {
         scene.client.write(name, [&stage, name](Socket&, std::error_code code) {
           stage.note(std::string(name) + "(" + trace_name(code) + ")");
         });
       }
       scene.client.destroy();
       scene.await_all_closed();
     }},
    {"APipedSocketEchoes",
     [](Stage& stage) {
       Scene scene(stage, {}, {}, false);
       scene.server.on_connection([](Socket& socket) { net::pipe(socket, socket); });
       scene.join();
       scene.client.end(kMuch);
       scene.await_all_closed();
       stage.note(scene.mine().bytes == kMuch ? "the same bytes" : "other bytes");
     }},
    {"TextIsNeverSplit",
     [](Stage& stage) {
       Scene scene(stage);
       scene.client.set_encoding(net::Encoding::utf8);
       scene.join();
       const std::string text = "한글🎉\xff";
       for (const char byte : text) {
         const std::uint64_t before = scene.client.bytes_read();
         scene.peer->write(std::string(1, byte));
         stage.await([&] { return scene.client.bytes_read() > before; });
       }
       scene.peer->end();
       scene.await_all_closed();
     }},
    {"ReconnectingTheSameSocket",
     [](Stage& stage) {
       Scene scene(stage);
       scene.listen();
       trace(scene.client, scene.mine());
       for (int i = 0; i < 5; ++i) {
         ASSERT_TRUE(scene.client.connect(scene.to).has_value());
         scene.client.end("again");
         stage.await([&] { return scene.client.destroyed() && scene.mine().closed(); });
       }
       stage.await([&] { return scene.server.connections() == 0; });
     }},
    {"TooManyConnectionsAreDropped",
     [](Stage& stage) {
       Scene scene(stage, {.max_connections = 1});
       scene.server.on_drop([&stage](Server&, const net::Drop&) { stage.note("drop"); });
       scene.join();
       Socket second(stage.reactor());
       Track& track = stage.track("second");
       trace(second, track);
       ASSERT_TRUE(second.connect(scene.to).has_value());
       stage.await([&] { return track.closed(); });
       scene.client.end();
       scene.await_all_closed();
     }},
    {"AClosedServerKeepsItsConnections",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       EXPECT_TRUE(scene.server.close().has_value());
       scene.peer->write("still open");
       stage.await([&] { return scene.mine().has("data"); });
       stage.note("closed: " + std::to_string(stage.track("server").has("close")));
       scene.client.end();
       stage.await([&] { return stage.track("server").has("close") && scene.mine().closed(); });
     }},
    {"AHandedOverConnectionGoesOn",
     [](Stage& stage) {
       Scene scene(stage);
       scene.join();
       Socket heir(stage.reactor());
       trace(heir, stage.track("heir"));
       ASSERT_TRUE(scene.client
                       .detach([&heir](Socket&, Expected<net::Detached> given) {
                         ASSERT_TRUE(given.has_value());
                         ASSERT_TRUE(heir.adopt(given->fd).has_value());
                       })
                       .has_value());
       stage.await([&] { return scene.mine().closed(); });
       heir.write("from the heir");
       stage.await([&] { return scene.theirs().bytes == "from the heir"; });
       scene.peer->end("to the heir");
       stage.await([&] { return stage.track("heir").closed() && scene.theirs().closed(); });
     }},
};

class TraceTest : public testing::TestWithParam<Script> {};

INSTANTIATE_TEST_SUITE_P(Scripts, TraceTest, testing::ValuesIn(kScripts),
                         [](const auto& info) { return std::string(info.param.name); });

std::string told(const BackendOptions& options, const Script& script) {
  auto chosen = choose_backend(options);
  EXPECT_TRUE(chosen.has_value());
  if (!chosen) return {};
  Stage stage(std::move(chosen->backend));
  script.run(stage);
  return stage.text();
}

TEST_P(TraceTest, IsTheSameOnEveryBackend) {
  const std::string expected = told({.kind = BackendKind::sim}, GetParam());
  EXPECT_EQ(expected.find("gave up"), std::string::npos) << expected;
  for (const BackendCase& backend : kernel_backends()) {
    if (backend.options.kind == BackendKind::io_uring && !uring_works()) continue;
    EXPECT_EQ(told(backend.options, GetParam()), expected) << "on " << backend.name;
  }
}

TEST_P(TraceTest, IsTheSameInASecondRunOfTheSimulator) {
  const BackendOptions sim{.kind = BackendKind::sim};
  EXPECT_EQ(told(sim, GetParam()), told(sim, GetParam()));
}

}  // namespace
}  // namespace weir::test
