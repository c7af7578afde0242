#include "cache/evidence_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/store_fixture.h"

static void evidence_index_put_found_until_removed(void **state)
{
    struct fixture *f = *state;
    const struct cache_scope scope = {"default", "ghcr.io", "acme/app"};
    const struct cache_scope other = {"labs", "ghcr.io", "acme/app"};
    struct digest subject = digest_of(bytes_of("m"));
    struct bytes_buf out = {0};
    int64_t made = 0;

    assert_true(evidence_index_put(f->store, &scope, &subject, bytes_of("list"), NOW, NULL));
    assert_true(evidence_index_get(f->store, &scope, &subject, NOW, &out, &made));
    assert_true(bytes_equal_cstr(bytes_view(&out), "list"));
    assert_int_equal(made, NOW);
    bytes_buf_done(&out);
    assert_false(evidence_index_get(f->store, &other, &subject, NOW, &out, &made));
    assert_true(evidence_index_remove(f->store, &scope, &subject, NULL));
    assert_false(evidence_index_get(f->store, &scope, &subject, NOW, &out, &made));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(evidence_index_put_found_until_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
