/*
 * What was answered to questions about revocation (lists, OCSP answers, a vendor's status), by the
 * question's name, with the question itself, so that it can be asked again. Answers are opaque
 * here. Records are authenticated with the host's key; what does not authenticate is absent.
 *
 * Threads: any
 */
#ifndef CACHE_ANSWER_STORE_H
#define CACHE_ANSWER_STORE_H

#include "cache/store.h"
#include "crypto/digest.h"
#include "gatehouse.h"

#define ANSWER_STORE_MAX_URL 8192
#define ANSWER_STORE_MAX_BODY (64u * 1024)
#define ANSWER_STORE_MAX_ANSWER (48u * 1024 * 1024)

struct answer_record {
    uint8_t kind; /* the caller's number */
    uint32_t limit_bytes;
    int64_t fetched_unix_s;
    int64_t due_unix_s;   /* when it is to be asked again */
    int64_t until_unix_s; /* no use from then on */
    struct bytes url;
    struct bytes body;
    struct bytes answer;
};

/* Put it in the place of what is there. Fails: SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR */
GH_CHECKED bool answer_store_put(struct store *store, const struct digest *name,
                                 const struct answer_record *record, struct gh_error *err);
/* *held: new, bytes_buf_done(); *out holds views of it. False when there is none. */
bool answer_store_get(struct store *store, const struct digest *name, struct bytes_buf *held,
                      struct answer_record *out);
/* Whether ANSWER, byte for byte, is what is held. */
bool answer_store_is(struct store *store, const struct digest *name, struct bytes answer);
GH_CHECKED bool answer_store_remove(struct store *store, const struct digest *name,
                                    struct gh_error *err);

/*
 * The names of what is due at NOW, MAX at most. Only committed records are seen.
 *
 * Gives: when the next one is due: NOW or earlier while there are more; INT64_MAX when there is
 * none
 */
int64_t answer_store_due(struct store *store, int64_t now_unix_s, struct digest *names, size_t max,
                         size_t *count);

/* Look at every committed record; its views end with the call. FN may not call the store; false
 * ends the walk. What does not authenticate is shown all the same. */
typedef bool (*answer_store_fn)(const struct answer_record *record, void *arg);
void answer_store_each(struct store *store, answer_store_fn fn, void *arg);

#endif
