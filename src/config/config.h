#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "ftp/address.h"

/// The whole configuration as plain values, already validated: whoever reads a Config checks nothing again.
/// Every member is one key of conf/README.md with the same name and default.
namespace pasvgate::config {

using Milliseconds = std::chrono::milliseconds;

/// A server to connect to: an address or a DNS name, and a port.
struct HostPort {
  std::string host;  ///< Without brackets; `address` is set when it is an address.
  std::optional<ftp::Address> address;
  std::uint16_t port = 21;
  bool operator==(const HostPort&) const = default;
};

/// One entry of a backend's list: an address is one server, a DNS name is one for each of its records.
struct Server {
  HostPort at;
  unsigned weight = 1;           ///< Its share of the sessions, beside the others'; unused by Strategy::First.
  std::size_t max_sessions = 0;  ///< Of each record; 0: no limit.
  bool backup = false;           ///< Used when no other server can be.
  bool operator==(const Server&) const = default;
};

/// Which server of a backend a session goes to.
enum class Strategy : std::uint8_t {
  First,          ///< In their order, the first that connects.
  RoundRobin,     ///< In turn, by weight.
  LeastSessions,  ///< With the fewest sessions for its weight.
  ClientHash,     ///< The same for a client's address.
  UserHash        ///< The same for a user's name.
};

/// How it is found out whether a server can take sessions.
enum class HealthCheck : std::uint8_t {
  Off,       ///< By the sessions that connect.
  Tcp,       ///< It accepts connections.
  Greeting,  ///< It says 220.
  Login      ///< It takes a login, and a data connection after PASV.
};

struct Health {
  HealthCheck check = HealthCheck::Off;
  Milliseconds interval{10'000};    ///< From check to check; for Off until a server that was given up is tried again.
  Milliseconds timeout{3'000};      ///< Of one check.
  unsigned rise = 2;                ///< Good checks until a server that is down is up.
  unsigned fall = 3;                ///< Bad checks, or failed connections, until it is down.
  std::optional<std::string> user;  ///< Of the check's login.
  std::optional<std::string> password_file;  ///< Its first line is the password.
  std::string password;                      ///< What `password_file` holds. It must not get into a log.
  bool operator==(const Health&) const = default;
};

/// How a listener speaks TLS with its clients (RFC 4217).
enum class ClientTls : std::uint8_t {
  Off,
  Optional,    ///< AUTH TLS is offered.
  Required,    ///< No login before AUTH TLS.
  Implicit,    ///< TLS from the first byte.
  Passthrough  ///< AUTH goes to the backend, and what comes behind it goes by unread.
};

/// Whose connections a listener takes.
enum class ListenerMode : std::uint8_t {
  Gateway,     ///< Those to its own address.
  Transparent  ///< Those to other servers, which nftables redirects to it; the backend is where each was going.
};

/// A command as a policy names it: whatever its argument, or with the argument's first word ("SITE CHMOD").
struct CommandName {
  std::string verb;  ///< As ftp::canonical_verb writes it.
  std::string word;  ///< In upper case; empty: any.
  bool operator==(const CommandName&) const = default;
};

/// What clients may do: the file's, a listener's and a route's. Each has taken over what it doesn't say itself.
struct Policy {
  bool allow_active = true;           ///< PORT and EPRT.
  bool allow_fxp = false;             ///< PORT and EPRT may name another host than the client.
  bool read_only = false;             ///< No command that changes something.
  std::vector<CommandName> commands;  ///< Empty: all.
  std::vector<CommandName> denied_commands;
  std::vector<ftp::Cidr> clients;         ///< Who may connect; empty: everybody. Not of a route's policy.
  std::vector<ftp::Cidr> denied_clients;  ///< Who may not, though `clients` may hold them.
  bool operator==(const Policy&) const = default;
  [[nodiscard]] bool limits_commands() const { return read_only || !commands.empty() || !denied_commands.empty(); }
};

/// A rule that sends sessions to a backend. What is empty isn't asked; the others must all hold, and in a list one
/// entry is enough. Globs have `*` and `?`.
struct Route {
  std::vector<std::string> sni;   ///< Globs over the name that the client's TLS asks for, whatever its case.
  std::vector<std::string> host;  ///< Globs over the argument of HOST (RFC 7151), whatever its case.
  std::vector<std::string> user;  ///< Globs over the name that USER says.
  std::vector<ftp::Cidr> clients;
  std::vector<std::string> certificate_subject;  ///< Globs over the subject of the client's certificate (RFC 4514).
  std::string backend;
  Policy policy;
  bool operator==(const Route&) const = default;
  [[nodiscard]] bool asks() const {
    return !sni.empty() || !host.empty() || !user.empty() || !clients.empty() || !certificate_subject.empty();
  }
};

/// Backends by the whole name of a user.
using UserMap = std::map<std::string, std::string, std::less<>>;

/// Where a login `user@host:port` may lead.
struct UserHost {
  std::string host;                  ///< A glob over the host's name, whatever its case; empty where there is:
  std::optional<ftp::Cidr> network;  ///< Of the host's addresses.
  std::uint16_t port = 21;
  bool operator==(const UserHost&) const = default;
};

struct Listener {
  std::string name;  ///< Metrics label; "listener0" and so on when not given.
  ftp::Endpoint address;
  std::string backend = "default";  ///< Of sessions that no route takes.
  std::vector<Route> routes;        ///< The first that holds wins. Those of `routes_file` stand behind the others.
  std::optional<std::string> routes_file;
  std::optional<std::string> user_map;
  std::shared_ptr<const UserMap> users;        ///< What `user_map` holds; shared, as it may be long. None: no file.
  std::vector<UserHost> user_hosts;            ///< Empty: `user@host` is a name like others.
  std::set<std::string, std::less<>> by_user;  ///< Backends that choose their server by the user ("user_hash").
  std::string greeting = "FTP server ready";
  std::uint16_t active_source_port = 20;  ///< Of data connections to clients (RFC 959 §5.2); 0: any.
  ClientTls tls = ClientTls::Off;
  bool require_private_data = false;          ///< No data connection in clear.
  std::optional<bool> require_session_reuse;  ///< Unset: for Required and Implicit.
  std::vector<ftp::Cidr> proxy_from;          ///< Whose connections begin with a PROXY header.
  ListenerMode mode = ListenerMode::Gateway;
  std::vector<ftp::Cidr> destinations;               ///< Of a transparent listener: the servers that it goes on to,
  std::vector<std::uint16_t> destination_ports{21};  ///< and their ports.
  Policy policy;                                     ///< Of sessions that no route takes, and of all before that.
  bool operator==(const Listener&) const = default;
  /// Data connections must resume the TLS session of their own control channel.
  [[nodiscard]] bool requires_session_reuse() const {
    return require_session_reuse.value_or(tls == ClientTls::Required || tls == ClientTls::Implicit);
  }
};

/// Where the backend's data connection goes (design §4).
enum class DataAddress : std::uint8_t {
  Control,  ///< To the backend's control address, whatever its 227 says.
  Trust     ///< To the address in the reply, when it is inside `trusted_data`.
};

/// Who opens the data connections on the backend's leg (design §4).
enum class DataMode : std::uint8_t {
  Same,     ///< As on the client's leg.
  Passive,  ///< The gateway connects to the backend, whatever the client does.
  Active    ///< The backend connects to the gateway.
};

/// How the gateway speaks TLS with a backend.
enum class BackendTls : std::uint8_t { Off, Explicit, Implicit };
/// The version of the PROXY protocol.
enum class ProxyProtocol : std::uint8_t { Off, V1, V2 };
/// In the order of their age.
enum class TlsVersion : std::uint8_t { V1_0, V1_1, V1_2, V1_3 };

struct Backend {
  std::vector<Server> servers;  ///< None where only transparent listeners use it.
  Strategy strategy = Strategy::First;
  Milliseconds resolve_interval{30'000};  ///< Of the servers' DNS names.
  Health health;
  DataMode data_mode = DataMode::Same;
  std::optional<ftp::PortRange> active_ports;  ///< Where active backends connect to; unset: the kernel chooses.
  DataAddress data_address = DataAddress::Control;
  std::vector<ftp::Cidr> trusted_data;
  bool allow_low_data_ports = false;  ///< Passive ports below 1024 in the backend's 227 (RFC 2577 §3).
  BackendTls tls = BackendTls::Off;
  std::optional<std::string> tls_ca;    ///< File of the CAs that its certificate may have; "none": any certificate will
                                        ///< do; unset: the system's CAs.
  std::optional<std::string> tls_name;  ///< That its certificate must have; unset: the server's host.
  TlsVersion tls_minimum_version = TlsVersion::V1_2;
  std::optional<std::string> tls_ciphers;             ///< OpenSSL's list, up to TLS 1.2.
  bool tls_private_data = true;                       ///< PROT P.
  ProxyProtocol proxy_protocol = ProxyProtocol::Off;  ///< Said first on the control connection.
  bool proxy_protocol_data = false;                   ///< And on data connections that the gateway opens.
  bool operator==(const Backend&) const = default;
};

/// What a client is told: fixed addresses (at most one a family) or a DNS name.
struct Advertised {
  std::optional<ftp::Address> v4;
  std::optional<ftp::Address> v6;
  std::string name;  ///< Empty, or a DNS name that is resolved again every `resolve_interval`.
  bool operator==(const Advertised&) const = default;
  [[nodiscard]] bool is_set() const { return v4 || v6 || !name.empty(); }
};

struct AdvertiseRule {
  std::vector<ftp::Cidr> clients;
  Advertised to;
  bool operator==(const AdvertiseRule&) const = default;
};

struct Advertise {
  Advertised address;                ///< Unset: what the client dialled.
  std::vector<AdvertiseRule> rules;  ///< The first whose `clients` hold the client wins over `address`.
  Milliseconds resolve_interval{30'000};
  bool operator==(const Advertise&) const = default;
};

/// How a data connection's source is compared with the client's address (design §5).
struct DataSource {
  enum class Match : std::uint8_t { Exact, Prefix, Any } match = Match::Exact;
  std::uint8_t v4_bits = 32;  ///< For Prefix.
  std::uint8_t v6_bits = 128;
  bool operator==(const DataSource&) const = default;
};

/// Which port of the pool a client is told.
enum class PortMapping : std::uint8_t {
  Pool,  ///< Any that is free.
  Same   ///< That of the backend's own passive port.
};

/// Which of equal parts of the passive ports is this gateway's.
struct PortSlice {
  std::optional<std::uint16_t> index;  ///< From 0; unset: the number that the host's name ends in.
  std::uint16_t of = 1;
  bool operator==(const PortSlice&) const = default;
};

struct PassivePorts {
  ftp::PortRange listen{50000, 50099};
  std::optional<ftp::PortRange> advertise;  ///< Same size as `listen`; port i of one is port i of the other.
  std::optional<PortSlice> slice;           ///< Of both; until `own_slice` has cut them.
  PortMapping mapping = PortMapping::Pool;
  DataSource data_source;
  Milliseconds lease_timeout{60'000};
  Milliseconds lease_wait{2'000};
  std::vector<ftp::Cidr> proxy_from;  ///< Whose data connections begin with a PROXY header.
  bool operator==(const PassivePorts&) const = default;
};

/// Where an address is often no client, but what stands before all of them: a balancer, a container's bridge.
std::vector<ftp::Cidr> private_networks();

struct Limits {
  std::size_t line_bytes = 8192;
  std::size_t pipelined_commands = 64;  ///< Beyond it the gateway stops reading, nothing is lost.
  std::size_t sessions = 10'000;
  std::size_t leases_per_client = 64;
  // Those of one client: an address, or the network of this length that it is in. 0: no limit.
  std::vector<ftp::Cidr> exempt_clients = private_networks();  ///< For whom none of these holds.
  unsigned client_prefix_v4 = 32;
  unsigned client_prefix_v6 = 64;
  std::size_t sessions_per_client = 256;
  std::size_t connections_per_second = 50;
  std::size_t connection_burst = 500;
  std::size_t commands_per_second = 500;  ///< Of one session; beyond it the gateway reads later.
  std::size_t failed_logins = 30;         ///< In `failed_login_window`; then a ban of `ban_time`.
  Milliseconds failed_login_window{300'000};
  Milliseconds ban_time{900'000};
  std::size_t sessions_per_user = 0;  ///< With one backend, whoever the client; 0: no limit.
  bool operator==(const Limits&) const = default;
};

/// In bytes per second, downloads and uploads together; 0: no limit. Keys of `limits.bandwidth`, but no part of what
/// each session copies.
struct Bandwidth {
  std::size_t transfer = 0;  ///< Of each one.
  std::size_t session = 0;   ///< Of the transfers of each one.
  std::size_t user = 0;      ///< Of all sessions of one user of a backend.
  std::size_t listener = 0;  ///< Of all sessions of each one.
  bool operator==(const Bandwidth&) const = default;
  [[nodiscard]] bool is_set() const { return transfer + session + user + listener > 0; }
};

struct Timeouts {
  Milliseconds greeting{30'000};        ///< Backend's 220.
  Milliseconds login{60'000};           ///< From the 220 to a successful login.
  Milliseconds idle{600'000};           ///< No command and no transfer.
  Milliseconds reply{3'600'000};        ///< Backend's answer to a command (E21: a SITE may run for long).
  Milliseconds backend_connect{5'000};  ///< One server.
  Milliseconds data_connect{30'000};    ///< A data connection that the gateway opens, or an active backend.
  Milliseconds data_stall{300'000};     ///< A transfer that moves no byte.
  Milliseconds transfer_reply{60'000};  ///< Backend's final reply after the data connection ended.
  Milliseconds abort{5'000};            ///< Backend's answers to ABOR.
  Milliseconds tls_handshake{30'000};   ///< Of any connection.
  Milliseconds proxy_header{5'000};     ///< From a connection of `proxy_from` to its whole PROXY header.
  bool operator==(const Timeouts&) const = default;
};

struct TlsCertificate {
  std::string certificate;  ///< File: the certificate, then its chain (PEM).
  std::string key;          ///< File (PEM).
  bool operator==(const TlsCertificate&) const = default;
};

/// What all listeners with TLS have in common.
struct Tls {
  std::vector<TlsCertificate> certificates;  ///< Chosen by the name that the client asks for; the first for others.
  std::optional<std::string> client_ca;      ///< File; set: clients need a certificate.
  TlsVersion minimum_version = TlsVersion::V1_2;
  std::optional<std::string> ciphers;       ///< OpenSSL's list, for TLS 1.2.
  std::optional<std::string> ciphersuites;  ///< OpenSSL's list, for TLS 1.3.
  bool tolerate_truncation = false;         ///< A data connection that ends without close_notify is whole.
  Milliseconds reload_interval{10'000};     ///< How often the files are looked at.
  bool operator==(const Tls&) const = default;
};

struct Admin {
  std::optional<std::string> token_file;  ///< Holds what changes by the API need; unset: there are none.
  std::optional<ftp::Endpoint> address{ftp::Endpoint{ftp::Address::v4({127, 0, 0, 1}), 9121}};  ///< "off": none.
  bool operator==(const Admin&) const = default;
};

enum class LogFormat : std::uint8_t { Text, Json };
enum class LogLevel : std::uint8_t { Debug, Info, Warn, Error };
enum class LogTarget : std::uint8_t { Stderr, Stdout, Syslog, Journald };
enum class TransferFormat : std::uint8_t { Xferlog, Json };

struct Log {
  LogFormat format = LogFormat::Text;
  LogLevel level = LogLevel::Info;
  LogTarget target = LogTarget::Stderr;
  std::optional<std::string> file;     ///< Instead of `target`.
  std::size_t max_size = 100'000'000;  ///< Bytes of `file` and of `transfers`; 0: they are never turned.
  std::size_t keep = 5;
  std::optional<std::string> transfers;  ///< File of the transfer log.
  TransferFormat transfers_format = TransferFormat::Xferlog;
  bool operator==(const Log&) const = default;
};

struct Config {
  unsigned workers = 0;             ///< 0: one for each core that affinity and the cgroup's quota leave.
  std::optional<std::string> user;  ///< Name or uid that the process takes on; unset: it stays whoever it is.
  bool seccomp = true;              ///< Whether the process forbids itself the system calls that it has no use for.
  std::vector<Listener> listeners;
  std::map<std::string, Backend> backends;
  Advertise advertise;
  PassivePorts passive_ports;
  Tls tls;
  Policy policy;
  Limits limits;
  Bandwidth bandwidth;
  Timeouts timeouts;
  Milliseconds drain_timeout{30'000};
  Admin admin;
  Log log;
  bool operator==(const Config&) const = default;
};

}  // namespace pasvgate::config
