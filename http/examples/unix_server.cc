// Answers over a Unix socket with a hundred numbers and then the file that the query names.
//
//     curl --unix-socket /tmp/node-server-sock 'http://localhost/?file=main.txt'
#include <string>
#include <string_view>
#include <utility>

#include "net/examples/program.h"
#include "weir/http/query.h"
#include "weir/http/server.h"
#include "weir/http/static_files.h"

using weir::example::Program;
using weir::example::say;
using weir::http::FileContent;
using weir::http::Request;
using weir::http::Response;
using weir::http::StaticFiles;

namespace {

constexpr int kNumbers = 100;

void refuse(Response& response, int status, std::string_view text) {
  response.set_status(status);
  response.set_header("Content-Type", "text/plain");
  response.end(text);
}

void answer(StaticFiles& files, Request& request, Response& response) {
  say(request.url().query.value_or("null"));
  const auto name = weir::http::find_in_query(request.query(), "file");
  if (!name || name->empty()) return refuse(response, 400, "which file?\n");
  files.open(*name, [waiting = response.weak()](weir::Expected<FileContent> found) {
    Response* const response = waiting.get();
    if (response == nullptr) return;
    if (!found) return refuse(*response, 404, "no such file\n");
    response->write_head(200, {{"Content-Type", "text/plain"}});
    for (int number = 0; number < kNumbers; ++number) {
      response->write(std::to_string(number) + "\n");
    }
    if (found->range.file) {
      response->end(std::move(found->range));
    } else {
      response->end(std::move(found->bytes));
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::string root = ".";
  bool replace_stale = false;
  Program program(argc, argv, "Answers with a hundred numbers and the file of ?file=NAME.",
                  {.path = "/tmp/node-server-sock"},
                  {{"--root", &root, "directory that the files are in"},
                   {"--replace-stale", &replace_stale,
                    "remove a socket file that nobody listens on any more"}});
  auto files = StaticFiles::create(program.reactor(), {.root = root});
  if (!files) return weir::fail(files.error());

  weir::http::Server server(program.reactor(), [&](Request& request, Response& response) {
    answer(**files, request, response);
  });
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  weir::net::ListenAt place = program.place();
  place.replace_stale = replace_stale;
  auto bound = server.listen(place, [](weir::http::Server& listening) {
    say("listening on ", listening.address().to_string());
  });
  if (!bound) return weir::fail(bound.error());
  return program.run();
}
