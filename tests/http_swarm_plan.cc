#include "tests/http_swarm_plan.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace weir::test::http_swarm {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPeriod = 65521;  // a prime: no size of a buffer divides it

const std::string& all_noise() {
  static const std::string bytes = [] {
    std::string made(kPeriod + kNoiseBytes, '\0');
    std::uint64_t state = 7;
    for (std::size_t i = 0; i < kPeriod; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      made[i] = static_cast<char>(state >> 56);
    }
    for (std::size_t i = kPeriod; i < made.size(); ++i) made[i] = made[i - kPeriod];
    return made;
  }();
  return bytes;
}

Duration milliseconds(std::uint64_t count) {
  return Duration(1ms) * static_cast<Duration::rep>(count);
}

}  // namespace

std::string_view noise(std::uint64_t key, std::uint64_t at, std::size_t size) {
  const std::uint64_t start = (key * std::uint64_t{2654435761} + at) % kPeriod;
  return std::string_view(all_noise()).substr(start, size);
}

bool is_noise(std::uint64_t key, std::uint64_t at, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), kNoiseBytes);
    if (bytes.substr(0, size) != noise(key, at, size)) return false;
    bytes.remove_prefix(size);
    at += size;
  }
  return true;
}

std::string hex(std::uint64_t value) {
  char digits[20] = {};
  return {digits, std::to_chars(digits, digits + 20, value, 16).ptr};
}

std::string canonical_fields(std::span<const http::Field> fields) {
  std::string text;
  for (const http::Field& field : fields) {
    text.append(field.name).append(": ").append(field.value) += '\n';
  }
  return text;
}

std::string canonical_head(std::string_view method, std::string_view target, int version_minor,
                           std::span<const http::Field> fields) {
  std::string text(method);
  text.append(" ").append(target).append(" 1.").append(std::to_string(version_minor)) += '\n';
  return text + canonical_fields(fields);
}

// ---- Answers ----

