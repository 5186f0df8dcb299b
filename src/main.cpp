#include <malloc.h>

#include <cstdlib>

#include "cli/command_line.h"

int main(int argc, char** argv) {
  // Before there are threads. libuv gives look-ups half of its pool, which would be two: as many as logins may take.
  ::setenv("UV_THREADPOOL_SIZE", "16", 0);
  // The buffers of a TLS transfer come and go; with 128 KiB they would go back to the kernel each time.
  ::mallopt(M_TRIM_THRESHOLD, 1 << 20);
  return pasvgate::cli::main(argc, argv);
}
