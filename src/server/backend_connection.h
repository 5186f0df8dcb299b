#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "net/connector.h"
#include "net/resolver.h"

namespace pasvgate::server {

/// Connects to the first server of a backend that answers: servers in their order, a name's addresses in the
/// resolver's.
class BackendConnection {
 public:
  struct Connected {
    net::Fd socket;
    std::string host;  ///< As the configuration names the server.
  };
  using OnDone = std::move_only_function<void(net::Result<Connected>)>;
  /// `on_done` never runs before the constructor has returned. `backend` has a server and outlives the connection.
  BackendConnection(net::Loop& loop, const config::Backend& backend, std::chrono::milliseconds timeout, OnDone on_done);

 private:
  void next();
  void try_address();

  net::Loop& loop_;
  const config::Backend& backend_;
  std::chrono::milliseconds timeout_;
  OnDone on_done_;
  std::size_t next_server_ = 0;            ///< Behind the one that is tried.
  std::vector<ftp::Endpoint> candidates_;  ///< Last first.
  net::Error last_error_;
  std::unique_ptr<net::Lookup> lookup_;
  std::unique_ptr<net::Connector> connector_;
};

}  // namespace pasvgate::server
