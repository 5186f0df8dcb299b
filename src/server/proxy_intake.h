#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>

#include "net/proxy_reader.h"
#include "observe/metrics.h"
#include "server/sparse_line.h"

namespace pasvgate::server {

/// The connections that a worker has accepted from proxies, until their PROXY headers are read; no worker waits for
/// one. Counts what became of each.
class ProxyIntake {
 public:
  ProxyIntake(net::Loop& loop, observe::Metrics& metrics) : loop_(loop), metrics_(metrics), refusals_(loop) {}

  /// `on_read` gets the connection with the addresses that count, never before this returns. Without a good header the
  /// connection is reset and `on_read` destroyed without a call.
  using OnRead = std::move_only_function<void(net::Accepted)>;
  void take(net::Accepted client, std::chrono::milliseconds timeout, OnRead on_read);
  /// Resets all that wait.
  void clear() { waiting_.clear(); }

 private:
  struct Waiting {
    OnRead on_read;
    std::unique_ptr<net::ProxyReader> reader;
  };
  void refuse(net::Accepted client, net::ProxyResult result, std::string_view why);

  net::Loop& loop_;
  observe::Metrics& metrics_;
  std::list<Waiting> waiting_;
  SparseLine refusals_;
};

}  // namespace pasvgate::server
