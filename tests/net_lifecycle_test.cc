// Any handler may do anything to any socket: every handler with every action, on every backend.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/pair.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

enum class In {
  connection,
  connect,
  ready,
  data,
  end,
  drain,
  finish,
  timeout,
  error,
  close,
  timer,
  defer,
  other_data,
};
constexpr const char* kInNames[] = {"connection", "connect", "ready",    "data",  "end",
                                    "drain",      "finish",  "timeout",  "error", "close",
                                    "timer",      "defer",   "otherData"};

enum class Do {
  destroy_self,
  fail_self,
  destroy_other,
  end,
  end_soon,
  pause,
  reset,
  delete_own,
  delete_server,
  close_server,
  write_much,
  nothing,
};
constexpr const char* kDoNames[] = {"destroySelf",  "failSelf",    "destroyOther", "end",
                                    "endSoon",      "pause",       "reset",        "deleteOwn",
                                    "deleteServer", "closeServer", "writeMuch",    "nothing"};

// One end of one connection.
struct End {
  Socket* socket = nullptr;  // null when it is closed, or the object is gone
  int closes = 0;
  bool after_close = false;
  bool began = false;
  bool deleted = false;  // the object, before its 'close'
};

// A server and two clients. The first client, or its peer, is the subject: the first time that the
// given event happens to it, the given thing is done to it.
class Scene {
 public:
  Scene(Reactor& reactor, In in, Do what, bool on_client)
      : reactor_(reactor), in_(in), what_(what), on_client_(on_client) {
    ServerOptions options;
    options.socket.queue.high_water = 1;  // every write says full, and a drain follows
    server_ = std::make_unique<Server>(reactor, options);
    server_->on_connection([this](Socket& socket) { accept(socket); });
    server_->on_connection([this](Socket& socket) {
      if (peers_[0].socket == &socket) happened(In::connection, false);
    });
    follow(*server_, peers_);
    server_->on_data([this](Socket& socket, Buffer bytes) { echo(socket, std::move(bytes)); });
    for (End& end : clients_) {
      Socket*& socket = end.socket;
      socket = new Socket(reactor, options.socket);
      owned_[&end - clients_].reset(socket);
      follow(*socket, clients_);
    }
    own(0).on_data([this](Socket&, Buffer) { happened(In::data, true); });
    own(1).on_data([this](Socket&, Buffer) {
      // Both subjects may be acted upon here; neither is the one whose handler this is.
      happened(In::other_data, true);
      happened(In::other_data, false);
    });
  }

  bool begin() {
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    if (!bound) return false;
    port_ = bound->port();
    return connect(0);
  }

  bool connect(int which) {
    clients_[which].began = true;
    return own(which).connect({.port = port_}).has_value();
  }

  // Makes the awaited event happen, as far as the ends are still there.
  void provoke() {
    switch (in_) {
      case In::timeout:
        if (subject().socket != nullptr) subject().socket->set_timeout(1ms);
        break;
      case In::error:
        if (opposite().socket != nullptr) std::ignore = opposite().socket->reset_and_destroy();
        break;
      case In::end:
      case In::close:
        if (opposite().socket != nullptr) opposite().socket->end();
        break;
      case In::finish:
        if (subject().socket != nullptr) subject().socket->end();
        break;
      case In::drain:
        if (subject().socket != nullptr) subject().socket->write("more");
        break;
      case In::timer:
        timer_ = reactor_.after(0ms, [this] { happened(In::timer, on_client_); });
        break;
      case In::defer:
        reactor_.defer([this] { happened(In::defer, on_client_); });
        break;
      case In::other_data:
        if (owned_[1] != nullptr) owned_[1]->write("for the other one");
        if (clients_[0].socket != nullptr) clients_[0].socket->write("at the same time");
        break;
      default:
        break;
    }
  }

  bool connected() const { return clients_[0].socket == nullptr || greeted_ >= 1 || acted_; }
  bool other_connected() const { return peers_[1].began || server_ == nullptr || closed_server_; }
  bool acted() const { return acted_; }
  bool subject_gone() { return subject().socket == nullptr; }

