// What a client sends on one connection, and how.
#include <algorithm>
#include <utility>

#include "tests/http_swarm_plan.h"

namespace weir::test::http_swarm {
namespace {

using namespace std::chrono_literals;
using Pairs = std::vector<std::pair<std::string, std::string>>;

struct BadHead {
  std::string_view text;
  int status;
};

constexpr BadHead kBadHeads[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nName : x\r\n\r\n", 400},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\r\n\r\n", 400},
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nhello", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
    {"\r\n\r\n\r\n\r\n\r\n", 400},
    {"!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!", 400},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
};

constexpr std::string_view kBadChunks[] = {
    "zz\r\n", "5\r\n", "00000000000000005\r\n", "5\nhello", "0\r\nHost: b\r\n\r\n",
    "3;=\r\nabc\r\n", "-1\r\n", "\r\n"};

Duration milliseconds(std::uint64_t count) {
  return Duration(1ms) * static_cast<Duration::rep>(count);
}

class Writer {
 public:
  Writer(sim::Random& random, std::uint32_t line, const ServerPlan& server)
      : random_(random), line_(line), server_(server) {}

  Script write() {
    std::uint64_t left = random_.between(1, random_.once_in(4) ? 50 : 12);
    while (left-- > 0 && !over_) {
      if (left == 0 && random_.once_in(2)) {
        add_last();
      } else {
        add_request();
      }
    }
    if (!over_ && script_.items.size() > 0 && random_.once_in(10)) cut();
    if (over_ && !is_cut_ && !last().has_tunnel() && random_.once_in(2)) {
      add_ghosts();
    }
    plan();
    return std::move(script_);
  }

 private:
  Item& last() { return script_.items.back(); }
  std::string& text() { return script_.text; }

  Item& begin() {
    Item& item = script_.items.emplace_back();
    item.line = line_;
    item.number = static_cast<std::uint32_t>(script_.items.size());
    item.script = random_.next();
    item.answer = answer_of(item.script);
    item.begin = text().size();
    return item;
  }

  // `first`, and then what names the item with `between`.
  std::string named(const Item& item, char first, char between) const {
    std::string name(1, first);
    name += hex(line_);
    (name += between) += hex(item.number);
    (name += between) += hex(item.script);
    return name;
  }

  std::string target_of(const Item& item) {
    std::string target = named(item, '/', '/');
    if (random_.once_in(10)) target += "?a=b&c";
    if (random_.once_in(20)) target = "http://swarm:80" + target;
    return target;
  }

