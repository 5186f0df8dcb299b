#include <cstdlib>

#include "cli/command_line.h"

int main(int argc, char** argv) {
  // Before there are threads. libuv gives look-ups half of its pool, which would be two: as many as logins may take.
  ::setenv("UV_THREADPOOL_SIZE", "16", 0);
  return pasvgate::cli::main(argc, argv);
}
