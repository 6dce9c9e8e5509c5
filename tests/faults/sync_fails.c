/* A library to be loaded in front of the C library (LD_PRELOAD): of a process's calls of fsync and fdatasync, number
   FAIL_AT fails with EIO, and with FAIL_ALL all after it too. What was to be synced is written then: the worst case, for
   the page cache shows what may never reach a disk. Standard error gets a line that names the file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(const char *call, int fd) {
    static atomic_int calls;
    const char *at = getenv("FAIL_AT");
    int number = atomic_fetch_add(&calls, 1) + 1;
    if (!at || number < atoi(at) || (number > atoi(at) && !getenv("FAIL_ALL")))
        return 0;
    char link[64], path[4096], line[4200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    int bytes = snprintf(line, sizeof line, "%s fails: %s\n", call, path);
    if (write(STDERR_FILENO, line, bytes) < 0)
        abort();
    errno = EIO;
    return 1;
}

#define WRAP(name)                                       \
    int name(int fd) {                                   \
        int (*real)(int) = dlsym(RTLD_NEXT, #name);      \
        return fails(#name, fd) ? -1 : real(fd);         \
    }
WRAP(fsync)
WRAP(fdatasync)
