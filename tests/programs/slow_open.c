/* LD_PRELOADed into ranks: one of them waits long for a file to open, as on a parallel file system that fails over.

   SLOW_RANK: the rank; SLOW_END: how the path of the file ends; SLOW_SECONDS: how long the first such open takes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int was_slow = 0;

static void wait_for(const char *path)
{
    const char *ranks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
    const char *rank = NULL, *slow = getenv("SLOW_RANK"), *end = getenv("SLOW_END");
    for (int i = 0; i < 3 && !rank; i++) rank = getenv(ranks[i]);
    if (was_slow || !rank || !slow || strcmp(rank, slow) || !end || !path) return;
    size_t length = strlen(path), ending = strlen(end);
    if (length < ending || strcmp(path + length - ending, end)) return;
    was_slow = 1;
    fprintf(stderr, "slow open of %s\n", path);
    struct timespec left = {atoi(getenv("SLOW_SECONDS")), 0};
    while (nanosleep(&left, &left)) {}
}

#define SLOW(name)                                                  \
    int name(const char *path, int flags, ...)                      \
    {                                                               \
        va_list more;                                               \
        va_start(more, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;   \
        va_end(more);                                               \
        wait_for(path);                                             \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
        return real(path, flags, mode);                             \
    }

SLOW(open)
SLOW(open64)
