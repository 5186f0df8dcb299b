#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// TLS on non-blocking sockets with OpenSSL 3 (RFC 4217, RFC 8446). Contexts are shared by all workers; a connection
/// belongs to one loop. Nothing outside this file and its sources knows OpenSSL.
namespace pasvgate::net {

/// Oldest version that is spoken; TLS 1.3 is always the newest.
enum class TlsMinimum : std::uint8_t { V1_0, V1_1, V1_2, V1_3 };

struct TlsServerSettings {
  struct Certificate {
    std::string certificate;  ///< File: the certificate, then its chain (PEM).
    std::string key;          ///< File (PEM).
  };
  std::vector<Certificate> certificates;
  std::optional<std::string> client_ca;  ///< File; set: a client needs a certificate.
  TlsMinimum minimum = TlsMinimum::V1_2;
  std::optional<std::string> ciphers;
  std::optional<std::string> ciphersuites;
};

struct TlsClientSettings {
  bool verify = true;
  std::optional<std::string> ca;  ///< File; unset: the system's CAs.
  TlsMinimum minimum = TlsMinimum::V1_2;
  std::optional<std::string> ciphers;
};

struct TlsError {
  std::string setting;  ///< Which of the settings is wrong: its name, in a list "certificates/0/key".
  std::string text;     ///< A whole sentence with the file or the value.
};
/// All that is wrong.
using TlsErrors = std::vector<TlsError>;

/// Certificates and rules of listeners, or the rules for a backend. Immutable: a reload makes another.
class TlsContext {
 public:
  static std::expected<std::shared_ptr<TlsContext>, TlsErrors> server(const TlsServerSettings& settings);
  static std::expected<std::shared_ptr<TlsContext>, TlsErrors> client(const TlsClientSettings& settings);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  /// When the certificate in each file expires, in seconds since 1970.
  [[nodiscard]] const std::map<std::string, std::int64_t>& expiries() const;
  struct State;

 private:
  friend class Tls;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Ties the data connections of one control channel to it: on a server's side by a random name inside the session
/// tickets, on a client's by the sessions that the server gave.
struct TlsBinding;
std::shared_ptr<TlsBinding> make_tls_binding();

/// One TLS connection over a connected, non-blocking socket that it doesn't own and that outlives it.
class Tls {
 public:
  enum class Channel : std::uint8_t { Control, Data };
  /// The side that has the certificate.
  Tls(std::shared_ptr<TlsContext> context, int socket, Channel channel, std::shared_ptr<TlsBinding> binding);
  /// The side that asks for it: for a server whose certificate must have `name` (a host or an address).
  Tls(std::shared_ptr<TlsContext> context, int socket, std::shared_ptr<TlsBinding> binding, const std::string& name);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  enum class Step : std::uint8_t {
    Done,
    WantRead,   ///< Again when the socket is readable.
    WantWrite,  ///< Again when it is writable.
    Closed,     ///< The peer's close_notify.
    Truncated,  ///< The peer's end without one.
    Failed      ///< See `error`; the connection is of no more use.
  };
  Step handshake();
  struct Moved {
    Step step;
    std::size_t count = 0;
  };
  /// At least one byte with Done. Not behind a write that said WantWrite, before that has gone on: OpenSSL 3.0 answers
  /// a KeyUpdate (RFC 8446 §4.6.3) as it reads it, and fails where the answer would stand behind another record.
  Moved read(std::span<char> into);
  /// Maybe fewer than all with Done. Behind WantRead or WantWrite the same bytes must come again, from wherever.
  Moved write(std::string_view bytes);
  /// Sends close_notify.
  Step close();

  /// Server: one more session ticket with the next bytes, for the data connection that has used one up (TLS 1.3's are
  /// for one use).
  void give_ticket();

  /// The peer has sent a byte.
  [[nodiscard]] bool has_heard() const;
  /// The kernel makes the records of what is written, or takes those apart that are read (kernel TLS): plain bytes may
  /// go by splice(2). Behind the handshake.
  [[nodiscard]] bool kernel_writes() const;
  [[nodiscard]] bool kernel_reads() const;
  /// Payload is to come: takes several records from the socket at once, and keeps its buffers meanwhile. Before the
  /// handshake; and once more behind it, as where the kernel may come to read them nothing is read ahead before.
  void read_ahead();
  /// There may be bytes to read that the socket won't report.
  [[nodiscard]] bool has_pending() const;
  [[nodiscard]] bool is_resumed() const;
  /// Server, Channel::Data, behind the handshake: it resumed a session of the binding's control channel.
  [[nodiscard]] bool is_bound() const;
  [[nodiscard]] std::string_view version() const;  ///< "TLSv1.3"
  /// Server: the name that the client asked for (SNI, RFC 6066 §3); empty without one.
  [[nodiscard]] std::string_view server_name() const;
  /// The subject of the peer's certificate (RFC 4514), if it sent one.
  [[nodiscard]] std::optional<std::string> peer() const;
  /// What failed, for the log.
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct State;
  Step outcome(int result);

  std::shared_ptr<TlsContext> context_;
  std::unique_ptr<State> state_;
  std::string error_;
  bool reads_ahead_ = false;
  bool may_hold_more_ = true;  ///< Of what was read ahead.
};

}  // namespace pasvgate::net
