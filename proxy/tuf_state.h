/*
 * The folder that holds a TUF client's state: verified documents under their plain names, each
 * written atomically. (A folder of downloaded targets is one, too.)
 *
 * Threads: an open state belongs to one thread at a time
 */
#ifndef PROXY_TUF_STATE_H
#define PROXY_TUF_STATE_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/error.h"

struct tuf_state;

/*
 * Open the folder, made when it is missing. With IS_LOCKED it belongs to this process until
 * tuf_state_close(); another process that holds it is waited for.
 *
 * Gives: *out: new, tuf_state_close()
 * Fails: INTERNAL_ERROR naming folder and system error
 */
GH_CHECKED bool tuf_state_open(const char *folder, bool is_locked, struct tuf_state **out,
                               struct gh_error *err);
void tuf_state_close(struct tuf_state *state);
GH_UNUSED static inline void tuf_state_closep(struct tuf_state **state)
{
    tuf_state_close(*state);
    *state = NULL;
}

/*
 * Read a file of at most LIMIT bytes; of a longer one LIMIT + 1 bytes are given, so that whoever
 * judges it sees that it is too long. NAME is one path segment.
 *
 * Gives: *out: new, bytes_buf_done(); *found: false where there is no such file
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool tuf_state_read(struct tuf_state *state, const char *name, size_t limit,
                               struct bytes_buf *out, bool *found, struct gh_error *err);

/* Write a file: temporary name, fsync, rename, fsync of the folder. Fails: INTERNAL_ERROR. */
GH_CHECKED bool tuf_state_store(struct tuf_state *state, const char *name, struct bytes content,
                                struct gh_error *err);

/* Remove a file; that there is none is fine. Fails: INTERNAL_ERROR. */
GH_CHECKED bool tuf_state_forget(struct tuf_state *state, const char *name, struct gh_error *err);

#endif
