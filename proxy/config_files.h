/*
 * Configuration files from the file system, for policy/config.
 *
 * Threads: any.
 */
#ifndef PROXY_CONFIG_FILES_H
#define PROXY_CONFIG_FILES_H

#include "gatehouse.h"
#include "policy/config.h"

struct gh_error;

/* Where the shell keeps what it last fetched for TUF roots; may say that there is nothing. */
typedef bool config_files_tuf(void *context, const char *tenant, const char *root,
                              struct config_tuf_state *out);

struct config_files {
    config_files_tuf *tuf; /* NULL: none was ever fetched */
    void *tuf_context;
};

/* A loader over the file system and the environment. Takes: files: borrowed, outlives the loader */
void config_files_loader(struct config_files *files, struct config_loader *out);

/*
 * Load a configuration and print its problems, as `check` does, to standard error.
 *
 * Gives: *out: new, config_unref()
 * Fails: when it has errors; they were printed
 */
GH_CHECKED bool config_files_load(struct config_files *files, const char *path, int64_t now_unix_s,
                                  bool is_printing_warnings, struct config **out);
/* "file:line:column: error: message" lines. */
void config_files_print(const struct config_problems *problems, bool is_printing_warnings);

/* Read a whole file of at most LIMIT bytes. As config_loader.read. */
GH_CHECKED bool config_files_read(const char *path, size_t limit, struct bytes_buf *out,
                                  unsigned *mode, struct gh_error *err);

#endif
