#include "server/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <vector>

#include "ftp/address.h"
#include "net/socket.h"
#include "server/syscall_filter.h"

namespace pasvgate::server {
namespace {

using Bits = std::uint64_t;
constexpr Bits bit(unsigned capability) { return Bits{1} << capability; }

std::unexpected<std::string> failure(const std::string& what, int error = errno) {
  return std::unexpected(what + ": " + std::generic_category().message(error));
}

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// A number that no user has stands for itself, as group too: small containers have no list of users.
std::expected<Account, std::string> find_account(const std::string& user) {
  const auto number = ftp::parse_decimal(user, 0xFFFFFFFE);
  std::vector<char> text(4096);
  passwd entry{};
  passwd* found = nullptr;
  for (;;) {
    const int error = number ? ::getpwuid_r(*number, &entry, text.data(), text.size(), &found)
                             : ::getpwnam_r(user.c_str(), &entry, text.data(), text.size(), &found);
    if (error != ERANGE) break;
    text.resize(text.size() * 2);
  }
  if (found != nullptr) return Account{entry.pw_uid, entry.pw_gid};
  if (number) return Account{*number, *number};
  return std::unexpected("/user: there is no user \"" + user + "\"");
}

bool is_low(std::uint16_t port) { return port != 0 && port < 1024; }

/// For ports that are bound later: by a reload, or for a data connection.
bool binds_low_ports(const config::Config& config) {
  const auto allows_active = [](const config::Listener& one) {
    return one.policy.allow_active ||
           std::ranges::any_of(one.routes, [](const config::Route& route) { return route.policy.allow_active; });
  };
  const bool at_listeners = std::ranges::any_of(config.listeners, [&](const config::Listener& one) {
    return is_low(one.address.port) || (is_low(one.active_source_port) && allows_active(one));
  });
  const bool at_backends = std::ranges::any_of(config.backends, [](const auto& named) {
    const auto& ports = named.second.active_ports;
    return ports && is_low(ports->low);
  });
  return at_listeners || at_backends || (config.admin.address && is_low(config.admin.address->port));
}

Bits needed(const config::Config& config) {
  Bits bits = 0;
  if (binds_low_ports(config)) bits |= bit(CAP_NET_BIND_SERVICE);
  // IP_TRANSPARENT. CAP_NET_ADMIN would do too, and would open routes and firewalls to whoever takes the process over;
  // raw sockets the filter refuses.
  const auto is_transparent = [](const config::Listener& one) { return one.mode == config::ListenerMode::Transparent; };
  if (std::ranges::any_of(config.listeners, is_transparent)) bits |= bit(CAP_NET_RAW);
  return bits;
}

constexpr unsigned kParts = _LINUX_CAPABILITY_U32S_3;
using CapabilityData = std::array<__user_cap_data_struct, kParts>;

Bits permitted() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  CapabilityData data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return 0;
  return data[0].permitted | (Bits{data[1].permitted} << 32U);
}

/// Of this thread and those that it will start.
bool keep_only(Bits bits) {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  CapabilityData data{};
  for (unsigned part = 0; part < kParts; ++part) {
    data[part].permitted = data[part].effective = static_cast<std::uint32_t>(bits >> (32U * part));
  }
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

std::string names_of(Bits bits) {
  std::string names;
  const auto add = [&](unsigned capability, std::string_view name) {
    if ((bits & bit(capability)) == 0) return;
    if (!names.empty()) names += ',';
    names += name;
  };
  add(CAP_NET_BIND_SERVICE, "net_bind_service");
  add(CAP_NET_RAW, "net_raw");
  return names.empty() ? "none" : names;
}

/// The kernel loads its TLS module only for those who could load it themselves, so it is asked while we are.
void load_kernel_tls() {
  const net::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  static constexpr std::string_view kName = "tls";
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_ULP, kName.data(), kName.size());
}

std::expected<void, std::string> become(const std::string& user, const Account& account, Bits keep) {
  const std::string what = "/user: can't become \"" + user + "\"";
  load_kernel_tls();
  for (unsigned capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if ((keep & bit(capability)) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return failure(what);
  if (::setgroups(0, nullptr) != 0) return failure(what);
  if (::setresgid(account.gid, account.gid, account.gid) != 0) return failure(what);
  if (::setresuid(account.uid, account.uid, account.uid) != 0) return failure(what);
  ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  return {};
}

}  // namespace

void refuse_new_privileges() { ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

void prepare_to_give_up(const config::Config& config) {
  if (config.seccomp && kHasSyscallFilter) refuse_io_uring();
}

std::expected<Privileges, std::string> give_up_privileges(const config::Config& config) {
  Privileges result{.user = config.user.value_or(std::to_string(::geteuid()))};
  const Bits keep = needed(config) & permitted();
  if (config.user) {
    const auto account = find_account(*config.user);
    if (!account) return std::unexpected(account.error());
    if (account->uid != ::geteuid()) {
      if (::geteuid() != 0) {
        return std::unexpected("/user: can't become \"" + *config.user + "\", since this isn't root but uid " +
                               std::to_string(::geteuid()) + "; start it as root, or leave the key out");
      }
      if (const auto done = become(*config.user, *account, keep); !done) return std::unexpected(done.error());
      result.changed = true;
    }
  }
  // Root without its capabilities couldn't even read what belongs to others: that has to be asked for.
  if (::geteuid() != 0) {
    if (!keep_only(keep)) return failure("capabilities can't be given up");
    result.kept = names_of(keep);
  }
  if (config.seccomp && kHasSyscallFilter) {
    if (const auto installed = install_syscall_filter(); !installed) {
      return std::unexpected("/seccomp: " + installed.error() + "; \"seccomp\": false goes without");
    }
    result.has_filter = true;
  }
  return result;
}

}  // namespace pasvgate::server
