/*
 * What a transparency log says of itself: its tree head, and the proof that one tree is the
 * beginning of another.
 *
 * Spec:    Rekor v1 OpenAPI (/api/v1/log, /api/v1/log/proof); C2SP tlog-checkpoint
 * Threads: any; no shared state
 */
#ifndef CRYPTO_REKOR_LOG_H
#define CRYPTO_REKOR_LOG_H

#include "crypto/bytes.h"
#include "crypto/checkpoint.h"
#include "crypto/merkle.h"
#include "gatehouse.h"

struct gh_error;
struct trustroot_log;

#define REKOR_LOG_MAX_BYTES (256u * 1024) /* of the log's description */
#define REKOR_LOG_MAX_PROOF_BYTES (16u * 1024)
#define REKOR_LOG_MAX_TREES 64
#define REKOR_LOG_MAX_TREE_ID 32

/* One of a log's trees; a log that begins a new one keeps the old ones. */
struct rekor_log_tree {
    char id[REKOR_LOG_MAX_TREE_ID]; /* digits */
    struct bytes_buf head;          /* the signed note */
};

struct rekor_log {
    struct rekor_log_tree trees[REKOR_LOG_MAX_TREES]; /* [0] is the one that grows */
    size_t count;
};

/*
 * Read the answer to /api/v1/log.
 *
 * Gives: *out: rekor_log_done()
 * Fails: LOG_ANSWER_MALFORMED, COUNT_LIMIT_EXCEEDED, SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool rekor_log_parse(struct bytes json, struct rekor_log *out, struct gh_error *err);
void rekor_log_done(struct rekor_log *log);

/*
 * Read the answer to /api/v1/log/proof.
 *
 * Fails: LOG_ANSWER_MALFORMED, COUNT_LIMIT_EXCEEDED, SIZE_LIMIT_EXCEEDED
 */
GH_CHECKED bool rekor_log_parse_proof(struct bytes json,
                                      uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES],
                                      size_t *count, struct gh_error *err);

/*
 * Check that the log signed the checkpoint. A tiled log's checkpoint names the log; in Rekor v1 the
 * operator chooses the name, and the key alone says whose it is.
 *
 * Fails: CHECKPOINT_ORIGIN_MISMATCH, CHECKPOINT_SIGNATURE_INVALID, INTERNAL_ERROR
 */
GH_CHECKED bool rekor_log_check(const struct trustroot_log *log,
                                const struct checkpoint *checkpoint, bool is_tiled,
                                struct gh_error *err);

/* Whether a tiled log of that address may call itself so. */
bool rekor_log_is_origin(const struct trustroot_log *log, struct bytes origin);
/* The name a Rekor v1 key signs with: the origin without the tree's id behind " - ". */
struct bytes rekor_log_v1_name(struct bytes origin);

#endif
