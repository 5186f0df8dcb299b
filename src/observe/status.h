#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "ftp/address.h"
#include "ftp/command.h"
#include "gateway/server_group.h"
#include "observe/trace.h"

/// What the admin API shows and does. Texts that peers sent are raw here.
namespace pasvgate::observe {

using UnixTime = std::chrono::system_clock::time_point;

struct TransferStatus {
  ftp::Direction direction;
  std::string command;
  std::string path;
  std::uint64_t bytes;
  std::chrono::duration<double> age;
};

struct SessionStatus {
  std::string id;
  std::string client;
  std::string listener;
  std::string user;
  std::string backend;
  std::string server;
  std::string_view state;  ///< gateway::Session::activity
  std::chrono::duration<double> age;
  std::string client_tls;  ///< Its version; empty in clear.
  std::string backend_tls;
  std::optional<TransferStatus> transfer;
};

struct SessionTrace {
  std::string id;
  std::string client;
  std::vector<TraceLine> lines;
};

struct Sample {
  UnixTime time;
  std::size_t sessions;
  double download;  ///< Bytes a second since the sample before.
  double upload;
};

struct Refusal {
  UnixTime time;
  std::string client;
  std::string what;
  std::string why;
};

struct PortStatus {
  std::uint16_t port;
  std::size_t leases;
};

struct Ban {
  ftp::Cidr network;
  UnixTime until;
  std::string why;
};

struct BackendStatus {
  std::string name;
  config::Strategy strategy;
  std::vector<gateway::ServerStatus> servers;
};

struct Overview {
  std::string_view state;  ///< "starting", "ready", "draining"
  UnixTime started;
  std::size_t workers;
  std::size_t sessions;
  std::uint64_t sessions_total;
  std::size_t sessions_limit;
  std::size_t transfers;
  std::uint64_t downloaded;
  std::uint64_t uploaded;
  std::size_t ports;
  std::size_t ports_leased;
  std::chrono::seconds interval;  ///< Between two samples.
  std::vector<Sample> history;    ///< Oldest first.
  std::vector<Refusal> refusals;  ///< Newest first.
};

/// Of the sessions that were asked for, those whose workers answered in time.
struct Traces {
  std::vector<SessionTrace> all;
  bool is_whole;  ///< All workers did.
};

/// What came of an order to one session.
enum class Ordered : std::uint8_t {
  Done,
  NoSession,
  Late  ///< A worker didn't answer in time: it may have the session, and may carry the order out yet.
};

/// What the admin server asks of the process and has it do. Called from the server's threads; may wait for the workers
/// for a moment.
class AdminSource {
 public:
  virtual ~AdminSource() = default;
  virtual Overview overview() = 0;
  /// At most `limit` of all, and how many there are.
  virtual std::pair<std::vector<SessionStatus>, std::size_t> sessions(std::size_t limit) = 0;
  /// Of the session, or of all sessions of a client's address.
  virtual Traces traces(std::optional<std::uint64_t> session, const std::optional<ftp::Address>& client) = 0;
  virtual config::PassivePorts passive_ports() = 0;
  virtual std::vector<PortStatus> ports() = 0;
  virtual std::vector<BackendStatus> backends() = 0;
  virtual std::vector<Ban> bans() = 0;

  virtual Ordered end_session(std::uint64_t session) = 0;
  // False: there is none of that name.
  virtual bool set_server(const std::string& backend, std::string_view server, gateway::ServerOrder order) = 0;
  virtual void ban(const ftp::Cidr& network, std::chrono::seconds time) = 0;
  virtual bool lift_ban(const ftp::Cidr& network) = 0;
  /// What changes need; or why there is none.
  virtual std::expected<std::string, std::string> token() = 0;
};

}  // namespace pasvgate::observe
