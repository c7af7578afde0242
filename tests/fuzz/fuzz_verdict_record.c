/*
 * A stored verdict's envelope and its record of uses.
 */
#include <assert.h>
#include <string.h>

#include "cache/verdict_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict_cache_use use = {0};
    struct verdict_record record;
    uint8_t out[VERDICT_RECORD_MAX_USE];

    if (verdict_record_read(bytes_make(data, size), &record)) {
        assert(record.key.len + record.rests.len + record.value.len < size);
        assert(record.rests.len % VERDICT_RECORD_REST_BYTES == 0);
    }
    verdict_record_use_read(bytes_make(data, size), &use);
    assert(use.who_count <= VERDICT_CACHE_MAX_WHO);
    assert(verdict_record_use_write(&use, out) <= sizeof(out));
    return 0;
}
