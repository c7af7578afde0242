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
typedef bool config_files_tuf(void *context, const struct config_tuf_ask *ask,
                              struct config_tuf_state *out);

struct config_files_copy;

struct config_files {
    config_files_tuf *tuf; /* NULL: none was ever fetched */
    void *tuf_context;
    /* What the load in force has read, so that a change of trust roots can be put in force without
     * whatever is being edited meanwhile. Kept only with is_keeping. */
    bool is_keeping;
    bool is_replaying;
    struct config_files_copy *kept;    /* by the last good load */
    struct config_files_copy *reading; /* by the load under way */
};

/* After a load: keep what it has read (of a good one), or forget that. */
void config_files_settle(struct config_files *files, bool is_loaded);
void config_files_done(struct config_files *files);

/* Apply `fetch.rewrite`. Gives: new, free(); NULL when memory is out. */
char *config_files_rewrite(const struct config_fetch *fetch, const char *url);

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
