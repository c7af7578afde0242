/* What a transparency log says of itself: its description, a proof, and tiles for every proof. */
#include "crypto/rekor_log.h"
#include "crypto/tile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    struct merkle_head heads[2] = {{0}};
    struct rekor_log log;
    struct tile_plan plan;
    size_t count = 0;

    if (rekor_log_parse(in, &log, NULL)) {
        rekor_log_done(&log);
    }
    (void)!rekor_log_parse_proof(in, hashes, &count, NULL);
    for (size_t i = 0; i < 2 && size >= 8; i++, data += 8, size -= 8) {
        for (size_t k = 0; k < 8; k++) {
            heads[i].size = heads[i].size << 8 | data[k];
        }
    }
    (void)!merkle_check_consistency(&heads[0], &heads[1], (const uint8_t(*)[32])hashes, count,
                                    NULL);
    if (tile_plan_consistency(heads[0].size, heads[1].size, &plan, NULL)) {
        struct bytes tiles[TILE_MAX_TILES];
        static const uint8_t full[TILE_MAX_BYTES];

        for (size_t i = 0; i < plan.tile_count; i++) {
            char path[TILE_MAX_PATH];

            tile_path(&plan.tiles[i], false, path);
            tiles[i] = size >= plan.tiles[i].width * MERKLE_HASH_BYTES
                           ? bytes_make(data, plan.tiles[i].width * MERKLE_HASH_BYTES)
                           : bytes_make(full, sizeof(full));
        }
        (void)!tile_plan_prove(&plan, tiles, hashes, NULL);
    }
    return 0;
}
