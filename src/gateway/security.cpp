#include "gateway/security.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "ftp/reply.h"

namespace pasvgate::gateway {
namespace {

using config::ClientTls;
using ftp::write_reply;

/// The argument in upper case without blanks around it.
std::string word(std::string_view argument) {
  std::string text;
  for (const char byte : argument) {
    if (byte == ' ' || byte == '\t') continue;
    text += byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte;
  }
  return text;
}

}  // namespace

std::optional<ClientSecurity::Answer> ClientSecurity::answer(const ftp::Command& command) {
  using enum ftp::Verb;
  if (mode_ == ClientTls::Passthrough) return std::nullopt;
  switch (command.verb) {
    case Auth:
      return auth(command);
    case Pbsz:
      if (!is_up_) return Answer{.reply = write_reply(503, "No security exchange took place.")};
      has_size_ = true;
      return Answer{.reply = write_reply(200, "PBSZ=0")};
    case Prot:
      return prot(command);
    case Ccc:
      return ccc();
    // It would have to undo the security exchange on both legs (RFC 4217 §11).
    case Rein:
      if (!is_up_) break;
      return Answer{.reply = write_reply(502, "REIN isn't available on an encrypted connection.")};
    default:
      break;
  }
  if (mode_ == ClientTls::Required && !is_up_ && !may_be_clear(command.verb)) {
    return Answer{.reply = write_reply(530, "Encryption is required, send AUTH TLS first.")};
  }
  if (command.is_transfer() && require_private_data_ && !private_data_) {
    return Answer{.reply = write_reply(521, "Data connections must be encrypted, send PROT P first.")};
  }
  return std::nullopt;
}

/// What tells nothing of anybody.
bool ClientSecurity::may_be_clear(ftp::Verb verb) const {
  using enum ftp::Verb;
  static constexpr std::array kHarmless{Feat, Help, Noop, Quit, Opts, Clnt, Syst, Host, Lang};
  return std::ranges::find(kHarmless, verb) != kHarmless.end();
}

ClientSecurity::Answer ClientSecurity::auth(const ftp::Command& command) const {
  if (mode_ == ClientTls::Off) return {.reply = write_reply(502, "TLS isn't available here.")};
  if (is_up_) return {.reply = write_reply(503, "The connection is encrypted already.")};
  const std::string how = word(command.argument);
  if (how != "TLS" && how != "TLS-C" && how != "SSL") return {.reply = write_reply(504, "Only AUTH TLS is known.")};
  return {.then = Answer::Then::StartTls, .reply = write_reply(234, "Begin the TLS handshake.")};
}

ClientSecurity::Answer ClientSecurity::prot(const ftp::Command& command) {
  if (!is_up_ || !has_size_) return {.reply = write_reply(503, "PBSZ comes first.")};
  const std::string level = word(command.argument);
  if (level == "P") {
    private_data_ = true;
    return {.reply = write_reply(200, "Data connections are encrypted.")};
  }
  if (level == "C") {
    if (require_private_data_) return {.reply = write_reply(534, "Data connections must be encrypted.")};
    private_data_ = false;
    return {.reply = write_reply(200, "Data connections are in clear.")};
  }
  if (level == "S" || level == "E") return {.reply = write_reply(536, "Only PROT C and P are there.")};
  return {.reply = write_reply(504, "PROT takes C or P.")};
}

ClientSecurity::Answer ClientSecurity::ccc() {
  if (!is_up_ || is_cleared_) return {.reply = write_reply(533, "The control channel isn't protected.")};
  // Whoever demands encryption doesn't want to see it end.
  if (mode_ != ClientTls::Optional) return {.reply = write_reply(534, "The control channel must stay encrypted.")};
  is_cleared_ = true;
  return {.then = Answer::Then::EndTls, .reply = write_reply(200, "The control channel is in clear from here.")};
}

void ClientSecurity::edit(ftp::FeatPolicy& feat) const {
  if (mode_ == ClientTls::Passthrough) return;
  // The backend's own are of no use to the client.
  for (const char* name : {"AUTH", "PBSZ", "PROT", "CCC"}) feat.removed.emplace_back(name);
  if (mode_ == ClientTls::Off) return;
  if (mode_ != ClientTls::Implicit) feat.added.emplace_back("AUTH TLS");
  feat.added.emplace_back("PBSZ");
  feat.added.emplace_back("PROT");
  if (mode_ == ClientTls::Optional) feat.added.emplace_back("CCC");
}

}  // namespace pasvgate::gateway
