#include "http/http_part.h"

namespace weir::inline v1::http {

HttpPart::~HttpPart() {
  while (!spare_.empty()) {
    Exchange& exchange = spare_.front();
    exchange.unlink();
    exchanges_.destroy(&exchange);
  }
}

Exchange* HttpPart::take_exchange(Connection& connection) noexcept {
  Exchange* exchange = nullptr;
  if (spare_.empty()) {
    exchange = exchanges_.create();
    if (exchange == nullptr) return nullptr;
  } else {
    exchange = &spare_.front();
    exchange->unlink();
  }
  exchange->connection = &connection;
  exchange->number = ++last_number_;
  return exchange;
}

void HttpPart::give_back(Exchange& exchange) noexcept {
  exchange.unlink();
  exchange.reset();
  spare_.push_back(exchange);
}

}  // namespace weir::inline v1::http
