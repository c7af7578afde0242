#include "cache/manifest_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/store.h"
#include "metrics/error.h"
#include "tests/support/store_fixture.h"

static void manifest_store_put_seen_at_once_and_after_commit(void **state)
{
    struct fixture *f = *state;
    struct bytes content = BYTES_LITERAL("{\"schemaVersion\":2}");
    struct digest digest = digest_of(content);
    struct gh_error err = {0};

    assert_false(manifest_store_has(f->store, &digest));
    assert_true(
        manifest_store_put(f->store, &digest, BYTES_LITERAL("application/x"), content, NOW, &err));
    for (int i = 0; i < 2; i++) {
        struct manifest_record record;

        assert_true(manifest_store_get(f->store, &digest, NOW, &record));
        assert_string_equal(record.media_type, "application/x");
        assert_int_equal(record.made_unix_s, NOW);
        assert_true(bytes_equal(bytes_view(&record.content), content));
        manifest_record_done(&record);
        store_flush(f->store);
    }
}

static void manifest_store_put_wrong_digest_refused(void **state)
{
    struct fixture *f = *state;
    struct digest digest = digest_of(BYTES_LITERAL("a"));
    struct gh_error err = {0};

    assert_false(
        manifest_store_put(f->store, &digest, BYTES_LITERAL("x"), BYTES_LITERAL("b"), NOW, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    assert_false(manifest_store_has(f->store, &digest));
}

static void manifest_store_put_long_media_type_refused(void **state)
{
    struct fixture *f = *state;
    struct digest digest = digest_of(BYTES_LITERAL("a"));
    struct gh_error err = {0};
    char type[MANIFEST_STORE_MAX_TYPE + 1];

    memset(type, 'x', sizeof(type));
    assert_true(manifest_store_put(f->store, &digest, bytes_make(type, MANIFEST_STORE_MAX_TYPE),
                                   BYTES_LITERAL("a"), NOW, &err));
    assert_false(manifest_store_put(f->store, &digest, bytes_make(type, sizeof(type)),
                                    BYTES_LITERAL("a"), NOW, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
}

static void manifest_store_get_damaged_value_absent(void **state)
{
    struct fixture *f = *state;
    struct bytes content = BYTES_LITERAL("content");
    struct digest digest = digest_of(content);
    struct store_batch *batch = NULL;
    struct manifest_record record;
    struct gh_error err = {0};
    uint8_t key[33];
    uint8_t value[STORE_MADE_BYTES + 1 + 7] = {0};

    memcpy(value + STORE_MADE_BYTES + 1, "contenT", 7);
    key[0] = DIGEST_SHA256;
    memcpy(key + 1, digest.value, 32);
    assert_true(store_batch_new(&batch, &err));
    assert_true(store_batch_put(batch, STORE_MANIFESTS, bytes_make(key, sizeof(key)),
                                bytes_make(value, sizeof(value)), &err));
    assert_true(store_commit(f->store, batch, &err));
    assert_true(manifest_store_has(f->store, &digest));
    assert_false(manifest_store_get(f->store, &digest, NOW, &record));
    assert_false(manifest_store_has(f->store, &digest));
}

static void manifest_store_remove_known_gone(void **state)
{
    struct fixture *f = *state;
    struct digest digest = digest_of(BYTES_LITERAL("a"));
    struct gh_error err = {0};

    assert_true(
        manifest_store_put(f->store, &digest, BYTES_LITERAL("x"), BYTES_LITERAL("a"), NOW, &err));
    store_flush(f->store);
    assert_true(manifest_store_remove(f->store, &digest, &err));
    assert_false(manifest_store_has(f->store, &digest));
    store_flush(f->store);
    assert_false(manifest_store_has(f->store, &digest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(manifest_store_put_seen_at_once_and_after_commit),
        CASE(manifest_store_put_wrong_digest_refused),
        CASE(manifest_store_put_long_media_type_refused),
        CASE(manifest_store_get_damaged_value_absent),
        CASE(manifest_store_remove_known_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
