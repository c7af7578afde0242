#include "crypto/tile.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "metrics/error.h"

#define TILE_HEIGHT 8

/* Leaves LO up to, not including, HI: a side of the descent to where the smaller tree ends. */
struct tile_range {
    uint64_t lo;
    uint64_t hi;
};

/* The largest power of two below N, which is at least 2. */
static uint64_t tile_split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/*
 * The subtrees of the proof, outermost first. PROOF and SUBPROOF of RFC 6962 without recursion: on
 * the way down the side that is not entered belongs to the proof.
 */
static size_t tile_descend(uint64_t first, uint64_t second,
                           struct tile_range ranges[MERKLE_MAX_HASHES])
{
    uint64_t lo = 0;
    uint64_t m = first;
    uint64_t n = second;
    size_t count = 0;
    bool is_root_known = true; /* what is left of the smaller tree is the whole of it */

    while (m != n && count < MERKLE_MAX_HASHES - 1) {
        uint64_t k = tile_split(n);

        if (m <= k) {
            ranges[count++] = (struct tile_range){lo + k, lo + n};
            n = k;
        } else {
            ranges[count++] = (struct tile_range){lo, lo + k};
            lo += k;
            m -= k;
            n -= k;
            is_root_known = false;
        }
    }
    if (!is_root_known) {
        ranges[count++] = (struct tile_range){lo, lo + n};
    }
    return count;
}

static bool tile_add(struct tile_plan *plan, const struct tile_node *node, uint64_t second,
                     struct gh_error *err)
{
    unsigned level = node->level / TILE_HEIGHT;
    uint64_t index = (node->index << node->level % TILE_HEIGHT) / TILE_WIDTH;
    uint64_t left = (second >> TILE_HEIGHT * level) - index * TILE_WIDTH;

    for (size_t i = 0; i < plan->tile_count; i++) {
        if (plan->tiles[i].level == level && plan->tiles[i].index == index) {
            return true;
        }
    }
    if (plan->tile_count == TILE_MAX_TILES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a consistency proof needs more than %d tiles",
                       TILE_MAX_TILES);
    }
    plan->tiles[plan->tile_count++] =
        (struct tile_id){level, index, (unsigned)GH_MIN(left, (uint64_t)TILE_WIDTH)};
    return true;
}

/* The complete subtrees that the range is made of, from left to right. */
static bool tile_add_range(struct tile_plan *plan, struct tile_range range, uint64_t second,
                           struct gh_error *err)
{
    while (range.lo < range.hi) {
        unsigned level = (unsigned)(63 - __builtin_clzll(range.hi - range.lo));
        struct tile_node node = {level, range.lo >> level};

        if (plan->node_count == TILE_MAX_NODES) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "a consistency proof needs more than %d hashes", TILE_MAX_NODES);
        }
        GH_TRY(tile_add(plan, &node, second, err));
        plan->nodes[plan->node_count++] = node;
        range.lo += UINT64_C(1) << level;
    }
    plan->node_ends[plan->hash_count++] = plan->node_count;
    return true;
}

bool tile_plan_consistency(uint64_t first, uint64_t second, struct tile_plan *out,
                           struct gh_error *err)
{
    struct tile_range ranges[MERKLE_MAX_HASHES];
    size_t count;

    memset(out, 0, sizeof(*out));
    if (first == 0 || first >= second || second > INT64_MAX) {
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "no consistency proof leads from %" PRIu64 " entries to %" PRIu64, first,
                       second);
    }
    count = tile_descend(first, second, ranges);
    while (count > 0) {
        GH_TRY(tile_add_range(out, ranges[--count], second, err));
    }
    return true;
}

void tile_path(const struct tile_id *tile, bool is_full, char out[TILE_MAX_PATH])
{
    uint64_t rest = tile->index;
    unsigned groups[8]; /* of three digits, the last ones first */
    size_t count = 0;
    int used;

    do {
        groups[count++] = (unsigned)(rest % 1000);
        rest /= 1000;
    } while (rest > 0 && count < GH_COUNT(groups));
    used = snprintf(out, TILE_MAX_PATH, "tile/%u", tile->level);
    while (count > 0) {
        count--;
        used += snprintf(out + used, (size_t)(TILE_MAX_PATH - used), "/%s%03u",
                         count > 0 ? "x" : "", groups[count]);
    }
    if (!is_full && tile->width < TILE_WIDTH) {
        (void)snprintf(out + used, (size_t)(TILE_MAX_PATH - used), ".p/%u", tile->width);
    }
}

static const struct tile_id *tile_of(const struct tile_plan *plan, const struct tile_node *node,
                                     size_t *at)
{
    uint64_t index = (node->index << node->level % TILE_HEIGHT) / TILE_WIDTH;

    for (size_t i = 0; i < plan->tile_count; i++) {
        if (plan->tiles[i].level == node->level / TILE_HEIGHT && plan->tiles[i].index == index) {
            *at = i;
            return &plan->tiles[i];
        }
    }
    return NULL;
}

/* A node within its tile: the hashes at the tile's foot below it, folded pairwise. */
static bool tile_hash_node(const struct tile_plan *plan, const struct bytes *tiles,
                           const struct tile_node *node, uint8_t out[MERKLE_HASH_BYTES],
                           struct gh_error *err)
{
    uint8_t row[TILE_WIDTH / 2][MERKLE_HASH_BYTES];
    unsigned height = node->level % TILE_HEIGHT;
    size_t count = (size_t)1 << height;
    size_t first = (node->index << height) % TILE_WIDTH;
    size_t at = 0;
    const struct tile_id *tile = tile_of(plan, node, &at);

    if (tile == NULL || first + count > tile->width) {
        return gh_fail(err, GH_INTERNAL_ERROR, "a hash of a consistency proof is in no tile");
    }
    memcpy(row, tiles[at].data + first * MERKLE_HASH_BYTES, count * MERKLE_HASH_BYTES);
    for (; count > 1; count /= 2) {
        for (size_t i = 0; i < count / 2; i++) {
            uint8_t node_hash[MERKLE_HASH_BYTES];

            GH_TRY(
                merkle_fold((const uint8_t(*)[MERKLE_HASH_BYTES]) & row[2 * i], 2, node_hash, err));
            memcpy(row[i], node_hash, sizeof(node_hash));
        }
    }
    memcpy(out, row[0], MERKLE_HASH_BYTES);
    return true;
}

bool tile_plan_prove(const struct tile_plan *plan, const struct bytes *tiles,
                     uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES], struct gh_error *err)
{
    uint8_t parts[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    size_t node = 0;

    for (size_t i = 0; i < plan->tile_count; i++) {
        if (tiles[i].len != plan->tiles[i].width * MERKLE_HASH_BYTES &&
            tiles[i].len != TILE_MAX_BYTES) {
            char path[TILE_MAX_PATH];

            tile_path(&plan->tiles[i], false, path);
            return gh_fail(err, GH_LOG_ANSWER_MALFORMED, "%s has %zu bytes, expected %u", path,
                           tiles[i].len, plan->tiles[i].width * MERKLE_HASH_BYTES);
        }
    }
    for (size_t i = 0; i < plan->hash_count; i++) {
        size_t count = 0;

        for (; node < plan->node_ends[i]; node++) {
            GH_TRY(tile_hash_node(plan, tiles, &plan->nodes[node], parts[count++], err));
        }
        GH_TRY(merkle_fold((const uint8_t(*)[MERKLE_HASH_BYTES])parts, count, hashes[i], err));
    }
    return true;
}
