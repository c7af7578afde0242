/*
 * The TUF client workflow as a state machine: it says what to read, fetch and store, and never does
 * any of it itself. The caller loops:
 *
 *     tuf_client_new(now) → { tuf_client_next() → act → tuf_client_answer() } until TUF_IDLE,
 *     then for each target: tuf_client_find() and the same loop.
 *
 * State is the documents as they were received, under unversioned names ("root.json",
 * "timestamp.json", "snapshot.json", "targets.json", "<role>.json"). What is to be stored has been
 * verified, and is stored before the next step, each file atomically: whatever is interrupted goes
 * on from what was verified. What is read back is verified again, a delegated role against the
 * delegator that leads to it now.
 *
 * Spec:    TUF 1.0 section 5 (detailed client workflow), TAP 15
 * Threads: a client belongs to one thread at a time
 */
#ifndef CRYPTO_TUF_H
#define CRYPTO_TUF_H

#include "crypto/bytes.h"
#include "crypto/tuf_metadata.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define TUF_MAX_ROTATIONS 256 /* of the root in one refresh */

struct tuf_client;

enum tuf_request_kind {
    TUF_IDLE,   /* refreshed, or the target was found and checked: nothing to do */
    TUF_READ,   /* a document of the state; answer with its bytes, or NULL where there is none */
    TUF_FETCH,  /* `path` below the metadata URL; answer with its bytes, or NULL where absent */
    TUF_STORE,  /* write `content` under `name`, atomically; answer with NULL */
    TUF_FORGET, /* remove `name` from the state (it may be absent); answer with NULL */
    TUF_TARGET  /* `path` below the targets URL; answer with its bytes, or NULL where absent */
};

struct tuf_request {
    enum tuf_request_kind kind;
    const char *name;     /* file in the state; borrowed until the next call */
    const char *path;     /* percent-encoded; borrowed until the next call */
    size_t limit_bytes;   /* FETCH, TARGET: what is longer need not be fetched to its end */
    struct bytes content; /* STORE */
};

/*
 * Begin. NOW is the fixed start time that every expiry is compared with.
 *
 * Gives: *out: new, tuf_client_free()
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool tuf_client_new(int64_t now_unix_s, struct tuf_client **out, struct gh_error *err);
void tuf_client_free(struct tuf_client *client);
GH_DEFINE_FREEP(tuf_client, struct tuf_client)

/* What is to be done next. Does not change the client. */
void tuf_client_next(const struct tuf_client *client, struct tuf_request *out);

/*
 * Answer the request. After a failure the client can only be freed; what was stored stays good.
 *
 * Takes: content: borrowed for the call; NULL: absent, or done
 * Fails: TRUST_ROOT_MISSING (no root to begin with), TRUST_ROOT_MALFORMED, TUF_SIGNATURE_THRESHOLD,
 *        TUF_KEYID_MISMATCH, TUF_ROLLBACK, TUF_FREEZE, TUF_MIX_MATCH (also: a file that the
 *        metadata names is absent), TUF_TARGET_MISMATCH, TUF_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool tuf_client_answer(struct tuf_client *client, const struct bytes *content,
                                  struct gh_error *err);

/*
 * Look for a target in the refreshed metadata, pre-order depth-first through the delegations.
 *
 * Fails: TUF_TARGET_MISMATCH (an unsafe name), INTERNAL_ERROR
 */
GH_CHECKED bool tuf_client_find(struct tuf_client *client, struct bytes path, struct gh_error *err);

/* While the request is TUF_TARGET: whether CONTENT, had from an earlier download, is that very
 * target, so that it may be answered with instead of fetching. */
bool tuf_client_is_target(const struct tuf_client *client, struct bytes content);

/* Versions and ends of the verified top-level roles; zero before they are known. */
struct tuf_status {
    int64_t root_version;
    int64_t root_expires_unix_s;
    int64_t timestamp_version;
    int64_t timestamp_expires_unix_s;
    int64_t snapshot_version;
    int64_t snapshot_expires_unix_s;
    int64_t targets_version;
    int64_t targets_expires_unix_s;
};
void tuf_client_status(const struct tuf_client *client, struct tuf_status *out);

#endif