  void end_all() {
    for (End* ends : {clients_, peers_}) {
      for (int i = 0; i < 2; ++i) {
        if (ends[i].began && ends[i].socket != nullptr) ends[i].socket->destroy();
      }
    }
    if (server_ != nullptr && server_->listening()) std::ignore = server_->close();
  }
  bool all_closed() const {
    return (server_ == nullptr || server_->connections() == 0) && reactor_.counters().sockets == 0;
  }

  void check() const {
    for (const End* ends : {clients_, peers_}) {
      for (int i = 0; i < 2; ++i) {
        const End& end = ends[i];
        const std::string name = (ends == clients_ ? "client " : "peer ") + std::to_string(i);
        EXPECT_FALSE(end.after_close) << name << ": an event after 'close'";
        EXPECT_EQ(end.closes, end.began && !end.deleted ? 1 : 0) << name;
      }
    }
    EXPECT_EQ(reactor_.counters().sockets, 0U);
    EXPECT_EQ(reactor_.counters().queue_bytes, 0U);
  }

 private:
  Socket& own(int which) { return *owned_[which]; }
  End& subject() { return on_client_ ? clients_[0] : peers_[0]; }
  End& opposite() { return on_client_ ? peers_[0] : clients_[0]; }

  void accept(Socket& socket) {
    End& end = peers_[peers_[0].began ? 1 : 0];
    end.socket = &socket;
    end.began = true;
  }

  void echo(Socket& socket, Buffer bytes) {
    socket.write(std::move(bytes));
    if (&socket == peers_[0].socket) happened(In::data, false);
  }

  // The end that an event belongs to. Events of objects that are gone belong to none.
  static End* end_of(End* ends, Socket& socket) {
    for (int i = 0; i < 2; ++i) {
      if (ends[i].socket == &socket) return &ends[i];
    }
    return nullptr;
  }

  void seen(End* ends, Socket& socket, In what) {
    End* end = end_of(ends, socket);
    if (end == nullptr) {
      ADD_FAILURE() << kInNames[static_cast<int>(what)] << " of a socket that is gone";
      return;
    }
    if (end->closes != 0) end->after_close = true;
    if (what == In::ready && ends == clients_) {
      ++greeted_;
      socket.write("hello");
    }
    if (end == &ends[0]) happened(what, ends == clients_);
  }

  template <class Listeners>
  void follow(Listeners& on, End* ends) {
    on.on_connect([=, this](Socket& socket) { seen(ends, socket, In::connect); });
    on.on_ready([=, this](Socket& socket) { seen(ends, socket, In::ready); });
    on.on_end([=, this](Socket& socket) { seen(ends, socket, In::end); });
    on.on_drain([=, this](Socket& socket) { seen(ends, socket, In::drain); });
    on.on_finish([=, this](Socket& socket) { seen(ends, socket, In::finish); });
    on.on_timeout([=, this](Socket& socket) { seen(ends, socket, In::timeout); });
    on.on_error([=, this](Socket& socket, const Error&) { seen(ends, socket, In::error); });
    on.on_close([=, this](Socket& socket, std::error_code) {
      End* end = end_of(ends, socket);
      if (end == nullptr) {
        ADD_FAILURE() << "'close' of a socket that is gone";
        return;
      }
      ++end->closes;
      if (end == &ends[0]) happened(In::close, ends == clients_);
      end->socket = nullptr;
    });
  }

  void happened(In what, bool on_client) {
    if (acted_ || what != in_ || on_client != on_client_) return;
    if (subject().socket == nullptr) return;
    acted_ = true;
    act(*subject().socket);
  }

