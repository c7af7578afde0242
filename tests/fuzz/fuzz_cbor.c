/* Every typed reader at every offset, and the walk over whole items. */
#include "crypto/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    size_t walked = 0;
    bool flag = false;

    while (in.len > 0) {
        struct bytes at = in;
        struct cbor_head head;
        struct bytes part;
        int64_t value;

        flag = cbor_int64(&at, &value, NULL) || cbor_text(&at, &part, NULL) ||
               cbor_bytes(&at, &part, NULL);
        at = in;
        flag = cbor_next(&at, &head, NULL);
        at = in;
        /* The walk is quadratic in map size, so not from everywhere. */
        if (walked++ < 16) {
            flag = cbor_skip(&at, CBOR_MAX_DEPTH, &part, NULL);
        }
        in = bytes_slice(in, 1, SIZE_MAX);
    }
    (void)flag;
    return 0;
}
