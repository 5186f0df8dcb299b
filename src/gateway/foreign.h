#pragma once

#include "ftp/command.h"

namespace pasvgate::gateway {

/// The line of a client that speaks HTTP, SMTP, SIP, RTSP or SSH, and was led here: by a web page that has a browser
/// send what looks like commands behind a few headers (cross-protocol scripting, NAT slipstreaming, ALPACA). Only for
/// verbs that FTP doesn't have.
[[nodiscard]] bool is_foreign(const ftp::Command& command);

}  // namespace pasvgate::gateway
