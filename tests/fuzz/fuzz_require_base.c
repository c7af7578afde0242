/* Images among the materials of provenance. */
#include "crypto/statement.h"
#include "policy/require_base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GH_OWN(statement_done) struct statement statement = {0};
    struct require_base_list *list = require_base_list_new();
    bool is_silent;

    if (list != NULL && statement_parse(bytes_make(data, size), &statement, NULL)) {
        (void)!require_base_read(&statement, list, &is_silent, NULL);
    }
    require_base_list_free(list);
    return 0;
}
