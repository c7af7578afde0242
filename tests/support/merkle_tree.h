/*
 * Merkle trees made by the definitions of RFC 6962 section 2.1, recursively: slow, and written
 * another way than what is tested. Histories have the same leaves but for the first one.
 */
#ifndef TESTS_MERKLE_TREE_H
#define TESTS_MERKLE_TREE_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "crypto/merkle.h"

struct merkle_proof {
    uint8_t hashes[MERKLE_MAX_HASHES + 2][MERKLE_HASH_BYTES];
    size_t count;
};

static inline void tree_leaf(unsigned history, uint64_t index, uint8_t out[32])
{
    char text[64] = "";
    struct digest digest;
    int len = snprintf(text + 1, sizeof(text) - 1, "%u:%" PRIu64, index == 0 ? history : 0, index);

    assert_true(digest_compute(DIGEST_SHA256, bytes_make(text, (size_t)len + 1), &digest, NULL));
    memcpy(out, digest.value, 32);
}

static inline void tree_join(const uint8_t left[32], const uint8_t right[32], uint8_t out[32])
{
    uint8_t joined[65] = {1};
    struct digest digest;

    memcpy(joined + 1, left, 32);
    memcpy(joined + 33, right, 32);
    assert_true(digest_compute(DIGEST_SHA256, bytes_make(joined, sizeof(joined)), &digest, NULL));
    memcpy(out, digest.value, 32);
}

/* k: the largest power of two smaller than n */
static inline uint64_t tree_half(uint64_t n)
{
    uint64_t k = 1;

    while (k * 2 < n) {
        k *= 2;
    }
    return k;
}

/* MTH(D[lo:lo+n]) */
static inline void tree_root(unsigned history, uint64_t lo, uint64_t n, uint8_t out[32])
{
    uint8_t left[32], right[32];

    if (n == 0) {
        struct digest digest;

        assert_true(digest_compute(DIGEST_SHA256, bytes_make(NULL, 0), &digest, NULL));
        memcpy(out, digest.value, 32);
        return;
    }
    if (n == 1) {
        tree_leaf(history, lo, out);
        return;
    }
    tree_root(history, lo, tree_half(n), left);
    tree_root(history, lo + tree_half(n), n - tree_half(n), right);
    tree_join(left, right, out);
}

static inline void tree_head(unsigned history, uint64_t size, struct merkle_head *out)
{
    out->size = size;
    tree_root(history, 0, size, out->root);
}

/* SUBPROOF(m, D[lo:lo+n], is_whole) */
static inline void tree_subproof(unsigned history, uint64_t m, uint64_t lo, uint64_t n,
                                 bool is_whole, struct merkle_proof *out)
{
    uint64_t k;

    if (m == n) {
        if (!is_whole) {
            tree_root(history, lo, n, out->hashes[out->count++]);
        }
        return;
    }
    k = tree_half(n);
    if (m <= k) {
        tree_subproof(history, m, lo, k, is_whole, out);
        tree_root(history, lo + k, n - k, out->hashes[out->count++]);
    } else {
        tree_subproof(history, m - k, lo + k, n - k, false, out);
        tree_root(history, lo, k, out->hashes[out->count++]);
    }
}

static inline void tree_proof(unsigned history, uint64_t first, uint64_t second,
                              struct merkle_proof *out)
{
    out->count = 0;
    tree_subproof(history, first, 0, second, true, out);
}

/* PATH(m, D[lo:lo+n]) */
static inline void tree_path(unsigned history, uint64_t m, uint64_t lo, uint64_t n,
                             struct merkle_proof *out)
{
    uint64_t k;

    if (n <= 1) {
        return;
    }
    k = tree_half(n);
    if (m < k) {
        tree_path(history, m, lo, k, out);
        tree_root(history, lo + k, n - k, out->hashes[out->count++]);
    } else {
        tree_path(history, m - k, lo + k, n - k, out);
        tree_root(history, lo, k, out->hashes[out->count++]);
    }
}

static inline void tree_inclusion(unsigned history, uint64_t index, uint64_t size,
                                  struct merkle_proof *out)
{
    out->count = 0;
    tree_path(history, index, 0, size, out);
}

#endif
