/*
 * The Merkle tree of transparency logs: hashes of leaves and nodes, proofs that an entry is in a
 * tree and that a tree is the beginning of a larger one.
 *
 * Spec:    RFC 6962 section 2.1; RFC 9162 sections 2.1.3.2 and 2.1.4.2 (the same tree)
 * Threads: any; no shared state
 */
#ifndef CRYPTO_MERKLE_H
#define CRYPTO_MERKLE_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define MERKLE_HASH_BYTES 32
#define MERKLE_MAX_HASHES 64 /* of a proof: a tree of 2^63 entries needs 63 */

/* The tree at one moment. */
struct merkle_head {
    uint64_t size;
    uint8_t root[MERKLE_HASH_BYTES];
};

/* SHA-256(00 || BODY). Fails: INTERNAL_ERROR. */
GH_CHECKED bool merkle_hash_leaf(struct bytes body, uint8_t out[MERKLE_HASH_BYTES],
                                 struct gh_error *err);

/*
 * Fold COUNT hashes of subtrees that stand side by side, each at least as large as the one to its
 * right, into the hash of the tree they make: the last two first. COUNT is at least 1.
 *
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool merkle_fold(const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                            uint8_t out[MERKLE_HASH_BYTES], struct gh_error *err);

/*
 * Whether the leaf with that hash is at INDEX of the tree.
 *
 * Fails: INCLUSION_PROOF_INVALID, INTERNAL_ERROR
 */
GH_CHECKED bool merkle_check_inclusion(const uint8_t leaf[MERKLE_HASH_BYTES], uint64_t index,
                                       const struct merkle_head *head,
                                       const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                                       struct gh_error *err);

/*
 * Whether the tree FIRST is the beginning of the tree SECOND. Of equal sizes the proof is empty; an
 * empty tree is the beginning of every tree.
 *
 * Fails: LOG_FORKED (a proof that leads to SECOND, but from another beginning; or equal sizes and
 *        two roots: SECOND is proved not to continue FIRST), LOG_SHRUNK (SECOND is the smaller
 *        one), LOG_PROOF_INVALID (it leads nowhere, so it proves nothing), INTERNAL_ERROR
 * Limits: MERKLE_MAX_HASHES
 */
GH_CHECKED bool merkle_check_consistency(const struct merkle_head *first,
                                         const struct merkle_head *second,
                                         const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                                         struct gh_error *err);

#endif
