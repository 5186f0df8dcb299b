#include "gateway/foreign.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace pasvgate::gateway {
namespace {

char upper(char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; }
bool is_letter(char byte) { return upper(byte) >= 'A' && upper(byte) <= 'Z'; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

/// HTTP/1.1, SIP/2.0, RTSP/1.0.
bool is_version(std::string_view word) {
  const auto slash = word.find('/');
  if (slash == 0 || slash == std::string_view::npos) return false;
  return std::ranges::all_of(word.substr(0, slash), is_letter) && slash + 1 < word.size() && is_digit(word[slash + 1]);
}

/// What SMTP begins with.
bool is_mail(std::string_view name) {
  constexpr std::array<std::string_view, 3> kHellos{"EHLO", "HELO", "LHLO"};
  return std::ranges::any_of(kHellos,
                             [&](std::string_view hello) { return std::ranges::equal(name, hello, {}, upper); });
}

}  // namespace

bool is_foreign(const ftp::Command& command) {
  if (command.verb != ftp::Verb::Other) return false;
  const bool is_header = command.name.size() > 1 && command.name.ends_with(':');
  const auto last = command.argument.substr(command.argument.find_last_of(' ') + 1);
  return is_header || is_version(last) || is_mail(command.name) || command.name.starts_with("SSH-");
}

}  // namespace pasvgate::gateway
