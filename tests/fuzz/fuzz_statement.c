#include "crypto/statement.h"

#include <stdlib.h>

#include "gatehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest digest = {.alg = DIGEST_SHA256};
    struct statement statement = {0};
    struct gh_error err = {0};

    if (statement_parse(bytes_make(data, size), &statement, &err)) {
        if (statement.predicate_type.len == 0) {
            abort();
        }
        (void)!statement_find_subject(&statement, &digest, NULL, &err);
        statement_done(&statement);
    } else if (err.cause == GH_CAUSE_NONE) {
        abort();
    }
    return 0;
}
