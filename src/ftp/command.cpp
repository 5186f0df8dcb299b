#include "ftp/command.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace pasvgate::ftp {
namespace {

/// In the order of `Verb`.
constexpr auto kNames = std::to_array<std::string_view>({
    "ABOR", "ACCT", "ALLO", "ALGS", "APPE", "AUTH", "CCC",  "CDUP", "CLNT", "CPSV",  "CWD",  "DELE",
    "EPRT", "EPSV", "ESTA", "ESTP", "FEAT", "HELP", "HOST", "LANG", "LIST", "LPRT",  "LPSV", "MDTM",
    "MFMT", "MKD",  "MLSD", "MLST", "MODE", "NLST", "NOOP", "OPTS", "PASS", "PASV",  "PBSZ", "PORT",
    "PROT", "PWD",  "QUIT", "REIN", "REST", "RETR", "RMD",  "RNFR", "RNTO", "SITE",  "SIZE", "SMNT",
    "SPSV", "SSCN", "STAT", "STOR", "STOU", "STRU", "SYST", "TYPE", "USER", "OTHER",
});
static_assert(kNames.size() == std::to_underlying(Verb::Other) + 1U);
static_assert(kNames[std::to_underlying(Verb::Pasv)] == "PASV");
static_assert(kNames[std::to_underlying(Verb::User)] == "USER");

constexpr std::string_view kBlanks = " \t";
constexpr std::string_view kHidden = "****";

constexpr char upper(char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; }

/// `name` has only upper-case letters.
bool is_name(std::string_view text, std::string_view name) {
  return text.size() == name.size() && std::ranges::equal(text, name, {}, upper);
}

bool has_name(std::string_view text, std::string_view name) {
  return !std::ranges::search(text, name, {}, upper).empty();
}

std::string_view first_word(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_first_of(kBlanks));
}

/// SITE's argument: PSWD, CPWD, CHPASS, GPASSWD, ADDUSER and what else ProFTPD, Serv-U, glftpd and others have.
bool changes_password(std::string_view argument) {
  const std::string_view site = first_word(argument);
  for (const std::string_view part : {"PASS", "PSW", "PWD", "CHPW", "ADDUSER", "LOGIN"}) {
    if (has_name(site, part)) return true;
  }
  return is_name(site, "SU");
}

/// A name of up to four bytes as one number, in upper case, so that a line is compared with all of them at once; 0 for
/// what can be none.
constexpr std::uint32_t packed(std::string_view name) {
  if (name.size() > sizeof(std::uint32_t)) return 0;
  std::uint32_t all = 0;
  for (const char byte : name) all = (all << 8U) | static_cast<unsigned char>(upper(byte));
  return all;
}

/// As kNames without OTHER.
constexpr auto kPacked = [] {
  std::array<std::uint32_t, std::to_underlying(Verb::Other)> all{};
  std::ranges::transform(kNames.begin(), kNames.end() - 1, all.begin(), packed);
  return all;
}();
static_assert(std::ranges::find(kPacked, 0U) == kPacked.end());

Verb find_verb(std::string_view text) {
  const std::uint32_t wanted = packed(text);
  // Routers that look for PASV and break it are evaded by clients with this spelling.
  if (wanted == packed("P@SW")) return Verb::Pasv;
  const auto index = static_cast<std::size_t>(std::ranges::find(kPacked, wanted) - kPacked.begin());
  // A NUL more or less is the same number.
  return static_cast<Verb>(index < kPacked.size() && is_name(text, kNames[index]) ? index : kPacked.size());
}

}  // namespace

Command Command::parse(std::string_view line) {
  // Three times a line: the string's own searches call memchr for each byte.
  constexpr auto kIsBlank = [](char byte) { return byte == ' ' || byte == '\t'; };
  line.remove_prefix(static_cast<std::size_t>(std::ranges::find_if_not(line, kIsBlank) - line.begin()));
  const auto end = static_cast<std::size_t>(std::ranges::find_if(line, kIsBlank) - line.begin());
  const std::string_view name = line.substr(0, end);
  // Only one blank belongs to the verb: a file's name may begin or end with others.
  return {find_verb(name), name, line.substr(std::min(end + 1, line.size()))};
}

