#pragma once

#include <atomic>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/read.h"
#include "net/guarded.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/signals.h"
#include "observe/admin.h"
#include "server/backend_names.h"
#include "server/control.h"
#include "server/health_checker.h"
#include "server/last_wait.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/shared.h"
#include "server/worker.h"

namespace pasvgate::server {

/// The whole process: opens the sockets, starts the workers, reloads, drains, ends (design §9). Its own thread has a
/// loop for signals, for names and for health checks.
class Service {
 public:
  /// Reads the configuration anew for SIGHUP; the errors are whole lines.
  using Reader = std::function<std::expected<config::Config, std::vector<std::string>>()>;

  Service(config::Config config, Reader reader);
  ~Service();
  /// Binds every socket and starts the workers; all errors at once, as whole lines.
  std::expected<void, std::vector<std::string>> start();
  /// Until SIGTERM, SIGINT or SIGUSR1 and the end of the drain.
  void run();

 private:
  struct WorkerEmpty {};
  /// The sockets of one listener, one for each worker.
  struct Opened {
    config::Listener listener;
    std::vector<net::Fd> sockets;
  };

  std::expected<std::vector<Opened>, std::vector<std::string>> open_listeners(
      const std::vector<config::Listener>& listeners, std::size_t workers) const;
  void send_config(std::vector<Opened> opened);
  void reload();
  std::vector<std::string> change_refused(const config::Config& next) const;
  void drain();
  void stop();
  void worker_empty();
  [[nodiscard]] std::vector<std::string> advertised_names() const;
  void resolve_advertised();
  void look_at_certificates();
  std::expected<void, std::string> confine();
  void try_reload() const;
  void sample();
  void use_tls(std::shared_ptr<const TlsContexts> tls);
  void name_resolved(const std::string& name, const net::Resolved& found);

  std::shared_ptr<const config::Config> config_;
  Reader reader_;
  std::shared_ptr<const TlsContexts> tls_;
  std::vector<std::uint64_t> tls_fingerprint_;
  Privileges privileges_;
  std::unique_ptr<LastWait> last_wait_;  // Goes behind the loop, which may wait for a look-up.
  net::Loop loop_;
  net::Mailbox<WorkerEmpty> mailbox_;
  net::Signals signals_;
  net::Timer drain_timer_;
  net::Timer resolve_timer_;
  net::Timer tls_timer_;
  std::vector<std::unique_ptr<net::Lookup>> lookups_;
  Notify notify_;
  std::unique_ptr<Shared> shared_;
  // Until the drain: no session begins behind it.
  std::unique_ptr<BackendNames> backend_names_;
  std::unique_ptr<HealthChecker> health_checker_;
  std::atomic<bool> ready_ = false;
  std::unique_ptr<Control> control_;
  net::Timer sample_timer_;
  std::unique_ptr<observe::Admin> admin_;  ///< Reads `control_`, `shared_` and `ready_`: goes first.
  bool draining_ = false;
  bool told_to_end_ = false;  ///< By SIGTERM or SIGINT: one more ends at once.
  bool stopped_ = false;
};

/// Workers for `workers: 0`: the cores that affinity and the cgroup's CPU quota leave, at least one.
unsigned available_cores();

}  // namespace pasvgate::server
