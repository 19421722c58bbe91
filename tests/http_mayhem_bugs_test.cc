// What http_mayhem_test.cc, its reviewer and the swarm have found, each in its smallest form.
#include <gtest/gtest.h>

#include <limits>

#include "tests/http_life.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::Upgrade;

constexpr std::string_view kUpgrade =
    "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

class HttpMayhemBugsTest : public HttpTest {
 protected:
  // As run_until(), for so long: of the simulator's time, which no busy machine takes away.
  bool run_until_or(Duration patience, const std::function<bool()>& done) {
    if (reactor().backend().kind() != BackendKind::sim) return run_until(done);
    const Timer guard = reactor().after(patience, [] {});
    return run_until([&] { return done() || !guard.armed(); }) && done();
  }

  http::ResponseRef finish_;
};

// The upgrade waits until it is alone, and nobody looks again when it is.
TEST_P(HttpMayhemBugsTest, AnUpgradeBehindARequestWithListenersIsHandedOver) {
  bool upgraded = false;
  serve([](Request&, Response& response) {
    response.on_finish([](Response&) {});
    response.end("first");
  }).on_upgrade([&](Upgrade& upgrade) {
    upgraded = true;
    upgrade.socket.destroy();
  });
  dial().send(get("/") + std::string(kUpgrade));
  EXPECT_TRUE(run_until_or(300ms, [&] { return upgraded; }));
}

// The second response begins behind what the stream still has of the first.
TEST_P(HttpMayhemBugsTest, ACallbackWaitsForTheBytesOfTheResponsesBefore) {
  http::ResponseRef first;
  bool told = false;
  std::size_t left = 0;
  http::ServerOptions options;
  options.net.socket.queue = {.high_water = 64 << 20, .low_water = 1, .bytes_max = 64 << 20};
  serve([&](Request& request, Response& response) {
    if (request.target() == "/1") {
      first = response.weak();
      return;
    }
    response.write("x", [&](Response& same, std::error_code) {
      told = true;
      left = same.writable_length();
    });
    first.get()->end(std::string(32 << 20, '1'));
  }, options);
  HttpClient& client = dial(false);
  client.send(get("/1") + get("/2"));
  ASSERT_TRUE(run_until([&] { return first.get() == nullptr; }));
  run_for(5ms);
  EXPECT_FALSE(told) << "called back with " << left << " bytes before it in the queue";
}

TEST_P(HttpMayhemBugsTest, AResponseCutOffByAnotherHandlerHasNoFinish) {
  http::ServerOptions options;
  options.net.socket.queue = {.high_water = 64 << 20, .low_water = 1, .bytes_max = 64 << 20};
  std::string events;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/2") return response.destroy();
    response.on_finish([&](Response&) { events += "finish "; });
    response.on_close([&](Response&) { events += "close "; });
    response.end(std::string(32 << 20, '1'), [&](Response&, std::error_code code) {
      events += code ? "failed " : "done ";
    });
  }, options);
  HttpClient& client = dial(false);
  client.send(get("/1"));
  ASSERT_TRUE(run_until([&] { return server().connections() == 1; }));
  run_for(5ms);
  client.send(get("/2"));
  ASSERT_TRUE(run_until([&] { return server().connections() == 0; }));
  EXPECT_EQ(events, "failed close ");
}

// As it is when the last piece goes with the last byte: nothing is sent after end().
TEST_P(HttpMayhemBugsTest, AnEndWithoutBytesMakesRoomForTheNextRequest) {
  http::ServerOptions options;
  options.pipelined_max = 1;
  Timer later;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/2") {
      response.end("two");
      return;
    }
    ASSERT_TRUE(response.write_head(200, {{"Content-Length", "3"}}).has_value());
    response.write("one");
    later = reactor().after(20ms, [ref = response.weak()] { ref.get()->end(); });
  }, options);
  HttpClient& client = dial();
  client.send(get("/1") + get("/2"));
  EXPECT_TRUE(run_until_or(400ms, [&] {
    return client.received().find("two") != std::string::npos;
  })) << client.received();
}

TEST_P(HttpMayhemBugsTest, AnEndWithoutBytesOfTheLastRequestClosesTheConnection) {
  http::ServerOptions options;
  options.requests_per_socket_max = 1;
  Timer later;
  serve([&](Request&, Response& response) {
    ASSERT_TRUE(response.write_head(200, {{"Content-Length", "3"}}).has_value());
    response.write("one");
    later = reactor().after(20ms, [ref = response.weak()] { ref.get()->end(); });
  }, options);
  HttpClient& client = dial();
  client.send(get("/1"));
  EXPECT_TRUE(run_until_or(400ms, [&] { return client.over(); })) << client.received();
}

