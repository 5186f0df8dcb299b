#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// Reading an HTTP/1.1 answer (RFC 9112), as it arrives. Pure: bytes in, values out.
namespace pasvgate::cli {

struct HttpReply {
  int status = 0;
  std::string body;
  bool operator==(const HttpReply&) const = default;
};

/// Takes the answer to one GET. The body's end is told by chunks, by Content-Length or by the end of the connection
/// (RFC 9112 §6.3). Keeps at most `limit` bytes of body and 64 KiB of header, whatever arrives.
class HttpReader {
 public:
  explicit HttpReader(std::size_t limit) : limit_(limit) {}

  /// More bytes; what is behind the answer is left alone. The error in words: too large, or no HTTP.
  std::expected<void, std::string> take(std::string_view bytes);
  /// The connection has ended. The error in words: that was too early.
  std::expected<void, std::string> end();
  [[nodiscard]] bool is_whole() const { return state_ == State::Whole; }
  HttpReply reply() && { return std::move(reply_); }

 private:
  enum class State : std::uint8_t {
    StatusLine,
    Headers,
    Counted,
    ToTheEnd,
    ChunkSize,
    Chunk,
    ChunkEnd,
    Trailer,
    Whole
  };
  using Result = std::expected<void, std::string>;

  /// A line without its end; nothing while it isn't whole.
  std::optional<std::string> line(std::string_view& bytes);
  Result take_line(const std::string& text);
  Result take_status(std::string_view text);
  Result take_header(std::string_view text);
  Result take_chunk_size(std::string_view text);
  Result begin_body();
  Result take_body(std::string_view& bytes);

  std::size_t limit_;
  State state_ = State::StatusLine;
  std::string line_;
  std::size_t head_ = 0;  ///< Bytes of header lines so far, or of lines since the last chunk.
  bool is_chunked_ = false;
  std::optional<std::uint64_t> length_;
  std::uint64_t left_ = 0;  ///< Of the body, or of the chunk.
  HttpReply reply_;
};

}  // namespace pasvgate::cli
