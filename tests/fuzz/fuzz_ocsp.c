/* An OCSP answer about a certificate of the fixtures, which stands for both ends here. */
#include "crypto/ocsp.h"

#include <assert.h>

#include "crypto/x509.h"
#include "fuzz_ocsp_root.h"
#include "metrics/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct x509_cert *root;
    struct ocsp_answer answer = {0};
    struct gh_error err = {0};
    int64_t from;
    int64_t until;

    if (root == NULL) {
        bool is_read = x509_cert_parse_pem(bytes_of(fuzz_ocsp_root), &root, &err);

        assert(is_read);
        (void)is_read;
    }
    if (!ocsp_judge(bytes_make(data, size), root, root, 1800000000, &answer, &err)) {
        assert(err.cause != GH_CAUSE_NONE);
    }
    x509_cert_unref(answer.responder);
    /* Before anything is verified: to know how long it may be kept. */
    if (ocsp_life(bytes_make(data, size), 1800000000, &from, &until)) {
        assert(until > 1800000000);
    }
    return 0;
}