// Its exchange is then in no list: never given back, which its slab asserts at the end.
TEST_P(HttpMayhemBugsTest, TheServerMayBeDestroyedByClose) {
  serve([&](Request&, Response& response) {
    response.on_close([&](Response&) { server_.reset(); });
    response.end("x");
  });
  HttpClient& client = dial();
  client.send(get("/"));
  EXPECT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(server_, nullptr);
}

// The callback goes with the server; the ones behind it are not called any more.
TEST_P(HttpMayhemBugsTest, ACallbackMayHoldTheServersLastReference) {
  auto own = std::make_shared<std::unique_ptr<http::Server>>();
  bool called = false;
  serve([&](Request&, Response& response) {
    response.write("x", [held = std::move(own)](Response&, std::error_code) {});
    response.end([&](Response&, std::error_code) { called = true; });
  });
  *own = std::move(server_);
  HttpClient& client = dial();
  client.send(get("/"));
  EXPECT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_FALSE(called) << "after the server's end";
}

class VirtualMayhemBugsTest : public HttpMayhemBugsTest {};

// The client waits for the 100, which waits for the first response.
TEST_P(VirtualMayhemBugsTest, TheTimeUntilThe100IsSentIsNotTheClients) {
  http::ServerOptions options;
  options.headers_timeout = options.request_timeout = 60ms;
  Timer later;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/1") {
      later = reactor().after(200ms, [ref = response.weak()] { ref.get()->end("one"); });
      return;
    }
    request.on_data([](Request&, Buffer) {});
    request.on_end([ref = response.weak()](Request&) { ref.get()->end("two"); });
  }, options);
  HttpClient& client = dial();
  client.send(get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                          "Expect: 100-continue\r\n\r\n");
  ASSERT_TRUE(run_until([&] {
    return client.over() || client.received().find(" 100 ") != std::string::npos;
  }));
  client.send("x");
  EXPECT_TRUE(run_until([&] {
    return client.over() || client.received().find("two") != std::string::npos;
  }));
  EXPECT_EQ(count_of(client.received(), "two"), 1U) << client.received();
}

WEIR_ON_SIM(VirtualMayhemBugsTest);

