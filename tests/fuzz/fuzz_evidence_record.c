/* Stored evidence is read back; what was read is written and read again as the same. */
#include <stdlib.h>
#include <string.h>

#include "policy/evidence_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence_record *record = NULL;
    struct evidence_record *again = NULL;
    struct bytes_buf written = {0};
    struct gh_error err = {0};

    if (!evidence_record_decode(bytes_make(data, size), &record, &err)) {
        return 0;
    }
    if (evidence_record_encode(&record->set, &written, &err)) {
        if (!evidence_record_decode(bytes_view(&written), &again, &err) ||
            again->set.count > record->set.count) {
            abort();
        }
        for (size_t i = 0; i < again->set.count; i++) {
            struct bytes_buf blob = {0};
            struct gh_error ignored = {0};

            if (bytes_dup(bytes_make(data, size), &blob, &ignored)) {
                (void)!evidence_record_fill(again, i, &blob, &ignored);
            }
        }
    }
    bytes_buf_done(&written);
    evidence_record_free(again);
    evidence_record_free(record);
    return 0;
}
