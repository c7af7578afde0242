/* What is remembered of a watched log, as a crash or a stranger may have left it. */
#include "proxy/probe_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct probe_memory memory;

    if (probe_memory_parse(bytes_make(data, size), &memory, NULL)) {
        probe_memory_done(&memory);
    }
    return 0;
}
