#include "config/keys.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "config/issue.h"
#include "config/read.h"

namespace pasvgate::config {
namespace {

constexpr std::uint64_t kSecond = 1'000;
constexpr std::uint64_t kMostBandwidth = 1'000'000'000'000;
constexpr std::uint64_t kYear = 365ULL * 24 * 3600 * kSecond;

}  // namespace

const std::vector<KeyRow>& key_rows() {
  using enum Kind;
  static const std::vector<KeyRow> rows{
      {"/workers", Integer, "0",
       "Threads that carry sessions; 0 is one for each core that affinity and cgroup quota leave.", 0, 1024},
      {"/user", Text, "null",
       "User, by name or number, that the process becomes when its ports are bound; by default it stays who it is."},
      {"/seccomp", Boolean, "true", "Whether the process forbids itself the system calls that it has no use for."},
      {"/listeners", Objects, "", "The public control addresses."},
      {"/listeners/*/name", Name, R"("listener0")",
       "What metrics and logs call the listener; by default \"listener\" and its place in the list."},
      {"/listeners/*/address", Endpoint, "",
       "Address and port that clients connect to; port 0 lets the kernel choose."},
      {"/listeners/*/backend", Name, R"("default")", "The backend of the sessions that no route takes."},
      {"/listeners/*/routes", Objects, "[]", "Rules that send sessions elsewhere; the first that holds wins."},
      {"/listeners/*/routes/*/sni", Globs, "null",
       "Names that the client's TLS asks for; `*` and `?` stand for others."},
      {"/listeners/*/routes/*/host", Globs, "null", "Arguments of the client's HOST command."},
      {"/listeners/*/routes/*/user", Globs, "null", "Names that the client logs in with."},
      {"/listeners/*/routes/*/clients", Networks, "null", "Networks that the client is in."},
      {"/listeners/*/routes/*/certificate_subject", Globs, "null", "Subjects of the client's certificate."},
      {"/listeners/*/routes/*/backend", Name, "", "The backend of the sessions for which all of this holds."},
      {"/listeners/*/routes/*/policy", Policy, "null",
       "What these sessions may do, by keys of policy; the others are the listener's."},
      {"/listeners/*/routes_file", Text, "null", "JSON file with more routes; it is read again on reload."},
      {"/listeners/*/user_map", Text, "null",
       "File with a user and a backend in each line, for users that no route takes; it is read again on reload."},
      {"/listeners/*/user_hosts", UserHosts, "[]",
       "Hosts and networks that a login as user@host may lead to; without any, user@host is a name like others."},
      {"/listeners/*/greeting", Text, R"("FTP server ready")",
       "What the gateway greets with where it must know the user before it can choose the backend."},
      {"/listeners/*/active_source_port", Integer, "20",
       "Port that data connections to active clients come from where it can be had; 0 is any.", 0, 65'535},
      {"/listeners/*/tls",
       Choice,
       R"("off")",
       "TLS with clients: none, offered, demanded before the login, from the first byte, or the backend's own.",
       0,
       0,
       {"off", "optional", "required", "implicit", "passthrough"}},
      {"/listeners/*/require_private_data", Boolean, "false", "Whether data connections in clear are refused."},
      {"/listeners/*/require_session_reuse", Boolean, "null",
       "Whether data connections must resume their control channel's TLS session; by default where TLS is demanded."},
      {"/listeners/*/proxy_from", Networks, "[]",
       "Networks of the proxies whose connections begin with a PROXY header (version 1 or 2)."},
      {"/listeners/*/mode",
       Choice,
       R"("gateway")",
       "Whether clients connect to the listener's own address, or to other servers and nftables redirects them here.",
       0,
       0,
       {"gateway", "transparent"}},
      {"/listeners/*/destinations", Networks, "[]", "Networks of the servers that a transparent listener goes on to."},
      {"/listeners/*/destination_ports", Ports, "[21]", "Ports of the servers that a transparent listener goes on to."},
      {"/listeners/*/policy", Policy, "null",
       "What clients may do here, by keys of policy; the others are taken over."},
      {"/backends", NamedObjects, "", "The FTP servers, by a name of your choice."},
      {"/backends/*/servers", Servers, "",
       "Addresses or DNS names, as text or as objects; the port is 21 if not given."},
      {"/backends/*/servers/*/address", Server, "", "Address or DNS name of the server, and its port."},
      {"/backends/*/servers/*/weight", Integer, "1", "The server's share of the sessions beside the others'.", 1, 1000},
      {"/backends/*/servers/*/max_sessions", Integer, "0", "Sessions that the server takes at one time; 0 is no limit.",
       0, 1'000'000},
      {"/backends/*/servers/*/backup", Boolean, "false", "Whether the server is used only when no other can be."},
      {"/backends/*/strategy",
       Choice,
       R"("first")",
       "Which server a session goes to: the first that connects, in turn, the one with the fewest sessions, or by "
       "hash.",
       0,
       0,
       {"first", "round_robin", "least_sessions", "client_hash", "user_hash"}},
      {"/backends/*/resolve_interval", Duration, R"("30s")", "How often the servers' DNS names are resolved again.",
       100, kYear},
      {"/backends/*/health/check",
       Choice,
       R"("off")",
       "How servers are checked: not at all, by a connection, by their greeting, or by a login and a data connection.",
       0,
       0,
       {"off", "tcp", "greeting", "login"}},
      {"/backends/*/health/interval", Duration, R"("10s")",
       "How often a server is checked; without checks, when one that failed is tried again.", 100, kYear},
      {"/backends/*/health/timeout", Duration, R"("3s")", "How long one check may take.", 1, kYear},
      {"/backends/*/health/rise", Integer, "2", "Good checks in a row until a server is used again.", 1, 100},
      {"/backends/*/health/fall", Integer, "3", "Bad checks or failed connections in a row until a server is given up.",
       1, 100},
      {"/backends/*/health/user", Text, "null", "Whom the check \"login\" logs in."},
      {"/backends/*/health/password_file", Text, "null", "The file whose first line is that user's password."},
      {"/backends/*/data_mode",
       Choice,
       R"("same")",
       "Who opens the backend's data connections: as the client does, always the gateway, or always the backend.",
       0,
       0,
       {"same", "passive", "active"}},
      {"/backends/*/active_ports", PortRange, "null",
       "Ports of the gateway that active backends connect to; by default the kernel chooses."},
      {"/backends/*/data_address",
       Choice,
       R"("control")",
       "Where the backend's data connections go: to its control address, or to the one in its reply.",
       0,
       0,
       {"control", "trust"}},
      {"/backends/*/trusted_data", Networks, "[]", "Networks that an address in the reply must be in, for \"trust\"."},
      {"/backends/*/allow_low_data_ports", Boolean, "false", "Whether the backend's passive ports may be below 1024."},
      {"/backends/*/tls",
       Choice,
       R"("off")",
       "TLS with the backend: none, by AUTH TLS, or from the first byte.",
       0,
       0,
       {"off", "explicit", "implicit"}},
      {"/backends/*/tls_ca", Text, "null",
       "File of the CAs that vouch for the backend; \"none\" takes any certificate; by default the system's CAs."},
      {"/backends/*/tls_name", Text, "null", "Name that the backend's certificate must have; by default its host."},
      {"/backends/*/tls_minimum_version",
       Choice,
       R"("1.2")",
       "Oldest TLS version that is spoken with the backend.",
       0,
       0,
       {"1.0", "1.1", "1.2", "1.3"}},
      {"/backends/*/tls_ciphers", Text, "null", "OpenSSL cipher list for the backend, up to TLS 1.2."},
      {"/backends/*/tls_private_data", Boolean, "true", "Whether the backend's data connections are encrypted too."},
      {"/backends/*/proxy_protocol",
       Choice,
       R"("off")",
       "The version of the PROXY header that tells the backend whose control connection it is.",
       0,
       0,
       {"off", "v1", "v2"}},
      {"/backends/*/proxy_protocol_data", Boolean, "false",
       "Whether data connections that the gateway opens to the backend begin with a PROXY header too."},
      {"/advertise/address", Advertised, "null",
       "What clients are told: an address, one of each family, or a DNS name; by default the address that they "
       "dialled."},
      {"/advertise/rules", Objects, "[]", "Other addresses for clients of some networks; the first that matches wins."},
      {"/advertise/rules/*/clients", Networks, "", "The client networks of this rule."},
      {"/advertise/rules/*/address", Advertised, "", "What these clients are told."},
      {"/advertise/resolve_interval", Duration, R"("30s")", "How often an advertised DNS name is resolved again.",
       kSecond, kYear},
      {"/passive_ports/listen", PortRange, R"("50000-50099")", "The public passive ports that the gateway binds."},
      {"/passive_ports/advertise", PortRange, "null",
       "The ports that clients are told when a NAT or NodePort maps them; same size as listen."},
      {"/passive_ports/slice/index", SliceIndex, "",
       "Which part of the passive ports is this gateway's, from 0; \"hostname\" is the number that its host's name "
       "ends in.",
       0, 65'534},
      {"/passive_ports/slice/of", Integer, "", "Into how many equal parts the gateways share the passive ports.", 1,
       65'535},
      {"/passive_ports/mapping",
       Choice,
       R"("pool")",
       "Which port a client is told: any free one of the pool, or that of the backend's own passive port.",
       0,
       0,
       {"pool", "same"}},
      {"/passive_ports/data_source", DataSource, R"("exact")",
       "How the source of a data connection must match the client: \"exact\", \"any\", or a prefix length."},
      {"/passive_ports/lease_timeout", Duration, R"("60s")",
       "How long an advertised port waits for its data connection.", 1, kYear},
      {"/passive_ports/lease_wait", Duration, R"("2s")", "How long a PASV waits for a free port before it gets 425.", 0,
       kYear},
      {"/passive_ports/proxy_from", Networks, "[]",
       "Networks of the proxies whose data connections begin with a PROXY header (version 1 or 2)."},
      {"/tls/certificates", Objects, "[]",
       "Certificates of the listeners, chosen by the name that the client asks for."},
      {"/tls/certificates/*/certificate", Text, "", "File with the certificate and its chain (PEM)."},
      {"/tls/certificates/*/key", Text, "", "File with the private key (PEM)."},
      {"/tls/client_ca", Text, "null", "File of CAs; with it clients need a certificate that one of them vouches for."},
      {"/tls/minimum_version",
       Choice,
       R"("1.2")",
       "Oldest TLS version that is spoken with clients.",
       0,
       0,
       {"1.0", "1.1", "1.2", "1.3"}},
      {"/tls/ciphers", Text, "null", "OpenSSL cipher list for clients, up to TLS 1.2."},
      {"/tls/ciphersuites", Text, "null", "OpenSSL cipher suites for clients, for TLS 1.3."},
      {"/tls/tolerate_truncation", Boolean, "false",
       "Whether an encrypted data connection that ends without close_notify counts as whole."},
      {"/tls/reload_interval", Duration, R"("10s")", "How often certificate files are looked at for a change.", 100,
       kYear},
      {"/policy/allow_active", Boolean, "true", "Whether clients may use active mode (PORT and EPRT)."},
      {"/policy/allow_fxp", Boolean, "false",
       "Whether PORT and EPRT may name another host than the client (server to server transfers)."},
      {"/policy/read_only", Boolean, "false", "Whether commands that change something are refused."},
      {"/policy/commands", Commands, "[]", "The only commands that clients may use; by default all."},
      {"/policy/denied_commands", Commands, "[]", "Commands that clients may not use."},
      {"/policy/clients", Networks, "[]", "Networks of the only clients that may connect; by default all."},
      {"/policy/denied_clients", Networks, "[]", "Networks whose clients may not connect."},
      {"/limits/line_bytes", Integer, "8192", "The longest line of the control channel, in bytes.", 512, 65'536},
      {"/limits/pipelined_commands", Integer, "64", "Commands of a session that wait before the gateway stops reading.",
       1, 65'536},
      {"/limits/sessions", Integer, "10000", "Sessions at one time.", 1, 1'000'000},
      {"/limits/leases_per_client", Integer, "64", "Passive ports that one client address may hold at one time.", 1,
       65'535},
      {"/limits/exempt_clients", Networks,
       R"(["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"])",
       "Networks of clients for which the limits of one client don't hold."},
      {"/limits/client_prefix_v4", Integer, "32", "Bits of an IPv4 address that make one client.", 1, 32},
      {"/limits/client_prefix_v6", Integer, "64", "Bits of an IPv6 address that make one client.", 1, 128},
      {"/limits/sessions_per_client", Integer, "256", "Sessions of one client at one time; 0 is no limit.", 0,
       1'000'000},
      {"/limits/sessions_per_user", Integer, "0",
       "Sessions of one user with one backend at one time, whoever the client; 0 is no limit.", 0, 1'000'000},
      {"/limits/connections_per_second", Integer, "50", "New sessions of one client in a second; 0 is no limit.", 0,
       1'000'000},
      {"/limits/connection_burst", Integer, "500", "New sessions that one client may open at once after a rest.", 1,
       1'000'000},
      {"/limits/commands_per_second", Integer, "500",
       "Commands of a session in a second; beyond it the gateway reads on later; 0 is no limit.", 0, 1'000'000},
      {"/limits/failed_logins", Integer, "30",
       "Failed logins of one client, within failed_login_window, until it is banned; 0 is never.", 0, 1'000'000},
      {"/limits/failed_login_window", Duration, R"("5m")", "The time in which failed logins are counted together.",
       kSecond, kYear},
      {"/limits/ban_time", Duration, R"("15m")", "How long a client is banned after too many failed logins.", kSecond,
       kYear},
      {"/limits/bandwidth/transfer", Integer, "0", "Bytes per second of each transfer; 0 is no limit.", 0,
       kMostBandwidth},
      {"/limits/bandwidth/session", Integer, "0",
       "Bytes per second of each session's transfers, one after another; 0 is no limit.", 0, kMostBandwidth},
      {"/limits/bandwidth/user", Integer, "0",
       "Bytes per second of all transfers of one user of a backend; 0 is no limit.", 0, kMostBandwidth},
      {"/limits/bandwidth/listener", Integer, "0", "Bytes per second of all transfers of each listener; 0 is no limit.",
       0, kMostBandwidth},
      {"/timeouts/greeting", Duration, R"("30s")", "How long the backend may take to send its 220.", 1, kYear},
      {"/timeouts/login", Duration, R"("60s")", "How long a client may take from the 220 to a successful login.", 1,
       kYear},
      {"/timeouts/idle", Duration, R"("10m")", "How long a session may last without a command or a transfer.", 1,
       kYear},
      {"/timeouts/reply", Duration, R"("1h")", "How long the backend may take to answer a command.", 1, kYear},
      {"/timeouts/backend_connect", Duration, R"("5s")", "How long connecting to one server may take.", 1, kYear},
      {"/timeouts/data_connect", Duration, R"("30s")", "How long opening a leg of a data connection may take.", 1,
       kYear},
      {"/timeouts/data_stall", Duration, R"("5m")", "How long a transfer may move no byte.", 1, kYear},
      {"/timeouts/transfer_reply", Duration, R"("60s")",
       "How long the backend may take to send its final reply after the data connection ended.", 1, kYear},
      {"/timeouts/abort", Duration, R"("5s")", "How long the backend may take to answer ABOR.", 1, kYear},
      {"/timeouts/tls_handshake", Duration, R"("30s")", "How long a TLS handshake may take.", 1, kYear},
      {"/timeouts/proxy_header", Duration, R"("5s")", "How long a proxy may take to send its PROXY header.", 1, kYear},
      {"/drain_timeout", Duration, R"("30s")", "How long transfers may go on after SIGTERM.", 0, kYear},
      {"/admin/address", EndpointOrOff, R"("127.0.0.1:9121")", "Where metrics and health are served, or \"off\"."},
      {"/admin/token_file", Text, "null",
       "File with the token that changes by the API need; without it they are refused."},
      {"/log/format", Choice, R"("text")", "Text for people or JSON lines for machines.", 0, 0, {"text", "json"}},
      {"/log/level",
       Choice,
       R"("info")",
       "The least important lines that are written.",
       0,
       0,
       {"debug", "info", "warn", "error"}},
      {"/log/target",
       Choice,
       R"("stderr")",
       "Where lines go without a file; journald is stderr with the priorities that systemd reads.",
       0,
       0,
       {"stderr", "stdout", "syslog", "journald"}},
      {"/log/file", Text, "null", "File that lines are appended to, instead of the target."},
      {"/log/max_size", Integer, "100000000", "Bytes after which a log file is turned; 0 leaves that to others.", 0,
       1'000'000'000'000},
      {"/log/keep", Integer, "5", "Old log files that are kept, FILE.1 being the youngest.", 0, 1000},
      {"/log/transfers", Text, "null", "File of the transfer log: a line for each file that was moved."},
      {"/log/transfers_format", Choice, R"("xferlog")", "The format of the transfer log.", 0, 0, {"xferlog", "json"}},
  };
  return rows;
}

const KeyRow& key_row(std::string_view pointer) {
  const auto& rows = key_rows();
  const auto row = std::ranges::find(rows, pointer, &KeyRow::pointer);
  assert(row != rows.end());
  return *row;
}

std::vector<std::string_view> names_below(std::string_view pattern) {
  std::vector<std::string_view> names;
  for (const KeyRow& row : key_rows()) {
    if (!row.pointer.starts_with(pattern) || row.pointer.substr(pattern.size(), 1) != "/") continue;
    const std::string_view rest = row.pointer.substr(pattern.size() + 1);
    const std::string_view name = rest.substr(0, rest.find('/'));
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::Integer:
      return "integer";
    case Kind::Boolean:
      return "boolean";
    case Kind::Duration:
      return "duration";
    case Kind::Choice:
      return "choice";
    case Kind::Name:
      return "name";
    case Kind::Endpoint:
      return "endpoint";
    case Kind::EndpointOrOff:
      return "endpoint or \"off\"";
    case Kind::Servers:
      return "list of servers";
    case Kind::Server:
      return "server";
    case Kind::Networks:
      return "list of networks";
    case Kind::Globs:
      return "list of patterns";
    case Kind::UserHosts:
      return "list of hosts";
    case Kind::Advertised:
      return "addresses or name";
    case Kind::PortRange:
      return "port range";
    case Kind::Ports:
      return "list of ports";
    case Kind::SliceIndex:
      return "integer or \"hostname\"";
    case Kind::DataSource:
      return "data source";
    case Kind::Commands:
      return "list of commands";
    case Kind::Policy:
      return "policy";
    case Kind::Text:
      return "text";
    case Kind::Objects:
      return "list of objects";
    case Kind::NamedObjects:
      return "objects by name";
  }
  std::unreachable();
}

std::string allowed(const KeyRow& row) {
  switch (row.kind) {
    case Kind::Integer:
      return "a whole number from " + std::to_string(row.low) + " to " + std::to_string(row.high);
    case Kind::Boolean:
      return "true or false";
    case Kind::Duration:
      return "a time from " + write_duration(Milliseconds(row.low)) + " to " + write_duration(Milliseconds(row.high)) +
             R"(, as in "500ms", "30s", "5m" or "1h")";
    case Kind::Choice:
      return quoted_list(row.choices, "or");
    case Kind::Name:
      return R"(1 to 64 letters, digits, ".", "-" and "_")";
    case Kind::Endpoint:
      return R"(ADDRESS:PORT, as in "0.0.0.0:21" or "[::]:21")";
    case Kind::EndpointOrOff:
      return R"(ADDRESS:PORT, as in "127.0.0.1:9121", or "off")";
    case Kind::Servers:
      return R"(a list of addresses or DNS names, as in ["192.168.1.10:21", "ftp.internal"])";
    case Kind::Server:
      return R"(ADDRESS:PORT or NAME:PORT, as in "192.168.1.10:21" or "ftp.internal")";
    case Kind::Networks:
      return R"(a list of networks, as in ["10.0.0.0/8", "2001:db8::/32"])";
    case Kind::Globs:
      return R"(a list of patterns, as in ["alice", "web-*"])";
    case Kind::UserHosts:
      return R"(a list of hosts and networks, as in ["ftp.internal", "*.example.com:2121", "10.0.0.0/8"])";
    case Kind::Advertised:
      return R"(an address, one of each family in a list, or a DNS name, as in "203.0.113.10")";
    case Kind::PortRange:
      return R"(LOW-HIGH with ports from 1 to 65535, as in "50000-50099")";
    case Kind::Ports:
      return "a list of ports from 1 to 65535, as in [21, 2121]";
    case Kind::SliceIndex:
      return "a whole number from " + std::to_string(row.low) + " to " + std::to_string(row.high) +
             R"(, or "hostname")";
    case Kind::DataSource:
      return R"("exact", "any", a prefix length as "/24", or one a family as "/24,/64")";
    case Kind::Commands:
      return R"(a list of commands, as in ["DELE", "SITE CHMOD"])";
    case Kind::Policy:
      return R"(an object with keys of policy, as in {"read_only": true})";
    case Kind::Text:
      return "a text that isn't empty";
    case Kind::Objects:
      return "a list of objects";
    case Kind::NamedObjects:
      return "an object of objects by name";
  }
  std::unreachable();
}

const std::vector<Key>& keys() {
  static const std::vector<Key> all = [] {
    std::vector<Key> made;
    for (const KeyRow& row : key_rows()) {
      made.push_back({std::string(row.pointer), std::string(type_name(row.kind)), std::string(row.fallback),
                      std::string(row.description)});
    }
    return made;
  }();
  return all;
}

}  // namespace pasvgate::config
