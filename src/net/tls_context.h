#pragma once

#include <openssl/ssl.h>

#include <array>
#include <memory>
#include <vector>

#include "net/tls.h"

// What tls.cpp and tls_context.cpp share; nobody else includes it.
namespace pasvgate::net {

template <auto Free>
struct OpenSslDelete {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using SslContext = std::unique_ptr<SSL_CTX, OpenSslDelete<SSL_CTX_free>>;
using SslSession = std::unique_ptr<SSL_SESSION, OpenSslDelete<SSL_SESSION_free>>;

struct TlsContext::State {
  /// A server's: one for each set of names, the first for clients that ask for none of them. A client's: one.
  std::vector<SslContext> contexts;
  std::map<std::string, std::int64_t> expiries;
  bool verifies = false;
};

struct TlsBinding {
  std::array<unsigned char, 16> name{};  ///< A server's.
  SslSession session;                    ///< A client's: the newest.
};

/// What OpenSSL's callbacks need of a connection: the SSL's ex_data.
struct TlsPeer {
  std::shared_ptr<TlsBinding> binding;
  bool is_data = false;
};
int tls_peer_index();

/// The queue of OpenSSL's errors as one text, emptied.
std::string take_openssl_errors();

}  // namespace pasvgate::net
