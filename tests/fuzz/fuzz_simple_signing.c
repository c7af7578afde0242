#include "crypto/simple_signing.h"

#include <stdlib.h>

#include "crypto/claims.h"
#include "gatehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence_subject subject = {.name = "registry.example.test/app", .tag = "v1"};
    struct evidence_annotation pair = {"env", "prod"};
    struct claims_wanted wanted = {.annotations = &pair, .annotation_count = 1};
    struct gh_error err = {0};
    enum evidence_step step;

    subject.digest.alg = DIGEST_SHA256;
    if (!claims_check_payload(bytes_make(data, size), &subject, SIGNER_REFERENCE_EXACT, &wanted,
                              &step, &err) &&
        err.cause == GH_CAUSE_NONE) {
        abort();
    }
    return 0;
}
