/* A time stamp, as a response and as a bare token, judged by nobody's trust. */
#include "crypto/tsa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tsa_trust nobody;
    struct bytes in = bytes_make(data, size);
    struct bytes covered = BYTES_LITERAL("covered");
    struct tsa_result result = {0};

    if (tsa_verify_response(in, covered, &nobody, 1750000000, &result, NULL) ||
        tsa_verify_token(in, covered, &nobody, 1750000000, &result, NULL)) {
        tsa_result_done(&result);
        return -1; /* nobody trusts anything */
    }
    return 0;
}
