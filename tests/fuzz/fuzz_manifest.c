#include "crypto/manifest.h"
#include "metrics/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses what the manifest was served as. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {MANIFEST_OCI_IMAGE, MANIFEST_OCI_INDEX,
                                        MANIFEST_DOCKER_IMAGE, MANIFEST_DOCKER_LIST, NULL};
    GH_OWN(manifest_freep) struct manifest *manifest = NULL;
    struct gh_error err = {0};

    if (size == 0) {
        return 0;
    }
    if (manifest_parse(bytes_make(data + 1, size - 1), types[data[0] % GH_COUNT(types)], &manifest,
                       &err)) {
        (void)manifest_is_evidence(manifest);
        for (size_t i = 0; i < manifest->item_count; i++) {
            (void)manifest_is_attestation_entry(&manifest->items[i]);
        }
    }
    return 0;
}
