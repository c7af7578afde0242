#include "crypto/der.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metrics/error.h"

static void der_next_long_form_accepted(void **state)
{
    uint8_t data[3 + 0x80] = {0x04, 0x81, 0x80};
    struct bytes in = bytes_make(data, sizeof(data));
    struct der_item item;

    assert_true(der_next(&in, &item, NULL));
    assert_int_equal(item.tag, DER_OCTET_STRING);
    assert_int_equal(item.content.len, 0x80);
    assert_int_equal(item.whole.len, sizeof(data));
    assert_int_equal(in.len, 0);
}

static void der_next_not_strict_refused(void **state)
{
    static const struct {
        struct bytes in;
        enum gh_cause cause;
    } rows[] = {
        {BYTES_LITERAL(""), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\x01"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x30\x80\x00\x00"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\x81\x01\x00"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\x82\x00\x81"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\x85\x01\x00\x00\x00\x00"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\xff\x01"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x1f\x20\x01\x00"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\x84\x02\x00\x00\x00"), GH_SIG_MALFORMED},
        {BYTES_LITERAL("\x04\x84\x02\x00\x00\x01"), GH_SIZE_LIMIT_EXCEEDED},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes in = rows[i].in;
        struct gh_error err = {0};
        struct der_item item;

        assert_false(der_next(&in, &item, &err));
        assert_int_equal(err.cause, rows[i].cause);
        assert_ptr_equal(in.data, rows[i].in.data);
        assert_int_equal(in.len, rows[i].in.len);
    }
}

static void der_int64_values_read(void **state)
{
    static const struct {
        struct bytes in;
        bool is_good;
        int64_t value;
    } rows[] = {
        {BYTES_LITERAL("\x02\x01\x00"), true, 0},
        {BYTES_LITERAL("\x02\x01\x7f"), true, 127},
        {BYTES_LITERAL("\x02\x02\x00\x80"), true, 128},
        {BYTES_LITERAL("\x02\x01\xff"), true, -1},
        {BYTES_LITERAL("\x02\x08\x7f\xff\xff\xff\xff\xff\xff\xff"), true, INT64_MAX},
        {BYTES_LITERAL("\x02\x08\x80\x00\x00\x00\x00\x00\x00\x00"), true, INT64_MIN},
        {BYTES_LITERAL("\x02\x09\x00\x80\x00\x00\x00\x00\x00\x00\x00"), false, 0},
        {BYTES_LITERAL("\x02\x00"), false, 0},
        {BYTES_LITERAL("\x02\x02\x00\x7f"), false, 0},
        {BYTES_LITERAL("\x02\x02\xff\x80"), false, 0},
        {BYTES_LITERAL("\x04\x01\x00"), false, 0},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes in = rows[i].in;
        struct gh_error err = {0};
        int64_t value = 99;

        assert_int_equal(der_int64(&in, &value, &err), rows[i].is_good);
        assert_int_equal(err.cause, rows[i].is_good ? GH_CAUSE_NONE : GH_SIG_MALFORMED);
        assert_true(value == (rows[i].is_good ? rows[i].value : 99));
    }
}

static void der_bool_other_octets_refused(void **state)
{
    struct bytes yes = BYTES_LITERAL("\x01\x01\xff");
    struct bytes odd = BYTES_LITERAL("\x01\x01\x01");
    struct gh_error err = {0};
    bool value = false;

    assert_true(der_bool(&yes, &value, NULL));
    assert_true(value);
    assert_false(der_bool(&odd, &value, &err));
    assert_int_equal(err.cause, GH_SIG_MALFORMED);
}

static void der_named_bits_padding_refused(void **state)
{
    struct bytes good = BYTES_LITERAL("\x03\x02\x07\x80"); /* digitalSignature */
    struct bytes two = BYTES_LITERAL("\x03\x02\x01\x06");  /* keyCertSign, cRLSign */
    static const struct bytes bad[] = {
        BYTES_LITERAL("\x03\x02\x07\xc0"), BYTES_LITERAL("\x03\x02\x06\x80"),
        BYTES_LITERAL("\x03\x01\x01"),     BYTES_LITERAL("\x03\x02\x08\x80"),
        BYTES_LITERAL("\x03\x00"),         BYTES_LITERAL("\x03\x04\x00\x01\x01\x01"),
    };
    uint16_t bits = 0;

    assert_true(der_named_bits(&good, &bits, NULL));
    assert_int_equal(bits, 1);
    assert_true(der_named_bits(&two, &bits, NULL));
    assert_int_equal(bits, 1 << 5 | 1 << 6);
    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        struct bytes in = bad[i];
        struct gh_error err = {0};

        assert_false(der_named_bits(&in, &bits, &err));
        assert_int_equal(err.cause, GH_SIG_MALFORMED);
    }
}

static void der_time_forms_read(void **state)
{
    struct bytes utc = BYTES_LITERAL("\x17\x0d"
                                     "250601120000Z");
    struct bytes general = BYTES_LITERAL("\x18\x0f"
                                         "20600229235959Z");
    struct bytes old = BYTES_LITERAL("\x17\x0d"
                                     "700101000000Z");
    int64_t at = -1;

    assert_true(der_time(&utc, &at, NULL));
    assert_int_equal(at, 1748779200);
    assert_true(der_time(&general, &at, NULL));
    assert_int_equal(at, 2845324799);
    assert_true(der_time(&old, &at, NULL));
    assert_int_equal(at, 0);
}

