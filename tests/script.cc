#include "tests/script.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <sstream>
#include <utility>

namespace weir::test {
namespace {

// ---- As text ----

constexpr const char* kActs[] = {"connect",       "refused",      "write", "end",    "destroy",
                                 "destroy_error", "destroy_soon", "reset", "pause",  "resume",
                                 "blink",         "timeout",      "cork",  "uncork", "detach",
                                 "pipe",          "server_close", "listen"};
constexpr const char* kMoments[] = {"now",   "connecting", "connect", "data", "end",
                                    "drain", "finish",     "timeout", "close"};
constexpr const char* kSides[] = {"client", "peer"};

struct Flag {
  const char* name;
  bool SideOptions::*of;
};
constexpr Flag kFlags[] = {{"half_open", &SideOptions::half_open},
                           {"silent", &SideOptions::silent},
                           {"text", &SideOptions::text},
                           {"no_delay", &SideOptions::no_delay},
                           {"keep_alive", &SideOptions::keep_alive}};

struct Number {
  const char* name;
  std::size_t SideOptions::*of;
};
constexpr Number kNumbers[] = {{"high", &SideOptions::high_water},
                               {"limit", &SideOptions::queue_max}};

template <class Enum, std::size_t count>
bool find_name(const char* const (&names)[count], std::string_view name, Enum& found) {
  const auto* at = std::ranges::find(names, name);
  if (at == std::end(names)) return false;
  found = static_cast<Enum>(at - names);
  return true;
}

template <class Integer>
bool to_number(std::string_view word, Integer& number) {
  const char* const end = word.data() + word.size();
  const auto [stop, code] = std::from_chars(word.data(), end, number);
  return code == std::errc() && stop == end;
}

void print_side(const SideOptions& options, const std::string& side, std::string& out) {
  for (const Flag& flag : kFlags) {
    if (options.*flag.of) out += side + "." + flag.name + " ";
  }
  for (const Number& number : kNumbers) {
    if (options.*number.of == 0) continue;
    out += side + "." + number.name + "=" + std::to_string(options.*number.of) + " ";
  }
}

std::string text_of(const Step& step) {
  std::string out = (step.side == Side::client ? "c" : "p") + std::to_string(step.slot);
  if (step.when != Moment::now) out += std::string(" in ") + kMoments[int(step.when)];
  out += std::string(" ") + kActs[int(step.act)];
  if (step.size != 0) out += " " + std::to_string(step.size);
  if (step.times != 1) out += " x" + std::to_string(step.times);
  if (step.callback) out += " cb";
  return out;
}

bool parse_side(std::string_view word, SideOptions& options) {
  for (const Flag& flag : kFlags) {
    if (word == flag.name) return options.*flag.of = true;
  }
  for (const Number& number : kNumbers) {
    const std::string start = std::string(number.name) + "=";
    if (word.starts_with(start)) return to_number(word.substr(start.size()), options.*number.of);
  }
  return false;
}

bool parse_option(std::string_view word, Script& script) {
  if (word == "unix") return script.over_unix = true;
  if (word == "pause_on_connect") return script.pause_on_connect = true;
  if (word.starts_with("max=")) return to_number(word.substr(4), script.max_connections);
  for (std::size_t side = 0; side < 2; ++side) {
    const std::string start = std::string(kSides[side]) + ".";
    if (word.starts_with(start)) {
      return parse_side(word.substr(start.size()), script.sides[side]);
    }
  }
  return false;
}

std::optional<Step> parse_step(const std::string& line) {
  std::istringstream words(line);
  Step step;
  std::string word;
  if (!(words >> word) || word.size() < 2 || (word[0] != 'c' && word[0] != 'p')) return {};
  step.side = word[0] == 'c' ? Side::client : Side::peer;
  if (!to_number(std::string_view(word).substr(1), step.slot)) return {};
  if (step.slot < 1 || step.slot > kSlots || !(words >> word)) return {};
  if (word == "in" && !(words >> word && find_name(kMoments, word, step.when) && words >> word)) {
    return {};
  }
  if (!find_name(kActs, word, step.act)) return {};
  while (words >> word) {
    if (word == "cb") {
      step.callback = true;
    } else if (word[0] == 'x') {
      if (!to_number(std::string_view(word).substr(1), step.times)) return {};
    } else if (!to_number(word, step.size)) {
      return {};
    }
  }
  return step;
}

}  // namespace

std::string text(const Script& script) {
  std::string out;
  if (script.over_unix) out += "unix ";
  if (script.pause_on_connect) out += "pause_on_connect ";
  if (script.max_connections != 0) out += "max=" + std::to_string(script.max_connections) + " ";
  for (std::size_t side = 0; side < 2; ++side) print_side(script.sides[side], kSides[side], out);
  out += ":";
  const char* before = " ";
  for (const Step& step : script.steps) out += std::exchange(before, " ; ") + text_of(step);
  return out;
}

std::optional<Script> parse(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {};
  Script script;
  std::istringstream options{std::string(line.substr(0, colon))};
  for (std::string word; options >> word;) {
    if (!parse_option(word, script)) return {};
  }
  std::istringstream steps{std::string(line.substr(colon + 1))};
  for (std::string one; std::getline(steps, one, ';');) {
    if (one.find_first_not_of(' ') == std::string::npos) continue;
    const auto step = parse_step(one);
    if (!step) return {};
    script.steps.push_back(*step);
  }
  return script;
}

// ---- At random ----

namespace {

class Generator {
 public:
  explicit Generator(Random& random) : random_(random) {}

