/* Patterns of target paths (first half against second), and canonical JSON of what parses. */
#include "crypto/sjson.h"
#include "crypto/tuf_canonical.h"
#include "crypto/tuf_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct bytes_buf out = {0};
    struct gh_error err = {0};
    json_t *value = NULL;
    size_t half = size / 2;

    (void)tuf_path_match(bytes_slice(in, 0, half), bytes_slice(in, half, SIZE_MAX));
    if (!sjson_parse(in, SJSON_MAX_BYTES, &value, &err)) {
        return 0;
    }
    if (!tuf_canonical_encode(value, &out, &err) && err.cause == GH_CAUSE_NONE) {
        __builtin_trap();
    }
    bytes_buf_done(&out);
    json_decref(value);
    return 0;
}
