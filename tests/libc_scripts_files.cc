// Files and pipes, and static files over HTTP.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/libc_scene.h"
#include "weir/http/agent.h"
#include "weir/http/server.h"
#include "weir/http/static_files.h"
#include "weir/net/input_stream.h"
#include "weir/net/output_stream.h"

namespace weir::test {
namespace {

using net::InputStream;
using net::OutputStream;

// More than a pipe holds, and than a server keeps of a file in memory.
const std::string kMuch(300'000, 'm');

void count_ends(Scene& scene, InputStream& stream, std::string what) {
  int& closed = scene.must_end(std::move(what));
  stream.on_data([](InputStream&, Buffer) {});
  stream.on_close([&closed](InputStream&, std::error_code) { ++closed; });
}

void write_all(Scene& scene, OutputStream& stream, std::string what) {
  int& closed = scene.must_end(std::move(what));
  stream.on_close([&closed](OutputStream&, std::error_code) { ++closed; });
  stream.write("head ");
  stream.write(Buffer::copy(kMuch));
  stream.end();
}

void files(Scene& scene) {
  const std::string path = scene.path("file");
  write_all(scene, scene.make<OutputStream>(scene.reactor(), path), "the file that is written");
  scene.then([&scene, path] {
    count_ends(scene, scene.make<InputStream>(scene.reactor(), path), "the file that is read");
  });
  scene.then([&scene, path] {
    write_all(scene,
              scene.make<OutputStream>(scene.reactor(), path, net::OutputOptions{.append = true}),
              "the file that is appended to");
  });
}

void pipes(Scene& scene) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  count_ends(scene, scene.make<InputStream>(scene.reactor(), ends[0]), "the pipe that is read");
  write_all(scene, scene.make<OutputStream>(scene.reactor(), ends[1]), "the pipe that is written");
}

// A pipe that nobody reads any more; the signal that comes with it is nobody's either.
void broken_pipe(Scene& scene) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  write_all(scene, scene.make<OutputStream>(scene.reactor(), ends[1]), "the broken pipe");
}

// ---- Where in the file ----

struct Counted {
  int& ended;
};
struct CountedWrite final : WriteOp, Counted {
  explicit CountedWrite(int& its_ended) : WriteOp(count), Counted{its_ended} {}
  static void count(Op& op, Completion&) noexcept { ++static_cast<CountedWrite&>(op).ended; }
};
struct CountedRead final : ReadOp, Counted {
  explicit CountedRead(int& its_ended) : ReadOp(count), Counted{its_ended} {}
  static void count(Op& op, Completion&) noexcept { ++static_cast<CountedRead&>(op).ended; }
};

void positions(Scene& scene) {
  const std::string path = scene.path("file");
  const int fd = scene.keep(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  static const iovec pieces[] = {{.iov_base = const_cast<char*>(kMuch.data()), .iov_len = 5},
                                 {.iov_base = const_cast<char*>(kMuch.data()), .iov_len = 7}};
  auto& write = scene.make<CountedWrite>(scene.must_end("the write at a position"));
  write.fd = fd;
  write.offset = 1000;
  write.pieces = pieces;
  scene.reactor().backend().submit(write);
  scene.then([&scene, fd] {
    auto& read = scene.make<CountedRead>(scene.must_end("the read at a position"));
    read.fd = fd;
    read.offset = 1000;
    read.size = 100;
    scene.reactor().backend().submit(read);
  });
  scene.then([&scene, fd] { scene.reactor().backend().release(fd); });
}

// ---- HTTP ----

struct Site {
  explicit Site(Reactor& reactor) : server(reactor), agent(reactor) {}
  std::unique_ptr<http::StaticFiles> files;  // goes behind the server
  http::Server server;
  http::Agent agent;
};

void get(Scene& scene, Site& site, int port, const std::string& path) {
  int& closed = scene.must_end("the request for " + path);
  const std::string url = "http://127.0.0.1:" + std::to_string(port) + path;
  // Of small ones two parts, which have a boundary between them that nobody can foretell.
  const auto request = site.agent.request(url, {}, [](http::ClientResponse& response) {
    response.on_data([](http::ClientResponse&, Buffer) {});
  });
  if (!request) {
    ++closed;
    return;
  }
  (*request)->on_error([](http::ClientRequest&, const Error&) {});
  (*request)->on_close([&closed](http::ClientRequest&) { ++closed; });
  if (path == "/small") (*request)->set_header("Range", "bytes=0-0,2-3");
  (*request)->end();
}

void static_files(Scene& scene) {
  std::filesystem::create_directory(scene.path("below"));
  std::ofstream(scene.path("small")) << "small";
  std::ofstream(scene.path("below/index.html")) << "<html>";
  std::ofstream(scene.path("large")) << kMuch;
  auto& site = scene.make<Site>(scene.reactor());
  auto created = http::StaticFiles::create(scene.reactor(), {.root = scene.path("")});
  if (!created) return;
  site.files = std::move(*created);
  site.server.on_request([&site](http::Request& request, http::Response& response) {
    site.files->answer(request, response, request.path().substr(1));
  });
  const auto bound = site.server.listen({.port = 0, .host = "127.0.0.1"});
  if (!bound) return;
  for (const std::string path : {"/small", "/below/", "/large", "/missing"}) {
    scene.then([&scene, &site, path, port = bound->port()] { get(scene, site, port, path); });
  }
}

}  // namespace

std::span<const SmallScript> file_scripts() {
  static constexpr SmallScript kScripts[] = {
      {"files", files},
      {"pipes", pipes},
      {"broken_pipe", broken_pipe},
      {"positions", positions},
      {"static_files", static_files},
  };
  return kScripts;
}

}  // namespace weir::test
