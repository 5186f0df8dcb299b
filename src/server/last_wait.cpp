#include "server/last_wait.h"

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <stop_token>

#include "observe/log.h"

namespace pasvgate::server {
namespace {

void wait(const std::stop_token& called_off, std::chrono::milliseconds patience) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, called_off, patience, [] { return false; });
  if (called_off.stop_requested()) return;
  observe::log(config::LogLevel::Warn, "the resolver still keeps a look-up: ends without its answer");
  observe::log(config::LogLevel::Info, "stopped");
  observe::close_log();
  std::_Exit(EXIT_SUCCESS);
}

}  // namespace

LastWait::LastWait(std::chrono::milliseconds patience)
    : thread_([patience](const std::stop_token& called_off) { wait(called_off, patience); }) {}

}  // namespace pasvgate::server
