#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/config.h"
#include "ftp/command.h"
#include "ftp/feat.h"

namespace pasvgate::gateway {

/// What protects the client's legs (RFC 2228, RFC 4217): AUTH, PBSZ, PROT and CCC are answered here, whatever the
/// backend does.
class ClientSecurity {
 public:
  ClientSecurity(config::ClientTls mode, bool require_private_data)
      : mode_(mode), require_private_data_(require_private_data), private_data_(mode == config::ClientTls::Implicit) {}

  struct Answer {
    enum class Then : std::uint8_t { Nothing, StartTls, EndTls } then = Then::Nothing;
    std::string reply;
  };
  /// The answer to a command that is the gateway's own, or that the client may not send as things stand; nothing for
  /// one that may go on.
  std::optional<Answer> answer(const ftp::Command& command);
  /// The handshake is done.
  void secured() { is_up_ = true; }

  /// Data connections of the client are encrypted.
  [[nodiscard]] bool has_private_data() const { return private_data_; }
  [[nodiscard]] bool is_up() const { return is_up_; }
  /// What FEAT has to say of it.
  void edit(ftp::FeatPolicy& feat) const;

 private:
  Answer auth(const ftp::Command& command) const;
  Answer prot(const ftp::Command& command);
  Answer ccc();
  [[nodiscard]] bool may_be_clear(ftp::Verb verb) const;

  config::ClientTls mode_;
  bool require_private_data_;
  bool is_up_ = false;  ///< TLS was begun; CCC doesn't change it.
  bool is_cleared_ = false;
  bool has_size_ = false;  ///< PBSZ was said.
  bool private_data_;      ///< PROT P.
};

}  // namespace pasvgate::gateway
