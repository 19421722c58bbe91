#include "weir/net/lookup.h"

#include <utility>

#include "weir/net/net_part.h"

namespace weir::inline v1::net {

// ---- The way back for a user's answer ----

ResolveReply& ResolveReply::operator=(ResolveReply&& other) noexcept {
  if (this != &other) {
    failed(ResolveError::failed);
    lookup_ = std::exchange(other.lookup_, {});
  }
  return *this;
}

ResolveReply::~ResolveReply() { failed(ResolveError::failed); }

void ResolveReply::found(std::vector<IpEndpoint> addresses) {
  Lookup* lookup = std::exchange(lookup_, {}).get();
  if (lookup == nullptr) return;
  const bool none = addresses.empty();
  lookup->answer(none ? make_error_code(ResolveError::not_found) : std::error_code(),
                 std::move(addresses));
}

void ResolveReply::failed(std::error_code code) {
  Lookup* lookup = std::exchange(lookup_, {}).get();
  if (lookup != nullptr) lookup->answer(code, {});
}

// ---- The lookup ----

Lookup* Lookup::start(NetPart& net, std::string host, Family family, Resolver* resolver,
                      LookupOwner& owner) noexcept {
  Lookup* lookup = net.lookups().create(net, owner);
  if (lookup == nullptr) return nullptr;
  if (resolver != nullptr) {
    resolver->resolve(host, family, ResolveReply(Slab<Lookup>::ref(lookup)));
    return lookup;
  }
  lookup->op_.host = std::move(host);
  lookup->op_.family = family;
  net.reactor().backend().submit(lookup->op_);
  return lookup;
}

Lookup::Lookup(NetPart& net, LookupOwner& owner) noexcept
    : Task([](Task& task) noexcept { static_cast<Lookup&>(task).tell(); }),
      net_(net),
      owner_(&owner),
      op_(*this) {
  net_.reactor().adopt(*this);
}

void Lookup::operation_ended() noexcept {
  if (owner_ == nullptr) return go();
  answered_ = true;
  code_ = op_.error;
  found_ = std::move(op_.found);
  tell();
}

void Lookup::answer(std::error_code code, std::vector<IpEndpoint> found) {
  if (std::exchange(answered_, true)) return;
  code_ = code;
  found_ = std::move(found);
  net_.reactor().schedule(*this);
}

void Lookup::tell() noexcept {
  LookupOwner* owner = owner_;
  const std::error_code code = code_;
  std::vector<IpEndpoint> found = std::move(found_);
  go();
  if (owner != nullptr) owner->on_looked_up(code, std::move(found));
}

void Lookup::abandon() noexcept {
  owner_ = nullptr;
  if (op_.idle()) return go();
  net_.reactor().backend().cancel(op_);
}

void Lookup::go() noexcept { net_.lookups().destroy(this); }

}  // namespace weir::inline v1::net
