#pragma once

#include <chrono>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "cli/http_reader.h"
#include "ftp/address.h"

namespace pasvgate::cli {

struct HttpGet {
  ftp::Endpoint server;
  std::string target;                       ///< Path and query, percent-encoded.
  std::chrono::milliseconds timeout{5000};  ///< From the connect to the last byte.
  std::size_t limit = 64UL * 1024 * 1024;   ///< Of the body, in bytes.
  int interrupt = -1;  ///< A descriptor that becomes readable when nobody wants the answer any more.
};

/// One GET over plain HTTP/1.1 (RFC 9112), with a connection of its own. Blocks: for a command, never for the gateway.
/// Any status is an answer; the error says in words what kept one from coming.
std::expected<HttpReply, std::string> http_get(const HttpGet& get);

}  // namespace pasvgate::cli
