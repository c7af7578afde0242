/* A revocation list, searched for a number that is there and one that is not. */
#include "crypto/crl.h"

#include <assert.h>

#include "metrics/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crl *crl = NULL;
    struct gh_error err = {0};
    struct crl_entry entry;
    bool is_found;
    bool flag;

    if (!crl_parse(bytes_make(data, size), &crl, &err)) {
        assert(err.cause != GH_CAUSE_NONE);
        return 0;
    }
    flag = crl_find(crl, BYTES_LITERAL("\x01"), &is_found, &entry, NULL);
    flag = crl_find(crl, BYTES_LITERAL("\x7a\x84"), &is_found, &entry, NULL);
    flag = crl_covers(crl, BYTES_LITERAL("http://crl.example.test/x"));
    flag = crl_check_fresh(crl, 1800000000, NULL);
    (void)flag;
    crl_free(crl);
    return 0;
}
