#include "http/exchange.h"

#include <utility>

namespace weir::inline v1::http {

void Waiting::add(std::string_view text) {
  text_ += text;
  bytes_ += text.size();
}

void Waiting::add(Buffer&& bytes) {
  gather();
  bytes_ += bytes.size();
  pieces_.push_back(std::move(bytes));
}

void Waiting::gather() {
  if (!text_.empty()) pieces_.push_back(Buffer::take(std::exchange(text_, {})));
}

void Waiting::clear() noexcept {
  pieces_.clear();
  text_.clear();
  bytes_ = 0;
}

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

}  // namespace weir::inline v1::http
