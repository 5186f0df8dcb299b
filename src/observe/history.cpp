#include "observe/history.h"

#include <utility>

namespace pasvgate::observe {

void History::add(UnixTime time, Clock::time_point now, std::size_t sessions, std::uint64_t downloaded,
                  std::uint64_t uploaded) {
  const double passed = std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  const auto rate = [passed](std::uint64_t bytes, std::uint64_t before) {
    return passed > 0 ? static_cast<double>(bytes - before) / passed : 0;
  };
  samples_.push_back({.time = time,
                      .sessions = sessions,
                      .download = rate(downloaded, std::exchange(downloaded_, downloaded)),
                      .upload = rate(uploaded, std::exchange(uploaded_, uploaded))});
  if (samples_.size() > kMost) samples_.pop_front();
}

}  // namespace pasvgate::observe
