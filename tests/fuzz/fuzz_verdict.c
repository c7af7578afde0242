/* What was stored is read back; the sum is made to fit, so that the reader behind it is reached. */
#include "policy/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "gatehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_decode(struct bytes in)
{
    struct verdict *verdict = NULL;
    struct bytes_buf again = {0};
    struct gh_error err = {0};

    if (!verdict_decode(in, &verdict, &err)) {
        return;
    }
    if (!verdict_encode(verdict, &again, &err)) {
        abort();
    }
    bytes_buf_done(&again);
    verdict_unref(verdict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    struct digest sum;

    fuzz_decode(bytes_make(data, size));
    copy = malloc(size + 32);
    if (copy == NULL || !digest_compute(DIGEST_SHA256, bytes_make(data, size), &sum, NULL)) {
        free(copy);
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    memcpy(copy + size, sum.value, 32);
    fuzz_decode(bytes_make(copy, size + 32));
    free(copy);
    return 0;
}
