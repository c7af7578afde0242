/*
 * Configuration files from memory, for tests.
 */
#ifndef TESTS_SUPPORT_MEMORY_LOADER_H
#define TESTS_SUPPORT_MEMORY_LOADER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/config.h"

struct memory_file {
    const char *path;
    const char *content;
    unsigned mode; /* 0: 0644 */
};

struct memory_loader {
    const struct memory_file *files;
    size_t count;
    const char *trusted_root; /* state of every TUF root; NULL: never fetched */
    int64_t refreshed_unix_s;
};

#define MEMORY_KEY_A                                                                               \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"                               \
    "-----END PUBLIC KEY-----\n"
#define MEMORY_KEY_B                                                                               \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"                               \
    "-----END PUBLIC KEY-----\n"
#define MEMORY_KEY_C                                                                               \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MCowBQYDK2VwAyEA/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=\n"                               \
    "-----END PUBLIC KEY-----\n"

static bool memory_read(void *context, const char *path, size_t limit, struct bytes_buf *out,
                        unsigned *mode, struct gh_error *err)
{
    const struct memory_loader *loader = context;

    for (size_t i = 0; i < loader->count; i++) {
        const struct memory_file *file = &loader->files[i];

        if (strcmp(file->path, path) != 0) {
            continue;
        }
        if (strlen(file->content) > limit) {
            return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%s is larger than %zu bytes", path, limit);
        }
        *mode = file->mode == 0 ? 0644 : file->mode;
        return bytes_dup(bytes_of(file->content), out, err);
    }
    return gh_fail(err, GH_NAME_UNKNOWN, "%s cannot be read: no such file", path);
}

static const char *memory_env(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "GHCR_PASSWORD") == 0 ? "hunter2" : NULL;
}

static bool memory_tuf(void *context, const struct config_tuf_ask *ask,
                       struct config_tuf_state *out)
{
    const struct memory_loader *loader = context;
    struct gh_error err = {0};

    (void)ask;
    if (loader->trusted_root == NULL ||
        !bytes_dup(bytes_of(loader->trusted_root), &out->trusted_root, &err)) {
        return false;
    }
    out->refreshed_unix_s = loader->refreshed_unix_s;
    return true;
}

/* The configuration of files[0], or NULL with its problems. */
GH_UNUSED static struct config *memory_load(struct memory_loader *loader, int64_t now_unix_s,
                                            struct config_problems *problems)
{
    struct config_loader vtable = {
        .context = loader, .read = memory_read, .env = memory_env, .tuf = memory_tuf};
    struct config *config = NULL;
    struct gh_error err = {0};

    return config_load(&vtable, loader->files[0].path, now_unix_s, &config, problems, &err) ? config
                                                                                            : NULL;
}

GH_UNUSED static void memory_print(const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->items[i];

        (void)fprintf(stderr, "%s:%u:%u: %s: %s\n", problem->file, problem->line, problem->column,
                      problem->severity == CONFIG_ERROR ? "error" : "warning", problem->message);
    }
}

#endif
