#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

/// The rules that a configuration needs, for whoever lets connections through to the gateway. Pure: values in, text
/// out.
namespace pasvgate::cli {

enum class FirewallFormat : std::uint8_t {
  Nft,         ///< A file for `nft -f`.
  Iptables,    ///< One file for iptables-restore and ip6tables-restore, both with --noflush.
  Kubernetes,  ///< A Service manifest; where `slice` isn't cut, one for the control ports and one for each slice.
  Aws          ///< The permissions of `aws ec2 authorize-security-group-ingress --ip-permissions`.
};
/// "nft", "iptables", "kubernetes", "aws".
std::optional<FirewallFormat> parse_firewall_format(std::string_view text);

/// Ports that somebody connects to from outside.
struct Opening {
  std::string what;  ///< "listener public", "passive ports", "data connections of backend default"
  ftp::Family family = ftp::Family::V4;
  std::optional<ftp::Address> to;      ///< The gateway's address; unset: all of the family.
  ftp::PortRange ports;                ///< That the gateway listens on.
  std::optional<ftp::PortRange> told;  ///< What clients connect to, where a NAT or NodePort maps it to `ports`.
  std::vector<ftp::Cidr> from;         ///< Empty: anybody.
  bool inside = false;                 ///< For a backend, not for clients.
  bool operator==(const Opening&) const = default;
};

struct Firewall {
  std::vector<Opening> openings;
  std::vector<std::string> notes;   ///< What rules alone don't do, for a person.
  std::vector<std::string> errors;  ///< Why there can be no rules.
};
/// What a configuration opens: each listener, the passive ports on every address that a listener has, and the
/// `active_ports` of backends. Loopback needs no rule; the admin address gets none.
Firewall openings(const config::Config& config);

/// The text of a format, whole files with the notes as comments where the format has any.
std::string write_firewall(const Firewall& firewall, const config::Config& config, FirewallFormat format);

}  // namespace pasvgate::cli
