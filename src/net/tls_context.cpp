#include "net/tls_context.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <system_error>
#include <utility>

namespace pasvgate::net {
namespace {

// A control channel may be older than its last data connection by this much.
constexpr long kSessionSeconds = 7L * 24 * 3600;
// RFC 7301's list of one name each; IANA has "ftp" for the control channel, FTP's data has none but custom.
constexpr std::string_view kControlProtocol =
    "\x03"
    "ftp";
constexpr std::string_view kDataProtocol =
    "\x08"
    "ftp-data";

using X509Pointer = std::unique_ptr<X509, OpenSslDelete<X509_free>>;

TlsPeer& peer_of(const SSL* ssl) { return *static_cast<TlsPeer*>(SSL_get_ex_data(ssl, tls_peer_index())); }

int version_of(TlsMinimum minimum) {
  switch (minimum) {
    case TlsMinimum::V1_0:
      return TLS1_VERSION;
    case TlsMinimum::V1_1:
      return TLS1_1_VERSION;
    case TlsMinimum::V1_2:
      return TLS1_2_VERSION;
    case TlsMinimum::V1_3:
      return TLS1_3_VERSION;
  }
  std::unreachable();
}

bool same_name(const SSL_SESSION* session, const TlsBinding& binding) {
  void* name = nullptr;
  std::size_t size = 0;
  SSL_SESSION_get0_ticket_appdata(const_cast<SSL_SESSION*>(session), &name, &size);
  return size == binding.name.size() && std::memcmp(name, binding.name.data(), size) == 0;
}

/// A ticket carries the name of the control channel that it was given on. One of a data connection carries none:
/// whoever makes a handshake there, before it is refused, must not get what opens the next one.
int on_new_ticket(SSL* ssl, void*) {
  const TlsPeer& peer = peer_of(ssl);
  const std::size_t size = peer.is_data ? 0 : peer.binding->name.size();
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), peer.binding->name.data(), size);
}

/// A ticket comes back. A data connection may use its own control channel's alone, and gets no other. A control channel
/// resumes nothing: what is in a ticket is known before the client has shown that it has the session's secret.
SSL_TICKET_RETURN on_ticket(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t, SSL_TICKET_STATUS status,
                            void*) {
  const TlsPeer& peer = peer_of(ssl);
  if (!peer.is_data) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const bool is_readable = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
  return is_readable && same_name(session, *peer.binding) ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_IGNORE;
}

