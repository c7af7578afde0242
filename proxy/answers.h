/*
 * Keeps what was answered about revocation, and keeps it fresh: a kept answer serves verifications
 * until it is due, and is then asked for again in the background for as long as verdicts rest on
 * it. Where the new answer differs, those verdicts end at once, so that a revocation does not wait
 * for a verdict's or an answer's own end.
 *
 * Answers are kept in the store, so that this goes on over a restart. An answer that says that it
 * is out of date is never given.
 *
 * Threads: any; answers_tick() the housekeeping thread. What says "on a helper" may wait for the
 *          store.
 */
#ifndef PROXY_ANSWERS_H
#define PROXY_ANSWERS_H

#include "crypto/evidence.h"
#include "gatehouse.h"

struct answers;
struct gateway;

#define ANSWERS_BATCH EVIDENCE_MAX_WANTS /* asked again at a time */
#define ANSWERS_RETRY_S 30               /* after a failure, at most */
#define ANSWERS_LINGER_S 60              /* kept this long though no verdict rests on it */

/* GATEWAY (with a store) is borrowed. Gives: *out: new, answers_free() */
GH_CHECKED bool answers_new(struct gateway *gateway, struct answers **out, struct gh_error *err);
/* No worker and no helper may be using it any more. */
void answers_free(struct answers *answers);

/* What is kept for a question. IS_DUE_TOO: also what should be asked again by now. *out: new. */
bool answers_get(struct answers *answers, const struct evidence_want *question, bool is_due_too,
                 int64_t now_unix_s, struct bytes_buf *out);

/* Keep an answer just fetched; it is due after INTERVAL_S, or sooner where it soon ends. Verdicts
 * that rest on another one end before this returns. False where a newer one is kept: that counts.
 * On a helper. */
GH_CHECKED bool answers_keep(struct answers *answers, const struct evidence_want *question,
                             struct bytes answer, int64_t interval_s, int64_t now_unix_s);
/* It could not be fetched: try again before long. On a helper. */
void answers_defer(struct answers *answers, const struct evidence_want *question,
                   int64_t now_unix_s);

/* Whether every answer in ANSWERED is the one that is kept: else a verdict made from it must not be
 * kept, as nobody would end it. */
bool answers_are_kept(struct answers *answers, const struct evidence_answers *answered);

/* Once a second. */
void answers_tick(struct answers *answers, int64_t now_unix_s);

#endif
