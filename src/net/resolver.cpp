#include "net/resolver.h"

#include <netdb.h>

#include <algorithm>
#include <utility>

#include "net/socket.h"

namespace pasvgate::net {
namespace {

// How often a look-up that waits for a slot asks for one.
constexpr std::chrono::milliseconds kSlotInterval{20};

addrinfo hints() {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  return wanted;
}

Resolved addresses(const addrinfo* list) {
  std::vector<ftp::Address> found;
  for (; list != nullptr; list = list->ai_next) {
    const auto endpoint = endpoint_of(list->ai_addr);
    if (endpoint && std::ranges::find(found, endpoint->address) == found.end()) found.push_back(endpoint->address);
  }
  return found;
}

}  // namespace

struct Lookup::Request {
  uv_getaddrinfo_t uv{};
  Lookup* owner = nullptr;  ///< None: given up.
  LookupSlots* slots = nullptr;
};

Lookup::Lookup(Loop& loop, const std::string& name, std::chrono::milliseconds timeout, OnDone on_done,
               LookupSlots* slots)
    : loop_(loop), name_(name), on_done_(std::move(on_done)), slots_(slots), timer_(loop, [this] {
        give_up();
        finish(std::unexpected("no answer from the resolver"));
      }) {
  timer_.start(timeout);
  begin();
}

void Lookup::begin() {
  if (slots_ != nullptr && !slots_->take()) {
    if (!waiting_) waiting_ = Timer(loop_, [this] { begin(); });
    return waiting_.start(kSlotInterval);
  }
  request_ = new Request{.uv = {}, .owner = this, .slots = slots_};
  request_->uv.data = request_;
  const addrinfo wanted = hints();
  const auto done = [](uv_getaddrinfo_t* uv, int status, addrinfo* list) {
    const std::unique_ptr<Request> request(static_cast<Request*>(uv->data));
    if (request->slots != nullptr) request->slots->give_back();
    if (request->owner != nullptr) {
      request->owner->request_ = nullptr;
      request->owner->finish(status == 0 ? addresses(list) : std::unexpected(std::string(uv_strerror(status))));
    }
    uv_freeaddrinfo(list);
  };
  // It fails at once only for a name that no configuration lets through, or without memory.
  if (uv_getaddrinfo(&loop_.uv(), &request_->uv, done, name_.c_str(), nullptr, &wanted) != 0) {
    if (slots_ != nullptr) slots_->give_back();
    delete std::exchange(request_, nullptr);
    timer_.start(std::chrono::milliseconds(0));
  }
}

Lookup::~Lookup() { give_up(); }

void Lookup::give_up() {
  if (request_ == nullptr) return;
  request_->owner = nullptr;
  uv_cancel(reinterpret_cast<uv_req_t*>(&request_->uv));
  request_ = nullptr;
}

void Lookup::finish(Resolved result) {
  timer_.close();
  waiting_.close();
  if (!result) result = std::unexpected(name_ + ": " + result.error());
  // The owner may destroy us in the call.
  OnDone on_done = std::move(on_done_);
  on_done(std::move(result));
}

Resolved resolve_now(const std::string& name) {
  const addrinfo wanted = hints();
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(name.c_str(), nullptr, &wanted, &list); error != 0) {
    return std::unexpected(name + ": " + ::gai_strerror(error));
  }
  const Resolved result = addresses(list);
  ::freeaddrinfo(list);
  return result;
}

}  // namespace pasvgate::net