  void act(Socket& socket) {
    switch (what_) {
      case Do::destroy_self:
        return socket.destroy();
      case Do::fail_self:
        return socket.destroy(errno_code(EPROTO));
      case Do::destroy_other:
        if (opposite().socket != nullptr) opposite().socket->destroy();
        return;
      case Do::end:
        return socket.end();
      case Do::end_soon:
        return socket.destroy_soon();
      case Do::pause:
        return socket.pause();
      case Do::reset:
        std::ignore = socket.reset_and_destroy();
        return;
      case Do::delete_own:
        return delete_client();
      case Do::delete_server:
        return delete_server();
      case Do::close_server:
        closed_server_ = true;
        std::ignore = server_->close();
        return;
      case Do::write_much:
        socket.write(std::string(100'000, 'm'));
        return;
      case Do::nothing:
        return;
    }
  }

  void delete_client() {
    clients_[0].deleted = clients_[0].closes == 0;
    clients_[0].socket = nullptr;
    owned_[0].reset();
  }

  void delete_server() {
    for (End& end : peers_) {
      if (end.began && end.closes == 0) end.deleted = true;
      end.socket = nullptr;
    }
    server_.reset();
  }

  Reactor& reactor_;
  const In in_;
  const Do what_;
  const bool on_client_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Socket> owned_[2];
  End clients_[2];
  End peers_[2];
  Timer timer_;
  int port_ = 0;
  int greeted_ = 0;
  bool acted_ = false;
  bool closed_server_ = false;
};

class LifecycleTest : public testing::TestWithParam<std::tuple<BackendCase, In, Do>> {
 protected:
  void SetUp() override {
    const BackendOptions& options = std::get<0>(GetParam()).options;
    if (options.kind == BackendKind::io_uring && !uring_works()) {
      GTEST_SKIP() << "io_uring is not available here";
    }
    auto chosen = choose_backend(options);
    ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
    reactor_ = std::make_unique<Reactor>(std::move(chosen->backend));
    reactor_->on_unhandled_error(
        [](const Error& error) { ADD_FAILURE() << "not handled: " << error.message(); });
  }

  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor_->now() + kPatience;
    while (!done()) {
      if (reactor_->now() >= end) return false;
      reactor_->run_once(end);
    }
    return true;
  }

  void play(bool on_client) {
    const auto [backend, in, what] = GetParam();
    Scene scene(*reactor_, in, what, on_client);
    ASSERT_TRUE(scene.begin());
    ASSERT_TRUE(run_until([&] { return scene.connected(); }));
    if (!scene.acted()) {
      ASSERT_TRUE(scene.connect(1));
      ASSERT_TRUE(run_until([&] { return scene.other_connected() || scene.acted(); }));
    }
    if (!scene.acted()) scene.provoke();
    ASSERT_TRUE(run_until([&] { return scene.acted() || scene.subject_gone(); }));
    EXPECT_TRUE(scene.acted());
    // What follows from it, before everything that is still there ends.
    for (int turn = 0; turn < 5; ++turn) reactor_->run_once(1ms);
    scene.end_all();
    ASSERT_TRUE(run_until([&] { return scene.all_closed(); }));
    for (int turn = 0; turn < 3; ++turn) reactor_->run_once(0ms);
    scene.check();
  }

  std::unique_ptr<Reactor> reactor_;
};

TEST_P(LifecycleTest, AHandlerMayDoIt) {
  const auto [backend, in, what] = GetParam();
  for (const bool on_client : {true, false}) {
    if (on_client && in == In::connection) continue;
    if (!on_client && (in == In::connect || in == In::ready)) continue;
    if (!on_client && what == Do::delete_own) continue;  // an accepted one is its server's
    SCOPED_TRACE(on_client ? "on the client" : "on the accepted socket");
    play(on_client);
  }
}

std::vector<In> all_handlers() {
  std::vector<In> all;
  for (int i = 0; i <= static_cast<int>(In::other_data); ++i) all.push_back(static_cast<In>(i));
  return all;
}

std::vector<Do> all_actions() {
  std::vector<Do> all;
  for (int i = 0; i <= static_cast<int>(Do::nothing); ++i) all.push_back(static_cast<Do>(i));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Backends, LifecycleTest,
                         testing::Combine(testing::ValuesIn(all_backends()),
                                          testing::ValuesIn(all_handlers()),
                                          testing::ValuesIn(all_actions())),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_in_" +
                                  kInNames[static_cast<int>(std::get<1>(info.param))] + "_do_" +
                                  kDoNames[static_cast<int>(std::get<2>(info.param))];
                         });

}  // namespace
}  // namespace weir::test