  void put_head(Item& item, std::string_view method, const std::string& target,
                const Pairs& fields) {
    const int minor = item.one_zero ? 0 : 1;
    text() += std::string(method) + " " + target + (minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    std::vector<http::Field> seen;
    for (const auto& [name, value] : fields) {
      seen.push_back({name, value});
      const std::uint64_t form = random_.below(12);
      text() += name;
      text() += form == 0 ? ":" : form == 1 ? ": \t " : ": ";
      text() += value;
      text() += form == 2 ? " \t\r\n" : "\r\n";
    }
    text() += "\r\n";
    item.canonical = canonical_head(method, target, minor, seen);
    item.to_head = method == "HEAD";
    item.body_begin = item.end = text().size();
  }

  Pairs common_fields(Item& item) {
    Pairs fields;
    if (!item.one_zero || random_.once_in(2)) fields.emplace_back("Host", "swarm");
    if (item.one_zero && random_.once_in(2)) {
      fields.emplace_back("Connection", "Keep-Alive");
    } else if (item.one_zero || random_.once_in(40)) {
      item.keeps = false;
      if (!item.one_zero) fields.emplace_back("Connection", "close");
    }
    if (random_.once_in(3)) fields.emplace_back("X-Empty", "");
    if (random_.once_in(4)) fields.emplace_back("Cookie", "a=1; b=\"2\"");
    if (random_.once_in(8)) fields.emplace_back("X-Pad", std::string(any_size(random_, 900), 'p'));
    return fields;
  }

  void add_request() {
    Item& item = begin();
    for (std::uint64_t i = random_.once_in(20) ? random_.between(1, 4) : 0; i > 0; --i) {
      text() += "\r\n";
    }
    item.one_zero = random_.once_in(15);
    Pairs fields = common_fields(item);
    const bool has_body = random_.once_in(2);
    if (!item.one_zero && item.keeps && !has_body && random_.once_in(30) &&
        !server_.takes_upgrades) {
      fields.emplace_back("Connection", "upgrade");
      fields.emplace_back("Upgrade", "swarm");
    }
    if (!item.one_zero && random_.once_in(has_body ? 8 : 40)) {
      item.expects_other = random_.once_in(4);
      item.expects = !item.expects_other && has_body;
      if (item.expects_other) fields.emplace_back("Expect", "wonders");
      if (item.expects) fields.emplace_back("Expect", "100-Continue");
    }
    if (has_body) {
      add_body(item, fields);
    } else {
      constexpr std::string_view kMethods[] = {"GET", "GET", "HEAD", "DELETE", "OPTIONS"};
      const std::string_view method = kMethods[random_.below(5)];
      put_head(item, method, target_of(item), fields);
    }
    if (!last().keeps || last().wrong != Wrong::nothing) over_ = true;
  }

  void add_body(Item& item, Pairs& fields) {
    std::uint64_t size = random_.once_in(8) ? 0 : any_size(random_, 2000);
    if (random_.once_in(8)) size = any_size(random_, 60'000);
    if (random_.once_in(300)) size = any_size(random_, 2'500'000);
    item.chunked = !item.one_zero && random_.once_in(2);
    if (item.chunked) {
      fields.emplace_back("Transfer-Encoding", "chunked");
    } else {
      fields.emplace_back("Content-Length", std::to_string(size));
      if (size == 0) item.expects = false;
    }
    const auto most = server_.options.body_bytes_max;
    if (most && size > *most) {
      item.wrong = item.chunked ? Wrong::body : Wrong::head;
      item.wrong_status = 413;
    }
    item.body_size = size;
    constexpr std::string_view kMethods[] = {"POST", "PUT", "PATCH", "GET"};
    const std::string_view method = kMethods[random_.below(4)];
    put_head(item, method, target_of(item), fields);
    item.chunked ? put_chunks(item) : put_plain(item, 0, size);
    item.end = text().size();
  }

  void put_plain(const Item& item, std::uint64_t at, std::uint64_t size) {
    while (size > 0) {
      const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(size, 65536));
      text() += noise(item.body_key(), at, piece);
      at += piece;
      size -= piece;
    }
  }

  void put_chunks(Item& item) {
    const std::uint64_t most = item.body_size / 40 + any_size(random_, item.body_size + 1);
    for (std::uint64_t at = 0; at < item.body_size;) {
      const std::uint64_t piece = std::min(item.body_size - at, random_.between(1, most));
      if (random_.once_in(10)) text() += "0";
      text() += hex(piece) + (random_.once_in(5) ? ";x=\"y\";z\r\n" : "\r\n");
      put_plain(item, at, piece);
      text() += "\r\n";
      at += piece;
    }
    if (item.wrong == Wrong::nothing && random_.once_in(25)) {
      item.wrong = Wrong::body;
      item.wrong_status = 400;
      const std::string_view bad = kBadChunks[random_.below(std::size(kBadChunks))];
      text() += bad;
      if (bad != "5\r\n") return;
      put_plain(item, item.body_size, 5);
      item.body_size += 5;
      const auto most_bytes = server_.options.body_bytes_max;
      if (most_bytes && item.body_size > *most_bytes) item.wrong_status = 413;
      text() += "!\r\n";
      return;
    }
    text() += random_.once_in(5) ? "000\r\n" : "0\r\n";
    if (random_.once_in(3)) {
      const std::string sum = std::to_string(item.body_size);
      text() += "X-Sum: " + sum + "\r\nX-Last:\r\n";
      const http::Field fields[] = {{"X-Sum", sum}, {"X-Last", ""}};
      item.trailers = canonical_fields(fields);
    }
    text() += "\r\n";
  }

  // What no request follows, or nothing at all.
  void add_last() {
    over_ = true;
    Item& item = begin();
    switch (random_.below(5)) {
      case 0: return add_tunnel(item, true);
      case 1:
        if (server_.takes_upgrades) return add_tunnel(item, false);
        [[fallthrough]];
      default: return add_bad_head(item);
    }
  }

  void add_bad_head(Item& item) {
    item.wrong = Wrong::head;
    const std::size_t most = server_.options.parser.head_bytes_max;
    const std::uint64_t kind = random_.below(std::size(kBadHeads) + 2);
    if (kind == std::size(kBadHeads)) {
      text() += "GET /" + std::string(most, 'x');
      item.wrong_status = 414;
    } else if (kind > std::size(kBadHeads)) {
      text() += "GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(most, 'x');
      item.wrong_status = 431;
    } else {
      text() += kBadHeads[kind].text;
      item.wrong_status = kBadHeads[kind].status;
    }
    item.body_begin = item.end = text().size();
  }

  void add_tunnel(Item& item, bool connects) {
    item.connects = connects;
    item.upgrades = !connects;
    if (connects) {
      const std::string target = named(item, 'x', '.') + ":1";
      put_head(item, "CONNECT", target, {{"Host", target}});
    } else {
      put_head(item, "GET", target_of(item),
               {{"Host", "a"}, {"Connection", "x, Upgrade"}, {"Upgrade", "swarm/1"}});
    }
    script_.tunnel_size = any_size(random_, 20'000);
    for (std::uint64_t at = 0; at < script_.tunnel_size;) {
      const std::uint64_t piece = std::min<std::uint64_t>(script_.tunnel_size - at, 65536);
      text() += noise(tunnel_key(line_, true), at, static_cast<std::size_t>(piece));
      at += piece;
    }
  }

  void cut() {
    Item& item = last();
    if (item.end <= item.begin + 3 || item.wrong != Wrong::nothing) return;
    std::size_t head = item.begin;
    while (text()[head] == '\r' || text()[head] == '\n') ++head;
    const std::size_t at = head + 1 + random_.below(item.end - head - 1);
    item.wrong = at < item.body_begin ? Wrong::head : Wrong::cut;
    item.wrong_status = 400;
    item.body_begin = std::min(item.body_begin, at);
    item.end = at;
    text().resize(at);
    over_ = is_cut_ = true;
  }

  void add_ghosts() {
    script_.has_ghosts = true;
    for (std::uint64_t left = random_.between(1, 4); left > 0; --left) {
      Item& item = begin();
      put_head(item, "GET", target_of(item), {{"Host", "ghost"}});
    }
  }

  void plan() {
    LinePlan& plan = script_.plan;
    plan.depth = random_.once_in(3) ? 1 : static_cast<unsigned>(any_size(random_, 50));
    plan.write_max = static_cast<std::size_t>(any_size(random_, random_.once_in(2) ? 200 : 20'000));
    plan.write_max = std::max(plan.write_max, text().size() / 150 + 1);
    if (random_.once_in(3)) plan.gap = milliseconds(any_size(random_, 300));
    if (random_.once_in(3)) plan.think = milliseconds(any_size(random_, 7000));
    if (random_.once_in(4)) {
      plan.pauses_once_in = static_cast<unsigned>(random_.between(1, 10));
      plan.pause_max = milliseconds(any_size(random_, 3000));
    }
    plan.obeys_close = random_.once_in(2);
    if (!random_.once_in(4)) plan.patience = milliseconds(any_size(random_, 2000));
    if (random_.once_in(8)) plan.breaks_at = any_size(random_, 10'000);
    if (random_.once_in(10)) plan.breaks_after = milliseconds(any_size(random_, 20'000));
    plan.resets = random_.once_in(2);
    plan.ends_early = is_cut_ || random_.once_in(4);
    plan.waits_for_end = random_.once_in(2);
    plan.half_open = !random_.once_in(3);
    if (random_.once_in(10)) plan.stalls_at = random_.below(text().size() + 1);
    if (is_cut_) plan.stalls_at = SIZE_MAX;
  }

  sim::Random& random_;
  const std::uint32_t line_;
  const ServerPlan& server_;
  Script script_;
  bool over_ = false;
  bool is_cut_ = false;
};

}  // namespace

Script random_script(sim::Random& random, std::uint32_t line, const ServerPlan& server) {
  return Writer(random, line, server).write();
}

}  // namespace weir::test::http_swarm
