// Asks the server of unix_server.cc, and prints what Node's client of the same document prints.
// With --requests N it asks N times at once instead, and says how many connections that took.
#include <cctype>
#include <map>
#include <string>
#include <utility>

#include "net/examples/program.h"
#include "weir/http/agent.h"

using weir::example::in_quotes;
using weir::example::Program;
using weir::example::say;
using weir::http::Agent;
using weir::http::ClientRequest;
using weir::http::ClientResponse;

namespace {

// As JSON.stringify(response.headers) does: lower-case names in the order of their first lines.
// Cookies, which Node has in an array, are in one text here.
std::string json_of_fields(const ClientResponse& response) {
  std::string json;
  std::map<std::string, bool> seen;
  for (const weir::http::Field& field : response.fields()) {
    std::string name(field.name);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::exchange(seen[name], true)) continue;
    json += (json.empty() ? "" : ",") + in_quotes(name) + ":" +
            in_quotes(*response.combined_header(name));
  }
  return "{" + json + "}";
}

void print(ClientResponse& response) {
  say("STATUS: ", response.status());
  say("HEADERS: ", json_of_fields(response));
  response.set_encoding(weir::net::Encoding::utf8);
  response.on_data([](ClientResponse&, weir::Buffer text) {
    say("chunk o' data : ", text.view());
  });
}

template <class Message>
void complain(Message&, const weir::Error& error) {
  say("problem with request: ", error.message());
}

weir::Expected<void> ask(Agent& agent, const weir::http::RequestOptions& options,
                         Agent::OnResponse once_response) {
  const auto request = agent.request(options, std::move(once_response));
  if (!request) return weir::failure(request.error());
  (*request)->on_error(complain<ClientRequest>);
  // A body without a length goes out in chunks, with GET too. (Node sends this one as it is, and
  // its server takes it for a second request, which is malformed.)
  (*request)->write("data\n");
  (*request)->write("data\n");
  (*request)->end();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::string file = "main.txt";
  int requests = 1;
  int sockets_max = 5;
  Program program(argc, argv, "Asks unix_server for a hundred numbers and a file.",
                  {.path = "/tmp/node-server-sock"},
                  {{"--file", &file, "what to ask for; default: main.txt"},
                   {"--requests", &requests, "so many at once; more than one: only counted"},
                   {"--max-sockets", &sockets_max, "connections at most"}});
  Agent agent(program.reactor(), {.max_sockets = static_cast<std::size_t>(sockets_max)});

  const std::string target = "/?file=" + file;
  const weir::http::RequestOptions options = {.target = target,
                                              .socket_path = program.flags().path};
  int complete = 0;
  for (int i = 0; i < requests; ++i) {
    const auto asked = ask(agent, options, [&](ClientResponse& response) {
      if (requests == 1) print(response);
      response.on_error(complain<ClientResponse>);
      response.on_end([&](ClientResponse&) { ++complete; });
      response.resume();
    });
    if (!asked) return weir::fail(asked.error());
  }
  const int stopped = program.run();
  if (requests > 1) {
    say(complete, " responses over ", agent.stats().connections, " connections");
  }
  return stopped;
}