namespace {

void choose_reading(sim::Random& random, Answer& answer) {
  switch (random.below(10)) {
    case 0: answer.reads = Reads::nothing; break;
    case 1:
      answer.reads = Reads::part;
      answer.stops_at = any_size(random, 30'000);
      if (random.once_in(2)) answer.stops_for = milliseconds(any_size(random, 4000));
      break;
    case 2: answer.reads = Reads::drops; break;
    case 3:
      answer.reads = Reads::collects;
      answer.waits_for_end = true;
      break;
    case 4:
    case 5: answer.reads = Reads::echoes; break;
    default: answer.reads = Reads::everything;
  }
  const bool reads_all = answer.reads == Reads::everything || answer.reads == Reads::drops ||
                         (answer.reads == Reads::part && answer.stops_for != Duration::zero());
  if (reads_all && random.once_in(2)) answer.waits_for_end = true;
}

void choose_head(sim::Random& random, Answer& answer) {
  constexpr int kStatuses[] = {204, 304, 205, 404, 201, 500, 299};
  if (random.once_in(6)) answer.status = kStatuses[random.below(7)];
  if (random.once_in(2)) answer.framed = static_cast<Framed>(random.below(6));
  if (answer.framed == Framed::until_close && !random.once_in(3)) answer.framed = Framed::chunked;
  answer.says_close = random.once_in(25);
  if (random.once_in(10)) answer.interims = static_cast<unsigned>(random.between(1, 3));
  if (random.once_in(12)) answer.corked = milliseconds(any_size(random, 200));
}

void choose_trouble(sim::Random& random, Answer& answer) {
  if (random.once_in(14)) answer.slip = static_cast<Slip>(random.between(1, 4));
  if (random.once_in(60)) {
    answer.breaks = static_cast<Breaks>(random.between(1, 3));
    answer.breaks_at = random.below(answer.size + 1);
  }
  answer.acts_on_server = random.once_in(250);
  answer.continues = static_cast<Continues>(random.below(3));
  // Whatever is said of a body is for one that is written piece by piece.
  if (answer.slip == Slip::too_long || answer.slip == Slip::too_short) {
    answer.framed = Framed::length;
    answer.status = 200;
  }
  if (answer.slip == Slip::two_framings) answer.status = 200;
}

}  // namespace

Answer answer_of(std::uint64_t script) {
  sim::Random random(script);
  Answer answer;
  answer.watched = !random.once_in(5);
  answer.size = random.once_in(5) ? 0 : any_size(random, 3000);
  if (random.once_in(8)) answer.size = any_size(random, 60'000);
  if (random.once_in(100)) answer.size = any_size(random, 400'000);
  answer.piece_max = static_cast<std::size_t>(any_size(random, answer.size + 1));
  answer.piece_max = std::max<std::size_t>(answer.piece_max, answer.size / 30 + 1);
  choose_head(random, answer);
  if (!answer.watched) {
    answer.framed = Framed::automatic;
    answer.interims = 0;
    answer.corked = Duration::zero();
    return answer;
  }
  choose_reading(random, answer);
  if (random.once_in(3)) answer.delay = milliseconds(any_size(random, 2000));
  if (random.once_in(12)) answer.delay = milliseconds(any_size(random, 15'000));
  if (random.once_in(5)) answer.gap = milliseconds(any_size(random, 100));
  answer.respects_full = !random.once_in(5);
  answer.callbacks = random.once_in(3);
  answer.end_takes_last = random.once_in(2);
  choose_trouble(random, answer);
  if (answer.reads == Reads::echoes) {
    answer.status = 200;
    answer.slip = Slip::none;
    answer.corked = Duration::zero();
    answer.end_takes_last = false;
    answer.breaks = Breaks::nothing;
    if (answer.framed == Framed::length) answer.framed = Framed::automatic;
  }
  return answer;
}

std::string describe(const Item& item) {
  const Answer& answer = item.answer;
  static const char* const kWrong[] = {"", ", bad head", ", bad body", ", cut"};
  static const char* const kSlips[] = {"", ", too long", ", too short", ", two framings",
                                       ", write after end"};
  std::string text = item.canonical.substr(0, item.canonical.find(' '));
  text += " body " + std::to_string(item.body_size) + (item.chunked ? " in chunks" : "");
  text += kWrong[static_cast<std::size_t>(item.wrong)];
  if (item.wrong_status != 0) text += " " + std::to_string(item.wrong_status);
  if (item.one_zero) text += ", 1.0";
  if (!item.keeps) text += ", closes";
  if (item.expects) text += ", expects";
  if (item.expects_other) text += ", expects wonders";
  if (item.has_tunnel()) text += ", tunnel";
  text += "; answer " + std::to_string(answer.status) + " of " + std::to_string(answer.size);
  text += answer.watched ? "" : " alone";
  text += ", reads " + std::to_string(static_cast<int>(answer.reads));
  text += ", framed " + std::to_string(static_cast<int>(answer.framed));
  text += kSlips[static_cast<std::size_t>(answer.slip)];
  if (answer.says_close) text += ", says close";
  if (answer.acts_on_server) text += ", acts";
  if (answer.corked != 0s) text += ", corked";
  return text;
}

std::string describe(const ServerPlan& plan) {
  const http::ServerOptions& options = plan.options;
  const auto time = [](Duration value) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(value).count());
  };
  const net::QueueLimits& queue = options.net.socket.queue;
  std::string text = "head " + time(options.headers_timeout.value_or(-1ms)) + " request " +
                     time(options.request_timeout) + " keep " + time(options.keep_alive_timeout) +
                     " idle " + time(options.net.socket.timeout) + " rate " +
                     std::to_string(options.body_rate_min) + " after " +
                     time(options.body_rate_grace);
  text += "; pipelined " + std::to_string(options.pipelined_max) + " requests " +
          std::to_string(options.requests_per_socket_max) + " body " +
          std::to_string(options.body_bytes_max.value_or(0)) + " queue " +
          std::to_string(queue.low_water) + "/" + std::to_string(queue.high_water) + "/" +
          std::to_string(queue.bytes_max);
  if (plan.checks_continue) text += "; check_continue";
  if (plan.checks_expectation) text += "; check_expectation";
  if (plan.takes_upgrades) text += "; upgrade";
  if (plan.takes_connects) text += "; connect";
  if (plan.hears_timeouts) text += "; timeout";
  return text + "; client_error " + std::to_string(plan.client_errors);
}

// ---- The server ----

ServerPlan random_server(sim::Random& random) {
  ServerPlan plan;
  http::ServerOptions& options = plan.options;
  if (random.once_in(2)) {
    constexpr Duration kTimes[] = {0s, 1s, 5s, 20s};
    options.headers_timeout = kTimes[random.below(4)];
  }
  if (random.once_in(2)) {
    constexpr Duration kTimes[] = {0s, 2s, 8s, 30s};
    options.request_timeout = kTimes[random.below(4)];
  }
  const Duration whole = options.request_timeout;
  if (options.headers_timeout && whole != 0s) {
    options.headers_timeout = std::min(*options.headers_timeout, whole);
  }
  if (random.once_in(2)) {
    constexpr Duration kTimes[] = {0s, 300ms, 2500ms, 30s};
    options.keep_alive_timeout = kTimes[random.below(4)];
  }
  if (random.once_in(3)) options.body_rate_min = random.once_in(2) ? 0 : 20'000;
  if (random.once_in(3)) options.body_rate_grace = random.once_in(2) ? 1s : 30s;
  if (random.once_in(6)) options.net.socket.timeout = random.once_in(2) ? 2s : 40s;
  if (random.once_in(4)) options.pipelined_max = random.between(1, 6);
  if (random.once_in(4)) {
    options.requests_per_socket_max = static_cast<std::uint32_t>(random.between(1, 12));
  }
  if (random.once_in(5)) options.body_bytes_max = any_size(random, 20'000);
  if (random.once_in(4)) options.parser.head_bytes_max = 2048;
  options.send_date = !random.once_in(4);
  if (random.once_in(2)) {
    net::QueueLimits& queue = options.net.socket.queue;
    queue.high_water = any_size(random, 40'000);
    queue.low_water = random.once_in(2) ? 0 : random.below(queue.high_water);
    queue.bytes_max = queue.high_water + any_size(random, 100'000);
  }
  options.net.socket.no_delay = random.once_in(2);
  plan.checks_continue = random.once_in(2);
  plan.checks_expectation = random.once_in(3);
  plan.takes_upgrades = random.once_in(2);
  plan.takes_connects = random.once_in(2);
  plan.sees_drops = random.once_in(2);
  plan.hears_timeouts = random.once_in(2);
  plan.client_errors = random.once_in(2) ? 0 : static_cast<unsigned>(random.between(1, 2));
  return plan;
}

}  // namespace weir::test::http_swarm