/// ALPACA: a handshake that was meant for another protocol is none.
int on_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
            unsigned int offered_size, void*) {
  const std::string_view wanted = peer_of(ssl).is_data ? kDataProtocol : kControlProtocol;
  const std::string_view other = kControlProtocol;  // clients that don't make a difference
  for (const std::string_view name : {wanted, other}) {
    unsigned char* found = nullptr;
    const int result = SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(name.data()),
                                             static_cast<unsigned>(name.size()), offered, offered_size);
    if (result == OPENSSL_NPN_NEGOTIATED) {
      *chosen = found;
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// SNI chooses the certificate; a name that none has gets the first.
int on_server_name(SSL* ssl, int*, void* argument) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  for (const auto& context : static_cast<TlsContext::State*>(argument)->contexts) {
    if (X509_check_host(SSL_CTX_get0_certificate(context.get()), name, 0, 0, nullptr) == 1) {
      SSL_set_SSL_CTX(ssl, context.get());
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int on_new_session(SSL* ssl, SSL_SESSION* session) {
  peer_of(ssl).binding->session.reset(session);
  return 1;  // it is ours now
}

/// Whether it is in the kernel, or a module of it. Where not, OpenSSL would ask on each connection, and a process that
/// may have modules loaded would have the kernel look for one each time.
bool kernel_has_tls() {
  static const bool has = [] {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // A socket without a connection can't be given it: then the error is another one.
    const bool unknown = ::setsockopt(socket, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls" - 1) != 0 && errno == ENOENT;
    ::close(socket);
    return !unknown;
  }();
  return has;
}

void set_common(SSL_CTX* context, TlsMinimum minimum) {
  SSL_CTX_set_min_proto_version(context, version_of(minimum));
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   (kernel_has_tls() ? SSL_OP_ENABLE_KTLS : 0));
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // OpenSSL 3 speaks TLS below 1.2 only without a security level.
  if (minimum < TlsMinimum::V1_2) SSL_CTX_set_security_level(context, 0);
}

void set_ciphers(SSL_CTX* context, const std::optional<std::string>& ciphers,
                 const std::optional<std::string>& ciphersuites, TlsErrors& errors) {
  if (ciphers && SSL_CTX_set_cipher_list(context, ciphers->c_str()) != 1) {
    errors.push_back({"ciphers", "\"" + *ciphers + "\": " + take_openssl_errors()});
  }
  if (ciphersuites && SSL_CTX_set_ciphersuites(context, ciphersuites->c_str()) != 1) {
    errors.push_back({"ciphersuites", "\"" + *ciphersuites + "\": " + take_openssl_errors()});
  }
}

X509Pointer read_certificate(const std::string& file) {
  const std::unique_ptr<BIO, OpenSslDelete<BIO_free>> bio(BIO_new_file(file.c_str(), "r"));
  return X509Pointer(bio ? PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

/// The DNS names that a certificate is for, in one text: certificates with the same ones belong together.
std::string names_of(X509* certificate) {
  std::vector<std::string> names;
  using Names = std::unique_ptr<GENERAL_NAMES, OpenSslDelete<GENERAL_NAMES_free>>;
  const Names alternatives(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type != GEN_DNS) continue;
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  if (names.empty()) {
    std::array<char, 256> common{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common.data(),
                              static_cast<int>(common.size()));
    names.emplace_back(common.data());
  }
  std::ranges::sort(names);
  std::string all;
  for (const auto& name : names) all += name + "\n";
  return all;
}

std::int64_t expiry_of(X509* certificate) {
  std::tm when{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1) return 0;
  return ::timegm(&when);
}

TlsError no_certificate(const TlsServerSettings::Certificate& files, const std::string& pair) {
  return {pair + "/certificate", files.certificate + ": no certificate in PEM: " + take_openssl_errors()};
}

/// `pair`: the setting's name.
void load(SSL_CTX* context, const TlsServerSettings::Certificate& files, const std::string& pair, TlsErrors& errors) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return errors.push_back(no_certificate(files, pair));
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    errors.push_back(
        {pair + "/key", files.key + ": not the private key of " + files.certificate + ": " + take_openssl_errors()});
  }
}

void set_server(SSL_CTX* context, const TlsServerSettings& settings, TlsContext::State* state, TlsErrors& errors) {
  set_common(context, settings.minimum);
  set_ciphers(context, settings.ciphers, settings.ciphersuites, errors);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
  SSL_CTX_set_timeout(context, kSessionSeconds);
  SSL_CTX_set_session_ticket_cb(context, on_new_ticket, on_ticket, nullptr);
  SSL_CTX_set_alpn_select_cb(context, on_alpn, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
  SSL_CTX_set_tlsext_servername_arg(context, state);
  if (settings.client_ca) {
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context, settings.client_ca->c_str()) != 1) {
      errors.push_back({"client_ca", *settings.client_ca + ": no CAs in PEM: " + take_openssl_errors()});
    }
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(settings.client_ca->c_str()));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
}

}  // namespace

int tls_peer_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string take_openssl_errors() {
  std::string text;
  while (const auto code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += ", ";
    if (ERR_SYSTEM_ERROR(code)) {
      text += std::generic_category().message(ERR_GET_REASON(code));
    } else {
      text += reason != nullptr ? reason : "error " + std::to_string(code);
    }
  }
  return text.empty() ? "unknown error" : text;
}

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

const std::map<std::string, std::int64_t>& TlsContext::expiries() const { return state_->expiries; }

std::expected<std::shared_ptr<TlsContext>, TlsErrors> TlsContext::server(const TlsServerSettings& settings) {
  auto state = std::make_unique<State>();
  TlsErrors errors;
  std::vector<std::string> names;
  for (std::size_t index = 0; index < settings.certificates.size(); ++index) {
    const auto& files = settings.certificates[index];
    const std::string pair = "certificates/" + std::to_string(index);
    const auto certificate = read_certificate(files.certificate);
    if (!certificate) {
      errors.push_back(no_certificate(files, pair));
      continue;
    }
    state->expiries.emplace(files.certificate, expiry_of(certificate.get()));
    // An ECDSA and an RSA certificate for the same names share a context: the client's ciphers choose.
    const std::string its = names_of(certificate.get());
    const auto known = std::ranges::find(names, its);
    const auto place = static_cast<std::size_t>(known - names.begin());
    if (known == names.end()) {
      names.push_back(its);
      state->contexts.emplace_back(SSL_CTX_new(TLS_server_method()));
      set_server(state->contexts.back().get(), settings, state.get(), errors);
    }
    load(state->contexts[place].get(), files, pair, errors);
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

std::expected<std::shared_ptr<TlsContext>, TlsErrors> TlsContext::client(const TlsClientSettings& settings) {
  auto state = std::make_unique<State>();
  TlsErrors errors;
  SSL_CTX* context = state->contexts.emplace_back(SSL_CTX_new(TLS_client_method())).get();
  set_common(context, settings.minimum);
  if (settings.minimum < TlsMinimum::V1_2) SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT);
  set_ciphers(context, settings.ciphers, std::nullopt, errors);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, on_new_session);
  state->verifies = settings.verify;
  if (settings.verify) {
    ERR_clear_error();
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    if (!settings.ca) {
      SSL_CTX_set_default_verify_paths(context);
    } else if (SSL_CTX_load_verify_file(context, settings.ca->c_str()) != 1) {
      errors.push_back({"ca", *settings.ca + ": no CAs in PEM: " + take_openssl_errors()});
    }
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

}  // namespace pasvgate::net
