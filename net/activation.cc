#include "weir/net/activation.h"

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "weir/reactor/posix.h"

namespace weir::inline v1::net {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

// -1 for what is no number of descriptors.
int number_in(std::string_view text) noexcept {
  int number = -1;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  return error == std::errc() && end == text.end() && number >= 0 ? number : -1;
}

std::string take_name(std::string_view& names) {
  const std::size_t end = names.find(':');
  std::string name(names.substr(0, end));
  names = end == std::string_view::npos ? std::string_view() : names.substr(end + 1);
  return name;
}

}  // namespace

Expected<std::vector<InheritedDescriptor>> inherited_descriptors() {
  const std::string pid = take_variable("LISTEN_PID");
  const std::string count_text = take_variable("LISTEN_FDS");
  const std::string names_text = take_variable("LISTEN_FDNAMES");
  std::vector<InheritedDescriptor> found;
  if (count_text.empty() || number_in(pid) != posix::process_id()) return found;
  const int count = number_in(count_text);
  if (count < 0) {
    return failure({.code = errno_code(EINVAL),
                    .detail = "LISTEN_FDS is \"" + count_text + "\", which is no number"});
  }
  std::string_view names = names_text;
  for (int fd = kFirst; fd - kFirst < count; ++fd) {
    if (!posix::set_close_on_exec(fd)) {
      return failure({.code = errno_code(EINVAL),
                      .detail = "LISTEN_FDS is " + count_text + ", but descriptor " +
                                std::to_string(fd) + " is not open"});
    }
    found.push_back({.fd = fd, .name = take_name(names)});
  }
  return found;
}

}  // namespace weir::inline v1::net
