#include "crypto/tile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "tests/support/merkle_tree.h"

/* Hashes of whole subtrees made once for each level. */
static uint8_t (*rows[3])[32];
#define BIG 65537u

static int rows_make(void **state)
{
    uint64_t counts[3] = {BIG, BIG / 256, BIG / 65536};

    for (unsigned level = 0; level < 3; level++) {
        rows[level] = calloc(counts[level] + 1, 32);
        assert_non_null(rows[level]);
        for (uint64_t i = 0; i < counts[level]; i++) {
            tree_root(1, i << 8 * level, UINT64_C(1) << 8 * level, rows[level][i]);
        }
    }
    return 0;
}

static int rows_free(void **state)
{
    for (unsigned level = 0; level < 3; level++) {
        free(rows[level]);
    }
    return 0;
}

static struct bytes tile_bytes(const struct tile_id *tile)
{
    assert_in_range(tile->level, 0, 2);
    return bytes_make(rows[tile->level][tile->index * TILE_WIDTH],
                      (size_t)tile->width * MERKLE_HASH_BYTES);
}

static void assert_pair_proved(uint64_t first, uint64_t second)
{
    struct tile_plan plan;
    struct bytes tiles[TILE_MAX_TILES];
    uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    struct merkle_proof wanted = {0};

    assert_true(tile_plan_consistency(first, second, &plan, NULL));
    for (size_t i = 0; i < plan.tile_count; i++) {
        /* Every tile lies within the tree, and is as wide as the tree makes it. */
        uint64_t total = second >> 8 * plan.tiles[i].level;

        assert_true(plan.tiles[i].index * TILE_WIDTH + plan.tiles[i].width <= total);
        assert_true(plan.tiles[i].width == TILE_WIDTH ||
                    plan.tiles[i].index * TILE_WIDTH + plan.tiles[i].width == total);
        tiles[i] = tile_bytes(&plan.tiles[i]);
    }
    assert_true(tile_plan_prove(&plan, tiles, hashes, NULL));
    tree_proof(1, first, second, &wanted);
    assert_int_equal(plan.hash_count, wanted.count);
    assert_memory_equal(hashes, wanted.hashes, wanted.count * 32);
}

static void tile_plan_prove_every_small_pair(void **state)
{
    for (uint64_t second = 2; second <= 70; second++) {
        for (uint64_t first = 1; first < second; first++) {
            assert_pair_proved(first, second);
        }
    }
}

static void tile_plan_prove_around_whole_tiles(void **state)
{
    static const uint64_t sizes[] = {1, 255, 256, 257, 511, 513, 4096, 65535, 65537};

    for (size_t i = 0; i < GH_COUNT(sizes); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_pair_proved(sizes[j], sizes[i]);
        }
    }
}

static void tile_plan_consistency_largest_trees_fit(void **state)
{
    struct tile_plan plan;

    for (unsigned shift = 1; shift < 63; shift++) {
        uint64_t sizes[] = {UINT64_C(1) << shift, (UINT64_C(1) << shift) - 1,
                            (UINT64_C(1) << shift) | 1,
                            UINT64_C(0x2AAAAAAAAAAAAAAA) >> (62 - shift),
                            UINT64_C(0x5555555555555555) >> (62 - shift)};

        for (size_t i = 0; i < GH_COUNT(sizes); i++) {
            if (sizes[i] == 0) {
                continue;
            }
            assert_true(tile_plan_consistency(sizes[i], INT64_MAX, &plan, NULL));
            assert_in_range(plan.tile_count, 1, TILE_MAX_TILES);
            assert_true(plan.hash_count <= MERKLE_MAX_HASHES);
            for (size_t k = 0; k < plan.tile_count; k++) {
                assert_true(plan.tiles[k].level <= TILE_MAX_LEVEL);
            }
        }
    }
}

