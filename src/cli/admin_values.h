#pragma once

#include <cstdint>
#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The admin API's answers as values, as far as the commands show them. Pure. Every text is fit for a terminal from
/// here on (ftp::escaped): users, files and replies are what strangers wrote. What an answer lacks is empty or 0, so
/// that another version's is understood too.
namespace pasvgate::cli {

struct GatewayStatus {
  struct Sample {
    double sessions = 0;
    double download = 0;  ///< Bytes a second.
    double upload = 0;
  };
  struct Refusal {
    double time = 0;  ///< Unix seconds.
    std::string client;
    std::string what;
    std::string why;
  };
  std::string version;
  std::string state;
  double started = 0;  ///< Unix seconds.
  double now = 0;
  std::uint64_t workers = 0;
  std::uint64_t sessions = 0;
  std::uint64_t sessions_total = 0;
  std::uint64_t session_limit = 0;
  std::uint64_t transfers = 0;
  double downloaded = 0;  ///< Bytes since the start.
  double uploaded = 0;
  std::uint64_t ports = 0;
  std::uint64_t ports_leased = 0;
  double sample_interval = 0;     ///< Seconds.
  std::vector<Sample> samples;    ///< Oldest first.
  std::vector<Refusal> refusals;  ///< Newest first.
};

struct RunningTransfer {
  std::string session;
  std::string client;
  std::string user;
  std::string backend;
  std::string command;
  std::string file;
  bool is_upload = false;
  double bytes = 0;
  double age = 0;   ///< Seconds.
  double rate = 0;  ///< Bytes a second.
};

struct PortsInUse {
  std::string listen;
  std::string advertise;
  std::uint64_t in_use = 0;  ///< Ports with a lease.
  std::uint64_t leases = 0;  ///< On all of them: clients share ports.
};

struct ServerHealth {
  std::string backend;
  std::string server;
  std::string host;  ///< As it is configured.
  std::string state;
  std::string why;
  std::uint64_t sessions = 0;
  std::uint64_t max_sessions = 0;  ///< 0: no limit.
  bool is_backup = false;
};

/// What `pasvgate status` shows.
struct GatewayView {
  GatewayStatus status;
  std::vector<RunningTransfer> transfers;
  PortsInUse ports;
  std::vector<ServerHealth> servers;
};

/// A line of a dialogue; equal lines of a trace are the same one.
struct TraceLine {
  double age = 0;    ///< Seconds since the session's start.
  std::string from;  ///< "client", "backend", "gateway"
  std::string text;
  bool operator==(const TraceLine&) const = default;
};
struct SessionTrace {
  std::string id;
  std::string client;
  std::vector<TraceLine> lines;
};

/// An answer's JSON. The error in words: no JSON object, or one nested too deeply to be an answer.
std::expected<nlohmann::ordered_json, std::string> parse_answer(std::string_view body);

GatewayStatus status_of(const nlohmann::ordered_json& status);
std::vector<RunningTransfer> transfers_of(const nlohmann::ordered_json& sessions);
PortsInUse ports_of(const nlohmann::ordered_json& ports);
std::vector<ServerHealth> servers_of(const nlohmann::ordered_json& backends);
SessionTrace trace_of(const nlohmann::ordered_json& trace);
/// "error" of an answer that is one; empty where there is none.
std::string error_of(const nlohmann::ordered_json& answer);

}  // namespace pasvgate::cli
