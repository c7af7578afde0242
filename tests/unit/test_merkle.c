#include "crypto/merkle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "tests/support/merkle_tree.h"

#define LARGEST 70

static void assert_consistency(const struct merkle_head *first, const struct merkle_head *second,
                               const struct merkle_proof *proof, enum gh_cause cause)
{
    struct gh_error error = {0};
    bool ok = merkle_check_consistency(first, second, proof->hashes, proof->count, &error);

    assert_int_equal(ok, cause == GH_CAUSE_NONE);
    assert_string_equal(gh_cause_label(error.cause), gh_cause_label(cause));
}

static void merkle_hash_leaf_known_values(void **state)
{
    static const uint8_t empty[] = {0x6e, 0x34, 0x0b, 0x9c, 0xff, 0xb3, 0x7a, 0x98};
    uint8_t leaf[32];

    assert_true(merkle_hash_leaf(bytes_make(NULL, 0), leaf, NULL));
    assert_memory_equal(leaf, empty, sizeof(empty));
}

static void merkle_check_consistency_every_pair_holds(void **state)
{
    for (uint64_t second = 1; second <= LARGEST; second++) {
        for (uint64_t first = 0; first <= second; first++) {
            struct merkle_head a, b;
            struct merkle_proof proof = {0};

            tree_head(1, first, &a);
            tree_head(1, second, &b);
            if (first > 0 && first < second) {
                tree_proof(1, first, second, &proof);
            }
            assert_consistency(&a, &b, &proof, GH_CAUSE_NONE);
        }
    }
}

/* A log whose last entry before the first head was replaced afterwards. */
static void merkle_check_consistency_other_history_forked(void **state)
{
    for (uint64_t first = 1; first < LARGEST; first++) {
        struct merkle_head a, b;
        struct merkle_proof proof = {0};

        tree_head(1, first, &a);
        tree_head(2, LARGEST, &b);
        tree_proof(2, first, LARGEST, &proof);
        /* Of a power of two the smaller root is where the proof begins: it then leads nowhere. */
        assert_consistency(&a, &b, &proof,
                           (first & (first - 1)) == 0 ? GH_LOG_PROOF_INVALID : GH_LOG_FORKED);
        tree_head(2, first, &b);
        proof.count = 0;
        assert_consistency(&a, &b, &proof, GH_LOG_FORKED);
    }
}

static void merkle_check_consistency_smaller_shrunk(void **state)
{
    struct merkle_head a, b;
    struct merkle_proof proof = {0};

    tree_head(1, 7, &a);
    tree_head(1, 6, &b);
    assert_consistency(&a, &b, &proof, GH_LOG_SHRUNK);
    tree_head(1, 0, &b);
    assert_consistency(&a, &b, &proof, GH_LOG_SHRUNK);
}

/* Every hash altered, left out, doubled, swapped: nothing but the proof itself is one. */
static void merkle_check_consistency_broken_proof_refused(void **state)
{
    for (uint64_t first = 1; first < 20; first++) {
        struct merkle_head a, b;
        struct merkle_proof proof = {0};

        tree_head(1, first, &a);
        tree_head(1, 21, &b);
        tree_proof(1, first, 21, &proof);
        for (size_t i = 0; i < proof.count; i++) {
            struct merkle_proof broken = proof;

            broken.hashes[i][31] ^= 1;
            assert_consistency(&a, &b, &broken, GH_LOG_PROOF_INVALID);
            broken = proof;
            memmove(broken.hashes[i], broken.hashes[i + 1], 32 * (proof.count - i));
            broken.count--;
            assert_consistency(&a, &b, &broken, GH_LOG_PROOF_INVALID);
            broken = proof;
            memmove(broken.hashes[i + 1], broken.hashes[i], 32 * (proof.count - i));
            broken.count++;
            assert_consistency(&a, &b, &broken, GH_LOG_PROOF_INVALID);
        }
        proof.count = 0;
        assert_consistency(&a, &b, &proof, GH_LOG_PROOF_INVALID);
        proof.count = MERKLE_MAX_HASHES + 1; /* not read */
        assert_consistency(&a, &b, &proof, GH_LOG_PROOF_INVALID);
    }
}

static void merkle_check_consistency_needless_hashes_refused(void **state)
{
    struct merkle_head a, b;
    struct merkle_proof proof = {.count = 1};

    tree_head(1, 7, &a);
    assert_consistency(&a, &a, &proof, GH_LOG_PROOF_INVALID);
    tree_head(1, 0, &b);
    assert_consistency(&b, &a, &proof, GH_LOG_PROOF_INVALID);
}

static void merkle_check_inclusion_every_leaf_holds_and_no_other(void **state)
{
    for (uint64_t size = 1; size < 40; size++) {
        struct merkle_head head;

        tree_head(1, size, &head);
        for (uint64_t index = 0; index < size; index++) {
            struct merkle_proof proof = {0};
            struct gh_error error = {0};
            uint8_t leaf[32];

            tree_inclusion(1, index, size, &proof);
            tree_leaf(1, index, leaf);
            assert_true(
                merkle_check_inclusion(leaf, index, &head, proof.hashes, proof.count, &error));
            assert_false(
                merkle_check_inclusion(leaf, index + 1, &head, proof.hashes, proof.count, &error));
            assert_int_equal(error.cause, GH_INCLUSION_PROOF_INVALID);
            gh_error_clear(&error);
            leaf[0] ^= 1;
            assert_false(
                merkle_check_inclusion(leaf, index, &head, proof.hashes, proof.count, &error));
            assert_int_equal(error.cause, GH_INCLUSION_PROOF_INVALID);
        }
    }
}

static void merkle_check_inclusion_empty_tree_refused(void **state)
{
    struct merkle_head head;
    struct gh_error error = {0};
    uint8_t leaf[32] = {0};

    tree_head(1, 0, &head);
    assert_false(merkle_check_inclusion(leaf, 0, &head, NULL, 0, &error));
    assert_int_equal(error.cause, GH_INCLUSION_PROOF_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merkle_hash_leaf_known_values),
        cmocka_unit_test(merkle_check_consistency_every_pair_holds),
        cmocka_unit_test(merkle_check_consistency_other_history_forked),
        cmocka_unit_test(merkle_check_consistency_smaller_shrunk),
        cmocka_unit_test(merkle_check_consistency_broken_proof_refused),
        cmocka_unit_test(merkle_check_consistency_needless_hashes_refused),
        cmocka_unit_test(merkle_check_inclusion_every_leaf_holds_and_no_other),
        cmocka_unit_test(merkle_check_inclusion_empty_tree_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
