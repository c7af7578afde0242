/*
 * Consistency proofs out of a tiled log: which tiles hold the hashes of a proof, and the proof once
 * they were fetched. What a tile says is not trusted: the proof is checked like any other.
 *
 * Spec:    C2SP tlog-tiles; RFC 6962 section 2.1.2
 * Threads: any; no shared state
 */
#ifndef CRYPTO_TILE_H
#define CRYPTO_TILE_H

#include "crypto/bytes.h"
#include "crypto/merkle.h"
#include "gatehouse.h"

struct gh_error;

#define TILE_WIDTH 256u
#define TILE_MAX_BYTES (TILE_WIDTH * MERKLE_HASH_BYTES)
#define TILE_MAX_TILES 16  /* of a proof: at each of eight levels, two */
#define TILE_MAX_NODES 128 /* of a proof, before they are folded */
#define TILE_MAX_PATH 64   /* "tile/7/x001/x234/…067.p/255" */
#define TILE_MAX_LEVEL 7   /* trees of up to 2^63 entries */

struct tile_id {
    unsigned level;
    uint64_t index;
    unsigned width; /* hashes in it at the tree's size: TILE_WIDTH when it is full */
};

/* A complete subtree of 2^level entries. */
struct tile_node {
    unsigned level;
    uint64_t index;
};

/* Plain data. */
struct tile_plan {
    struct tile_id tiles[TILE_MAX_TILES]; /* what is to be fetched */
    size_t tile_count;
    struct tile_node nodes[TILE_MAX_NODES];
    size_t node_count;
    size_t node_ends[MERKLE_MAX_HASHES]; /* hash i of the proof folds the nodes up to here */
    size_t hash_count;
};

/*
 * Plan the proof that the tree of FIRST entries is the beginning of the tree of SECOND; FIRST is at
 * least 1 and smaller.
 *
 * Fails: COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool tile_plan_consistency(uint64_t first, uint64_t second, struct tile_plan *out,
                                      struct gh_error *err);

/* The tile's path below the log's address: "tile/0/x001/067.p/12", or of the full tile that holds
 * the same hashes once the log has grown. */
void tile_path(const struct tile_id *tile, bool is_full, char out[TILE_MAX_PATH]);

/*
 * Make the proof from the tiles' bytes, in the plan's order; each holds its tile's width or a whole
 * tile.
 *
 * Fails: LOG_ANSWER_MALFORMED (a tile has another length), INTERNAL_ERROR
 */
GH_CHECKED bool tile_plan_prove(const struct tile_plan *plan, const struct bytes *tiles,
                                uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES],
                                struct gh_error *err);

#endif
