#include "gateway/plan.h"

#include <algorithm>

#include "ftp/reply.h"

namespace pasvgate::gateway {
namespace {

/// RFC 2428 §2: with the list of what would be right.
std::string wrong_family(ftp::Family right) {
  return ftp::write_reply(522, right == ftp::Family::V4 ? "Network protocol not supported, use (1)"
                                                        : "Network protocol not supported, use (2)");
}

}  // namespace

std::optional<std::string> own_answer(const ftp::Command& command) {
  using enum ftp::Verb;
  switch (command.verb) {
    // Block and compressed mode keep a data connection open from file to file, with its ends inside the data (G36).
    case Mode: {
      const auto start = command.argument.find_first_not_of(" \t");
      const std::string_view mode = start == std::string_view::npos ? "" : command.argument.substr(start, 1);
      const bool has_blocks = mode == "B" || mode == "b" || mode == "C" || mode == "c";
      return has_blocks ? std::optional(ftp::write_reply(504, "Only stream mode is available here.")) : std::nullopt;
    }
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

std::optional<std::string> refused_passive(const ftp::Command& command, ftp::Family family) {
  using enum ftp::EpsvArgument;
  const bool is_v4 = family == ftp::Family::V4;
  if (command.verb == ftp::Verb::Pasv) {
    if (is_v4) return std::nullopt;
    return ftp::write_reply(522, "A 227 can't hold an IPv6 address, use EPSV.");
  }
  const auto argument = ftp::parse_epsv(command.argument);
  if (argument == Junk) return ftp::write_reply(501, "EPSV takes 1, 2 or ALL.");
  if (argument == UnknownFamily || (argument == V4 && !is_v4) || (argument == V6 && is_v4)) {
    return wrong_family(family);
  }
  return std::nullopt;
}

std::expected<ftp::Endpoint, std::string> active_client(const ftp::Command& command, const ftp::Address& client,
                                                        const config::Policy& policy) {
  if (!policy.allow_active) {
    return std::unexpected(ftp::write_reply(502, "Active mode isn't available here; use PASV or EPSV."));
  }
  const bool is_port = command.verb == ftp::Verb::Port;
  const auto at = is_port ? ftp::parse_port(command.argument) : ftp::parse_eprt(command.argument);
  if (!at) {
    if (at.error() == ftp::AddressError::BadFamily) return std::unexpected(wrong_family(client.family()));
    return std::unexpected(
        ftp::write_reply(501, is_port ? "PORT takes h1,h2,h3,h4,p1,p2." : "EPRT takes |1|address|port|."));
  }
  // The data connection comes from the address that the client dialled, so it is of that family.
  if (at->address.family() != client.family()) {
    if (!is_port) return std::unexpected(wrong_family(client.family()));
    return std::unexpected(ftp::write_reply(500, "PORT can't hold your address, use EPRT or EPSV."));
  }
  if (at->port < 1024) return std::unexpected(ftp::write_reply(500, "A port below 1024 isn't allowed."));
  if (at->address != client && !policy.allow_fxp) {
    return std::unexpected(ftp::write_reply(500, "Only your own address is allowed."));
  }
  return *at;
}

bool is_trusted(const ftp::Address& address, config::DataAddress setting, const std::vector<ftp::Cidr>& trusted) {
  return setting == config::DataAddress::Trust &&
         std::ranges::any_of(trusted, [&](const ftp::Cidr& network) { return network.contains(address); });
}

DataPlan plan_data(ftp::Verb asked, config::DataMode setting, ftp::Family backend_family, bool backend_lacks_epsv) {
  using enum ftp::Verb;
  const bool is_active = asked == Port || asked == Eprt;
  DataPlan plan{.asked = asked, .client = is_active ? Mode::Active : Mode::Passive};
  switch (setting) {
    case config::DataMode::Same:
      plan.backend = plan.client;
      break;
    case config::DataMode::Passive:
      plan.backend = Mode::Passive;
      break;
    case config::DataMode::Active:
      plan.backend = Mode::Active;
      break;
  }
  // A 227 or PORT can't hold an IPv6 address; else the backend gets the kind of command that the client sent.
  const bool is_v6 = backend_family == ftp::Family::V6;
  if (plan.backend == Mode::Passive) plan.verb = is_v6 || (asked == Epsv && !backend_lacks_epsv) ? Epsv : Pasv;
  if (plan.backend == Mode::Active) plan.verb = is_v6 || asked == Eprt ? Eprt : Port;
  return plan;
}

std::optional<ftp::Verb> next_backend_verb(ftp::Verb tried, int code, ftp::Family backend_family) {
  const bool unknown_command = code >= 500 && code < 600 && code != 530;  // 530: not logged in, PASV would say the same
  if (!unknown_command || backend_family != ftp::Family::V4) return std::nullopt;
  if (tried == ftp::Verb::Epsv) return ftp::Verb::Pasv;
  if (tried == ftp::Verb::Eprt) return ftp::Verb::Port;
  return std::nullopt;
}

}  // namespace pasvgate::gateway
