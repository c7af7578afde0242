/*
 * Following an audit log while it is written: every whole record once, in order, over rotations.
 * The log itself is the queue of whoever delivers its records elsewhere; only a number says how far
 * that came.
 *
 * Threads: one at a time; the writer may be in another thread or process
 */
#ifndef METRICS_AUDIT_TAIL_H
#define METRICS_AUDIT_TAIL_H

#include "gatehouse.h"

struct audit_tail;
struct gh_error;

enum audit_tail_result {
    AUDIT_TAIL_NONE = 0, /* nothing new */
    AUDIT_TAIL_LINE,
    AUDIT_TAIL_LOST /* records FROM to SEQ are not in the log any more */
};

struct audit_tail_record {
    uint64_t seq;
    uint64_t from;    /* AUDIT_TAIL_LOST: the first that is lost */
    const char *line; /* AUDIT_TAIL_LINE: without the line feed; until the next call */
    size_t len;
};

/*
 * Follow the log at PATH from the record after number AFTER on.
 *
 * Gives: *out: new, audit_tail_free()
 * Fails: INTERNAL_ERROR (memory, too long a path); a log that is absent is waited for
 */
GH_CHECKED bool audit_tail_new(const char *path, uint64_t after, struct audit_tail **out,
                               struct gh_error *err);
void audit_tail_free(struct audit_tail *tail);
GH_DEFINE_FREEP(audit_tail, struct audit_tail)

enum audit_tail_result audit_tail_next(struct audit_tail *tail, struct audit_tail_record *out);
/* Bytes of the log that were not read yet, of rotated parts too. */
uint64_t audit_tail_behind(const struct audit_tail *tail);

#endif