bool Command::is_transfer() const {
  switch (verb) {
    case Verb::Retr:
    case Verb::List:
    case Verb::Nlst:
    case Verb::Mlsd:
    case Verb::Stor:
    case Verb::Stou:
    case Verb::Appe:
      return true;
    default:
      return false;
  }
}

bool Command::sets_up_data() const {
  return verb == Verb::Pasv || verb == Verb::Epsv || verb == Verb::Port || verb == Verb::Eprt;
}

Direction Command::direction() const {
  const bool is_upload = verb == Verb::Stor || verb == Verb::Stou || verb == Verb::Appe;
  return is_upload ? Direction::Upload : Direction::Download;
}

std::string masked_user(std::string_view user) {
  const std::size_t colon = user.find(':');
  const std::size_t at = user.rfind('@');
  const bool is_port = at != std::string_view::npos && colon > at;
  if (colon == std::string_view::npos || is_port) return std::string(user);
  std::string text(user.substr(0, colon + 1));
  text.append(kHidden);
  if (at != std::string_view::npos) text.append(user.substr(at));
  return text;
}

std::string masked_reply(std::string_view line) {
  if (line.find(':') == std::string_view::npos) return std::string(line);
  // "331 Password required for bob:secret": only there is a word with a colon a user rather than a time or an address.
  const bool names_user = line.starts_with("331");
  std::string text;
  while (!line.empty()) {
    const std::size_t start = std::min(line.find_first_not_of(kBlanks), line.size());
    const std::size_t end = std::min(line.find_first_of(kBlanks, start), line.size());
    const std::string_view word = line.substr(start, end - start);
    const bool has_host = word.find('@') != std::string_view::npos;
    text.append(line.substr(0, start));
    text.append(has_host || (names_user && !word.ends_with(':')) ? masked_user(word) : std::string(word));
    line.remove_prefix(end);
  }
  return text;
}

std::string Command::masked() const {
  const auto hidden = [](std::string_view what) { return std::string(what).append(" ").append(kHidden); };
  constexpr std::string_view kPass = "PASS";
  // "PASSsecret", "ACCT:secret" and "XPASS secret" are typing errors, and some hold the secret in the name.
  for (std::size_t at = 0; at + kPass.size() <= name.size(); ++at) {
    if (is_name(name.substr(at, kPass.size()), kPass)) return hidden(kPass);
  }
  constexpr std::string_view kAcct = "ACCT";
  if (is_name(name.substr(0, kAcct.size()), kAcct)) return hidden(kAcct);
  // RFC 2228's tokens, and the commands inside them.
  for (const std::string_view token : {"ADAT", "MIC", "CONF", "ENC"}) {
    if (is_name(name, token)) return hidden(token);
  }
  if (verb == Verb::Site && changes_password(argument)) return hidden("SITE " + std::string(first_word(argument)));
  // A header of HTTP, such as Authorization.
  if (verb == Verb::Other && name.ends_with(':')) return hidden(name);
  constexpr std::string_view kUser = "USER";
  const bool is_user = is_name(name.substr(0, kUser.size()), kUser);
  std::string text = is_user ? masked_user(name) : std::string(name);
  if (argument.empty()) return text;
  text += ' ';
  if (is_user) return text += masked_user(argument);
  // "QUOTE PASS secret", typed where the client sends lines as they are.
  const Command quoted = verb == Verb::Other ? parse(argument) : Command{};
  const bool is_login = quoted.verb == Verb::User || quoted.verb == Verb::Pass || quoted.verb == Verb::Acct;
  return text.append(is_login ? quoted.masked() : argument);
}

std::string canonical_verb(std::string_view name) {
  std::string verb;
  std::ranges::transform(name, std::back_inserter(verb), upper);
  if (verb == "P@SW") return "PASV";
  if (verb == "XCUP") return "CDUP";
  for (const std::string_view old : {"XCWD", "XMKD", "XPWD", "XRMD"}) {
    if (verb == old) return verb.substr(1);
  }
  return verb;
}

std::string_view verb_name(Verb verb) { return kNames[std::to_underlying(verb)]; }

bool is_anonymous(std::string_view user) {
  const auto is = [&](std::string_view name) {
    return std::ranges::equal(user, name, [](char one, char other) {
      return (one >= 'A' && one <= 'Z' ? static_cast<char>(one - 'A' + 'a') : one) == other;
    });
  };
  return is("anonymous") || is("ftp");
}

}  // namespace pasvgate::ftp
