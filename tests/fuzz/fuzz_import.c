#include "metrics/error.h"
#include "policy/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the format, the rest is the document. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct import_pair settings[] = {
        {"root:custom", "trusted_root.json"}, {"observe", "observed.pub"}, {"store:ca:a", "a.pem"}};
    struct import_document document = {.path = "input"};
    struct import_request request = {.documents = &document,
                                     .document_count = 1,
                                     .settings = settings,
                                     .setting_count = GH_COUNT(settings),
                                     .owner = "a",
                                     .approved_by = "b",
                                     .created = "2026-11-21",
                                     .expires = "2026-12-21",
                                     .can_write_files = true};
    struct import_result result;
    struct gh_error err = {0};
    static const char *const names[] = {"notation", "containers-policy", "clusterimagepolicy",
                                        "kyverno",  "connaisseur",       "binauthz"};

    if (size == 0 || !import_format_find(names[data[0] % GH_COUNT(names)], &request.format)) {
        return 0;
    }
    request.unverified = (enum import_unverified)(data[0] / GH_COUNT(names) % 4);
    document.content = bytes_make(data + 1, size - 1);
    if (import_run(&request, &result, &err)) {
        import_result_done(&result);
    }
    return 0;
}
