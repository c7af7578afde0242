/* A log entry, as tlogEntries[] of a bundle or as the text of a bundle annotation, and its body. */
#include "crypto/rekor.h"
#include "crypto/rekor_body.h"
#include "crypto/rekor_entry.h"
#include "crypto/sjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_body(const struct rekor_entry *entry)
{
    struct rekor_signed what = {.content = REKOR_DSSE,
                                .leaf = BYTES_LITERAL("leaf"),
                                .signature = BYTES_LITERAL("signature"),
                                .envelope = BYTES_LITERAL("{}")};

    for (int i = 0; i < 2; i++) {
        if (!rekor_body_check(entry, &what, NULL)) {
            what.content = REKOR_MESSAGE;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct rekor_entry entries[REKOR_MAX_ENTRIES];
    json_t *doc = NULL;
    size_t count = 0;

    if (rekor_entry_read_annotation(in, &entries[0], NULL)) {
        fuzz_body(&entries[0]);
        rekor_entry_done(&entries[0]);
    }
    if (sjson_parse(in, 1u << 20, &doc, NULL) && rekor_entries_read(doc, entries, &count, NULL)) {
        while (count > 0) {
            fuzz_body(&entries[--count]);
            rekor_entry_done(&entries[count]);
        }
    }
    json_decref(doc);
    return 0;
}
