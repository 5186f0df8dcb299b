#include "net/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace pasvgate::net {
namespace {

constexpr std::uint64_t kSlow = 2'000'000;

}  // namespace

RunDelay::RunDelay() : file_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}

void RunDelay::turn_begins(std::uint64_t now) {
  began_ = now;
  if (!file_ || now - read_at_ < kSlow) return;
  delay_ = read().value_or(0);
  read_at_ = now;
}

std::uint64_t RunDelay::turn_ends(std::uint64_t now) {
  const std::uint64_t took = now - began_;
  if (!file_ || took < kSlow) return took;
  const auto delay = read();
  if (!delay) return took;
  const std::uint64_t others = *delay - std::exchange(delay_, *delay);
  // Some of it may have been before this turn, but no more than that took.
  const std::uint64_t before = began_ - std::exchange(read_at_, now);
  return took - std::min(took, others - std::min(others, before));
}

std::optional<std::uint64_t> RunDelay::read() const {
  // "time on a core, time ready for one, how often"
  std::array<char, 80> bytes{};
  const auto count = ::pread(file_.get(), bytes.data(), bytes.size(), 0);
  if (count <= 0) return std::nullopt;
  std::string_view text(bytes.data(), static_cast<std::size_t>(count));
  text.remove_prefix(std::min(text.find(' '), text.size() - 1) + 1);
  std::uint64_t delay = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), delay);
  return error == std::errc() ? std::optional(delay) : std::nullopt;
}

}  // namespace pasvgate::net