TEST_P(HttpMayhemBugsTest, AnEndlessQueueLimitIsOne) {
  http::ServerOptions options;
  options.net.socket.queue.bytes_max = std::numeric_limits<std::size_t>::max();
  constexpr std::size_t kPiece = 4 << 20;
  serve([&](Request&, Response& response) {
    response.write(std::string(kPiece, 'a'));
    response.end(std::string(kPiece, 'b'));
  }, options);
  HttpClient& client = dial();
  client.send(get("/", "Connection: close\r\n"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_GE(client.received().size(), 2 * kPiece);
}

// Every write says `full` then, which is no reason to read nothing for ever.
TEST_P(HttpMayhemBugsTest, AHighWaterMarkOfZeroStopsNothing) {
  http::ServerOptions options;
  options.net.socket.queue.high_water = 0;
  serve([&](Request&, Response& response) { response.end("x"); }, options);
  HttpClient& client = dial();
  client.send(get("/", "Connection: close\r\n"));
  EXPECT_TRUE(run_until_or(300ms, [&] { return client.over(); }));
}

TEST_P(HttpMayhemBugsTest, DrainEndsConnectionsThatWereUpgraded) {
  bool upgraded = false;
  bool closed = false;
  http::Server& server = serve({});
  server.on_upgrade([&](Upgrade&) { upgraded = true; });
  server.on_server_close([&](http::Server&) { closed = true; });
  dial().send(kUpgrade);
  ASSERT_TRUE(run_until([&] { return upgraded; }));
  server.drain(20ms);
  EXPECT_TRUE(run_until_or(400ms, [&] { return closed; }));
}

// What waits is not lost, nor taken for something else, when a handler resumes the socket.
TEST_P(HttpMayhemBugsTest, ASocketThatAHandlerResumesLosesNothing) {
  http::ServerOptions options;
  options.pipelined_max = 1;
  Timer later;
  serve([&](Request& request, Response& response) {
    later = reactor().after(20ms, [&request] { request.socket().resume(); });
    response.user_data = nullptr;
    if (request.target() != "/1") {
      response.end(request.target());
      return;
    }
    finish_ = response.weak();
  }, options);
  HttpClient& client = dial();
  client.send(get("/1") + get("/2"));
  ASSERT_TRUE(run_until([&] { return finish_.get() != nullptr && !later.armed(); }));
  client.send(get("/3"));
  run_for(5ms);
  finish_.get()->end("/1");
  EXPECT_TRUE(run_until_or(300ms, [&] {
    return client.received().find("\r\n\r\n/3") != std::string::npos;
  }));
  EXPECT_EQ(count_of(client.received(), "\r\n\r\n/2"), 1U) << client.received();
}

// It says ok: its callback comes, or it says something else.
TEST_P(HttpMayhemBugsTest, AnEndInTheCloseListenerIsCalledBackOrRefused) {
  int taken = 0;
  int called = 0;
  serve([&](Request&, Response& response) {
    response.on_close([&](Response& same) {
      const Write result = same.end([&](Response&, std::error_code) { ++called; });
      if (result == Write::ok || result == Write::full) ++taken;
    });
    response.end("x");
  });
  HttpClient& client = dial();
  client.send(get("/", "Connection: close\r\n"));
  EXPECT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(called, taken);
}

// The usual chain: a piece is out, so the next one is written. On a connection that is gone it goes
// on in rounds, as a socket's does, or ends.
TEST_P(HttpMayhemBugsTest, ACallbackThatWritesAgainDoesNotStopTheReactor) {
  bool gone = false;
  int after = 0;
  std::function<void(Response&)> write = [&](Response& response) {
    if (gone && ++after > 10000) return;
    response.write("x", [&](Response& same, std::error_code) { write(same); });
  };
  serve([&](Request& request, Response& response) {
    request.on_aborted([&](Request&) { gone = true; });
    write(response);
  });
  HttpClient& client = dial();
  client.send(get("/"));
  ASSERT_TRUE(run_until([&] { return client.received().size() > 200; }));
  client.socket().destroy();
  ASSERT_TRUE(run_until([&] { return gone && server().connections() == 0; }));
  EXPECT_LT(after, 10000);
}

// As above, when it is end() that the chain does not know of.
TEST_P(HttpMayhemBugsTest, ACallbackThatWritesAfterTheEndDoesNotStopTheReactor) {
  int before = 0;
  int after = 0;
  std::function<void(Response&)> write = [&](Response& response) {
    if (response.writable_ended() && ++after > 10000) return;
    if (++before == 50) {
      EXPECT_TRUE(reactor().defer([ref = response.weak()] { ref.get()->end(); }));
    }
    response.write("x", [&](Response& same, std::error_code) { write(same); });
  };
  serve([&](Request&, Response& response) {
    response.on_error([](Response&, const Error&) {});
    write(response);
  });
  HttpClient& client = dial();
  client.send(get("/", "Connection: close\r\n"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_LT(after, 10000);
}

// 'close' without 'finish'.
TEST_P(HttpMayhemBugsTest, AResponseDestroyedByItsLastCallbackHasNoFinish) {
  bool finished = false;
  serve([&](Request&, Response& response) {
    response.on_finish([&](Response&) { finished = true; });
    response.end("x", [](Response& same, std::error_code) { same.destroy(); });
  });
  HttpClient& client = dial();
  client.send(get("/"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_FALSE(finished);
}

// The peer's FIN comes while an earlier request is answered: who takes the socket over learns it.
TEST_P(HttpMayhemBugsTest, AFinBeforeTheUpgradeIsNotLost) {
  bool ended = false;
  Timer later;
  serve([&](Request&, Response& response) {
    later = reactor().after(30ms, [ref = response.weak()] { ref.get()->end("one"); });
  }).on_upgrade([&](Upgrade& upgrade) {
    upgrade.socket.on_end([&](Socket& socket) {
      ended = true;
      socket.end();
    });
    upgrade.socket.resume();
  });
  HttpClient& client = dial();
  client.send(get("/1") + std::string(kUpgrade));
  client.end();
  EXPECT_TRUE(run_until_or(300ms, [&] { return ended; }));
}

// A listen() that fails changes nothing.
TEST_P(HttpMayhemBugsTest, AListenThatFailsDoesNotTakeCloseBack) {
  http::ResponseRef first;
  bool closed = false;
  http::Server& server = serve([&](Request&, Response& response) { first = response.weak(); });
  HttpClient& client = dial();
  client.send(get("/"));
  ASSERT_TRUE(run_until([&] { return first.get() != nullptr; }));
  ASSERT_TRUE(server.close([&](http::Server&, std::error_code) { closed = true; }).has_value());
  EXPECT_FALSE(server.listen({.port = 99999}).has_value());
  first.get()->end("x");
  ASSERT_TRUE(run_until_or(400ms, [&] { return client.over(); }));
  client.end();
  EXPECT_TRUE(run_until_or(400ms, [&] { return closed; }));
  EXPECT_EQ(count_of(client.received(), "Connection: close"), 1U) << client.received();
}

// Behind an answer that has filled the queue nobody looks at the input, which is used up but a view
// of a receive chunk.
TEST_P(HttpMayhemBugsTest, AnIdleConnectionHoldsNoReceiveMemory) {
  const std::string large(std::size_t{100} << 10, 'x');
  serve([&](Request&, Response& response) { response.end(large); });
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(12000, 'y') +
                              "\r\n\r\n";
  const auto ask = [&] {
    HttpClient& client = dial();
    client.send(request);
    EXPECT_TRUE(run_until([&] { return client.received().size() > large.size(); }));
  };
  ask();
  run_for(10ms);
  const std::size_t before = reactor().counters().receive_chunks;
  constexpr int kClients = 80;  // more bytes than three chunks
  for (int i = 0; i < kClients; ++i) ask();
  run_for(10ms);
  EXPECT_LE(reactor().counters().receive_chunks, before + 1);
}

// Nor has it an address.
TEST_P(HttpMayhemBugsTest, TheAddressIsTheOneOfAListenThatWorked) {
  http::Server server(reactor());
  EXPECT_EQ(server.address().family(), Family::none);
  EXPECT_FALSE(server.listen({.port = 99999}).has_value());
  EXPECT_EQ(server.address().family(), Family::none);
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(server.address(), *bound);
}

// The limit is reached, and the body of a request beyond it is still to come: a loop without end.
TEST_P(HttpMayhemBugsTest, ABodyBeyondTheLastRequestIsWaitedFor) {
  http::ServerOptions options;
  options.requests_per_socket_max = 1;
  serve([](Request&, Response& response) { response.end("x"); }, options);
  HttpClient& client = dial();
  client.send(get("/") + post("/", 5) + "12");
  ASSERT_TRUE(run_until_received(client, " 503 "));
  client.send("345");
  EXPECT_TRUE(run_until([&] { return client.over(); }));
}

// Its body ends with the connection: a 503 behind it would be part of it.
TEST_P(HttpMayhemBugsTest, NothingFollowsABodyThatEndsWithTheConnection) {
  http::ServerOptions options;
  options.requests_per_socket_max = 1;
  serve([](Request&, Response& response) { response.end("whole"); }, options);
  HttpClient& client = dial();
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/2"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_TRUE(client.received().ends_with("\r\n\r\nwhole")) << client.received();
}

// So is the first 503 itself, to a client of HTTP/1.0.
TEST_P(HttpMayhemBugsTest, NothingFollowsA503ThatEndsWithTheConnection) {
  http::ServerOptions options;
  options.requests_per_socket_max = 1;
  serve([](Request&, Response& response) { response.end("one"); }, options);
  HttpClient& client = dial();
  client.send(get("/1") + "GET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/3"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  const std::string refused = client.received().substr(client.received().find(" 503 "));
  const std::string head = refused.substr(0, refused.find("\r\n\r\n"));
  const bool sized = head.find("Content-Length: 0") != head.npos;
  EXPECT_TRUE(sized || count_of(refused, " 503 ") == 1) << client.received();
}

// The piece is counted behind what a later response has waiting, but never sent.
TEST_P(HttpMayhemBugsTest, ADroppedPieceIsFollowedByItsDrain) {
  int drains = 0;
  http::ResponseRef head;
  http::ServerOptions options;
  options.net.socket.queue.high_water = 1000;
  serve([&](Request& request, Response& response) {
    if (request.method() == http::Method::get) {
      response.end(std::string(2000, 'x'));
      return;
    }
    head = response.weak();
    response.on_drain([&](Response& same) {
      if (++drains == 1) same.end();
    });
  }, options);
  HttpClient& client = dial();
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get("/"));
  ASSERT_TRUE(run_until([&] { return head.get() && head.get()->writable_length() >= 2000; }));
  head.get()->flush_headers();
  ASSERT_TRUE(run_until_received(client, " 200 "));
  EXPECT_EQ(head.get()->write("dropped"), net::Write::full);
  EXPECT_TRUE(run_until([&] { return count_of(client.received(), " 200 ") == 2; }));
  EXPECT_EQ(drains, 1);
}

// Who does not wait for the 100 has no more time than others.
TEST_P(HttpMayhemBugsTest, ABodyThatComesUnaskedHasItsTime) {
  http::ServerOptions options;
  options.request_timeout = 50ms;
  options.headers_timeout = 50ms;
  serve([](Request&, Response&) {}, options).on_check_continue([](Request& request, Response&) {
    request.on_data([](Request&, Buffer) {});
  });
  HttpClient& client = dial();
  client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\nabc");
  EXPECT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 408 ")) << client.received();
}

WEIR_ON_ALL_BACKENDS(HttpMayhemBugsTest);

}  // namespace
}  // namespace weir::test
