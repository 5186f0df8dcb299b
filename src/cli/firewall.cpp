#include "cli/firewall.h"

#include <algorithm>
#include <set>
#include <utility>

#include "config/slice.h"

namespace pasvgate::cli {
namespace {

using config::Config;
using ftp::Family;

std::optional<ftp::Address> unless_any(const ftp::Address& address) {
  return address.is_unspecified() ? std::nullopt : std::optional(address);
}

/// The addresses that the listeners have, a wildcard instead of those that it takes in.
std::vector<ftp::Address> public_addresses(const Config& config) {
  std::set<ftp::Address> all;
  for (const auto& listener : config.listeners) {
    if (!listener.address.address.is_loopback()) all.insert(listener.address.address);
  }
  const std::set<ftp::Address> known = all;
  std::erase_if(all, [&](const ftp::Address& one) {
    const auto any = one.family() == Family::V4 ? ftp::Address{} : ftp::Address::v6({});
    return !one.is_unspecified() && known.contains(any);
  });
  return {all.begin(), all.end()};
}

void add_listeners(const Config& config, Firewall& firewall) {
  for (const auto& listener : config.listeners) {
    const auto& [address, port] = listener.address;
    if (address.is_loopback()) {
      firewall.notes.push_back("listener \"" + listener.name + "\" is on loopback: it needs no rule.");
      continue;
    }
    if (port == 0) {
      firewall.errors.push_back("listener \"" + listener.name +
                                "\": port 0 lets the kernel choose, and no rule can know it; give it a port");
      continue;
    }
    if (listener.mode == config::ListenerMode::Transparent) {
      firewall.notes.push_back("listener \"" + listener.name +
                               "\" is transparent: the rules that redirect to it are in conf/README.md.");
    }
    firewall.openings.push_back({.what = "listener " + listener.name,
                                 .family = address.family(),
                                 .to = unless_any(address),
                                 .ports = {port, port}});
  }
}

void add_passive_ports(const Config& config, Firewall& firewall) {
  const auto& listen = config.passive_ports.listen;
  const auto& advertise = config.passive_ports.advertise;
  for (const auto& address : public_addresses(config)) {
    firewall.openings.push_back({.what = "passive ports",
                                 .family = address.family(),
                                 .to = unless_any(address),
                                 .ports = listen,
                                 .told = advertise == listen ? std::nullopt : advertise});
  }
  if (advertise && *advertise != listen) {
    firewall.notes.push_back("Clients are told the ports " + advertise->text() + "; a NAT in front must map them to " +
                             listen.text() + ", port by port.");
  }
}

/// Where the data connections of an active backend come from; empty when a name hides it.
std::vector<ftp::Cidr> sources(const config::Backend& backend) {
  std::vector<ftp::Cidr> from;
  for (const auto& server : backend.servers) {
    const auto& address = server.at.address;
    if (!address) return {};
    from.push_back({*address, static_cast<std::uint8_t>(address->family() == Family::V4 ? 32 : 128)});
  }
  if (backend.data_address == config::DataAddress::Trust) {
    from.insert(from.end(), backend.trusted_data.begin(), backend.trusted_data.end());
  }
  return from;
}

/// To any client.
bool allows_active(const Config& config) {
  return std::ranges::any_of(config.listeners, [](const config::Listener& listener) {
    return listener.policy.allow_active ||
           std::ranges::any_of(listener.routes, [](const config::Route& route) { return route.policy.allow_active; });
  });
}

void add_active_ports(const Config& config, Firewall& firewall) {
  for (const auto& [name, backend] : config.backends) {
    const bool active = backend.data_mode == config::DataMode::Active ||
                        (backend.data_mode == config::DataMode::Same && allows_active(config));
    if (!active) continue;
    const auto from = sources(backend);
    const bool local =
        !from.empty() && std::ranges::all_of(from, [](const auto& one) { return one.base.is_loopback(); });
    if (local) continue;
    if (!backend.active_ports) {
      std::string note =
          "backend \"" + name + "\" may open data connections (active mode) to any port of the gateway: ";
      note += "set backends." + name + ".active_ports to have a rule for them.";
      firewall.notes.push_back(std::move(note));
      continue;
    }
    if (from.empty()) {
      firewall.notes.push_back("backend \"" + name +
                               "\" has no fixed addresses: its data connections are let in from any; put its own in.");
    }
    for (const Family family : {Family::V4, Family::V6}) {
      Opening opening{.what = "data connections of backend " + name, .family = family, .ports = *backend.active_ports};
      opening.inside = true;
      std::ranges::copy_if(from, std::back_inserter(opening.from),
                           [&](const auto& one) { return one.base.family() == family && !one.base.is_loopback(); });
      if (from.empty() || !opening.from.empty()) firewall.openings.push_back(std::move(opening));
    }
  }
}

std::string comments(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += "# " + line + "\n";
  return text;
}

std::string ports_text(const ftp::PortRange& ports, char between) {
  if (ports.low == ports.high) return std::to_string(ports.low);
  return std::to_string(ports.low) + between + std::to_string(ports.high);
}

std::string_view family_word(Family family) { return family == Family::V4 ? "ip" : "ip6"; }

std::string write_nft(const Firewall& firewall) {
  std::string text =
      "# Load with `nft -f`; loading it again replaces it. A chain of its own, so that your rules stay yours. Once, "
      "in\n"
      "# front of what your input chain drops:  nft insert rule inet filter input jump pasvgate\n"
      "# No FTP helper (ct helper, nf_conntrack_ftp) may touch these connections.\n" +
      comments(firewall.notes) +
      "add table inet filter\n"
      "add chain inet filter pasvgate\n"
      "flush chain inet filter pasvgate\n"
      // Not "related": that would let in what an FTP helper believes.
      "add rule inet filter pasvgate ct state established accept comment \"answers to its own connections\"\n";
  for (const auto& opening : firewall.openings) {
    const std::string family(family_word(opening.family));
    std::string match = "meta nfproto " + std::string(opening.family == Family::V4 ? "ipv4" : "ipv6");
    if (!opening.from.empty()) {
      match += " " + family + " saddr {";
      for (std::size_t i = 0; i < opening.from.size(); ++i) match += (i == 0 ? " " : ", ") + opening.from[i].text();
      match += " }";
    }
    if (opening.to) match += " " + family + " daddr " + opening.to->text();
    text += "add rule inet filter pasvgate " + match + " tcp dport " + ports_text(opening.ports, '-') +
            " accept comment \"" + opening.what + "\"\n";
  }
  return text;
}

std::string write_iptables(const Firewall& firewall) {
  std::string text =
      "# Load with `iptables-restore --noflush` and `ip6tables-restore --noflush`: each takes its own lines. A chain "
      "of\n"
      "# its own, so that your rules stay yours. Once, in front of what your input chain drops:\n"
      "#   iptables -I INPUT -j PASVGATE; ip6tables -I INPUT -j PASVGATE\n"
      "# No FTP helper (CT --helper, nf_conntrack_ftp) may touch these connections.\n" +
      comments(firewall.notes) +
      "*filter\n"
      ":PASVGATE - [0:0]\n"
      "-A PASVGATE -m conntrack --ctstate ESTABLISHED -j ACCEPT\n";
  for (const auto& opening : firewall.openings) {
    const std::string head = opening.family == Family::V4 ? "-4 -A PASVGATE" : "-6 -A PASVGATE";
    std::string match;
    if (opening.to) match += " -d " + opening.to->text();
    match += " -p tcp --dport " + ports_text(opening.ports, ':') + " -m comment --comment \"" + opening.what +
             "\" -j ACCEPT\n";
    if (opening.from.empty()) text += head + match;
    for (const auto& source : opening.from) text.append(head).append(" -s ").append(source.text()).append(match);
  }
  return text + "COMMIT\n";
}

constexpr ftp::PortRange kNodePorts{30'000, 32'767};

/// One port of a Service. Names have at most 15 characters.
std::string service_port(std::string_view name, std::uint16_t port, std::uint16_t target, bool is_node_port) {
  std::string text = "    - name: " + std::string(name) + "\n      protocol: TCP\n      port: " + std::to_string(port) +
                     "\n      targetPort: " + std::to_string(target) + "\n";
  if (is_node_port) text += "      nodePort: " + std::to_string(port) + "\n";
  return text;
}

/// A Service up to its list of ports. `of_pod`: the name of the one pod that it leads to.
std::string service_head(const std::string& name, const std::string& of_pod, const std::set<Family>& families,
                         bool is_node_port, const Config& config) {
  std::string text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: " + name + "\nspec:\n";
  text += is_node_port ? "  type: NodePort\n" : "  type: LoadBalancer\n";
  text += "  selector:\n    app: pasvgate\n";
  if (!of_pod.empty()) text += "    statefulset.kubernetes.io/pod-name: " + of_pod + "\n";
  if (families.size() == 2) {
    text += "  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]\n";
  } else {
    text += std::string("  ipFamilyPolicy: SingleStack\n  ipFamilies: [") +
            (families.contains(Family::V6) ? "IPv6" : "IPv4") + "]\n";
  }
  // Data connections must come from the client's own address.
  text += config.passive_ports.data_source.match == config::DataSource::Match::Any
              ? "  externalTrafficPolicy: Cluster\n"
              : "  externalTrafficPolicy: Local\n";
  return text;
}

std::string passive_service_ports(const config::PassivePorts& ports, bool is_node_port) {
  const ftp::PortRange told = ports.advertise.value_or(ports.listen);
  std::string text;
  for (std::size_t i = 0; i < ports.listen.size(); ++i) {
    const auto port = static_cast<std::uint16_t>(told.low + i);
    text += service_port("passive-" + std::to_string(port), port, static_cast<std::uint16_t>(ports.listen.low + i),
                         is_node_port);
  }
  return text;
}

std::string write_kubernetes(const Firewall& firewall, const Config& config) {
  const config::PassivePorts& ports = config.passive_ports;
  const ftp::PortRange told = ports.advertise.value_or(ports.listen);
  const bool is_node_port = kNodePorts.contains(told.low) && kNodePorts.contains(told.high);
  std::set<std::uint16_t> control;
  std::set<Family> families;
  for (const auto& opening : firewall.openings) {
    if (opening.inside) continue;
    families.insert(opening.family);
    if (opening.what != "passive ports") control.insert(opening.ports.low);
  }
  std::vector<std::string> notes;
  std::ranges::copy_if(firewall.notes, std::back_inserter(notes),
                       [](const auto& note) { return !note.starts_with("Clients are told the ports"); });
  if (is_node_port) {
    notes.push_back("The control port's nodePort is chosen by the cluster unless its own is from 30000 to 32767.");
  }
  std::string text = "# Adapt the selector to the labels of the gateway's pods.\n" + comments(notes) +
                     service_head("pasvgate", "", families, is_node_port, config);
  // Data connections must come to the pod of their control channel; the ports of a slice lead there by themselves.
  if (!ports.slice) text += "  sessionAffinity: ClientIP\n";
  text += "  ports:\n";
  for (const auto port : control) {
    text += service_port("control-" + std::to_string(port), port, port, kNodePorts.contains(port) && is_node_port);
  }
  if (!ports.slice) return text + passive_service_ports(ports, is_node_port);
  for (std::uint16_t index = 0; index < ports.slice->of; ++index) {
    const std::string pod = "pasvgate-" + std::to_string(index);
    text += "---\n" + service_head(pod, pod, families, is_node_port, config);
    // A pod that drains is not ready, and its last data connections are still to come.
    text += "  publishNotReadyAddresses: true\n  ports:\n";
    text += passive_service_ports(config::slice_at(ports, index), is_node_port);
  }
  return text;
}

/// One list of AWS's: `"IpRanges": [{…}, …]`. Nothing in it needs escaping: addresses and names.
std::string aws_ranges(const Opening& opening) {
  const bool v4 = opening.family == Family::V4;
  std::vector<std::string> cidrs;
  for (const auto& source : opening.from) {
    cidrs.push_back(source.text());
    if (cidrs.back().find('/') == std::string::npos) cidrs.back() += v4 ? "/32" : "/128";
  }
  if (cidrs.empty()) cidrs.emplace_back(v4 ? "0.0.0.0/0" : "::/0");
  std::string text = v4 ? R"("IpRanges": [)" : R"("Ipv6Ranges": [)";
  for (std::size_t i = 0; i < cidrs.size(); ++i) {
    text += std::string(i == 0 ? "" : ", ") + (v4 ? R"({"CidrIp": ")" : R"({"CidrIpv6": ")") + cidrs[i] +
            R"(", "Description": ")" + opening.what + "\"}";
  }
  return text + "]";
}

std::string write_aws(const Firewall& firewall) {
  std::string text = "[";
  std::set<std::string> written;  // A security group knows no destination: two addresses give the same rule.
  for (const auto& opening : firewall.openings) {
    const std::string permission = R"(  {"IpProtocol": "tcp", "FromPort": )" + std::to_string(opening.ports.low) +
                                   R"(, "ToPort": )" + std::to_string(opening.ports.high) + ", " + aws_ranges(opening) +
                                   "}";
    if (!written.insert(permission).second) continue;
    text += (written.size() == 1 ? "\n" : ",\n") + permission;
  }
  return text + "\n]\n";
}

}  // namespace

std::optional<FirewallFormat> parse_firewall_format(std::string_view text) {
  if (text == "nft") return FirewallFormat::Nft;
  if (text == "iptables") return FirewallFormat::Iptables;
  if (text == "kubernetes") return FirewallFormat::Kubernetes;
  if (text == "aws") return FirewallFormat::Aws;
  return std::nullopt;
}

Firewall openings(const Config& config) {
  Firewall firewall;
  add_listeners(config, firewall);
  add_passive_ports(config, firewall);
  add_active_ports(config, firewall);
  if (allows_active(config)) {
    firewall.notes.emplace_back(
        "Active clients are connected to by the gateway: let its outgoing connections through.");
  }
  if (const auto& admin = config.admin.address; admin && !admin->address.is_loopback()) {
    firewall.notes.push_back("The admin address " + admin->text() +
                             " gets no rule: let in only who reads metrics and health.");
  }
  return firewall;
}

std::string write_firewall(const Firewall& firewall, const Config& config, FirewallFormat format) {
  switch (format) {
    case FirewallFormat::Nft:
      return write_nft(firewall);
    case FirewallFormat::Iptables:
      return write_iptables(firewall);
    case FirewallFormat::Kubernetes:
      return write_kubernetes(firewall, config);
    case FirewallFormat::Aws:
      return write_aws(firewall);
  }
  std::unreachable();
}

}  // namespace pasvgate::cli
