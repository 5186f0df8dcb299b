#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "ftp/command.h"
#include "ftp/reply.h"

namespace pasvgate::gateway {

/// A command that was sent to the backend and waits for its replies.
struct Pending {
  ftp::Verb verb = ftp::Verb::Other;
  std::string argument;      ///< Kept for transfers (the path), REST and TYPE only.
  bool greeting = false;     ///< No command: the 220 of the connection.
  bool security = false;     ///< The gateway's own AUTH, PBSZ or PROT.
  bool repeated = false;     ///< Said to the client's earlier; now the backend hears it, and its reply goes nowhere.
  bool transfer = false;     ///< A transfer command, or one that got a 1xx.
  bool preliminary = false;  ///< A 1xx came.
  bool aborted = false;      ///< A transfer that the client sent ABOR for.
  bool answered = false;     ///< The client has its final reply already: the backend's goes nowhere.

  /// The client sent no such command, or has its answer.
  [[nodiscard]] bool is_own() const { return greeting || security || repeated; }
  [[nodiscard]] ftp::Direction direction() const { return ftp::Command{.verb = verb}.direction(); }
};

/// Which command a reply belongs to. Replies come in the order of the commands, but for three things that real servers
/// do: STAT may be answered while a transfer runs, an ABOR gets one reply or two (its own and the transfer's), and an
/// ABOR that was given up may be answered late or never: then the reply to a NOOP of the gateway's own, sent behind it,
/// tells where the replies are in step again.
class ReplyQueue {
 public:
  void push(Pending pending) { pending_.push_back(std::move(pending)); }
  /// For an entry that keeps its turn although it was taken out.
  void push_front(Pending pending) { pending_.push_front(std::move(pending)); }
  [[nodiscard]] bool empty() const { return pending_.empty(); }
  [[nodiscard]] std::size_t size() const { return pending_.size(); }
  /// The oldest one; the queue must not be empty.
  [[nodiscard]] Pending& front() { return pending_.front(); }
  [[nodiscard]] const Pending& front() const { return pending_.front(); }
  /// The running transfer: the oldest command, if it is one that moves data and has no final reply yet.
  [[nodiscard]] Pending* transfer();
  [[nodiscard]] const Pending* transfer() const;
  [[nodiscard]] Pending* find(ftp::Verb verb);

  /// The command that the reply beginning with `line` (First or Only) answers; nullptr for a reply that nobody asked
  /// for. Lines behind a First belong to the same command: call it once a reply.
  Pending* match(const ftp::ReplyLine& line);
  /// Its final reply has come.
  void remove(const Pending* pending);

 private:
  std::list<Pending> pending_;  ///< Oldest first. A list: entries are pointed at while others go.
};

}  // namespace pasvgate::gateway
