#include "crypto/cbor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"

static void cbor_next_each_kind_read(void **state)
{
    static const struct {
        struct bytes in;
        enum cbor_kind kind;
        uint64_t value;
    } rows[] = {
        {BYTES_LITERAL("\x17"), CBOR_KIND_UNSIGNED, 23},
        {BYTES_LITERAL("\x18\x18"), CBOR_KIND_UNSIGNED, 24},
        {BYTES_LITERAL("\x19\x01\x00"), CBOR_KIND_UNSIGNED, 256},
        {BYTES_LITERAL("\x1a\x00\x01\x00\x00"), CBOR_KIND_UNSIGNED, 65536},
        {BYTES_LITERAL("\x1b\x00\x00\x00\x01\x00\x00\x00\x00"), CBOR_KIND_UNSIGNED, 1ull << 32},
        {BYTES_LITERAL("\x26"), CBOR_KIND_NEGATIVE, 6},
        {BYTES_LITERAL("\x38\x24"), CBOR_KIND_NEGATIVE, 36},
        {BYTES_LITERAL("\x42zz"), CBOR_KIND_BYTES, 2},
        {BYTES_LITERAL("\x63xyz"), CBOR_KIND_TEXT, 3},
        {BYTES_LITERAL("\x84"), CBOR_KIND_ARRAY, 4},
        {BYTES_LITERAL("\xa1"), CBOR_KIND_MAP, 1},
        {BYTES_LITERAL("\xd2"), CBOR_KIND_TAG, 18},
        {BYTES_LITERAL("\xc1"), CBOR_KIND_TAG, 1},
        {BYTES_LITERAL("\xd8\x18"), CBOR_KIND_TAG, 24},
        {BYTES_LITERAL("\xdb\x00\x00\x00\x01\x00\x00\x00\x00"), CBOR_KIND_TAG, 1ull << 32},
        {BYTES_LITERAL("\xf5"), CBOR_KIND_BOOL, 1},
        {BYTES_LITERAL("\xf6"), CBOR_KIND_NULL, 0},
        {BYTES_LITERAL("\xf7"), CBOR_KIND_UNDEFINED, 0},
        {BYTES_LITERAL("\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"), CBOR_KIND_FLOAT, 0},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes in = rows[i].in;
        struct cbor_head head;

        assert_true(cbor_next(&in, &head, NULL));
        assert_int_equal(head.kind, rows[i].kind);
        assert_int_equal(head.value, rows[i].value);
        assert_int_equal(in.len, 0);
    }
}

