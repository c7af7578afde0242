/* A signed note with a checkpoint. */
#include "crypto/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct checkpoint checkpoint;

    if (checkpoint_parse(bytes_make(data, size), &checkpoint, NULL)) {
        checkpoint_done(&checkpoint);
    }
    return 0;
}
