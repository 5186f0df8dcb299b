#include "ftp/line.h"

#include <algorithm>

namespace pasvgate::ftp {
namespace {

// RFC 854's command bytes.
constexpr unsigned char kEndOfSubnegotiation = 0xF0;  // SE, and the lowest of them
constexpr unsigned char kDataMark = 0xF2;
constexpr unsigned char kInterrupt = 0xF4;
constexpr unsigned char kSubnegotiation = 0xFA;
constexpr unsigned char kWill = 0xFB;
constexpr unsigned char kDont = 0xFE;
constexpr unsigned char kIac = 0xFF;

constexpr unsigned char byte_of(char byte) { return static_cast<unsigned char>(byte); }

void append_hex(std::string& out, unsigned char byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 0xF];
}

/// A character outside ASCII at the front of a text; length 0 when the bytes are no UTF-8 (RFC 3629: overlong forms and
/// surrogates are none).
struct Character {
  std::size_t length = 0;
  char32_t code = 0;
};

Character first_character(std::string_view text) {
  const unsigned char lead = byte_of(text.front());
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  char32_t code = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const unsigned char byte = byte_of(text[i]);
    if ((byte & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte & 0x3FU);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kLeast[length] || code > 0x10FFFF || is_surrogate) return {};
  return {length, code};
}

/// Characters that end a line, turn its direction or can't be seen would let a file name forge a log line.
bool is_harmless(char32_t code) {
  const bool is_control = code < 0xA0;
  const bool is_format = (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                         (code >= 0x2060 && code <= 0x206F) || code == 0x061C || code == 0xFEFF || code == 0xAD ||
                         (code >= 0xFFF0 && code <= 0xFFFB) || code >= 0xE0000;
  return !is_control && !is_format;
}

}  // namespace

LineFramer::LineFramer(std::size_t limit, Telnet telnet) : limit_(limit), telnet_(telnet) {}

std::optional<Line> LineFramer::next(std::string_view& bytes) {
  if (delivered_) {
    buffer_.clear();
    delivered_ = false;
  }
  while (!bytes.empty()) {
    if (state_ == State::Text) put_run(bytes);
    if (bytes.empty()) break;
    const char byte = bytes.front();
    bytes.remove_prefix(1);
    if (take(byte)) return finish();
  }
  // Between lines it keeps no memory: most sessions are idle.
  if (buffer_.empty()) std::string().swap(buffer_);
  return std::nullopt;
}

bool LineFramer::is_partial() const {
  return (!delivered_ && !buffer_.empty()) || state_ != State::Text || fault_ != LineFault::None;
}

bool LineFramer::take(char byte) {
  switch (state_) {
    case State::Text:
      return take_text(byte);
    case State::CarriageReturn:
      return take_after_return(byte);
    case State::Iac:
      return take_command(byte);
    case State::Option:
      state_ = State::Text;
      return false;
    case State::Subnegotiation:
      if (byte_of(byte) == kIac) state_ = State::SubnegotiationIac;
      return false;
    case State::SubnegotiationIac:
      state_ = byte_of(byte) == kEndOfSubnegotiation ? State::Text : State::Subnegotiation;
      return false;
  }
  return false;
}

bool LineFramer::take_text(char byte) {
  if (byte == '\n') return true;
  if (byte == '\r') {
    state_ = State::CarriageReturn;
  } else if (byte == '\0') {
    forbidden();
  } else if (byte_of(byte) == kIac && telnet_ == Telnet::Decode) {
    state_ = State::Iac;
  } else {
    put({&byte, 1});
  }
  return false;
}

bool LineFramer::take_after_return(char byte) {
  if (byte == '\n') return true;
  // Some peers end lines with CR CR LF, so a run of CRs is judged by the byte behind it.
  if (byte == '\r') return false;
  state_ = State::Text;
  forbidden();
  return take_text(byte);
}

bool LineFramer::take_command(char byte) {
  const unsigned char command = byte_of(byte);
  state_ = State::Text;
  if (command < kEndOfSubnegotiation) {
    put("\xFF");
    return take_text(byte);  // It may be the CR behind a name in Latin-1 that ends in 0xFF.
  }
  if (command == kIac) {
    put({&byte, 1});
  } else if (command >= kWill && command <= kDont) {
    state_ = State::Option;
  } else if (command == kSubnegotiation) {
    state_ = State::Subnegotiation;
  } else if (command == kInterrupt || command == kDataMark) {
    interrupt_ = true;
  }
  return false;
}

void LineFramer::forbidden() {
  if (telnet_ == Telnet::Verbatim) {
    put(" ");
    return;
  }
  if (fault_ == LineFault::None) fault_ = LineFault::ForbiddenByte;
  buffer_.clear();
}

/// Ordinary bytes from the front, which are nearly all, at once.
void LineFramer::put_run(std::string_view& bytes) {
  const auto* const end = std::ranges::find_if(
      bytes, [](char byte) { return byte == '\n' || byte == '\r' || byte == '\0' || byte_of(byte) == kIac; });
  const auto size = static_cast<std::size_t>(end - bytes.begin());
  put(bytes.substr(0, size));
  bytes.remove_prefix(size);
}

void LineFramer::put(std::string_view text) {
  if (fault_ != LineFault::None) return;
  if (text.size() <= limit_ - buffer_.size()) {
    buffer_ += text;
    return;
  }
  fault_ = LineFault::TooLong;
  buffer_.clear();
}

Line LineFramer::finish() {
  const Line line{.text = buffer_, .fault = fault_, .interrupt = interrupt_};
  state_ = State::Text;
  delivered_ = true;
  fault_ = LineFault::None;
  interrupt_ = false;
  return line;
}

std::string telnet_escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);  // for the line's end
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find(static_cast<char>(kIac)), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    out += text.front();
    if (text.size() > 1 && byte_of(text[1]) >= kEndOfSubnegotiation) out += text.front();
    text.remove_prefix(1);
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const unsigned char byte = byte_of(text.front());
    std::size_t length = 1;
    if (byte >= 0x80) {
      const Character character = first_character(text);
      if (character.length > 0 && is_harmless(character.code)) length = character.length;
    }
    if (length > 1 || (byte >= 0x20 && byte < 0x7F && byte != '\\')) {
      out += text.substr(0, length);
    } else {
      append_hex(out, byte);
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace pasvgate::ftp
