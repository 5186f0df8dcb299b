#include "gateway/reply_queue.h"

#include <algorithm>
#include <iterator>

namespace pasvgate::gateway {
namespace {

bool answers_abort(int code) { return code == 225 || code == 226; }

// A server without ABOR says so; 5xx to a transfer whose data connection is open is never one of these.
bool refuses_command(int code) { return code == 500 || code == 501 || code == 502; }

}  // namespace

Pending* ReplyQueue::transfer() {
  return !pending_.empty() && pending_.front().transfer && !pending_.front().answered ? &pending_.front() : nullptr;
}

Pending* ReplyQueue::find(ftp::Verb verb) {
  const auto found = std::ranges::find(pending_, verb, &Pending::verb);
  return found == pending_.end() ? nullptr : &*found;
}

Pending* ReplyQueue::match(const ftp::ReplyLine& line) {
  // An ABOR that was given up: a late 225 or 226 is its answer unless the command behind it is a transfer under way.
  while (!pending_.empty() && pending_.front().verb == ftp::Verb::Abor && pending_.front().answered) {
    const bool next_could_say_it = pending_.size() > 1 && std::next(pending_.begin())->preliminary;
    if (answers_abort(line.code) && !next_could_say_it) return &pending_.front();
    if (pending_.size() == 1) return nullptr;
    pending_.pop_front();
  }
  if (pending_.empty()) return nullptr;
  Pending& oldest = pending_.front();
  if (pending_.size() == 1 || !oldest.transfer) return &oldest;

  // The oldest is a transfer and others overtook it.
  if (line.code >= 210 && line.code <= 215) {
    if (auto* stat = find(ftp::Verb::Stat)) return stat;
  }
  if (line.code == 221) {
    if (auto* quit = find(ftp::Verb::Quit)) return quit;
  }
  if (line.code == 225 || (oldest.preliminary && refuses_command(line.code))) {
    if (auto* abort = find(ftp::Verb::Abor)) return abort;
  }
  return &oldest;
}

void ReplyQueue::remove(const Pending* pending) {
  const auto found = std::ranges::find_if(pending_, [&](const Pending& one) { return &one == pending; });
  if (found != pending_.end()) pending_.erase(found);
}

bool ReplyQueue::is_clear() const {
  return std::ranges::all_of(pending_, [](const Pending& one) { return one.verb == ftp::Verb::Abor && one.answered; });
}

}  // namespace pasvgate::gateway
