#include "net/resolver.h"

#include <netdb.h>

#include <algorithm>

#include "net/socket.h"

namespace pasvgate::net {
namespace {

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
  OnDone on_done;
  Lookup* owner = nullptr;
  std::string name;
};

Lookup::Lookup(Loop& loop, const std::string& name, OnDone on_done)
    : request_(new Request{.uv = {}, .on_done = std::move(on_done), .owner = this, .name = name}) {
  request_->uv.data = request_;
  const addrinfo wanted = hints();
  const auto done = [](uv_getaddrinfo_t* uv, int status, addrinfo* list) {
    const std::unique_ptr<Request> request(static_cast<Request*>(uv->data));
    if (request->owner != nullptr) {
      request->owner->request_ = nullptr;
      Resolved result = status == 0 ? addresses(list) : std::unexpected(request->name + ": " + uv_strerror(status));
      request->on_done(std::move(result));
    }
    uv_freeaddrinfo(list);
  };
  // It fails at once only for a name that no configuration lets through, or without memory.
  if (uv_getaddrinfo(&loop.uv(), &request_->uv, done, name.c_str(), nullptr, &wanted) != 0) {
    delete std::exchange(request_, nullptr);
    throw std::runtime_error("resolver: can't look up " + name);
  }
}

Lookup::~Lookup() {
  if (request_ == nullptr) return;
  request_->owner = nullptr;
  uv_cancel(reinterpret_cast<uv_req_t*>(&request_->uv));
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
