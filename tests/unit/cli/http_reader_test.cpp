#include <doctest/doctest.h>

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "cli/http_reader.h"

namespace pasvgate::cli {
namespace {

using Outcome = std::expected<HttpReply, std::string>;

constexpr std::size_t kLimit = 32;

/// The pieces in their order, then the end of the connection.
Outcome read(const std::vector<std::string_view>& pieces) {
  HttpReader reader(kLimit);
  for (const auto piece : pieces) {
    if (auto taken = reader.take(piece); !taken) return std::unexpected(taken.error());
  }
  if (!reader.is_whole()) {
    if (auto ended = reader.end(); !ended) return std::unexpected(ended.error());
  }
  return std::move(reader).reply();
}

Outcome wrong(std::string text) { return std::unexpected(std::move(text)); }

}  // namespace

TEST_CASE("HTTP answers: whole, byte by byte and split anywhere") {
  struct Row {
    std::string_view what;
    std::string text;
    Outcome outcome;
  };
  const Row rows[] = {
      {"counted", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", HttpReply{200, "hello"}},
      {"names in any case, spaces around the value", "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 2 \r\n\r\nok",
       HttpReply{200, "ok"}},
      {"bare line feeds", "HTTP/1.1 404 Not Found\nContent-Length: 2\n\nno", HttpReply{404, "no"}},
      {"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", HttpReply{200, ""}},
      {"to the end", "HTTP/1.0 200 OK\r\n\r\nas it comes", HttpReply{200, "as it comes"}},
      {"nothing to come", "HTTP/1.1 204 No Content\r\n\r\n", HttpReply{204, ""}},
      {"an interim answer first", "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
       HttpReply{200, "x"}},
      {"more behind the answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", HttpReply{200, "ok"}},
      {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;why=not\r\nlo\r\n0\r\n\r\n",
       HttpReply{200, "hello"}},
      {"chunks with a trailer",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
       HttpReply{200, "0123456789"}},
      {"chunks win over a length",
       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
       HttpReply{200, "ok"}},
      {"nothing at all", "", wrong("the connection was closed without an answer")},
      {"ends in the header", "HTTP/1.1 200 OK\r\nConte", wrong("the connection was closed within the answer")},
      {"ends in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
       wrong("the connection was closed within the answer")},
      {"ends before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
       wrong("the connection was closed within the answer")},
      {"another protocol", "220 ftp ready\r\n", wrong("the answer is no HTTP")},
      {"HTTP/2", "HTTP/2 200 OK\r\n", wrong("the answer is no HTTP")},
      {"a status of four digits", "HTTP/1.1 2000 OK\r\n", wrong("the answer is no HTTP")},
      {"a status below 100", "HTTP/1.1 099 OK\r\n", wrong("the answer is no HTTP")},
      {"a header without a colon", "HTTP/1.1 200 OK\r\nhello\r\n", wrong("the answer is no HTTP")},
      {"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", wrong("the answer is no HTTP")},
      {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", wrong("the answer is no HTTP")},
      {"no size of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
       wrong("the answer is no HTTP")},
      {"a chunk longer than it says", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n",
       wrong("the answer is no HTTP")},
      {"another encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
       wrong("the answer's transfer encoding is unknown")},
      {"at the limit", "HTTP/1.0 200 OK\r\n\r\n" + std::string(kLimit, 'x'), HttpReply{200, std::string(kLimit, 'x')}},
      {"a length above the limit", "HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", wrong("the answer is too large")},
      {"a length above every number", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
       wrong("the answer is no HTTP")},
      {"a chunk above the limit",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nffffffffffffffff\r\n",
       wrong("the answer is too large")},
      {"too much to the end", "HTTP/1.0 200 OK\r\n\r\n" + std::string(kLimit + 1, 'x'),
       wrong("the answer is too large")},
      {"a header without an end", "HTTP/1.1 200 OK\r\nA: " + std::string(70'000, 'x'),
       wrong("the answer's header is too long")},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const std::string_view text = row.text;
    CHECK(read({text}) == row.outcome);
    if (text.size() > 1000) continue;
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
      bytes.push_back(text.substr(i, 1));
      CHECK(read({text.substr(0, i), text.substr(i)}) == row.outcome);
    }
    CHECK(read(bytes) == row.outcome);
  }
}

}  // namespace pasvgate::cli
