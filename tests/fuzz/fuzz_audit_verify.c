/*
 * An audit log's lines, and the same bytes as a signed note.
 */
#include <string.h>

#include "metrics/audit_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct audit_verify_options options = {0};
    struct audit_filter filter = {.since_unix_ms = 1};
    struct audit_verify_state state;
    const char *at = (const char *)data;
    const char *end = at + size;
    struct audit_note note;

    filter.fields[0].name = "subject.tenant";
    filter.fields[0].value = "x";
    filter.field_count = 1;
    (void)!audit_note_read(at, size, NULL, 0, &note, NULL);
    if (!audit_verify_begin(&state, &options, NULL)) {
        return 0;
    }
    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((feed != NULL ? feed : end) - at);

        (void)!audit_verify_line(&state, at, len, NULL);
        (void)audit_filter_match(&filter, at, len);
        at += len + 1;
    }
    (void)!audit_verify_end(&state, NULL);
    return 0;
}
