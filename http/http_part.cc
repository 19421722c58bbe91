#include "http/http_part.h"

#include <memory>

#include "weir/http/limits.h"

namespace weir::inline v1::http {

HttpPart::~HttpPart() {
  while (!spare_.empty()) exchanges_.destroy(&spare_.pop_front());
}

Exchange* HttpPart::take_exchange(Connection& connection) noexcept {
  Exchange* exchange = nullptr;
  if (spare_.empty()) {
    exchange = exchanges_.create();
    if (exchange == nullptr) return nullptr;
  } else {
    exchange = &spare_.pop_front();
    --spare_count_;
  }
  exchange->connection = &connection;
  exchange->number = ++last_number_;
  return exchange;
}

void HttpPart::give_back(Exchange& exchange) noexcept {
  exchange.unlink();
  if (spare_count_ < limits::kSpareExchangesMax) {
    exchange.reset();
  } else {  // without the memory that it keeps
    std::destroy_at(&exchange);
    std::construct_at(&exchange);
  }
  ++spare_count_;
  spare_.push_back(exchange);
}

}  // namespace weir::inline v1::http
