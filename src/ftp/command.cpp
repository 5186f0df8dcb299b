#include "ftp/command.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ftp/line.h"

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
constexpr std::string_view kSecret = " ****";

char upper(char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; }

/// `name` has only upper-case letters.
bool is_name(std::string_view text, std::string_view name) { return std::ranges::equal(text, name, {}, upper); }

Verb find_verb(std::string_view text) {
  // Routers that look for PASV and break it are evaded by clients with this spelling.
  if (is_name(text, "P@SW")) return Verb::Pasv;
  for (std::size_t i = 0; i < std::to_underlying(Verb::Other); ++i) {
    if (is_name(text, kNames[i])) return static_cast<Verb>(i);
  }
  return Verb::Other;
}

}  // namespace

Command Command::parse(std::string_view line) {
  const std::size_t start = std::min(line.find_first_not_of(kBlanks), line.size());
  line.remove_prefix(start);
  const std::size_t end = std::min(line.find_first_of(kBlanks), line.size());
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

std::string Command::masked() const {
  constexpr std::string_view kPass = "PASS";
  // "PASSsecret", "ACCT:secret" and "XPASS secret" are typing errors, and some hold the secret in the name.
  for (std::size_t at = 0; at + kPass.size() <= name.size(); ++at) {
    if (is_name(name.substr(at, kPass.size()), kPass)) return std::string(kPass) += kSecret;
  }
  constexpr std::string_view kAcct = "ACCT";
  if (is_name(name.substr(0, kAcct.size()), kAcct)) return std::string(kAcct) += kSecret;
  // RFC 2228's tokens, and the commands inside them.
  for (const std::string_view token : {"ADAT", "MIC", "CONF", "ENC"}) {
    if (is_name(name, token)) return std::string(token) += kSecret;
  }
  // SITE PSWD OLD NEW and its like: password changes of ProFTPD, Serv-U and others.
  if (verb == Verb::Site) {
    std::string_view site = argument.substr(std::min(argument.find_first_not_of(" \t"), argument.size()));
    site = site.substr(0, site.find_first_of(" \t"));
    for (const std::string_view change : {"PSWD", "PASSWD", "CPWD", "CHPW", "CHPASS", "GPASS", "ADDUSER", "PASS"}) {
      if (is_name(site, change)) return ("SITE " + std::string(change)) += kSecret;
    }
  }
  std::string text = escaped(name);
  if (!argument.empty()) text += " " + escaped(argument);
  return text;
}

std::string_view verb_name(Verb verb) { return kNames[std::to_underlying(verb)]; }

}  // namespace pasvgate::ftp
