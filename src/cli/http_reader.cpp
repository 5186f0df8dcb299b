#include "cli/http_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

namespace pasvgate::cli {
namespace {

constexpr std::size_t kHeadLimit = 64UL * 1024;

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// All of `text` as a number.
std::optional<std::uint64_t> number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<std::string> no_http() { return std::unexpected<std::string>("the answer is no HTTP"); }

}  // namespace

std::optional<std::string> HttpReader::line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::string_view part = bytes.substr(0, end);
  line_ += part;
  head_ += part.size() + 1;
  if (end == std::string_view::npos) {
    bytes = {};
    return std::nullopt;
  }
  bytes.remove_prefix(end + 1);
  if (line_.ends_with('\r')) line_.pop_back();
  return std::exchange(line_, {});
}

HttpReader::Result HttpReader::take(std::string_view bytes) {
  while (!bytes.empty() && state_ != State::Whole) {
    Result done;
    if (state_ == State::Counted || state_ == State::ToTheEnd || state_ == State::Chunk) {
      done = take_body(bytes);
    } else {
      const auto text = line(bytes);
      if (head_ > kHeadLimit) return std::unexpected("the answer's header is too long");
      if (text) done = take_line(*text);
    }
    if (!done) return done;
  }
  return {};
}

HttpReader::Result HttpReader::take_line(const std::string& text) {
  switch (state_) {
    case State::StatusLine:
      return take_status(text);
    case State::Headers:
      return text.empty() ? begin_body() : take_header(text);
    case State::ChunkSize:
      return take_chunk_size(text);
    case State::ChunkEnd:
      state_ = State::ChunkSize;
      return text.empty() ? Result() : no_http();
    default:  // Trailer
      if (text.empty()) state_ = State::Whole;
      return {};
  }
}

HttpReader::Result HttpReader::take_status(std::string_view text) {
  if (!text.starts_with("HTTP/1.") || text.size() < 12 || text[8] != ' ') return no_http();
  const auto status = number(text.substr(9, 3), 10);
  if (!status || *status < 100 || (text.size() > 12 && text[12] != ' ')) return no_http();
  reply_.status = static_cast<int>(*status);
  state_ = State::Headers;
  return {};
}

HttpReader::Result HttpReader::take_header(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return no_http();
  const std::string name = lowered(text.substr(0, colon));
  const std::string_view value = trimmed(text.substr(colon + 1));
  if (name == "transfer-encoding") {
    if (lowered(value) != "chunked") return std::unexpected("the answer's transfer encoding is unknown");
    is_chunked_ = true;
  }
  if (name == "content-length") {
    const auto length = number(value, 10);
    if (!length || (length_ && *length_ != *length)) return no_http();
    length_ = length;
  }
  return {};
}

HttpReader::Result HttpReader::begin_body() {
  if (reply_.status < 200) {  // An interim answer; the final one follows (RFC 9110 §15.2).
    state_ = State::StatusLine;
    length_.reset();
    return {};
  }
  if (reply_.status == 204 || reply_.status == 304) {
    state_ = State::Whole;
  } else if (is_chunked_) {  // Wins over Content-Length.
    state_ = State::ChunkSize;
  } else if (length_) {
    if (*length_ > limit_) return std::unexpected("the answer is too large");
    left_ = *length_;
    state_ = left_ == 0 ? State::Whole : State::Counted;
  } else {
    state_ = State::ToTheEnd;
  }
  return {};
}

HttpReader::Result HttpReader::take_chunk_size(std::string_view text) {
  const auto size = number(trimmed(text.substr(0, text.find(';'))), 16);
  if (!size) return no_http();
  if (*size > limit_ - reply_.body.size()) return std::unexpected("the answer is too large");
  left_ = *size;
  head_ = 0;
  state_ = left_ == 0 ? State::Trailer : State::Chunk;
  return {};
}

HttpReader::Result HttpReader::take_body(std::string_view& bytes) {
  const bool is_counted = state_ != State::ToTheEnd;
  const auto size = is_counted ? std::min<std::uint64_t>(left_, bytes.size()) : bytes.size();
  if (size > limit_ - reply_.body.size()) return std::unexpected("the answer is too large");
  reply_.body += bytes.substr(0, size);
  bytes.remove_prefix(size);
  if (!is_counted) return {};
  left_ -= size;
  if (left_ == 0) state_ = state_ == State::Chunk ? State::ChunkEnd : State::Whole;
  return {};
}

HttpReader::Result HttpReader::end() {
  if (state_ == State::ToTheEnd) state_ = State::Whole;
  if (is_whole()) return {};
  if (state_ == State::StatusLine && line_.empty())
    return std::unexpected("the connection was closed without an answer");
  return std::unexpected("the connection was closed within the answer");
}

}  // namespace pasvgate::cli
