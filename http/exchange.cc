#include "http/exchange.h"

#include <utility>

#include "http/connection.h"

namespace weir::inline v1::http {

void Exchange::reset() noexcept {
  request.reset();
  response.reset();
  waiting.clear();
  connection = nullptr;
  number = 0;
  ordinal = 0;
  written = 0;
  begin_at = 0;
  in_turn = answered = closes = upgrades = false;
  complete = true;
}

bool Exchange::gone() const noexcept { return connection == nullptr || connection->gone(); }

void Exchange::look_again() noexcept {
  if (connection != nullptr) connection->look_again();
}

void Exchange::look_again_later() noexcept {
  if (connection != nullptr) connection->look_again_later();
}

void Exchange::put(std::string_view text) { connection->put(*this, text); }
void Exchange::put(Buffer&& bytes) { connection->put(*this, std::move(bytes)); }
void Exchange::put(net::FileRange&& range) { connection->put(*this, std::move(range)); }
void Exchange::ended(bool complete_body) noexcept { connection->answered(*this, complete_body); }

std::size_t Exchange::queued() const noexcept {
  return connection == nullptr ? 0 : connection->queued();
}

bool Exchange::is_full_for(std::size_t size) const noexcept {
  return connection->is_full_for(*this, size);
}

bool Exchange::is_full_for_file() const noexcept { return connection->is_full_for_file(*this); }

bool Exchange::is_above_high_water() const noexcept { return connection->is_above_high_water(); }

void Exchange::report_unhandled(const Error& error) const { connection->report_unhandled(error); }

}  // namespace weir::inline v1::http
