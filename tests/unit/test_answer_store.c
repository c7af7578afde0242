#include "cache/answer_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/store_fixture.h"

static const struct answer_record sample = {
    .kind = 1,
    .limit_bytes = 65536,
    .fetched_unix_s = NOW,
    .due_unix_s = NOW + 10,
    .until_unix_s = NOW + 100,
    .url = BYTES_LITERAL("http://ocsp.test/"),
    .body = BYTES_LITERAL("question"),
    .answer = BYTES_LITERAL("good"),
};

static void answer_store_get_put_given_back(void **state)
{
    struct fixture *f = *state;
    struct digest name = digest_of(bytes_of("a"));
    struct digest other = digest_of(bytes_of("b"));
    struct bytes_buf held = {0};
    struct answer_record out;

    assert_true(answer_store_put(f->store, &name, &sample, NULL));
    assert_false(answer_store_get(f->store, &other, &held, &out));
    assert_true(answer_store_get(f->store, &name, &held, &out));
    assert_int_equal(out.kind, sample.kind);
    assert_int_equal(out.limit_bytes, sample.limit_bytes);
    assert_int_equal(out.fetched_unix_s, NOW);
    assert_int_equal(out.due_unix_s, NOW + 10);
    assert_int_equal(out.until_unix_s, NOW + 100);
    assert_true(bytes_equal(out.url, sample.url));
    assert_true(bytes_equal(out.body, sample.body));
    assert_true(bytes_equal(out.answer, sample.answer));
    assert_true(answer_store_is(f->store, &name, bytes_of("good")));
    assert_false(answer_store_is(f->store, &name, bytes_of("revoked")));
    assert_false(answer_store_is(f->store, &other, bytes_of("good")));
    bytes_buf_done(&held);
    assert_true(answer_store_remove(f->store, &name, NULL));
    assert_false(answer_store_get(f->store, &name, &held, &out));
}

/* Whoever can write the index still cannot make an answer: it would be a vendor's, unsigned. */
static void answer_store_get_altered_absent(void **state)
{
    struct fixture *f = *state;
    struct digest name = digest_of(bytes_of("a"));
    struct store_batch *batch = NULL;
    struct bytes_buf value = {0};
    struct bytes_buf held = {0};
    struct answer_record out;

    assert_true(answer_store_put(f->store, &name, &sample, NULL));
    assert_true(store_get(f->store, STORE_ANSWERS, bytes_make(name.value, 32), &value));
    for (size_t i = 0; i < value.len; i += 7) {
        value.data[i] ^= 1;
        assert_true(store_batch_new(&batch, NULL));
        assert_true(store_batch_put(batch, STORE_ANSWERS, bytes_make(name.value, 32),
                                    bytes_view(&value), NULL));
        assert_true(store_commit(f->store, batch, NULL));
        assert_false(answer_store_get(f->store, &name, &held, &out));
        value.data[i] ^= 1;
    }
    bytes_buf_done(&value);
}

static void answer_store_due_oldest_named(void **state)
{
    struct fixture *f = *state;
    struct digest names[2];
    size_t count = 9;

    assert_true(answer_store_due(f->store, NOW, names, 2, &count) == INT64_MAX);
    assert_int_equal(count, 0);
    for (int i = 0; i < 4; i++) {
        struct answer_record record = sample;
        char text[2] = {(char)('a' + i), '\0'};
        struct digest name = digest_of(bytes_of(text));

        record.due_unix_s = NOW + 10 * i;
        assert_true(answer_store_put(f->store, &name, &record, NULL));
    }
    store_flush(f->store);
    assert_true(answer_store_due(f->store, NOW - 1, names, 2, &count) == NOW);
    assert_int_equal(count, 0);
    assert_true(answer_store_due(f->store, NOW + 9, names, 2, &count) == NOW + 10);
    assert_int_equal(count, 1);
    assert_true(answer_store_due(f->store, NOW + 25, names, 2, &count) <= NOW + 25);
    assert_int_equal(count, 2);
}

static void answer_store_put_too_large_refused(void **state)
{
    static uint8_t body[ANSWER_STORE_MAX_BODY + 1];
    struct fixture *f = *state;
    struct digest name = digest_of(bytes_of("a"));
    struct answer_record record = sample;
    struct gh_error err = {0};

    record.body = bytes_make(body, sizeof(body));
    assert_false(answer_store_put(f->store, &name, &record, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(answer_store_get_put_given_back),
        CASE(answer_store_get_altered_absent),
        CASE(answer_store_due_oldest_named),
        CASE(answer_store_put_too_large_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
