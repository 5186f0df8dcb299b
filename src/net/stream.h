#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/loop.h"
#include "net/socket.h"
#include "net/tls.h"

namespace pasvgate::net {

/// A control connection: bytes in by callback, bytes out through a queue that the owner watches (`queued`). One owner,
/// one loop; callbacks go to a Listener that outlives the stream.
class Stream {
 public:
  enum class Closed : std::uint8_t { Orderly, Reset };
  class Listener {
   public:
    virtual void on_bytes(Stream& stream, std::string_view bytes) = 0;
    virtual void on_closed(Stream& stream, Closed how) = 0;  ///< At most once; nothing is read after it.
    virtual void on_written(Stream& stream) = 0;             ///< The queue has become empty.
    /// TLS is up. A handshake that fails is `on_closed`; `tls_error` says why.
    virtual void on_secured(Stream& stream) = 0;

   protected:
    ~Listener() = default;
  };

  /// `buffer` is lent by the worker for the time of one read.
  Stream(Loop& loop, Fd socket, std::span<char> buffer, Listener& listener);

  /// Appends to the queue; `flush` sends. Nothing is kept once the peer is gone.
  void queue(std::string_view bytes) {
    if (!closed_) queue_.append(bytes);
  }
  /// Queues `bytes`, the last of which goes as TCP urgent data (Telnet Synch); what was queued before goes first.
  void queue_urgent(std::string_view bytes);
  void flush();
  [[nodiscard]] std::size_t queued() const { return queue_.size(); }

  /// Behind what is queued: begins the handshake.
  void start_tls(std::unique_ptr<Tls> tls);
  /// Sends close_notify; what the peer sends behind its own is in clear again (CCC, RFC 4217 §5).
  void end_tls();
  /// See Tls::give_ticket.
  void give_ticket() {
    if (tls_ && secured_ == Secured::Yes) tls_->give_ticket();
  }
  /// Nothing before and behind TLS.
  [[nodiscard]] const Tls* tls() const { return tls_.get(); }
  [[nodiscard]] std::string_view tls_error() const;

  void read(bool wanted);
  /// Sends FIN behind what is queued (call with an empty queue).
  void shutdown();
  [[nodiscard]] const Fd& socket() const { return socket_; }
  [[nodiscard]] bool is_open() const { return !closed_; }
  /// The peer has ended its side: nothing more will be read.
  [[nodiscard]] bool is_at_end() const { return at_end_; }
  /// Closes it at once; no callback comes any more. Safe inside one.
  void close();

 private:
  enum class Secured : std::uint8_t { No, Handshake, Yes, Ending };

  void on_ready(int events);
  void continue_handshake();
  bool say_end_of_tls();
  /// Sends from the front of the queue: the count, or nothing and `blocked` or a failure.
  Tls::Moved send_some();
  Tls::Moved receive_some();
  void receive();
  void fail();
  void update_interest();

  Fd socket_;  // Before poll_: the descriptor must outlive its handle.
  Poll poll_;
  std::span<char> buffer_;
  Listener& listener_;
  std::string queue_;
  std::size_t urgent_at_ = std::string::npos;  ///< Offset in `queue_` of the byte to be sent as urgent.
  std::unique_ptr<Tls> next_tls_;              ///< To start when the queue is empty.
  std::unique_ptr<Tls> tls_;
  Secured secured_ = Secured::No;
  std::size_t clear_from_ = std::string::npos;  ///< Offset in `queue_` of what goes in clear again (CCC).
  bool wants_write_ = false;                    ///< Of TLS: its last step can go on when the socket is writable.
  bool reading_ = true;
  bool closed_ = false;
  bool at_end_ = false;
};

}  // namespace pasvgate::net
