#include "gateway/plan.h"

#include "ftp/reply.h"

namespace pasvgate::gateway {

std::optional<std::string> own_answer(const ftp::Command& command) {
  using enum ftp::Verb;
  switch (command.verb) {
    // Behind a TLS handshake with the backend the gateway would be blind.
    case Auth:
      return ftp::write_reply(502, "TLS isn't available here.");
    case Pbsz:
    case Prot:
      return ftp::write_reply(503, "No security exchange took place.");
    case Ccc:
      return ftp::write_reply(533, "The control channel isn't protected.");
    // Active mode: the backend can't reach the client.
    case Port:
    case Eprt:
      return ftp::write_reply(502, "Active mode isn't available here; use PASV or EPSV.");
    case Lpsv:
    case Lprt:
      return ftp::write_reply(502, "Obsolete; use PASV or EPSV.");
    // They open data ports that the gateway can't see (D20), or are for the gateway alone (RFC 6384 §11).
    case Spsv:
    case Esta:
    case Estp:
    case Cpsv:
    case Sscn:
    case Algs:
      return ftp::write_reply(502, "Command not implemented.");
    default:
      return std::nullopt;
  }
}

std::optional<std::string> refused_epsv(ftp::EpsvArgument argument, ftp::Family family) {
  using enum ftp::EpsvArgument;
  const bool is_v4 = family == ftp::Family::V4;
  if (argument == Junk) return ftp::write_reply(501, "EPSV takes 1, 2 or ALL.");
  if (argument == UnknownFamily || (argument == V4 && !is_v4) || (argument == V6 && is_v4)) {
    return ftp::write_reply(
        522, is_v4 ? "Network protocol not supported, use (1)" : "Network protocol not supported, use (2)");
  }
  return std::nullopt;
}

ftp::Verb backend_verb(ftp::Verb asked, ftp::Family backend_family, bool backend_lacks_epsv) {
  // A 227 can't hold an IPv6 address, so an IPv6 backend is asked by EPSV.
  if (backend_family == ftp::Family::V6) return ftp::Verb::Epsv;
  return backend_lacks_epsv ? ftp::Verb::Pasv : asked;
}

std::optional<ftp::Verb> next_backend_verb(ftp::Verb tried, int code, ftp::Family backend_family) {
  const bool unknown_command = code >= 500 && code < 600 && code != 530;  // 530: not logged in, PASV would say the same
  if (tried == ftp::Verb::Epsv && unknown_command && backend_family == ftp::Family::V4) return ftp::Verb::Pasv;
  return std::nullopt;
}

}  // namespace pasvgate::gateway
