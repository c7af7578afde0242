/*
 * The few rules of HTTP semantics answers need: status phrases, dates, single ranges, conditions.
 *
 * Spec:    RFC 9110
 * Threads: any; no shared state
 */
#ifndef PROXY_SEMANTICS_H
#define PROXY_SEMANTICS_H

#include "crypto/bytes.h"
#include "gatehouse.h"

#define SEMANTICS_DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* The reason phrase, "Unknown" for a status without one. Static. */
const char *semantics_status_text(unsigned status);

/* Write an IMF-fixdate and a NUL. Takes: out: SEMANTICS_DATE_BYTES + 1 bytes. */
void semantics_date(int64_t unix_s, char *out);

enum semantics_range {
    SEMANTICS_RANGE_ALL = 0,      /* answer 200 with everything: no range, or one to be ignored */
    SEMANTICS_RANGE_PART,         /* answer 206 with *first..*last */
    SEMANTICS_RANGE_UNSATISFIABLE /* answer 416 with "bytes * / total" */
};

/*
 * Decide what a Range field asks of TOTAL bytes. One range is served; several, another unit or bad
 * syntax mean the field is ignored, as RFC 9110 section 14.2 allows.
 *
 * Gives: *first, *last: inclusive, with SEMANTICS_RANGE_PART
 */
enum semantics_range semantics_range_decide(struct bytes value, uint64_t total, uint64_t *first,
                                            uint64_t *last);
/* As above for content whose size is not known yet: only "bytes=N-M" and "bytes=N-" can be read;
 * *last is UINT64_MAX when open. False for anything else (a suffix range included). */
bool semantics_range_read(struct bytes value, uint64_t *first, uint64_t *last);

/*
 * If-None-Match: does the list hold "*" or the entity tag? Compared weakly, as section 13.1.2 says.
 * Takes: etag: with its quotes
 */
bool semantics_etag_matches(struct bytes list, struct bytes etag);
/* If-Range with an entity tag: a strong comparison; a date never matches, so everything is sent. */
bool semantics_if_range_matches(struct bytes value, struct bytes etag);

#endif
