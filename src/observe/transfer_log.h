#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "ftp/address.h"
#include "gateway/note.h"

namespace pasvgate::observe {

/// A file that was moved, or began to be, and by whom.
struct TransferRecord {
  const gateway::TransferNote& note;
  std::chrono::system_clock::time_point ended;
  std::chrono::nanoseconds duration;  ///< Of the data connection.
  ftp::Address client;
  std::string_view user;  ///< Raw.
  std::string_view session;
  std::string_view listener;
};

/// Files only, and no transfer that was refused before it began.
bool is_for_transfer_log(const gateway::TransferNote& note);

/// wu-ftpd's xferlog(5), in local time: "Sat Nov 21 10:00:00 2026 1 192.0.2.5 1234 /pub/file b _ o r tester ftp 0 * c".
/// The name is the command's argument, with `_` for blanks and control bytes. Without a newline.
std::string xferlog_line(const TransferRecord& record);
/// The same and a little more as one JSON object.
std::string json_transfer_line(const TransferRecord& record);

}  // namespace pasvgate::observe
