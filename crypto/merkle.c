#include "crypto/merkle.h"

#include <inttypes.h>
#include <string.h>

#include "crypto/digest.h"
#include "metrics/error.h"

bool merkle_hash_leaf(struct bytes body, uint8_t out[MERKLE_HASH_BYTES], struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    struct digest leaf = {0};

    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    GH_TRY(digest_stream_update(stream, bytes_make("\x00", 1), err));
    GH_TRY(digest_stream_update(stream, body, err));
    GH_TRY(digest_stream_final(stream, &leaf, err));
    memcpy(out, leaf.value, MERKLE_HASH_BYTES);
    return true;
}

/* node = SHA-256(01 || left || right) into NODE, which may be one of the two. */
static bool merkle_hash_node(struct digest_stream *stream, const uint8_t left[MERKLE_HASH_BYTES],
                             const uint8_t right[MERKLE_HASH_BYTES],
                             uint8_t node[MERKLE_HASH_BYTES], struct gh_error *err)
{
    uint8_t joined[1 + 2 * MERKLE_HASH_BYTES] = {1};
    struct digest digest = {0};

    memcpy(joined + 1, left, MERKLE_HASH_BYTES);
    memcpy(joined + 1 + MERKLE_HASH_BYTES, right, MERKLE_HASH_BYTES);
    GH_TRY(digest_stream_restart(stream, err));
    GH_TRY(digest_stream_update(stream, bytes_make(joined, sizeof(joined)), err));
    GH_TRY(digest_stream_final(stream, &digest, err));
    memcpy(node, digest.value, MERKLE_HASH_BYTES);
    return true;
}

bool merkle_fold(const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                 uint8_t out[MERKLE_HASH_BYTES], struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    uint8_t node[MERKLE_HASH_BYTES];

    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    memcpy(node, hashes[count - 1], sizeof(node));
    for (size_t i = count - 1; i > 0; i--) {
        GH_TRY(merkle_hash_node(stream, hashes[i - 1], node, node, err));
    }
    memcpy(out, node, sizeof(node));
    return true;
}

bool merkle_check_inclusion(const uint8_t leaf[MERKLE_HASH_BYTES], uint64_t index,
                            const struct merkle_head *head,
                            const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                            struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    uint64_t fn = index;
    uint64_t sn = head->size - 1;
    uint8_t node[MERKLE_HASH_BYTES];

    if (head->size == 0 || index >= head->size) {
        return gh_fail(err, GH_INCLUSION_PROOF_INVALID,
                       "the entry has index %" PRIu64 " in a tree of %" PRIu64, index, head->size);
    }
    memcpy(node, leaf, sizeof(node));
    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    for (size_t i = 0; i < count; i++) {
        if (sn == 0) {
            return gh_fail(err, GH_INCLUSION_PROOF_INVALID, "the proof has too many hashes");
        }
        if ((fn & 1) != 0 || fn == sn) {
            GH_TRY(merkle_hash_node(stream, hashes[i], node, node, err));
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            GH_TRY(merkle_hash_node(stream, node, hashes[i], node, err));
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0 || memcmp(node, head->root, sizeof(node)) != 0) {
        return gh_fail(err, GH_INCLUSION_PROOF_INVALID,
                       "the entry and its proof do not lead to the tree head");
    }
    return true;
}

static bool merkle_refuse_proof(struct gh_error *err, const struct merkle_head *first,
                                const struct merkle_head *second)
{
    return gh_fail(err, GH_LOG_PROOF_INVALID,
                   "the consistency proof from %" PRIu64 " entries does not lead to the tree head "
                   "of %" PRIu64 " entries",
                   first->size, second->size);
}

/* The two roots that the hashes lead to: of the first FIRST->size entries and of all of them. */
static bool merkle_climb(const struct merkle_head *first, const struct merkle_head *second,
                         const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                         uint8_t begin[MERKLE_HASH_BYTES], uint8_t end[MERKLE_HASH_BYTES],
                         struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    bool is_complete = (first->size & (first->size - 1)) == 0; /* its root is a node of the other */
    uint64_t fn = first->size - 1;
    uint64_t sn = second->size - 1;

    if (!is_complete && count == 0) {
        return merkle_refuse_proof(err, first, second);
    }
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    memcpy(begin, is_complete ? first->root : hashes[0], MERKLE_HASH_BYTES);
    memcpy(end, begin, MERKLE_HASH_BYTES);
    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    for (size_t i = is_complete ? 0 : 1; i < count; i++) {
        if (sn == 0) {
            return merkle_refuse_proof(err, first, second);
        }
        if ((fn & 1) != 0 || fn == sn) {
            GH_TRY(merkle_hash_node(stream, hashes[i], begin, begin, err));
            GH_TRY(merkle_hash_node(stream, hashes[i], end, end, err));
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            GH_TRY(merkle_hash_node(stream, end, hashes[i], end, err));
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 || merkle_refuse_proof(err, first, second);
}

static bool merkle_check_same(const struct merkle_head *first, const struct merkle_head *second,
                              size_t count, struct gh_error *err)
{
    if (memcmp(first->root, second->root, sizeof(first->root)) != 0) {
        return gh_fail(err, GH_LOG_FORKED,
                       "two tree heads of %" PRIu64 " entries have different roots", first->size);
    }
    return count == 0 || merkle_refuse_proof(err, first, second);
}

bool merkle_check_consistency(const struct merkle_head *first, const struct merkle_head *second,
                              const uint8_t (*hashes)[MERKLE_HASH_BYTES], size_t count,
                              struct gh_error *err)
{
    uint8_t begin[MERKLE_HASH_BYTES];
    uint8_t end[MERKLE_HASH_BYTES];

    if (second->size < first->size) {
        return gh_fail(err, GH_LOG_SHRUNK, "the log had %" PRIu64 " entries and now shows %" PRIu64,
                       first->size, second->size);
    }
    if (second->size == first->size) {
        return merkle_check_same(first, second, count, err);
    }
    if (first->size == 0) {
        return count == 0 || merkle_refuse_proof(err, first, second);
    }
    if (count > MERKLE_MAX_HASHES) {
        return merkle_refuse_proof(err, first, second);
    }
    GH_TRY(merkle_climb(first, second, hashes, count, begin, end, err));
    /* Hashes that lead to the larger tree are its own; what they say of its beginning is proved. */
    if (memcmp(end, second->root, sizeof(end)) != 0) {
        return merkle_refuse_proof(err, first, second);
    }
    if (memcmp(begin, first->root, sizeof(begin)) != 0) {
        return gh_fail(err, GH_LOG_FORKED,
                       "the tree of %" PRIu64 " entries does not begin with the %" PRIu64
                       " entries that were seen before",
                       second->size, first->size);
    }
    return true;
}
