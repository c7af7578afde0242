/*
 * The store's folder on disk: making it, locking it, syncing entries, the clean-stop mark and the
 * host's key.
 *
 * Threads: any; no shared state but the file system.
 */
#ifndef CACHE_FOLDER_H
#define CACHE_FOLDER_H

#include "gatehouse.h"

struct gh_error;

#define FOLDER_MAX_PATH 4096
#define FOLDER_KEY_BYTES 32

/* PARENT/NAME into OUT. Fails: INTERNAL_ERROR when it is too long. */
GH_CHECKED bool folder_join(const char *parent, const char *name, char out[FOLDER_MAX_PATH],
                            struct gh_error *err);
/* Make PATH (mode 0700) where it is missing; its parent must exist. */
GH_CHECKED bool folder_make(const char *path, struct gh_error *err);
/* Refuse network file systems, whose locks and mappings cannot be relied on. */
GH_CHECKED bool folder_check_local(const char *path, struct gh_error *err);
/* Make renames and new names in PATH durable. */
GH_CHECKED bool folder_sync(const char *path, struct gh_error *err);
/* Take PATH/lock for this process, for as long as *out stays open. */
GH_CHECKED bool folder_lock(const char *path, int *out, struct gh_error *err);

/* Whether the mark of a clean stop stood there; it is removed, durably, so that it must be earned
 * again. */
GH_CHECKED bool folder_take_clean(const char *path, bool *was_clean, struct gh_error *err);
GH_CHECKED bool folder_put_clean(const char *path, struct gh_error *err);

/* Read PATH/mac.key, making it where it is missing. A key that others may read is refused. */
GH_CHECKED bool folder_key(const char *path, uint8_t out[FOLDER_KEY_BYTES], struct gh_error *err);

#endif
