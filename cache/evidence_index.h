/*
 * What is known of the evidence attached to a subject: one opaque record per scope and digest.
 *
 * Threads: any.
 */
#ifndef CACHE_EVIDENCE_INDEX_H
#define CACHE_EVIDENCE_INDEX_H

#include "cache/scope.h"
#include "gatehouse.h"

/* Fails: INTERNAL_ERROR */
GH_CHECKED bool evidence_index_put(struct store *store, const struct cache_scope *scope,
                                   const struct digest *subject, struct bytes record,
                                   int64_t now_unix_s, struct gh_error *err);
/* *out: new, bytes_buf_done(); *made_unix_s: when it was put. False when there is none. */
bool evidence_index_get(struct store *store, const struct cache_scope *scope,
                        const struct digest *subject, int64_t now_unix_s, struct bytes_buf *out,
                        int64_t *made_unix_s);
bool evidence_index_has(struct store *store, const struct cache_scope *scope,
                        const struct digest *subject);
GH_CHECKED bool evidence_index_remove(struct store *store, const struct cache_scope *scope,
                                      const struct digest *subject, struct gh_error *err);

#endif