static void cbor_next_not_strict_refused(void **state)
{
    static const struct {
        struct bytes in;
        enum gh_cause cause;
    } rows[] = {
        {BYTES_LITERAL(""), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x18"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x18\x17"), GH_SIG_MALFORMED}, /* longer than needed */
        {BYTES_LITERAL("\x19\x00\xff"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x1a\x00\x00\xff\xff"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x1b\x00\x00\x00\x00\xff\xff\xff\xff"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x38\x01"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x58\x01"
                       "a"),
         GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x78\x01"
                       "a"),
         GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x98\x01"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xb8\x01"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xd8\x12"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xd9\x01"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xdc"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xdf"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x42"
                       "a"),
         GH_SIG_MALFORMED},                        /* cut short */
        {BYTES_LITERAL("\x5f"), GH_SIG_MALFORMED}, /* indefinite */
        {BYTES_LITERAL("\x7f"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x9f"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xbf"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xff"), GH_SIG_MALFORMED}, /* a stray break */
        {BYTES_LITERAL("\x1c"), GH_SIG_MALFORMED}, /* reserved */
        {BYTES_LITERAL("\xfc"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\xe0"), GH_SIG_MALFORMED},            /* an unassigned simple value */
        {BYTES_LITERAL("\x61\xff"), GH_SIG_MALFORMED},        /* not UTF-8 */
        {BYTES_LITERAL("\x98\x41"), GH_COUNT_LIMIT_EXCEEDED}, /* one over the limit */
        {BYTES_LITERAL("\x9a\xff\xff\xff\xff"), GH_COUNT_LIMIT_EXCEEDED},
        {BYTES_LITERAL("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), GH_COUNT_LIMIT_EXCEEDED},
        {BYTES_LITERAL("\xbb\x7f\xff\xff\xff\xff\xff\xff\xff"), GH_COUNT_LIMIT_EXCEEDED},
        {BYTES_LITERAL("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), GH_SIG_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes in = rows[i].in;
        struct cbor_head head;
        struct gh_error err = {0};

        if (cbor_next(&in, &head, &err)) {
            print_message("# row %zu was read\n", i);
        }
        assert_int_equal(err.cause, rows[i].cause);
        assert_int_equal(in.len, rows[i].in.len);
    }
}

static void cbor_next_count_at_limit_read(void **state)
{
    struct bytes in = BYTES_LITERAL("\x98\x40");
    struct cbor_head head;

    (void)state;
    assert_true(cbor_next(&in, &head, NULL));
    assert_int_equal(head.value, CBOR_MAX_ENTRIES);
}

static void cbor_skip_nested_passed_over(void **state)
{
    /* {1: [h'00', "x"], "t": 1(5)} and a byte that follows */
    struct bytes in = BYTES_LITERAL("\xa2\x01\x82\x41\x00\x61x\x61t\xc1\x05\x07");
    struct bytes whole;

    (void)state;
    assert_true(cbor_skip(&in, CBOR_MAX_DEPTH, &whole, NULL));
    assert_int_equal(whole.len, 11);
    assert_int_equal(in.len, 1);
}

static void cbor_skip_wrong_structure_refused(void **state)
{
    static const struct bytes rows[] = {
        BYTES_LITERAL("\xa2\x01\x02\x01\x03"),       /* a key twice */
        BYTES_LITERAL("\x81\xa2\x61x\x02\x61x\x03"), /* … further down */
        BYTES_LITERAL("\xa1\x01"),                   /* a key without value */
        BYTES_LITERAL("\x82\x01"),
        BYTES_LITERAL("\xd2\x01"), /* another tag than 1 */
        BYTES_LITERAL("\xc1\xc1\xc0\x01"),
        BYTES_LITERAL("\x81\x9f\xff"),
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes in = rows[i];
        struct bytes whole;
        struct gh_error err = {0};

        assert_false(cbor_skip(&in, CBOR_MAX_DEPTH, &whole, &err));
        assert_int_equal(err.cause, GH_SIG_MALFORMED);
        assert_int_equal(in.len, rows[i].len);
    }
}

static void cbor_skip_depth_limited(void **state)
{
    uint8_t data[CBOR_MAX_DEPTH + 1];
    struct bytes in;
    struct bytes whole;
    struct gh_error err = {0};

    (void)state;
    memset(data, 0x81, sizeof(data));
    data[CBOR_MAX_DEPTH - 1] = 0x80;
    in = bytes_make(data, CBOR_MAX_DEPTH);
    assert_true(cbor_skip(&in, CBOR_MAX_DEPTH, &whole, &err));
    data[CBOR_MAX_DEPTH - 1] = 0x81;
    data[CBOR_MAX_DEPTH] = 0x80;
    in = bytes_make(data, CBOR_MAX_DEPTH + 1);
    assert_false(cbor_skip(&in, CBOR_MAX_DEPTH, &whole, &err));
    assert_int_equal(err.cause, GH_SIG_MALFORMED);
}

/* {h'00...': 0}, one byte too long a key as a whole; then the longest that passes. */
static void cbor_skip_long_key_refused(void **state)
{
    uint8_t data[4 + CBOR_MAX_KEY_BYTES + 1] = {0xa1, 0x58, 0xff};
    struct bytes in = bytes_make(data, 1 + 2 + 255 + 1);
    struct bytes whole;
    struct gh_error err = {0};

    (void)state;
    assert_false(cbor_skip(&in, CBOR_MAX_DEPTH, &whole, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    data[2] = CBOR_MAX_KEY_BYTES - 2;
    in = bytes_make(data, 1 + CBOR_MAX_KEY_BYTES + 1);
    gh_error_clear(&err);
    assert_true(cbor_skip(&in, CBOR_MAX_DEPTH, &whole, &err));
    assert_int_equal(in.len, 0);
}

static void cbor_int64_range_checked(void **state)
{
    struct bytes low = BYTES_LITERAL("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff");
    struct bytes over = BYTES_LITERAL("\x1b\x80\x00\x00\x00\x00\x00\x00\x00");
    int64_t value;
    struct gh_error err = {0};

    (void)state;
    assert_true(cbor_int64(&low, &value, &err));
    assert_true(value == INT64_MIN);
    assert_false(cbor_int64(&over, &value, &err));
    assert_int_equal(err.cause, GH_SIG_MALFORMED);
}

static void cbor_put_head_shortest_form(void **state)
{
    static const uint64_t values[] = {0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32};

    (void)state;
    for (size_t i = 0; i < GH_COUNT(values); i++) {
        uint8_t head[CBOR_MAX_HEAD];
        struct bytes in = bytes_make(head, cbor_put_head(CBOR_KIND_UNSIGNED, values[i], head));
        struct cbor_head read;

        assert_true(cbor_next(&in, &read, NULL));
        assert_true(read.value == values[i]);
        assert_int_equal(in.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cbor_next_each_kind_read),
        cmocka_unit_test(cbor_next_not_strict_refused),
        cmocka_unit_test(cbor_next_count_at_limit_read),
        cmocka_unit_test(cbor_skip_nested_passed_over),
        cmocka_unit_test(cbor_skip_wrong_structure_refused),
        cmocka_unit_test(cbor_skip_depth_limited),
        cmocka_unit_test(cbor_skip_long_key_refused),
        cmocka_unit_test(cbor_int64_range_checked),
        cmocka_unit_test(cbor_put_head_shortest_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
