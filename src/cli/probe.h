#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ftp/address.h"

/// What `pasvgate probe` found out about a server, and what it makes of it. Pure: the facts come from ProbeClient, the
/// words are made here. No password is in the facts.
namespace pasvgate::cli {

enum class ProbeTls : std::uint8_t {
  Off,
  Explicit,
  Implicit,
  Auto  ///< Implicit on port 990, else AUTH TLS where the server takes it.
};
std::optional<ProbeTls> parse_probe_tls(std::string_view text);  ///< "off", "explicit", "implicit", "auto"

/// A final reply.
struct Answer {
  int code = 0;      ///< 0: none came.
  std::string text;  ///< Its last line behind the code, raw.
  [[nodiscard]] bool is_success() const { return code >= 200 && code < 400; }
  bool operator==(const Answer&) const = default;
};

/// What a TCP connection came to.
enum class Reach : std::uint8_t {
  NotTried,
  Open,
  Refused,     ///< A reset came back.
  Silent,      ///< Nothing came back in time.
  Unreachable  ///< No way there, says the network.
};

/// One data connection: PASV, EPSV, PORT or EPRT, then LIST over it.
struct DataTry {
  bool asked = false;
  Answer answer;
  std::optional<ftp::Endpoint> told;  ///< What the reply says; for active mode what the server was told.
  Reach reach = Reach::NotTried;      ///< Of the port that was told; for active mode whether the server came.
  std::chrono::milliseconds took{0};
  Reach at_control = Reach::NotTried;      ///< The same port where the control connection goes, if that's elsewhere.
  std::optional<ftp::Endpoint> came_from;  ///< Active mode.
  std::string tls_error;                   ///< The handshake on the data connection failed.
  bool resumed = false;                    ///< It resumed the control connection's TLS session.
  std::optional<Answer> transfer;          ///< The final reply to LIST.
  [[nodiscard]] bool works() const {
    return reach == Reach::Open && transfer && transfer->code >= 200 && transfer->code < 300;
  }
};

struct TlsFacts {
  std::string error;  ///< The handshake failed; then nothing else is known.
  std::string version;
  std::string subject;
  std::vector<std::string> names;
  bool name_matches = true;
  std::string chain_error;           ///< OpenSSL's words; empty: the chain leads to a known CA.
  std::int64_t expires_in_days = 0;  ///< Negative: it has expired.
  bool data_protected = false;       ///< PROT P was taken.
};

struct ProbeFacts {
  std::string target;  ///< As it was asked for.
  std::string host;
  std::chrono::milliseconds timeout{0};
  std::string connect_error;
  std::optional<ftp::Endpoint> peer;
  std::optional<ftp::Endpoint> own;
  std::chrono::milliseconds connect_took{0};
  bool is_implicit = false;
  Answer greeting;
  std::chrono::milliseconds greeting_took{0};
  std::vector<std::string> features;
  bool tls_demanded = false;  ///< --tls explicit or implicit.
  std::optional<Answer> auth_tls;
  std::optional<TlsFacts> tls;
  std::string user;                ///< Empty: anonymous was tried.
  bool password_withheld = false;  ///< The certificate is wrong, so that no login was tried.
  std::optional<Answer> login;
  DataTry pasv;
  DataTry epsv;
  DataTry active;
  std::optional<bool> reuse_demanded;  ///< A data connection with a TLS session of its own is refused.
  std::string lost;                    ///< The control connection ended before everything was asked.
};

/// Something that keeps clients from working.
struct Finding {
  std::string_view id;  ///< For scripts: "pasv_inside_address"
  std::string text;     ///< What is wrong, and what to do.
  bool operator==(const Finding&) const = default;
};

struct Verdict {
  std::vector<Finding> findings;
  std::vector<std::string> untested;  ///< What couldn't be tried and why.
  std::vector<std::string> notes;     ///< What is no fault but good to know.
  /// 0 nothing found, 1 findings, 2 couldn't be tested.
  [[nodiscard]] int exit_code() const { return !findings.empty() ? 1 : untested.empty() ? 0 : 2; }
};
Verdict judge(const ProbeFacts& facts);

enum class Color : std::uint8_t { Off, On };
std::string probe_text(const ProbeFacts& facts, const Verdict& verdict, Color color);
std::string probe_json(const ProbeFacts& facts, const Verdict& verdict);

/// "answered", "refused", "silent", "unreachable", "not tried"
std::string_view reach_name(Reach reach);

}  // namespace pasvgate::cli
