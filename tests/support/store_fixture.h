/*
 * A store in a scratch folder, for cmocka cases of what stands on it. Include cmocka.h first.
 */
#ifndef TESTS_SUPPORT_STORE_FIXTURE_H
#define TESTS_SUPPORT_STORE_FIXTURE_H

#include "cache/store.h"
#include "crypto/digest.h"
#include "metrics/error.h"
#include "tests/support/scratch.h"

#define NOW 1700000000

struct fixture {
    struct scratch scratch;
    struct store *store;
};

GH_UNUSED static void fixture_open(struct fixture *f)
{
    struct store_config config = {.path = f->scratch.path, .map_bytes = 256u * 1024 * 1024};
    struct gh_error err = {0};

    if (!store_open(&config, &f->store, &err)) {
        fail_msg("%s", err.text);
    }
}

GH_UNUSED static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_true(scratch_make(&f->scratch));
    fixture_open(f);
    *state = f;
    return 0;
}

GH_UNUSED static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

GH_UNUSED static struct digest digest_of(struct bytes content)
{
    struct digest digest;

    assert_true(digest_compute(DIGEST_SHA256, content, &digest, NULL));
    return digest;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
