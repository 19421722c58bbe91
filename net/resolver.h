// Looking host names up: what a program may put in the place of getaddrinfo(3).
#pragma once

#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "weir/reactor/address.h"
#include "weir/reactor/slab.h"

namespace weir::inline v1::net {

class Lookup;

// The way back for a Resolver's answer; the first one counts. Answering may come at any time, also
// from within resolve(), and is harmless when nobody waits any more. Dropped unanswered it answers
// EAI_FAIL, so nothing hangs. Move-only; the reactor's thread; must not outlive the reactor.
class ResolveReply {
 public:
  ResolveReply(ResolveReply&& other) noexcept : lookup_(std::exchange(other.lookup_, {})) {}
  ResolveReply& operator=(ResolveReply&& other) noexcept;
  ~ResolveReply();

  // In the order in which they are to be tried; their ports are ignored. None: ENOTFOUND.
  void found(std::vector<IpEndpoint> addresses);
  void failed(std::error_code code);

 private:
  friend class Lookup;
  explicit ResolveReply(Slab<Lookup>::Ref lookup) noexcept : lookup_(lookup) {}
  Slab<Lookup>::Ref lookup_;
};

// A user's own: a cache, a table, a DNS client on the same reactor. Owner: the user; it outlives
// what connects with it. Called on the reactor's thread.
class Resolver {
 public:
  // `family`: addresses that are wanted, or Family::none for both kinds. Must not close or destroy
  // who asks.
  virtual void resolve(std::string_view host, Family family, ResolveReply reply) = 0;

 protected:
  ~Resolver() = default;
};

}  // namespace weir::inline v1::net
