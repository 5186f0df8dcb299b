#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "net/pipe_pool.h"
#include "net/relay.h"
#include "net/tls.h"

namespace pasvgate::net {

/// A relay with TLS on one leg or on both. The way of a byte: source → buffer of its direction → other socket, and
/// OpenSSL's own copies. Where the kernel has the records of each leg that is encrypted, it is source → pipe → other
/// socket by splice(2), as in a SpliceRelay. A leg's end is its close_notify; without one the leg is broken.
class TlsRelay final : public Relay {
 public:
  struct Secured {
    std::unique_ptr<Tls> tls;  ///< None: the leg is plain.
    bool must_be_bound = false;
    bool tolerates_truncation = false;
  };
  struct Times {
    std::chrono::milliseconds handshake;
    std::chrono::milliseconds stall;
  };
  TlsRelay(Loop& loop, PipePool& pool, Fd client, Secured client_tls, Fd backend, Secured backend_tls,
           const Times& times, Listener& listener);
  ~TlsRelay() override;
  [[nodiscard]] bool is_in_handshake(Side side) const override { return secure(side).stage == Stage::Handshake; }

  void expect(ftp::Direction payload) override;

 private:
  struct Buffer {
    std::unique_ptr<char[]> bytes;  ///< None until the first byte.  NOLINT(*-avoid-c-arrays): not to be zeroed
    std::size_t start = 0;          ///< Of what is in flight.
  };
  enum class Way : std::uint8_t { Unknown, Buffer, Pipe };
  enum class Stage : std::uint8_t { Handshake, Up };
  struct SecureLeg {
    Secured secured;
    Stage stage = Stage::Up;
    bool is_corked = false;  ///< For the end, which comes next.
  };

  Step fill(ftp::Direction direction, std::size_t most) override;
  Step drain(ftp::Direction direction) override;
  Step say_end(ftp::Direction direction) override;
  [[nodiscard]] bool says_end(Side side) const override { return secure(side).secured.tls != nullptr; }
  [[nodiscard]] bool has_pending(Side side) const override;
  [[nodiscard]] bool writes_first(Side side) const override { return secure(side).secured.tls != nullptr; }
  Step prepare(Side side) override;
  [[nodiscard]] std::chrono::milliseconds stall() const override;
  [[nodiscard]] Side late() const override;

  Tls::Moved receive(Side side, std::span<char> into);
  Tls::Moved send(Side side, std::string_view bytes);
  Way choose_way(ftp::Direction direction);
  Step fill_buffer(ftp::Direction direction, std::size_t most);
  Step fill_pipe(ftp::Direction direction, std::size_t most);
  Step read_into_pipe(ftp::Direction direction);
  bool must_wait_for_room(ftp::Direction direction);
  void begin_end(Side side);
  /// What it means that the source gave nothing, and `step` instead.
  Step source_stopped(ftp::Direction direction, Tls::Step step);
  /// What a step of TLS that moved nothing means for the relay.
  Step waiting(Side side, Tls::Step step);
  SecureLeg& secure(Side side) { return secure_.at(static_cast<std::size_t>(side)); }
  [[nodiscard]] const SecureLeg& secure(Side side) const { return secure_.at(static_cast<std::size_t>(side)); }

  std::array<SecureLeg, 2> secure_;  ///< By Side.
  PipePool& pool_;
  std::array<Way, 2> ways_{};      ///< By Direction; known from the first byte on.
  std::array<Buffer, 2> buffers_;  ///< By Direction.
  std::array<Pipe, 2> pipes_;      ///< By Direction.
  std::chrono::milliseconds handshake_;
};

}  // namespace pasvgate::net
