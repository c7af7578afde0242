/*
 * A scratch folder for one test, removed with everything in it at the end.
 */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gatehouse.h"

struct scratch {
    char path[256];
};

GH_UNUSED static int scratch_remove_one(const char *path, const struct stat *st, int type,
                                        struct FTW *ftw)
{
    return remove(path);
}

GH_UNUSED static bool scratch_make(struct scratch *scratch)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(scratch->path, sizeof(scratch->path), "%s/gatehouse-test-XXXXXX",
                   base != NULL ? base : "/tmp");
    return mkdtemp(scratch->path) != NULL;
}

GH_UNUSED static void scratch_remove(struct scratch *scratch)
{
    (void)nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* NAME below the folder; the result lives until the next call with the same buffer. */
GH_UNUSED static const char *scratch_path(const struct scratch *scratch, const char *name,
                                          char out[512])
{
    (void)snprintf(out, 512, "%s/%s", scratch->path, name);
    return out;
}

/* A file's content with a NUL behind it; free(). NULL when it cannot be read. */
GH_UNUSED static char *scratch_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *data = calloc(1, 4u * 1024 * 1024);

    if (file != NULL && data != NULL) {
        size_t n = fread(data, 1, 4u * 1024 * 1024 - 1, file);

        data[n] = '\0';
    }
    if (file == NULL) {
        free(data);
        return NULL;
    }
    (void)fclose(file);
    return data;
}

#endif
