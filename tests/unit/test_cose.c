/* COSE envelopes of notation signatures: headers and form. */
#include "crypto/cose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "tests/support/notation_judge.h"
#include "tests/support/notation_maker.h"

/* {1: -7, 2: [scheme], 3: type, scheme: notary.x509, time: 1(epoch)} */
#define COSE_START "\xa5\x01\x26\x02\x81\x78\x1cio.cncf.notary.signingScheme\x03\x78\x2b"
#define COSE_TYPE "application/vnd.cncf.notary.payload.v1+json"
#define COSE_SCHEME "\x78\x1cio.cncf.notary.signingScheme\x6bnotary.x509"
#define COSE_TIME "\x78\x1aio.cncf.notary.signingTime"
#define COSE_GOOD COSE_START COSE_TYPE COSE_SCHEME COSE_TIME "\xc1\x1a\x6b\x49\xd2\x00"

static void notation_verify_cose_headers_judged(void **state)
{
    static const struct {
        struct bytes map;
        enum gh_cause cause;
    } rows[] = {
        {BYTES_LITERAL(COSE_GOOD), GH_CAUSE_NONE},
        /* time without its tag, as text, as a float */
        {BYTES_LITERAL(COSE_START COSE_TYPE COSE_SCHEME COSE_TIME "\x1a\x6b\x49\xd2\x00"),
         GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL(COSE_START COSE_TYPE COSE_SCHEME COSE_TIME "\xc1\xfa\x4f\x00\x00\x00"),
         GH_NOTATION_ENVELOPE_INVALID},
        /* an indefinite map, a key twice, bytes behind the map */
        {BYTES_LITERAL("\xbf\x01\x26\xff"), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL("\xa2\x01\x26\x01\x26"), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL(COSE_GOOD "\x00"), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL(""), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL("\xa0"), GH_NOTATION_ENVELOPE_INVALID},
        /* ES384, none, a private algorithm */
        {BYTES_LITERAL("\xa1\x01\x38\x22"), GH_NOTATION_ALG_MISMATCH},
        {BYTES_LITERAL("\xa1\x01\x00"), GH_NOTATION_ALG_MISMATCH},
        {BYTES_LITERAL("\xa1\x01\x61x"), GH_NOTATION_ALG_MISMATCH},
        /* another content type, none */
        {BYTES_LITERAL("\xa2\x01\x26\x03\x61x"), GH_PAYLOAD_TYPE_MISMATCH},
        {BYTES_LITERAL("\xa2\x01\x26\x03\x18\x32"), GH_PAYLOAD_TYPE_MISMATCH},
        /* crit lists a label, or is none */
        {BYTES_LITERAL("\xa2\x01\x26\x02\x81\x03"), GH_NOTATION_CRIT_INVALID},
        {BYTES_LITERAL("\xa2\x01\x26\x02\x03"), GH_NOTATION_CRIT_INVALID},
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes_buf blob = maker_cose(rows[i].map, payload, chain, 2);

        (void)!judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&blob));
        if (judge.err.cause != rows[i].cause) {
            print_message("# row %zu: %s (%s)\n", i, gh_cause_label(judge.err.cause),
                          judge.err.text);
        }
        assert_int_equal(judge.err.cause, rows[i].cause);
        bytes_buf_done(&blob);
    }
    judge_done(&judge);
}

static void notation_verify_cose_form_judged(void **state)
{
    struct bytes_buf blob = maker_cose(BYTES_LITERAL(COSE_GOOD), payload, chain, 2);
    struct bytes_buf copy;
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    /* without its tag */
    assert_false(
        judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_slice(bytes_view(&blob), 1, SIZE_MAX)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    /* another tag */
    blob.data[0] = 0xd1;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&blob)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    blob.data[0] = 0xd2;
    /* cut, and continued */
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE,
                            bytes_slice(bytes_view(&blob), 0, blob.len - 1)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    assert_true(bytes_buf_alloc(blob.len + 1, &copy, NULL));
    memcpy(copy.data, blob.data, blob.len);
    copy.data[blob.len] = 0;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&copy)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    /* an indefinite array */
    copy.data[1] = 0x9f;
    copy.data[blob.len] = 0xff;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&copy)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    /* one bit of the signature */
    blob.data[blob.len - 1] ^= 1;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&blob)));
    assert_int_equal(judge.err.cause, GH_SIG_INVALID);
    bytes_buf_done(&copy);
    bytes_buf_done(&blob);
    judge_done(&judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_cose_headers_judged),
        cmocka_unit_test(notation_verify_cose_form_judged),
    };

    return cmocka_run_group_tests(tests, judge_set_up, judge_tear_down);
}