  Script make() {
    script_.over_unix = random_.once_in(3);
    script_.pause_on_connect = random_.once_in(8);
    if (random_.once_in(8)) script_.max_connections = 1 + random_.below(2);
    for (SideOptions& side : script_.sides) side = side_options();
    const std::size_t size = 2 + random_.below(14);
    while (script_.steps.size() < size) add();
    return std::move(script_);
  }

 private:
  SideOptions side_options() {
    SideOptions made;
    made.half_open = random_.once_in(3);
    made.silent = random_.once_in(4);
    made.text = random_.once_in(8);
    made.no_delay = random_.once_in(8);
    made.keep_alive = random_.once_in(8);
    if (random_.once_in(4)) made.high_water = std::size_t{1} << random_.below(18);
    if (random_.once_in(8)) made.queue_max = std::size_t{1000} << random_.below(9);
    return made;
  }

  // Mostly little; sometimes more than a window, rarely more than all buffers.
  std::size_t bytes() {
    switch (random_.below(24)) {
      case 0:
        return 1 + random_.below(4'000'000);
      case 1:
        return 65'535 + random_.below(3);
      case 2:
      case 3:
        return 1 + random_.below(300'000);
      case 4:
      case 5:
      case 6:
        return 1 + random_.below(20'000);
      case 7:
        return 0;
      case 8:
      case 9:
        return 1;
      default:
        return 1 + random_.below(2'000);
    }
  }

  template <std::size_t count>
  Act one_of(const Act (&acts)[count]) {
    return acts[random_.below(count)];
  }

  void add() {
    const unsigned slot = random_.once_in(3) ? 2 + unsigned(random_.below(kSlots - 1)) : 1;
    bool& open = open_[slot - 1];
    if (!open) {
      if (random_.once_in(6)) add_hook(slot);
      if (random_.once_in(12)) return push(Act::refused, slot, Side::client);
      open = true;
      push(Act::connect, slot, Side::client);
      if (script_.sides[1].silent && random_.once_in(3)) push(Act::pipe, slot, Side::peer);
      return;
    }
    if (random_.once_in(4)) add_hook(slot);
    const Side side = random_.once_in(2) ? Side::peer : Side::client;
    const Act act = any_act();
    push(act, slot, act == Act::detach ? Side::client : act == Act::pipe ? Side::peer : side);
    if (ends(act) && random_.once_in(2)) open = false;
  }

  static bool ends(Act act) {
    return act == Act::end || act == Act::destroy || act == Act::destroy_error ||
           act == Act::destroy_soon || act == Act::reset;
  }

  Act any_act() {
    static constexpr Act kOften[] = {Act::write, Act::write, Act::write,  Act::write, Act::write,
                                     Act::end,   Act::pause, Act::resume, Act::resume};
    static constexpr Act kAtTimes[] = {
        Act::destroy, Act::destroy_error, Act::destroy_soon, Act::reset, Act::cork, Act::uncork,
        Act::uncork,  Act::pipe,          Act::detach,       Act::blink, Act::end,  Act::end};
    static constexpr Act kSeldom[] = {Act::server_close, Act::listen, Act::connect, Act::refused,
                                      Act::timeout};
    if (random_.once_in(16)) return one_of(kSeldom);
    return random_.once_in(3) ? one_of(kAtTimes) : one_of(kOften);
  }

  Act act_in(Moment when) {
    static constexpr Act kBegins[] = {Act::write, Act::write, Act::end,  Act::destroy_soon,
                                      Act::reset, Act::cork,  Act::pause};
    static constexpr Act kAny[] = {Act::write, Act::write,  Act::end,           Act::destroy,
                                   Act::reset, Act::pause,  Act::destroy_error, Act::destroy_soon,
                                   Act::cork,  Act::detach, Act::blink,         Act::server_close,
                                   Act::pipe};
    static constexpr Act kOutput[] = {Act::write, Act::write, Act::end, Act::destroy,
                                      Act::destroy_error};
    static constexpr Act kAfter[] = {Act::connect, Act::connect, Act::refused,
                                     Act::write,   Act::end,     Act::server_close};
    switch (when) {
      case Moment::connecting:
        return one_of(kBegins);
      case Moment::drain:
      case Moment::finish:
      case Moment::timeout:
        return one_of(kOutput);
      case Moment::close:
        return one_of(kAfter);
      default:
        return one_of(kAny);
    }
  }

  // An act in a handler; half of the time the step that follows should cause the event.
  void add_hook(unsigned slot) {
    const Side side = random_.once_in(2) ? Side::peer : Side::client;
    const bool open = open_[slot - 1];
    const auto when = Moment((open ? 3 : 1) + random_.below(open ? 6 : 3));
    push(act_in(when), slot, side);
    script_.steps.back().when = when;
    if (!open || random_.once_in(2)) return;
    const Side other = side == Side::client ? Side::peer : Side::client;
    switch (when) {
      case Moment::data:
        return push(Act::write, slot, other);
      case Moment::end:
        return push(Act::end, slot, other);
      case Moment::drain:
        push(Act::write, slot, side);
        script_.steps.back().size = 100'000;
        return;
      case Moment::finish:
        return push(Act::end, slot, side);
      case Moment::timeout:
        return push(Act::timeout, slot, side);
      case Moment::close:
        return push(Act::destroy, slot, random_.once_in(2) ? side : other);
      default:
        return;
    }
  }

  void push(Act act, unsigned slot, Side side) {
    Step step{.act = act, .slot = slot, .side = side};
    if (act == Act::write || (act == Act::end && random_.once_in(2))) {
      step.size = bytes();
      step.callback = random_.once_in(3);
    }
    if (act == Act::write && random_.once_in(4)) step.times = 2 + unsigned(random_.below(4));
    script_.steps.push_back(step);
  }

  Random& random_;
  Script script_;
  std::array<bool, kSlots> open_{};
};

}  // namespace

Script generate(Random& random) { return Generator(random).make(); }

// ---- Smaller ----

namespace {

class Shrinker {
 public:
  Shrinker(Script script, const std::function<bool(const Script&)>& still_fails, int runs)
      : best_(std::move(script)), still_fails_(still_fails), runs_(runs) {}

  Script run() {
    for (bool changed = true; changed && runs_ > 0;) {
      const Script before = best_;
      drop_steps();
      drop_options();
      shrink_steps();
      changed = best_ != before;
    }
    return best_;
  }

 private:
  bool take(Script candidate) {
    if (candidate == best_ || runs_ <= 0) return false;
    --runs_;
    if (!still_fails_(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  void drop_steps() {
    for (std::size_t chunk = best_.steps.size(); chunk > 0; chunk /= 2) {
      for (std::size_t at = 0; at < best_.steps.size();) {
        Script less = best_;
        const auto first = less.steps.begin() + std::ptrdiff_t(at);
        const std::size_t size = std::min(chunk, less.steps.size() - at);
        less.steps.erase(first, first + std::ptrdiff_t(size));
        if (!take(std::move(less))) at += chunk;
      }
    }
  }

  template <class Change>
  void try_change(Change&& change) {
    Script changed = best_;
    change(changed);
    take(std::move(changed));
  }

  void drop_options() {
    try_change([](Script& script) { script.over_unix = false; });
    try_change([](Script& script) { script.pause_on_connect = false; });
    try_change([](Script& script) { script.max_connections = 0; });
    for (std::size_t side = 0; side < 2; ++side) {
      for (const Flag& flag : kFlags) {
        try_change([&](Script& script) { script.sides[side].*flag.of = false; });
      }
      for (const Number& number : kNumbers) {
        try_change([&](Script& script) { script.sides[side].*number.of = 0; });
      }
    }
  }

  void shrink_steps() {
    try_change([](Script& script) {
      for (Step& step : script.steps) step.slot = 1;
    });
    for (std::size_t i = 0; i < best_.steps.size(); ++i) {
      try_change([i](Script& script) { script.steps[i].slot = 1; });
      try_change([i](Script& script) { script.steps[i].side = Side::client; });
      try_change([i](Script& script) { script.steps[i].callback = false; });
      try_change([i](Script& script) { script.steps[i].times = 1; });
      try_change([i](Script& script) { script.steps[i].size = 0; });
      shrink_size(i);
    }
  }

  // Between what passes and what fails, halving.
  void shrink_size(std::size_t step) {
    std::size_t passes = 0;
    while (best_.steps[step].size > passes + 1 && runs_ > 0) {
      const std::size_t middle = passes + (best_.steps[step].size - passes) / 2;
      Script smaller = best_;
      smaller.steps[step].size = middle;
      if (!take(std::move(smaller))) passes = middle;
    }
  }

  Script best_;
  const std::function<bool(const Script&)>& still_fails_;
  int runs_;
};

}  // namespace

Script shrink(Script script, const std::function<bool(const Script&)>& still_fails, int runs_max) {
  return Shrinker(std::move(script), still_fails, runs_max).run();
}

}  // namespace weir::test
