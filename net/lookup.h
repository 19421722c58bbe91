// One lookup of a host name: an operation of the backend, or a question to a user's resolver.
#pragma once

#include <string>
#include <system_error>
#include <vector>

#include "weir/net/resolver.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class NetPart;

// Never called from inside start().
class LookupOwner {
 public:
  // With no code there is at least one address. The lookup is gone.
  virtual void on_looked_up(std::error_code code, std::vector<IpEndpoint> found) noexcept = 0;

 protected:
  ~LookupOwner() = default;
};

// Owned by the reactor. Answers once, then goes.
class Lookup final : public Resident, private Task {
 public:
  // `resolver` may be null: getaddrinfo(3), or the simulator's host table. Null when memory is
  // refused.
  static Lookup* start(NetPart& net, std::string host, Family family, Resolver* resolver,
                       LookupOwner& owner) noexcept;
  // Tells nobody any more.
  void abandon() noexcept override;

 private:
  friend class ResolveReply;
  friend class Slab<Lookup>;
  struct Operation : ResolveOp {
    explicit Operation(Lookup& its_lookup) noexcept
        : ResolveOp([](Op& op, Completion&) noexcept {
            static_cast<Operation&>(op).lookup.operation_ended();
          }),
          lookup(its_lookup) {}
    Lookup& lookup;
  };

  Lookup(NetPart& net, LookupOwner& owner) noexcept;
  ~Lookup() = default;
  void operation_ended() noexcept;
  void answer(std::error_code code, std::vector<IpEndpoint> found);
  void tell() noexcept;
  void go() noexcept;

  NetPart& net_;
  LookupOwner* owner_;
  Operation op_;
  std::error_code code_;
  std::vector<IpEndpoint> found_;
  bool answered_ = false;
};

}  // namespace weir::inline v1::net
