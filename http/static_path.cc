#include "weir/http/static_path.h"

#include <cstddef>

#include "weir/http/limits.h"

namespace weir::inline v1::http {
namespace {

// -1 for what is no digit.
int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::string> decode(std::string_view path) {
  std::string decoded;
  decoded.reserve(path.size());
  for (std::size_t at = 0; at < path.size(); ++at) {
    char byte = path[at];
    if (byte == '%') {
      if (path.size() - at < 3) return {};
      const int high = digit_of(path[at + 1]);
      const int low = digit_of(path[at + 2]);
      if (high < 0 || low < 0) return {};
      byte = static_cast<char>(high * 16 + low);
      if (byte == '/') return {};
      at += 2;
    }
    if (byte == '\0') return {};
    decoded += byte;
  }
  return decoded;
}

bool is_served_component(std::string_view component, bool hidden) {
  if (component.empty() || component == "." || component == "..") return false;
  return hidden || component.front() != '.';
}

bool is_unreserved(char c) {
  const char lower = static_cast<char>(c | 0x20);
  const bool letter = lower >= 'a' && lower <= 'z';
  return letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

}  // namespace

bool is_served(std::string_view name, bool hidden) {
  if (name.size() > limits::kFileNameBytesMax) return false;
  while (!name.empty()) {
    const std::size_t slash = name.find('/');
    if (!is_served_component(name.substr(0, slash), hidden)) return false;
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
  }
  return true;
}

std::optional<std::string> file_name_of(std::string_view path, bool hidden) {
  auto name = decode(path);
  if (!name || !is_served(*name, hidden)) return {};
  return name;
}

std::string escape_component(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : name) {
    if (is_unreserved(c)) {
      escaped += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    escaped += '%';
    escaped += kDigits[byte >> 4];
    escaped += kDigits[byte & 15];
  }
  return escaped;
}

}  // namespace weir::inline v1::http
