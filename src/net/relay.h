#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "ftp/command.h"
#include "net/loop.h"
#include "net/pace.h"
#include "net/pipe_pool.h"
#include "net/socket.h"
#include "net/tls.h"

namespace pasvgate::net {

/// Moves the bytes of one data channel between its two legs, both ways. FIN becomes FIN after all bytes, a reset
/// becomes a reset; a full side stops the reading of the other. One owner, one loop.
///
/// Here is what all relays have in common: whose turn it is, the ends, the timers. How bytes get from one socket to the
/// other is `fill` and `drain` of SpliceRelay and TlsRelay.
class Relay {
 public:
  enum class Side : std::uint8_t { Client, Backend };
  class Listener {
   public:
    virtual void on_moved(ftp::Direction direction, std::uint64_t bytes) = 0;
    /// The source's end was read and told to the other side, which has acknowledged every byte.
    virtual void on_delivered(ftp::Direction direction, std::uint64_t bytes) = 0;
    /// A leg's TLS handshake is done.
    virtual void on_secured(Side side, const Tls& tls) = 0;
    /// `side` broke or, with `stalled`, nothing moved for the stall time. Both sockets have been reset; `error` says
    /// more where there is more to say.
    virtual void on_broken(Side side, bool stalled) = 0;

   protected:
    ~Listener() = default;
  };

  virtual ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// Before the loop's next turn, when nothing has been read yet.
  void set_pace(std::unique_ptr<Pace> pace) { pace_ = std::move(pace); }
  /// The transfer is sure to come, with its bytes in this direction: handshakes that haven't begun are overdue from
  /// now.
  virtual void expect(ftp::Direction payload);
  /// Nobody will say what is to come: bytes and ends are looked for from now on, and not only when it is sure or a
  /// moment has passed.
  void watch();
  /// Says an orderly end to whom none was said yet, as well as it can be said at once.
  void say_ends();
  /// Nothing moves and nothing is told any more; the sockets stay as they are until the end.
  void stop();
  /// Both ends get a reset.
  void reset();
  /// The client's end gets a reset and nothing moves any more; the backend's socket stays as it is until `reset` or the
  /// end.
  void hold_backend();
  [[nodiscard]] std::uint64_t bytes(ftp::Direction direction) const;
  /// Both directions are delivered, or the relay is broken.
  [[nodiscard]] bool is_over() const;
  [[nodiscard]] const std::string& error() const { return error_; }
  /// The side's TLS isn't up, or wasn't at the end.
  [[nodiscard]] virtual bool is_in_handshake(Side) const { return false; }

 protected:
  struct Leg {
    Fd socket;
    Poll poll;
    bool urgent = false;  ///< An urgent byte waits, which would be reported for ever.
    bool gone = false;    ///< It ended in order, then broke, and has lost nothing by it.
    int wants = 0;        ///< UV_ bits that a step waits for beside those that follow from the flows.
  };
  struct Flow {
    std::size_t in_flight = 0;  ///< Read and not written yet.
    std::uint64_t bytes = 0;
    bool source_ended = false;
    bool sink_shut = false;
    bool delivered = false;
    bool blocked = false;  ///< The sink takes no more for now.
    bool starved = false;  ///< There is no pipe for now, or no room of which an event would tell.
    bool held = false;     ///< The pace lets nothing be read before `hold_ends_`.
  };
  enum class Step : std::uint8_t { Progress, Blocked, Broken };

  Relay(Loop& loop, Fd client, Fd backend, std::chrono::milliseconds stall, Listener& listener);
  /// By the subclass's constructor, at its end.
  void start();

  /// Reads from the source into what the flow keeps, at most `most` bytes, or the record that they are in. Sets
  /// `source_ended` at its end.
  virtual Step fill(ftp::Direction direction, std::size_t most) = 0;
  /// Writes what the flow keeps to the sink: all, or Blocked with `blocked` set.
  virtual Step drain(ftp::Direction direction) = 0;
  /// `drain` for a flow whose bytes are in `pipe`.
  Step drain_pipe(ftp::Direction direction, const Pipe& pipe);
  /// What a write to the sink has come to, `errno` with it: a step to stop with, or nothing to go on.
  static std::optional<Step> note_written(Flow& flow, ssize_t count);
  /// Says to the sink that the end has come, before the FIN. Blocked: again when it is writable.
  virtual Step say_end(ftp::Direction direction);
  /// Whether `say_end` has anything to say to this side.
  [[nodiscard]] virtual bool says_end(Side) const { return false; }
  /// Bytes that the side's socket won't report are there to be read.
  [[nodiscard]] virtual bool has_pending(Side side) const;
  /// Nothing can be read from the side while a write to it is blocked.
  [[nodiscard]] virtual bool writes_first(Side) const { return false; }
  /// What has to come before the first byte; Progress when it is done.
  virtual Step prepare(Side side);
  /// Nothing moves until `prepare` has said Progress of both sides. By the subclass's constructor.
  void must_prepare() { prepared_ = false; }
  [[nodiscard]] virtual std::chrono::milliseconds stall() const { return stall_; }
  /// Whom a stalled relay waits for.
  [[nodiscard]] virtual Side late() const {
    return flow(ftp::Direction::Download).blocked ? Side::Client : Side::Backend;
  }

  Leg& leg(Side side) { return legs_.at(static_cast<std::size_t>(side)); }
  [[nodiscard]] const Leg& leg(Side side) const { return legs_.at(static_cast<std::size_t>(side)); }
  static Side source_side(ftp::Direction direction);
  static Side sink_side(ftp::Direction direction);
  static ftp::Direction back(ftp::Direction direction);
  Leg& source(ftp::Direction direction) { return leg(source_side(direction)); }
  Leg& sink(ftp::Direction direction) { return leg(sink_side(direction)); }
  Flow& flow(ftp::Direction direction) { return flows_.at(static_cast<std::size_t>(direction)); }
  [[nodiscard]] const Flow& flow(ftp::Direction direction) const {
    return flows_.at(static_cast<std::size_t>(direction));
  }
  void start_timer(std::chrono::milliseconds quiet = {});
  void progressed() { last_progress_ = loop_.now(); }

  Listener& listener_;
  std::string error_;
  std::optional<ftp::Direction> payload_;  ///< Once it is sure.

 private:
  void on_ready(Side side, int events);
  void pump(ftp::Direction direction);
  Step fill_in_pace(ftp::Direction direction);
  void end_sink(ftp::Direction direction);
  void check_delivery(ftp::Direction direction);
  void end_unused(ftp::Direction direction);
  void update_interest();
  void on_timer();
  void fail(Side side, bool stalled);
  bool forgive(Side side);

  Loop& loop_;
  std::array<Leg, 2> legs_;    ///< By Side.
  std::array<Flow, 2> flows_;  ///< By Direction.
  Timer timer_;
  std::chrono::milliseconds stall_;
  std::uint64_t last_progress_;
  std::unique_ptr<Pace> pace_;  ///< None: there is no limit.
  std::uint64_t hold_ends_ = 0;
  std::chrono::milliseconds delivery_poll_{0};  ///< 0: nothing to poll for.
  bool prepared_ = true;
  bool is_watched_ = true;  ///< Otherwise the loop knows nothing of the sockets yet.
  bool over_ = false;
};

}  // namespace pasvgate::net
