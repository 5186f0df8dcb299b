#pragma once

#include <openssl/ssl.h>

#include <string>

#include "cli/probe.h"

namespace pasvgate::cli {

/// What the server's certificate says, and whether `host` may have it: behind the handshake.
void read_certificate(SSL* ssl, const std::string& host, TlsFacts& tls);

}  // namespace pasvgate::cli
