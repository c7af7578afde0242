/* Reads a bundle and verifies it for a signer without keys or root: every parser on the way. */
#include "crypto/bundle.h"

#include <stdlib.h>

#include "gatehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence_item item = {.kind = EVIDENCE_BUNDLE, .location = "fuzz"};
    struct evidence_subject subject = {.name = "registry.example.test/app"};
    struct signer signer = {.name = (char *)"fuzz", .type = SIGNER_KEYS};
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step;

    item.blob = bytes_make(data, size);
    item.digest.alg = DIGEST_SHA256;
    subject.digest.alg = DIGEST_SHA256;
    if (bundle_verify(&item, &subject, &signer, NULL, 0, &step, &proof, &err)) {
        abort(); /* nobody is trusted */
    }
    return 0;
}
