/* The first byte chooses the type, the rest is a document; a root is also verified by itself. */
#include "crypto/tuf_metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct tuf_metadata *metadata = NULL;
    struct gh_error err = {0};
    struct tuf_file file;
    uint8_t type;

    if (!bytes_u8(&in, &type, &err) ||
        !tuf_metadata_read((enum tuf_type)(type % 4), in, &metadata, &err)) {
        return 0;
    }
    for (size_t i = 0; i < metadata->role_count; i++) {
        err = (struct gh_error){0};
        if (!tuf_metadata_verify(metadata, &metadata->roles[i], metadata, &err) &&
            err.cause == GH_CAUSE_NONE) {
            __builtin_trap();
        }
    }
    if (metadata->type == TUF_SNAPSHOT && !tuf_metadata_meta(metadata, "targets.json", &file)) {
        __builtin_trap(); /* a snapshot that is read lists it */
    }
    tuf_metadata_free(metadata);
    return 0;
}
