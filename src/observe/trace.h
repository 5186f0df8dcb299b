#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pasvgate::observe {

/// Who said a line of a dialogue. What the gateway says of itself or of a change that it made is the gateway's.
enum class Speaker : std::uint8_t { Client, Backend, Gateway };
std::string_view speaker_name(Speaker speaker);  ///< "client", "backend", "gateway"

struct TraceLine {
  std::chrono::milliseconds age;  ///< Since the session began.
  Speaker from;
  std::string text;
};

/// The last lines of a session's dialogue, passwords masked, in at most `kBytes` bytes: the oldest go first. Packed
/// into one string, as every idle session has one.
class Trace {
 public:
  static constexpr std::size_t kBytes = 2048;
  static constexpr std::size_t kLongestLine = 512;

  void add(std::chrono::milliseconds age, Speaker from, std::string_view text);
  [[nodiscard]] std::vector<TraceLine> lines() const;

 private:
  std::string packed_;
};

}  // namespace pasvgate::observe
