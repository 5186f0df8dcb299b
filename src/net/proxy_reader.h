#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "net/loop.h"
#include "net/socket.h"

namespace pasvgate::net {

/// How a connection began that had to begin with a PROXY header.
enum class ProxyResult : std::uint8_t {
  Ok,         ///< It tells the client's address.
  Own,        ///< The connection's own addresses count (LOCAL, UNKNOWN).
  Malformed,  ///< Or no header at all.
  Timeout,
  Closed  ///< By the peer, before the header was whole.
};

/// Reads the PROXY header of a connection that was accepted, and no byte behind it. One owner, one loop.
class ProxyReader {
 public:
  /// With Ok `client` has the addresses of the header, with Own its own; else it is to be reset, for the reason `why`.
  using OnDone = std::move_only_function<void(Accepted client, ProxyResult result, std::string_view why)>;
  /// `on_done` is called once at most, never before the constructor has returned; the reader may be destroyed in it.
  /// Destroying it before resets the connection.
  ProxyReader(Loop& loop, Accepted client, std::chrono::milliseconds timeout, OnDone on_done);
  ~ProxyReader();
  ProxyReader(const ProxyReader&) = delete;
  ProxyReader& operator=(const ProxyReader&) = delete;

 private:
  void read();
  void finish(ProxyResult result, std::string_view why = {});

  Accepted client_;  // Before poll_: the descriptor must outlive its handle.
  std::string header_;
  OnDone on_done_;
  Poll poll_;
  Timer timer_;
};

}  // namespace pasvgate::net
