#pragma once

#include <expected>
#include <string>

namespace pasvgate::server {

/// The token in a file: one line, of which blanks and line ends at its end are no part, of at most 4096 bytes in all.
/// The error says what is wrong with the file, without naming it: whoever asks the admin server reads it. Never waits
/// for a FIFO.
std::expected<std::string, std::string> read_token(const std::string& path);

}  // namespace pasvgate::server
