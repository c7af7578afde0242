/*
 * Edits of the exceptions register's text that leave everything else, comments too, as it is. An
 * edit is text in, text out; the caller loads the result before it replaces the file with it.
 *
 * Threads: any.
 */
#ifndef POLICY_EXCEPTION_EDIT_H
#define POLICY_EXCEPTION_EDIT_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "policy/config.h"

struct text;
struct gh_error;

struct exception_draft {
    const char *id;
    struct config_strings images;
    struct config_strings policies;
    struct config_strings waive; /* none: all */
    const char *owner;
    const char *approved_by;
    const char *justification;
    const char *compensating_control; /* NULL: none */
    const char *created;              /* as written: a date or a time */
    const char *expires;
};

/*
 * Append an entry.
 * Fails: POLICY_DENIED (the list is written in one line, and not empty), MALFORMED_JSON and what
 *        else yaml_read() fails with, INTERNAL_ERROR
 */
GH_CHECKED bool exception_edit_add(struct bytes file, const struct exception_draft *draft,
                                   struct text *out, struct gh_error *err);
/* Append a renewal to the entry ID. Fails: as above; NAME_UNKNOWN when there is no such entry. */
GH_CHECKED bool exception_edit_renew(struct bytes file, const char *id, const char *at,
                                     const char *by, const char *expires, struct text *out,
                                     struct gh_error *err);
/* Give the entry's last `expires` another value. */
GH_CHECKED bool exception_edit_expire(struct bytes file, const char *id, const char *expires,
                                      struct text *out, struct gh_error *err);

#endif
