#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ranges>

#include "config/read.h"

namespace pasvgate::config {
namespace {

struct Unit {
  std::string_view name;
  Milliseconds length;
};

constexpr std::array<Unit, 4> kUnits{{{"ms", Milliseconds(1)},
                                      {"s", std::chrono::seconds(1)},
                                      {"m", std::chrono::minutes(1)},
                                      {"h", std::chrono::hours(1)}}};
constexpr Milliseconds kLongest = std::chrono::hours(365 * 24);

}  // namespace

std::optional<Milliseconds> parse_duration(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = digits == text.size() ? "s" : text.substr(digits);
  const auto* const found = std::ranges::find(kUnits, unit, &Unit::name);
  if (found == kUnits.end()) return std::nullopt;
  const auto most = static_cast<std::uint64_t>(kLongest / found->length);
  // A year in milliseconds is more than 32 bits hold, so this isn't ftp::parse_decimal.
  if (digits == 0) return std::nullopt;
  std::uint64_t count = 0;
  for (const char digit : text.substr(0, digits)) {
    count = count * 10 + static_cast<std::uint64_t>(digit - '0');
    if (count > most) return std::nullopt;
  }
  return found->length * static_cast<std::int64_t>(count);
}

std::string write_duration(Milliseconds duration) {
  if (duration == Milliseconds(0)) return "0s";
  for (const Unit& unit : kUnits | std::views::reverse) {
    if (duration % unit.length == Milliseconds(0)) {
      return std::to_string(duration / unit.length) + std::string(unit.name);
    }
  }
  return std::to_string(duration.count()) + "ms";
}

}  // namespace pasvgate::config
