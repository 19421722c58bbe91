// Two hundred requests of every kind, by three sorts of clients, to a server of the same reactor;
// for tests that take something away meanwhile.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/agent.h"
#include "weir/http/server.h"
#include "weir/http/static_files.h"
#include "weir/http/websocket/websocket_server.h"
#include "weir/reactor/reactor.h"

namespace weir::test {

// What became of them. Whatever is taken away, each request ends once, and what an answer says is
// right as far as it goes.
struct ScriptOutcome {
  int begun = 0;
  int right = 0;   // answered, to the byte
  int failed = 0;  // an error, or a connection that was closed
  int refused = 0;  // could not be made: an error at once
  int wrong = 0;   // answered by something else
  std::string first_wrong;  // what that was

  int over() const { return right + failed + refused + wrong; }
};

class RefusalScript {
 public:
  static constexpr int kRequests = 200;

  // `root` has the files that make_files() makes. The server listens when this has returned.
  RefusalScript(Reactor& reactor, const std::string& root);
  RefusalScript(const RefusalScript&) = delete;
  RefusalScript& operator=(const RefusalScript&) = delete;
  ~RefusalScript();

  static void make_files(const std::string& root);

  // Begins all clients. Call it once.
  void start();
  // Every client has come to an end.
  bool over() const;
  // No connection of the server's is left.
  bool idle() const;
  const ScriptOutcome& outcome() const;
  // Requests of a new client to the same server, and whether they were answered as they should be.
  void ask_again();
  bool over_again() const;
  bool answered_again() const;
  // The server stops; what is left of it goes.
  void close();

 private:
  class Servers;
  class Asker;
  class Pipeline;
  class Talker;

  Reactor& reactor_;
  ScriptOutcome outcome_;
  std::unique_ptr<Servers> servers_;
  std::unique_ptr<Asker> asker_;
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  std::vector<std::unique_ptr<Talker>> talkers_;
  std::unique_ptr<Pipeline> again_;
};

}  // namespace weir::test
