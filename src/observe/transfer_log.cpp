#include "observe/transfer_log.h"

#include <spdlog/fmt/chrono.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "ftp/line.h"

namespace pasvgate::observe {
namespace {

using Result = gateway::TransferNote::Result;

/// A field that blanks may not cut in two; a "-" where there is nothing.
std::string one_word(std::string_view text) {
  std::string word(text.empty() ? "-" : text);
  std::ranges::replace_if(
      word, [](char byte) { return static_cast<unsigned char>(byte) <= ' ' || byte == '\x7f'; }, '_');
  return word;
}

bool is_anonymous(std::string_view user) { return user == "anonymous" || user == "ftp"; }

}  // namespace

bool is_for_transfer_log(const gateway::TransferNote& note) {
  const bool is_file = note.verb == ftp::Verb::Retr || note.direction == ftp::Direction::Upload;
  return is_file && note.result != Result::Refused;
}

std::string xferlog_line(const TransferRecord& record) {
  const std::time_t ended = std::chrono::system_clock::to_time_t(record.ended);
  std::tm local{};
  ::localtime_r(&ended, &local);
  const auto seconds = std::max(std::chrono::round<std::chrono::seconds>(record.duration), std::chrono::seconds(1));
  return fmt::format("{:%a %b %e %H:%M:%S %Y} {} {} {} {} {} _ {} {} {} ftp 0 * {}", local, seconds.count(),
                     record.client.text(), record.note.bytes, one_word(record.note.path), record.note.ascii ? 'a' : 'b',
                     record.note.direction == ftp::Direction::Upload ? 'i' : 'o', is_anonymous(record.user) ? 'a' : 'r',
                     one_word(record.user), record.note.result == Result::Ok ? 'c' : 'i');
}

std::string json_transfer_line(const TransferRecord& record) {
  const auto whole = std::chrono::floor<std::chrono::milliseconds>(record.ended);
  const nlohmann::ordered_json json{
      {"time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                           whole.time_since_epoch().count() % 1000)},
      {"session", record.session},
      {"listener", record.listener},
      {"client", record.client.text()},
      {"user", ftp::escaped(record.user)},
      {"verb", ftp::verb_name(record.note.verb)},
      {"path", ftp::escaped(record.note.path)},
      {"direction", record.note.direction == ftp::Direction::Upload ? "upload" : "download"},
      {"type", record.note.ascii ? "ascii" : "binary"},
      {"bytes", record.note.bytes},
      {"seconds", std::chrono::duration<double>(record.duration).count()},
      {"result", gateway::result_name(record.note.result)},
      {"code", record.note.code}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace pasvgate::observe
