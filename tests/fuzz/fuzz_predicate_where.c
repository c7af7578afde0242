/* Lines: path, operator's number, operand, predicate. */
#include "crypto/sjson.h"
#include "policy/predicate_where.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size), path, op, operand;
    struct predicate_where *where = NULL;
    struct gh_error err = {0};
    struct predicate_test test;
    struct predicate_condition condition = {.tests = &test, .test_count = 1};
    json_t *predicate = NULL;
    char *text = NULL;
    size_t at;

    if (!bytes_split(&in, '\n', &path) || !bytes_split(&in, '\n', &op) || op.len == 0 ||
        !bytes_split(&in, '\n', &operand) || !bytes_to_cstr(path, &text, &err)) {
        return 0;
    }
    test =
        (struct predicate_test){(enum predicate_op)(op.data[0] % (PREDICATE_EXISTS + 1)), operand};
    condition.path = text;
    condition.is_any = op.len > 1;
    if (predicate_where_new(&condition, 1, &where, &at, &err) &&
        sjson_parse(in, 1 << 20, &predicate, &err) &&
        !predicate_where_judge(where, predicate, &err) && err.cause == GH_CAUSE_NONE) {
        __builtin_trap();
    }
    predicate_where_free(where);
    json_decref(predicate);
    free(text);
    return 0;
}
