#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "observe/trace.h"
#include "observe/transfer_log.h"
#include "require.h"

// What is kept of what peers say: the ring of a session's last lines, and the lines of the transfer log.
using namespace pasvgate;
using namespace pasvgate::observe;

namespace {

/// What was added last is there, in its order, each line whole or cut at the bound.
void check_trace(std::string_view bytes) {
  Trace trace;
  std::vector<TraceLine> added;
  std::uint8_t number = 0;
  while (!bytes.empty()) {
    const auto end = std::min(bytes.find('\n'), bytes.size());
    const auto line = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    const auto speaker = static_cast<Speaker>(number++ % 3);
    const std::chrono::milliseconds age(std::int64_t{number} << (number % 40));
    trace.add(age, speaker, line);
    added.push_back({age, speaker, std::string(line)});
    const auto kept = trace.lines();
    require(!kept.empty() && kept.size() <= added.size());
    std::size_t total = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const TraceLine& was = added[added.size() - kept.size() + i];
      total += kept[i].text.size();
      require(kept[i].from == was.from);
      require(kept[i].text.size() <= Trace::kLongestLine + 8);
      require(kept[i].text.substr(0, 8) == was.text.substr(0, 8));
    }
    require(total <= Trace::kBytes);
  }
}

void check_records(std::string_view path, std::string_view user) {
  const gateway::TransferNote note{.verb = ftp::Verb::Stor,
                                   .direction = ftp::Direction::Upload,
                                   .path = std::string(path),
                                   .result = gateway::TransferNote::Result::Broken,
                                   .bytes = 1,
                                   .ascii = false,
                                   .code = 426,
                                   .contradicted = true,
                                   .client_setup = ftp::Verb::Pasv,
                                   .backend_setup = ftp::Verb::Epsv};
  const TransferRecord record{.note = note,
                              .ended = {},
                              .duration = std::chrono::seconds{1},
                              .client = ftp::Address::v4({192, 0, 2, 1}),
                              .user = user,
                              .session = "1",
                              .listener = "public"};
  // One line, and as many fields as there are, whatever a name holds.
  const std::string line = xferlog_line(record);
  require(std::ranges::none_of(line, [](char byte) { return static_cast<unsigned char>(byte) < 0x20; }));
  std::size_t fields = 1;
  for (std::size_t i = 1; i < line.size(); ++i) fields += line[i] == ' ' && line[i - 1] != ' ' ? 1U : 0U;
  require(fields == 18);
  const std::string as_json = json_transfer_line(record);
  require(as_json.find('\n') == std::string::npos && nlohmann::json::accept(as_json));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_trace(bytes);
  const auto half = bytes.size() / 2;
  check_records(bytes.substr(0, half), bytes.substr(half));
  return 0;
}
