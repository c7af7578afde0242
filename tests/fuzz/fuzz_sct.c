/* An SCT list in its TLS encoding. */
#include "crypto/sct.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sct scts[SCT_MAX_COUNT];
    size_t count = 0;

    if (sct_list_read(bytes_make(data, size), scts, &count, NULL)) {
        return count <= SCT_MAX_COUNT ? 0 : -1;
    }
    return 0;
}
