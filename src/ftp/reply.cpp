#include "ftp/reply.h"

#include "ftp/address.h"

namespace pasvgate::ftp {
namespace {

/// The front of a reply line: "227 ", "227-" or a bare "227"; code 0 when it isn't one.
struct Head {
  int code = 0;
  bool opens = false;  ///< A hyphen: more lines follow.
  std::string_view text;
};

Head parse_head(std::string_view line) {
  const auto code = parse_decimal(line.substr(0, 3), 999);
  // Codes above 599 are passed on: 6xx are RFC 2228's protected replies.
  if (line.size() < 3 || !code || *code < 100) return {};
  const bool is_bare = line.size() == 3;
  if (!is_bare && line[3] != ' ' && line[3] != '-') return {};
  return {static_cast<int>(*code), !is_bare && line[3] == '-', is_bare ? line.substr(3) : line.substr(4)};
}

}  // namespace

ReplyLine ReplyReader::read(std::string_view line) {
  using Place = ReplyLine::Place;
  const Head head = parse_head(line);
  if (code_ != 0) {
    const int open = code_;
    // Another code inside is text that the server only repeats, perhaps on a client's behalf.
    if (head.code != open) return {Place::Middle, open, line, line};
    if (head.opens) return {Place::Middle, open, line, head.text};
    code_ = 0;
    return {Place::Last, open, line, head.text};
  }
  if (head.code == 0) return {Place::Stray, 0, line, line};
  if (!head.opens) return {Place::Only, head.code, line, head.text};
  code_ = head.code;
  return {Place::First, head.code, line, head.text};
}

std::string write_reply(int code, std::string_view text) {
  std::string reply = std::to_string(code);
  reply += ' ';
  // One reply is one line, whatever a peer's words in it hold.
  for (const char byte : text) reply += byte == '\r' || byte == '\n' ? ' ' : byte;
  reply += "\r\n";
  return reply;
}

}  // namespace pasvgate::ftp
