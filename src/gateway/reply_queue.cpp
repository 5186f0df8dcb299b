#include "gateway/reply_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pasvgate::gateway {
namespace {

// A server without ABOR or STAT says so; 5xx to a transfer whose data connection is open is never one of these.
bool refuses_command(int code) { return code == 500 || code == 501 || code == 502; }

// What a transfer or an ABOR may be answered with, at last.
bool ends_abort(int code) { return code == 225 || code == 226 || code == 250 || code >= 400; }

}  // namespace

const Pending* ReplyQueue::transfer() const {
  return !pending_.empty() && pending_.front().transfer && !pending_.front().answered ? &pending_.front() : nullptr;
}

Pending* ReplyQueue::transfer() {
  return const_cast<Pending*>(std::as_const(*this).transfer());  // NOLINT(*-const-cast): ours, and not const
}

Pending* ReplyQueue::find(ftp::Verb verb) {
  const auto found = std::ranges::find(pending_, verb, &Pending::verb);
  return found == pending_.end() ? nullptr : &*found;
}

Pending* ReplyQueue::match(const ftp::ReplyLine& line) {
  // Behind an ABOR that was given up stands the gateway's own NOOP: its 200 tells that nothing else will come.
  if (!pending_.empty() && pending_.front().answered && !line.is_preliminary() && !ends_abort(line.code)) {
    while (pending_.size() > 1 && pending_.front().answered && pending_.front().verb != ftp::Verb::Noop)
      pending_.pop_front();
  }
  if (pending_.empty()) return nullptr;
  Pending& oldest = pending_.front();
  if (pending_.size() == 1 || !oldest.transfer) return &oldest;

  // The oldest is a transfer and others overtook it.
  if (line.code >= 210 && line.code <= 215) {
    if (auto* stat = find(ftp::Verb::Stat)) return stat;
  }
  if (line.code == 225) {
    if (auto* abort = find(ftp::Verb::Abor)) return abort;
  }
  // Of all that overtook the transfer (Pure-FTPd knows nothing but ABOR while one runs).
  if (oldest.preliminary && refuses_command(line.code)) return &*std::next(pending_.begin());
  return &oldest;
}

void ReplyQueue::remove(const Pending* pending) {
  const auto found = std::ranges::find_if(pending_, [&](const Pending& one) { return &one == pending; });
  if (found != pending_.end()) pending_.erase(found);
}

}  // namespace pasvgate::gateway
