/* trusted_root.json. */
#include "crypto/trustroot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GH_OWN(trustroot_freep) struct trustroot *root = NULL;

    if (trustroot_parse(bytes_make(data, size), &root, NULL)) {
        (void)trustroot_fingerprint(root);
    }
    return 0;
}
