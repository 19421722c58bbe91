#pragma once

#include <string>
#include <vector>

// Servers on other libraries, to compare weir with. Their sources are in bench/peers; they are
// built when they are asked for, so that a machine without their libraries builds all that is
// weir's.
namespace weir::bench {

struct Peer {
  std::string name;
  std::string version;
  // The servers' commands, complete but for `--port N` (0: the kernel chooses), or for
  // `--unix PATH` in its place, which the echo servers take. They print what ServerProcess reads.
  // Empty: there is none.
  std::vector<std::string> echo;
  std::vector<std::string> http;
  // What is missing, and what to install; empty: nothing. It may be one of the two servers only.
  std::string skipped;
};

struct PeerPlaces {
  std::string sources;  // the directory bench/peers
  std::string work;     // a directory, for what is built and what the servers write
  // The program of this name; empty: without nginx.
  std::string nginx_static;
  // Files for GET /static/NAME, of those that have it: nginx and Go; empty: none.
  std::string root;
  // Where compilers and programs are looked for. Empty: in $PATH, and where root has his.
  std::string path;
};

// libuv, asio, asio io_uring, libevent, Node, Go and nginx, in this order and each of them, if only
// to say why it is skipped. Takes as long as a compiler does: two run at a time.
std::vector<Peer> prepare_peers(const PeerPlaces& places);

}  // namespace weir::bench