static void der_time_broken_refused(void **state)
{
    static const struct bytes bad[] = {
        BYTES_LITERAL("\x17\x0b"
                      "2506011200Z"),
        BYTES_LITERAL("\x17\x0d"
                      "250631120000Z"),
        BYTES_LITERAL("\x17\x0d"
                      "250229120000Z"),
        BYTES_LITERAL("\x17\x0d"
                      "250601240000Z"),
        BYTES_LITERAL("\x17\x0d"
                      "2506011200 0Z"),
        BYTES_LITERAL("\x17\x11"
                      "250601120000+0100"),
        BYTES_LITERAL("\x18\x11"
                      "20250601120000.5Z"),
        BYTES_LITERAL("\x16\x0d"
                      "250601120000Z"),
    };

    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        struct bytes in = bad[i];
        struct gh_error err = {0};
        int64_t at = 7;

        assert_false(der_time(&in, &at, &err));
        assert_int_equal(err.cause, GH_SIG_MALFORMED);
        assert_int_equal(at, 7);
    }
}

static void der_generalized_time_fractions_read(void **state)
{
    static const struct {
        struct bytes in;
        bool is_good;
        uint32_t nanos;
    } rows[] = {
        {BYTES_LITERAL("\x18\x0f"
                       "20250601120000Z"),
         true, 0},
        {BYTES_LITERAL("\x18\x11"
                       "20250601120000.5Z"),
         true, 500000000},
        {BYTES_LITERAL("\x18\x19"
                       "20250601120000.123456789Z"),
         true, 123456789},
        {BYTES_LITERAL("\x18\x12"
                       "20250601120000.50Z"),
         false, 0},
        {BYTES_LITERAL("\x18\x10"
                       "20250601120000.Z"),
         false, 0},
        {BYTES_LITERAL("\x18\x1a"
                       "20250601120000.1234567891Z"),
         false, 0},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes in = rows[i].in;
        struct der_time at = {0};

        assert_int_equal(der_generalized_time(&in, &at, NULL), rows[i].is_good);
        assert_int_equal(at.nanos, rows[i].nanos);
        assert_int_equal(at.unix_s, rows[i].is_good ? 1748779200 : 0);
    }
}

static void der_oid_text_formed(void **state)
{
    struct bytes in = BYTES_LITERAL("\x06\x0a\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x08");
    struct bytes padded = BYTES_LITERAL("\x06\x03\x2b\x80\x01");
    struct bytes cut = BYTES_LITERAL("\x06\x02\x2b\x86");
    char text[DER_MAX_OID_TEXT];
    struct bytes oid;

    assert_true(der_oid(&in, &oid, NULL));
    assert_true(der_oid_text(oid, text, NULL));
    assert_string_equal(text, "1.3.6.1.4.1.57264.1.8");
    assert_false(der_oid(&padded, &oid, NULL));
    assert_false(der_oid(&cut, &oid, NULL));
}

static void der_check_depth_at_limit(void **state)
{
    struct bytes two = BYTES_LITERAL("\x30\x04\x30\x02\x05\x00");
    struct bytes tail = BYTES_LITERAL("\x30\x00\x00");
    struct gh_error err = {0};

    assert_true(der_check(two, 2, NULL));
    assert_false(der_check(two, 1, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    assert_false(der_check(tail, 4, &err));
    assert_int_equal(err.cause, GH_SIG_MALFORMED);
}

static void der_put_header_read_back(void **state)
{
    static const size_t lengths[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x1ffffff};

    for (size_t i = 0; i < GH_COUNT(lengths); i++) {
        uint8_t header[DER_MAX_HEADER];
        size_t len = der_put_header(DER_SEQUENCE, lengths[i], header);

        assert_int_equal(len, lengths[i] < 0x80        ? 2
                              : lengths[i] < 0x100     ? 3
                              : lengths[i] < 0x10000   ? 4
                              : lengths[i] < 0x1000000 ? 5
                                                       : 6);
        assert_int_equal(header[0], DER_SEQUENCE);
    }
}

static void der_only_trailing_refused(void **state)
{
    struct bytes content;
    struct gh_error err = {0};

    assert_true(der_only(BYTES_LITERAL("\x30\x00"), DER_SEQUENCE, &content, NULL));
    assert_false(der_only(BYTES_LITERAL("\x30\x00\x05"), DER_SEQUENCE, &content, &err));
    assert_int_equal(err.cause, GH_SIG_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(der_next_long_form_accepted),
        cmocka_unit_test(der_next_not_strict_refused),
        cmocka_unit_test(der_int64_values_read),
        cmocka_unit_test(der_bool_other_octets_refused),
        cmocka_unit_test(der_named_bits_padding_refused),
        cmocka_unit_test(der_time_forms_read),
        cmocka_unit_test(der_time_broken_refused),
        cmocka_unit_test(der_generalized_time_fractions_read),
        cmocka_unit_test(der_oid_text_formed),
        cmocka_unit_test(der_check_depth_at_limit),
        cmocka_unit_test(der_put_header_read_back),
        cmocka_unit_test(der_only_trailing_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
