#include "weir/http/date.h"

#include <algorithm>
#include <iterator>

namespace weir::inline v1::http {
namespace {

constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::int64_t kSecondsADay = 86400;

struct Date {
  int year = 0;
  int month = 0;    // 1-12
  int day = 0;      // 1-31
  int weekday = 0;  // 0: Sunday
  int hour = 0;
  int minute = 0;
  int second = 0;
};

// Years of this count begin in March, so that a leap day is the last one, and come in eras of 400
// with 146 097 days each. 719 468 days lie between 0000-03-01 and 1970-01-01.
constexpr std::int64_t days_since_1970(int year, int month, int day) noexcept {
  const std::int64_t years = month <= 2 ? year - 1 : year;
  const std::int64_t era = (years >= 0 ? years : years - 399) / 400;
  const std::int64_t year_of_era = years - era * 400;
  const int month_from_march = (month + 9) % 12;
  const std::int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

constexpr std::int64_t kFirst = days_since_1970(0, 1, 1) * kSecondsADay;
constexpr std::int64_t kLast = days_since_1970(10000, 1, 1) * kSecondsADay - 1;

// Of seconds in [kFirst, kLast].
Date date_of(std::int64_t seconds) noexcept {
  const std::int64_t since_march = (seconds - kFirst) / kSecondsADay + kFirst / kSecondsADay;
  const std::int64_t days = since_march + 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const std::int64_t day_of_era = days - era * 146097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const std::int64_t time = (seconds - kFirst) % kSecondsADay;
  Date date;
  date.month =
      static_cast<int>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  date.year = static_cast<int>(year_of_era + era * 400 + (date.month <= 2 ? 1 : 0));
  date.day = static_cast<int>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  date.weekday = static_cast<int>(((since_march + 4) % 7 + 7) % 7);
  date.hour = static_cast<int>(time / 3600);
  date.minute = static_cast<int>(time / 60 % 60);
  date.second = static_cast<int>(time % 60);
  return date;
}

// Takes fixed pieces off the front of a text; once something is missing, nothing matches any more.
class Pieces {
 public:
  explicit Pieces(std::string_view text) noexcept : rest_(text) {}

  void text(std::string_view wanted) noexcept {
    good_ = good_ && rest_.starts_with(wanted);
    if (good_) rest_.remove_prefix(wanted.size());
  }
  int number(std::size_t digits) noexcept {
    int value = 0;
    const std::string_view taken = take(digits);
    for (const char c : taken) {
      good_ = good_ && c >= '0' && c <= '9';
      value = value * 10 + (c - '0');
    }
    return value;
  }
  // The day of asctime: two places, the first may be a blank.
  int padded_number() noexcept {
    if (!rest_.starts_with(' ')) return number(2);
    text(" ");
    return number(1);
  }
  int month() noexcept {
    const std::size_t at = kMonths.find(take(3));
    good_ = good_ && at != std::string_view::npos && at % 3 == 0;
    return static_cast<int>(at / 3) + 1;
  }
  void time(Date& date) noexcept {
    date.hour = number(2);
    text(":");
    date.minute = number(2);
    text(":");
    date.second = number(2);
  }
  int weekday(bool whole) noexcept {
    for (int day = 0; day < 7; ++day) {
      const std::string_view name = whole ? kDays[day] : kDays[day].substr(0, 3);
      if (!rest_.starts_with(name)) continue;
      rest_.remove_prefix(name.size());
      return day;
    }
    good_ = false;
    return 0;
  }
  bool ended() const noexcept { return good_ && rest_.empty(); }

 private:
  std::string_view take(std::size_t size) noexcept {
    good_ = good_ && rest_.size() >= size;
    if (!good_) return {};
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  bool good_ = true;
};

std::optional<std::int64_t> seconds_of(const Date& date) noexcept {
  const bool in_range = date.day >= 1 && date.hour <= 23 && date.minute <= 59 && date.second <= 60;
  if (!in_range) return std::nullopt;
  const std::int64_t days = days_since_1970(date.year, date.month, date.day);
  const std::int64_t time = date.hour * 3600 + date.minute * 60 + std::min(date.second, 59);
  const std::int64_t seconds = days * kSecondsADay + time;
  const Date same = date_of(seconds);  // not the same for the 31st of June
  if (same.month != date.month || same.weekday != date.weekday) return std::nullopt;
  return seconds;
}

}  // namespace

std::array<char, kDateBytes> format_date(std::int64_t seconds) noexcept {
  const Date date = date_of(std::clamp(seconds, kFirst, kLast));
  std::array<char, kDateBytes> text;
  char* at = text.data();
  const auto put = [&](std::string_view piece) { at = std::ranges::copy(piece, at).out; };
  const auto put_two = [&](int value) {
    *at++ = static_cast<char>('0' + value / 10);
    *at++ = static_cast<char>('0' + value % 10);
  };
  put(kDays[date.weekday].substr(0, 3));
  put(", ");
  put_two(date.day);
  put(" ");
  put(kMonths.substr(static_cast<std::size_t>(date.month - 1) * 3, 3));
  put(" ");
  put_two(date.year / 100);
  put_two(date.year % 100);
  put(" ");
  put_two(date.hour);
  put(":");
  put_two(date.minute);
  put(":");
  put_two(date.second);
  put(" GMT");
  return text;
}

std::optional<std::int64_t> parse_date(std::string_view text, std::int64_t now) noexcept {
  Date date;
  Pieces pieces(text);
  const std::size_t comma = text.find(',');
  date.weekday = pieces.weekday(comma != std::string_view::npos && comma != 3);
  if (comma == std::string_view::npos) {
    pieces.text(" ");
    date.month = pieces.month();
    pieces.text(" ");
    date.day = pieces.padded_number();
    pieces.text(" ");
    pieces.time(date);
    pieces.text(" ");
    date.year = pieces.number(4);
    return pieces.ended() ? seconds_of(date) : std::nullopt;
  }
  const bool two_digits = comma != 3;
  const std::string_view between = two_digits ? "-" : " ";
  pieces.text(", ");
  date.day = pieces.number(2);
  pieces.text(between);
  date.month = pieces.month();
  pieces.text(between);
  date.year = pieces.number(two_digits ? 2 : 4);
  pieces.text(" ");
  pieces.time(date);
  pieces.text(" GMT");
  if (!pieces.ended()) return std::nullopt;
  if (two_digits) {
    const int this_year = date_of(std::clamp(now, kFirst, kLast)).year;
    date.year += this_year / 100 * 100 + 100;
    while (date.year > this_year + 50) date.year -= 100;
  }
  return seconds_of(date);
}

}  // namespace weir::inline v1::http
