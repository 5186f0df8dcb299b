#pragma once

#include <expected>
#include <optional>
#include <string>

#include "config/config.h"

namespace pasvgate::server {

/// Nothing that this process may ever execute gains rights by it (no_new_privs). First of all, while there is one
/// thread.
void refuse_new_privileges();

/// Before the first loop, what has to be before it.
void prepare_to_give_up(const config::Config& config);

/// What the process still may; for the log.
struct Privileges {
  std::string user;                 ///< Name or number.
  bool changed = false;             ///< It was root, and has become `user`.
  std::optional<std::string> kept;  ///< Capabilities; unset: root's, which nobody asked to give up.
  bool has_filter = false;          ///< Of system calls.
};

/// Becomes `config.user` with its group and no other (who is that user already keeps the groups), gives up every
/// capability that this configuration has no use for, and installs the filter of system calls. When all ports are bound
/// and all files that only root may read are read, and before there is a second thread: capabilities belong to threads.
/// The error is a line with the key that it is about; the process must end then, as it may stand halfway.
std::expected<Privileges, std::string> give_up_privileges(const config::Config& config);

}  // namespace pasvgate::server
