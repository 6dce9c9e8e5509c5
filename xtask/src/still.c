// One fixed instant and one fixed stream of "random" bytes for the program that this is loaded into (LD_PRELOAD), so that a
// memory image that it takes while it builds is the same each time.
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

enum { INSTANT = 1767225600 }; // 2026-01-01T00:00:00Z

ssize_t getrandom(void *to, size_t bytes, unsigned flags) {
  (void)flags;
  memset(to, 0x5a, bytes);
  return bytes;
}

int getentropy(void *to, size_t bytes) {
  memset(to, 0x5a, bytes);
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  (void)clock;
  *now = (struct timespec){INSTANT, 0};
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  *now = (struct timeval){INSTANT, 0};
  return 0;
}

time_t time(time_t *now) {
  if (now) *now = INSTANT;
  return INSTANT;
}
