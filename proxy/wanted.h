/*
 * Fetching what the core asked for: CRLs, OCSP answers, a vendor's status. Addresses go through
 * `fetch.rewrite` (longest prefix; http, https or file). What was fetched is kept (answers.h) and
 * serves other verifications until it is due; what cannot be fetched is taken from there for as
 * long as it lasts.
 *
 * Threads: the calling worker; callbacks come on it
 */
#ifndef PROXY_WANTED_H
#define PROXY_WANTED_H

#include "crypto/evidence.h"
#include "gatehouse.h"

struct gateway;
struct generation;
struct worker;

/* Answers collected so far; owned by whoever collects. */
struct wanted_answers {
    struct evidence_answers view; /* items point into what is owned below */
    struct evidence_answer *items;
    struct evidence_want *questions; /* url and body of each item */
    struct bytes_buf *answers;
    size_t capacity;
};
void wanted_answers_done(struct wanted_answers *answers);

struct wanted_fetch;
/* ADDED: whether at least one answer (or failure) was added to the answers. */
typedef void (*wanted_fn)(void *ctx, bool added);

/*
 * Fetch everything in WANTS that is not in ANSWERS yet, and add it (a failure is an answer too).
 * FN comes later, never from within this call. NULL when memory is out.
 *
 * Takes: wants: emptied; answers: must not be read by another thread until FN was called
 */
struct wanted_fetch *wanted_start(struct gateway *gateway, struct worker *worker,
                                  struct generation *generation, struct evidence_wants *wants,
                                  struct wanted_answers *answers, wanted_fn fn, void *ctx);
/* As wanted_start(), but everything is fetched anew, for what is kept. */
struct wanted_fetch *wanted_renew(struct gateway *gateway, struct worker *worker,
                                  struct generation *generation, struct evidence_wants *wants,
                                  struct wanted_answers *answers, wanted_fn fn, void *ctx);
void wanted_cancel(struct wanted_fetch *fetch);

#endif
