/* Pages of descriptors and Link headers. */
#include <stdlib.h>

#include "crypto/manifest.h"
#include "metrics/error.h"
#include "proxy/referrers_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct gh_error err = {0};
    json_t *doc = NULL;
    json_t *list = NULL;
    json_t *entry;
    size_t index;
    char *text = NULL;
    char *next = NULL;

    if (referrers_page_parse(in, MANIFEST_OCI_INDEX, &doc, &list, &err)) {
        json_array_foreach (list, index, entry) {
            struct referrers_descriptor descriptor;

            if (referrers_page_descriptor(entry, &descriptor, NULL)) {
                unsigned kinds = referrers_page_kinds(descriptor.artifact_type);

                (void)referrers_page_layer_kind(kinds, descriptor.media_type);
                if (descriptor.size < 0 || digest_alg_len(descriptor.digest.alg) == 0) {
                    abort();
                }
            }
        }
        json_decref(doc);
    }
    if (bytes_to_cstr(in, &text, NULL)) {
        if (referrers_page_next(text, &next, NULL)) {
            free(next);
        }
        free(text);
    }
    return 0;
}
