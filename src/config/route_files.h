#pragma once

#include "config/config.h"
#include "config/read.h"

namespace pasvgate::config {

/// Reads what the listeners name as routes_file and user_map, and backends as password_file, and puts it into them.
/// Every mistake at once, with the file and the place in it.
void read_files(Config& config, const Files& files, Issues& issues);

}  // namespace pasvgate::config