static void tile_plan_consistency_without_a_way_refused(void **state)
{
    static const uint64_t rows_bad[][2] = {
        {0, 5}, {5, 5}, {6, 5}, {1, UINT64_C(1) << 63}, {UINT64_MAX, UINT64_MAX}};

    for (size_t i = 0; i < GH_COUNT(rows_bad); i++) {
        struct tile_plan plan;
        struct gh_error error = {0};

        assert_false(tile_plan_consistency(rows_bad[i][0], rows_bad[i][1], &plan, &error));
        assert_int_equal(error.cause, GH_INTERNAL_ERROR);
    }
}

static void tile_plan_prove_other_lengths_refused(void **state)
{
    struct tile_plan plan;
    struct bytes tiles[TILE_MAX_TILES] = {{0}};
    uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    size_t lengths[] = {0, 1, 32 * 43, 32 * 45, 32 * 44 - 1, TILE_MAX_BYTES + 32};

    assert_true(tile_plan_consistency(40, 300, &plan, NULL));
    for (size_t i = 0; i < GH_COUNT(lengths); i++) {
        for (size_t k = 0; k < plan.tile_count; k++) {
            struct gh_error error = {0};

            for (size_t j = 0; j < plan.tile_count; j++) {
                tiles[j] = tile_bytes(&plan.tiles[j]);
            }
            tiles[k].len = lengths[i];
            assert_false(tile_plan_prove(&plan, tiles, hashes, &error));
            assert_int_equal(error.cause, GH_LOG_ANSWER_MALFORMED);
        }
    }
}

/* A log that has grown since may have put the whole tile in the part's place. */
static void tile_plan_prove_whole_tile_for_its_part(void **state)
{
    struct tile_plan plan;
    struct bytes tiles[TILE_MAX_TILES] = {{0}};
    uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    struct merkle_proof wanted = {0};
    size_t partial = 0;

    assert_true(tile_plan_consistency(40, 300, &plan, NULL));
    for (size_t i = 0; i < plan.tile_count; i++) {
        tiles[i] = tile_bytes(&plan.tiles[i]);
        if (plan.tiles[i].level == 0) {
            partial += tiles[i].len < TILE_MAX_BYTES ? 1 : 0;
            tiles[i].len = TILE_MAX_BYTES;
        }
    }
    assert_int_equal(partial, 1);
    assert_true(tile_plan_prove(&plan, tiles, hashes, NULL));
    tree_proof(1, 40, 300, &wanted);
    assert_memory_equal(hashes, wanted.hashes, wanted.count * 32);
}

static void tile_path_known_forms(void **state)
{
    static const struct {
        struct tile_id tile;
        bool is_full;
        const char *path;
    } cases[] = {
        {{0, 0, 256}, false, "tile/0/000"},
        {{0, 0, 255}, false, "tile/0/000.p/255"},
        {{0, 0, 255}, true, "tile/0/000"},
        {{1, 67, 1}, false, "tile/1/067.p/1"},
        {{0, 1234067, 256}, false, "tile/0/x001/x234/067"},
        {{3, 1000, 8}, false, "tile/3/x001/000.p/8"},
        {{0, INT64_MAX >> 8, 255}, false, "tile/0/x036/x028/x797/x018/x963/967.p/255"},
    };

    for (size_t i = 0; i < GH_COUNT(cases); i++) {
        char path[TILE_MAX_PATH];

        tile_path(&cases[i].tile, cases[i].is_full, path);
        assert_string_equal(path, cases[i].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tile_plan_prove_every_small_pair),
        cmocka_unit_test(tile_plan_prove_around_whole_tiles),
        cmocka_unit_test(tile_plan_consistency_largest_trees_fit),
        cmocka_unit_test(tile_plan_consistency_without_a_way_refused),
        cmocka_unit_test(tile_plan_prove_other_lengths_refused),
        cmocka_unit_test(tile_plan_prove_whole_tile_for_its_part),
        cmocka_unit_test(tile_path_known_forms),
    };

    return cmocka_run_group_tests(tests, rows_make, rows_free);
}
