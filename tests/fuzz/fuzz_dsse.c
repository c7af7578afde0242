#include "crypto/dsse.h"

#include <stdlib.h>

#include "gatehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dsse dsse = {0};
    struct gh_error err = {0};

    if (dsse_parse(bytes_make(data, size), &dsse, &err)) {
        if (dsse.signature_count == 0 || dsse.pae.len < dsse.payload.len) {
            abort();
        }
        dsse_done(&dsse);
    } else if (err.cause == GH_CAUSE_NONE) {
        abort();
    }
    return 0;
}
