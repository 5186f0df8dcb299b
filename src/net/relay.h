#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "ftp/command.h"
#include "net/handle.h"
#include "net/pipe_pool.h"
#include "net/socket.h"

namespace pasvgate::net {

/// Moves the bytes of one data channel between its two legs, both ways, with splice(2). FIN becomes FIN after all
/// bytes, a reset becomes a reset; a full side stops the reading of the other. One owner, one loop.
///
/// The way of a byte: source socket → pipe of its direction → other socket. Nothing else holds bytes.
class Relay {
 public:
  enum class Side : std::uint8_t { Client, Backend };
  class Listener {
   public:
    virtual void on_moved(ftp::Direction direction, std::uint64_t bytes) = 0;
    /// The source's end was read, and the other side has acknowledged every byte and the FIN.
    virtual void on_delivered(ftp::Direction direction, std::uint64_t bytes) = 0;
    /// `side` broke or, with `stalled`, nothing moved for the stall time. Both sockets have been reset.
    virtual void on_broken(Side side, bool stalled) = 0;

   protected:
    ~Listener() = default;
  };

  Relay(Loop& loop, PipePool& pipes, Fd client, Fd backend, std::chrono::milliseconds stall, Listener& listener);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

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

 private:
  struct Leg {
    Fd socket;
    Poll poll;
  };
  struct Flow {
    Pipe pipe;
    std::size_t in_pipe = 0;
    std::uint64_t bytes = 0;
    bool source_ended = false;
    bool sink_shut = false;
    bool delivered = false;
    bool blocked = false;  ///< The sink takes no more for now.
    bool starved = false;  ///< There is no pipe for now.
  };
  enum class Step : std::uint8_t { Progress, Blocked, Broken };

  Leg& source(ftp::Direction direction);
  Leg& sink(ftp::Direction direction);
  Flow& flow(ftp::Direction direction) { return flows_.at(static_cast<std::size_t>(direction)); }
  [[nodiscard]] const Flow& flow(ftp::Direction direction) const {
    return flows_.at(static_cast<std::size_t>(direction));
  }
  void on_ready(Side side, int events);
  void pump(ftp::Direction direction);
  Step fill(ftp::Direction direction);
  Step probe(ftp::Direction direction);
  Step drain(ftp::Direction direction);
  void end_sink(ftp::Direction direction);
  void check_delivery(ftp::Direction direction);
  void update_interest();
  void on_timer();
  void start_timer(std::chrono::milliseconds quiet = {});
  void fail(Side side, bool stalled);

  Loop& loop_;
  PipePool& pipes_;
  Listener& listener_;
  std::array<Leg, 2> legs_;    ///< By Side.
  std::array<Flow, 2> flows_;  ///< By Direction.
  Timer timer_;
  std::chrono::milliseconds stall_;
  std::uint64_t last_progress_;
  std::chrono::milliseconds delivery_poll_{0};  ///< 0: nothing to poll for.
  bool over_ = false;
};

}  // namespace pasvgate::net
