#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "server/service.h"

namespace pasvgate::server {
namespace {

/// Whole cores of the cgroup's quota, rounded up; 0 without one. cgroup v2 ("MAX PERIOD"), else v1's two files.
unsigned quota_cores() {
  double quota = 0;
  double period = 0;
  std::string text;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> text >> period) {
    if (text == "max") return 0;
    quota = std::strtod(text.c_str(), nullptr);
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? static_cast<unsigned>(std::ceil(quota / period)) : 0;
}

}  // namespace

unsigned available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const unsigned affinity = ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
  const unsigned quota = quota_cores();
  return std::max(1U, quota == 0 ? affinity : std::min(affinity, quota));
}

}  // namespace pasvgate::server
