#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "net/tls_context.h"

namespace pasvgate::net {

using SslPointer = std::unique_ptr<SSL, OpenSslDelete<SSL_free>>;

namespace {

// Four full records.
constexpr std::size_t kReadAheadBytes = std::size_t{68} * 1024;

// Of the peer's messages (KeyUpdate, NewSessionTicket, asking for a renegotiation), between two pieces of payload. A
// server gives a ticket or two, keys are for many gigabytes. BoringSSL takes as many KeyUpdates.
constexpr int kMostIdleMessages = 32;

/// What the callbacks of OpenSSL know of a connection.
struct Watched {
  bool is_up = false;     ///< The handshake's own messages aren't idle.
  int idle_messages = 0;  ///< See kMostIdleMessages.
  [[nodiscard]] bool is_flooded() const { return idle_messages > kMostIdleMessages; }
};

/// To OpenSSL an end without close_notify is a fatal error, which costs the session its life (TLS 1.2 without tickets):
/// so it is told to wait, and `outcome` sees the end.
/// SSL_read goes from message to message as long as more come, and everyone else on this loop would wait: so a flood
/// gets an error in the place of the next bytes.
long look_at_reads(BIO* bio, int operation, const char*, std::size_t, int, long, int result, std::size_t*) {
  if (operation == (BIO_CB_READ | BIO_CB_RETURN) && result <= 0 && BIO_eof(bio)) BIO_set_retry_read(bio);
  const auto* watched = reinterpret_cast<const Watched*>(BIO_get_callback_arg(bio));
  if (operation != BIO_CB_READ || !watched->is_flooded()) return result;
  BIO_clear_retry_flags(bio);
  return -1;
}

void count_message(int is_ours, int, int content, const void*, std::size_t, SSL*, void* watched) {
  auto& here = *static_cast<Watched*>(watched);
  if (is_ours == 0 && content == SSL3_RT_HANDSHAKE && here.is_up) ++here.idle_messages;
}

SslPointer new_ssl(const TlsContext::State& context, int socket, Watched& watched) {
  SslPointer ssl(SSL_new(context.contexts.front().get()));
  SSL_set_fd(ssl.get(), socket);
  BIO* bio = SSL_get_rbio(ssl.get());
  BIO_set_callback_arg(bio, reinterpret_cast<char*>(&watched));
  BIO_set_callback_ex(bio, look_at_reads);
  SSL_set_msg_callback(ssl.get(), count_message);
  SSL_set_msg_callback_arg(ssl.get(), &watched);
  return ssl;
}

}  // namespace

struct Tls::State {
  Watched watched;  // Before `ssl`, whose callbacks see it.
  SslPointer ssl;
  TlsPeer peer;
  bool is_client = false;
  bool has_name = true;  ///< A client's: the name to be checked is set.
};

std::shared_ptr<TlsBinding> make_tls_binding() {
  auto binding = std::make_shared<TlsBinding>();
  RAND_bytes(binding->name.data(), static_cast<int>(binding->name.size()));
  return binding;
}

Tls::Tls(std::shared_ptr<TlsContext> context, int socket, Channel channel, std::shared_ptr<TlsBinding> binding)
    : context_(std::move(context)),
      state_(new State{.watched = {}, .ssl = {}, .peer = {std::move(binding), channel == Channel::Data}}) {
  state_->ssl = new_ssl(*context_->state_, socket, state_->watched);
  SSL* ssl = state_->ssl.get();
  SSL_set_ex_data(ssl, tls_peer_index(), &state_->peer);
  SSL_set_accept_state(ssl);
  // OpenSSL resumes a session only within the same context: that is one control channel and its data connections.
  const auto& name = state_->peer.binding->name;
  SSL_set_session_id_context(ssl, name.data(), static_cast<unsigned>(name.size()));
  // The control channel may go on in clear (CCC), which the kernel would encrypt.
  if (channel == Channel::Control) SSL_clear_options(ssl, SSL_OP_ENABLE_KTLS);
  // A ticket that meets a client's closed socket becomes a reset, which cuts an upload (design §6).
  if (channel == Channel::Data) SSL_set_num_tickets(ssl, 0);
}

Tls::Tls(std::shared_ptr<TlsContext> context, int socket, std::shared_ptr<TlsBinding> binding, const std::string& name)
    : context_(std::move(context)),
      state_(new State{.watched = {}, .ssl = {}, .peer = {binding, false}, .is_client = true}) {
  state_->ssl = new_ssl(*context_->state_, socket, state_->watched);
  SSL* ssl = state_->ssl.get();
  SSL_set_ex_data(ssl, tls_peer_index(), &state_->peer);
  SSL_set_connect_state(ssl);
  // A copy, as OpenSSL lets a TLS 1.3 session be used once only, and the server may give no other.
  if (binding->session) SSL_set_session(ssl, SslSession(SSL_SESSION_dup(binding->session.get())).get());
  const bool is_address = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
  if (is_address) return;
  SSL_set_tlsext_host_name(ssl, name.c_str());
  state_->has_name = !context_->state_->verifies || SSL_set1_host(ssl, name.c_str()) == 1;
}

Tls::~Tls() {
  // OpenSSL forgets the session of a connection that wasn't closed in order, and a TLS 1.2 client without tickets could
  // open no data connection any more behind one that was aborted.
  SSL_set_shutdown(state_->ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

/// What the last call, which returned `result`, means.
Tls::Step Tls::outcome(int result) {
  SSL* ssl = state_->ssl.get();
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_NONE:
      return Step::Done;
    case SSL_ERROR_WANT_READ:
      if (!BIO_eof(SSL_get_rbio(ssl))) return Step::WantRead;
      error_ = SSL_is_init_finished(ssl) ? "ended without close_notify" : "closed by the peer";
      return Step::Truncated;
    case SSL_ERROR_WANT_WRITE:
      return Step::WantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return Step::Closed;
    case SSL_ERROR_SYSCALL:
      if (state_->watched.is_flooded()) {
        error_ = "a flood of messages without data";
        return Step::Failed;
      }
      error_ = errno != 0 ? std::generic_category().message(errno) : "closed by the peer";
      return Step::Failed;
    default:
      break;
  }
  const long verified = state_->is_client ? SSL_get_verify_result(ssl) : X509_V_OK;
  error_ = take_openssl_errors();
  if (verified != X509_V_OK) error_ += std::string(" (") + X509_verify_cert_error_string(verified) + ")";
  return Step::Failed;
}

Tls::Step Tls::handshake() {
  if (!state_->has_name) {
    error_ = "the server's name can't be checked";
    return Step::Failed;
  }
  ERR_clear_error();
  errno = 0;
  const Step step = outcome(SSL_do_handshake(state_->ssl.get()));
  state_->watched.is_up = step == Step::Done;
  if (step != Step::Done || state_->is_client) return step;
  // Sessions that the server keeps itself (TLS 1.2 without tickets) have their name from here. A control channel's is
  // always new, so nobody else has it yet.
  SSL_SESSION* session = SSL_get_session(state_->ssl.get());
  const auto& name = state_->peer.binding->name;
  if (!state_->peer.is_data && session != nullptr) SSL_SESSION_set1_ticket_appdata(session, name.data(), name.size());
  return step;
}

Tls::Moved Tls::read(std::span<char> into) {
  ERR_clear_error();
  errno = 0;
  std::size_t count = 0;
  const int result = SSL_read_ex(state_->ssl.get(), into.data(), into.size(), &count);
  may_hold_more_ = result == 1;
  if (result == 1) state_->watched.idle_messages = 0;
  return {result == 1 ? Step::Done : outcome(result), count};
}

Tls::Moved Tls::write(std::string_view bytes) {
  ERR_clear_error();
  errno = 0;
  std::size_t count = 0;
  const int result = SSL_write_ex(state_->ssl.get(), bytes.data(), bytes.size(), &count);
  if (result == 1) state_->watched.idle_messages = 0;
  return {result == 1 ? Step::Done : outcome(result), count};
}

Tls::Step Tls::close() {
  ERR_clear_error();
  errno = 0;
  const int result = SSL_shutdown(state_->ssl.get());
  // 0: ours is sent, the peer's hasn't come.
  return result >= 0 ? Step::Done : outcome(result);
}

void Tls::give_ticket() {
  if (SSL_version(state_->ssl.get()) == TLS1_3_VERSION) SSL_new_session_ticket(state_->ssl.get());
}

bool Tls::has_heard() const { return BIO_number_read(SSL_get_rbio(state_->ssl.get())) > 0; }

bool Tls::kernel_writes() const { return BIO_get_ktls_send(SSL_get_wbio(state_->ssl.get())); }

bool Tls::kernel_reads() const {
  const SSL* ssl = state_->ssl.get();
  return BIO_get_ktls_recv(SSL_get_rbio(ssl)) && SSL_has_pending(ssl) == 0;
}

void Tls::read_ahead() {
  SSL* ssl = state_->ssl.get();
  // What was read before the kernel takes the records apart it never sees.
  const bool may_become_kernels = SSL_is_init_finished(ssl) == 0 && (SSL_get_options(ssl) & SSL_OP_ENABLE_KTLS) != 0;
  if (may_become_kernels || BIO_get_ktls_recv(SSL_get_rbio(ssl))) return;
  SSL_set_read_ahead(ssl, 1);
  SSL_set_default_read_buffer_len(ssl, kReadAheadBytes);
  SSL_clear_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  reads_ahead_ = true;
}

// SSL_has_pending can't tell half a record from a whole one, and would have the loop ask for ever.
bool Tls::has_pending() const { return SSL_pending(state_->ssl.get()) > 0 || (reads_ahead_ && may_hold_more_); }

bool Tls::is_resumed() const { return SSL_session_reused(state_->ssl.get()) == 1; }

bool Tls::is_bound() const {
  if (!is_resumed()) return false;
  void* name = nullptr;
  std::size_t size = 0;
  SSL_SESSION_get0_ticket_appdata(SSL_get_session(state_->ssl.get()), &name, &size);
  const auto& wanted = state_->peer.binding->name;
  return size == wanted.size() && std::memcmp(name, wanted.data(), size) == 0;
}

std::string_view Tls::version() const { return SSL_get_version(state_->ssl.get()); }

std::string_view Tls::server_name() const {
  const char* name = SSL_get_servername(state_->ssl.get(), TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view() : std::string_view(name);
}

std::optional<std::string> Tls::peer() const {
  X509* certificate = SSL_get0_peer_certificate(state_->ssl.get());
  if (certificate == nullptr) return std::nullopt;
  const std::unique_ptr<BIO, OpenSslDelete<BIO_free>> bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace pasvgate::net
