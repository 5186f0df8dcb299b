#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/probe.h"
#include "cli/probe_socket.h"
#include "ftp/line.h"
#include "ftp/reply.h"

namespace pasvgate::cli {

struct ProbeRequest {
  std::string target;  ///< HOST[:PORT], [IPV6]:PORT
  std::string user;    ///< Empty: anonymous.
  std::string password;
  ProbeTls tls = ProbeTls::Auto;
  std::string tls_ca;            ///< File; empty: the system's.
  bool any_certificate = false;  ///< The password goes also to a server whose certificate is wrong.
  bool active = false;
  std::chrono::milliseconds timeout{5000};             ///< Of each step; all of them take twelve times that at most.
  std::function<void(std::string_view step)> on_step;  ///< Is told what is tried next.
};

/// One session with a server: asks for everything once and writes down what happened. Judges nothing.
class ProbeClient {
 public:
  explicit ProbeClient(ProbeRequest request);
  /// The facts; the error is a request that makes no sense.
  std::expected<ProbeFacts, std::string> run();

 private:
  using Clock = std::chrono::steady_clock;

  bool connect(const std::string& host, std::optional<std::uint16_t> port);
  void dialogue();
  bool secure();
  [[nodiscard]] bool may_send_password() const;
  bool tls_on_control();
  Answer log_in();
  void protect_data(TlsFacts& tls);
  void features();
  void passive(std::string_view verb, DataTry& data);
  void active();
  void reuse();

  enum class Resume : bool { No, Yes };
  /// LIST over a data connection that is there, or is `listener`'s to come.
  void list(DataTry& data, ProbeSocket socket, const net::Fd* listener, Resume resume);
  void read_to_end(ProbeSocket& socket, DataTry& data) const;
  [[nodiscard]] ProbeSocket data_socket() const;
  void leave();

  /// One command and its final reply; code 0 when none came, and then `lost` says why.
  Answer ask(std::string_view command);
  bool say(std::string_view command);
  using OnMiddle = std::function<void(std::string_view line)>;  ///< Gets the lines inside a multi-line reply.
  /// The next reply; also a preliminary one.
  Answer next_reply(const OnMiddle& on_middle = {});
  Answer final_reply(const OnMiddle& on_middle = {});
  Answer read_reply(const OnMiddle& on_middle);
  [[nodiscard]] bool is_lost();
  /// All of the time is used up: what was being tried says nothing.
  [[nodiscard]] bool is_over() const { return Clock::now() >= end_; }
  /// What is read from here on belongs to one answer, which has an end in time and in size.
  void begin_answer();
  void step(std::string_view what) const;
  /// When `count` timeouts from now are over, or all of the time.
  [[nodiscard]] Clock::time_point within(int count) const;
  [[nodiscard]] std::string without_password(std::string_view text) const;

  ProbeRequest request_;
  ProbeFacts facts_;
  ftp::Endpoint peer_;
  SslContext context_;
  ProbeSocket control_;
  ftp::LineFramer framer_;
  ftp::ReplyReader replies_;
  std::string pending_;       ///< Received, not yet cut into lines.
  std::size_t answered_ = 0;  ///< Bytes of the present answer.
  Clock::time_point end_;     ///< Of everything.
  bool features_known_ = false;
};

}  // namespace pasvgate::cli
