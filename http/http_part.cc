#include "http/http_part.h"

namespace weir::inline v1::http {

Exchange* HttpPart::take_exchange(Connection& connection) noexcept {
  Exchange* exchange = exchanges_.take();
  if (exchange == nullptr) return nullptr;
  exchange->connection = &connection;
  exchange->number = ++last_number_;
  return exchange;
}

Call* HttpPart::take_call() noexcept {
  Call* call = calls_.take();
  if (call != nullptr) call->number = ++last_number_;
  return call;
}

}  // namespace weir::inline v1::http
