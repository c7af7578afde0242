#include "crypto/tsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/log_case.h"

static enum gh_cause tsa_cause(struct log_case *c, int64_t now)
{
    struct tsa_result result = {0};
    struct gh_error err = {0};
    bool ok = tsa_verify_response(bytes_view(&c->token), bytes_view(&c->signature),
                                  trustroot_tsa(c->root), now, &result, &err);

    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    tsa_result_done(&result);
    return err.cause;
}

static void tsa_verify_response_good_time_given(void **state)
{
    struct tsa_result result = {0};
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root.json");
    assert_true(tsa_verify_response(bytes_view(&c.token), bytes_view(&c.signature),
                                    trustroot_tsa(c.root), LOG_CASE_NOW, &result, NULL));
    assert_in_range(result.gen_time.unix_s, 1748736000, 1748822400); /* 2025-06-01 */
    assert_true(result.not_before_unix_s <= result.gen_time.unix_s);
    assert_true(result.not_after_unix_s >= result.gen_time.unix_s);
    assert_true(result.path_count >= 2);
    tsa_result_done(&result);
    assert_int_equal(result.path_count, 0);
    log_case_done(&c);
}

/* Whatever single bit of a response is changed, it is refused; what it says is not believed. */
static void tsa_verify_response_any_bit_changed_refused(void **state)
{
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root.json");
    for (size_t i = 0; i < c.token.len; i++) {
        struct tsa_result result = {0};
        struct gh_error err = {0};
        uint8_t bit = (uint8_t)(1u << (i % 8));
        bool ok;

        c.token.data[i] ^= bit;
        ok = tsa_verify_response(bytes_view(&c.token), bytes_view(&c.signature),
                                 trustroot_tsa(c.root), LOG_CASE_NOW, &result, &err);
        c.token.data[i] ^= bit;
        if (ok) { /* only unsigned fields without meaning may change: nothing that was signed */
            assert_in_range(result.gen_time.unix_s, 1748736000, 1748822400);
            tsa_result_done(&result);
            continue;
        }
        assert_true(gh_cause_reason(err.cause) == GH_REASON_TIMESTAMP_INVALID);
    }
    log_case_done(&c);
}

static void tsa_verify_response_cut_refused(void **state)
{
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root.json");
    while (c.token.len > 0) {
        c.token.len--;
        assert_int_equal(tsa_cause(&c, LOG_CASE_NOW), GH_TIMESTAMP_INVALID);
    }
    log_case_done(&c);
}

static void tsa_verify_response_other_signature_refused(void **state)
{
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root.json");
    c.signature.data[0] ^= 1;
    assert_int_equal(tsa_cause(&c, LOG_CASE_NOW), GH_TIMESTAMP_IMPRINT_MISMATCH);
    log_case_done(&c);
}

static void tsa_verify_response_untrusted_refused(void **state)
{
    struct tsa_trust nobody = {0};
    struct tsa_result result = {0};
    struct gh_error err = {0};
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root-tsa-ended.json");
    assert_int_equal(tsa_cause(&c, LOG_CASE_NOW), GH_TIMESTAMP_UNTRUSTED);
    assert_false(tsa_verify_response(bytes_view(&c.token), bytes_view(&c.signature), &nobody,
                                     LOG_CASE_NOW, &result, &err));
    assert_int_equal(err.cause, GH_TIMESTAMP_UNTRUSTED);
    log_case_done(&c);
}

static void tsa_verify_response_rules_of_notation_enforced(void **state)
{
    struct tsa_result result = {0};
    struct gh_error err = {0};
    struct tsa_trust trust;
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root.json");
    trust = *trustroot_tsa(c.root);
    trust.is_embedded_required = true; /* Sigstore's tokens carry no certificate */
    assert_false(tsa_verify_response(bytes_view(&c.token), bytes_view(&c.signature), &trust,
                                     LOG_CASE_NOW, &result, &err));
    assert_int_equal(err.cause, GH_TIMESTAMP_UNTRUSTED);
    log_case_done(&c);
}

static void tsa_verify_response_future_refused(void **state)
{
    struct tsa_result result = {0};
    struct log_case c;
    int64_t at;

    log_case_open(&c, "rekor2-bundle.json", "trusted_root.json");
    assert_true(tsa_verify_response(bytes_view(&c.token), bytes_view(&c.signature),
                                    trustroot_tsa(c.root), LOG_CASE_NOW, &result, NULL));
    at = result.gen_time.unix_s;
    tsa_result_done(&result);
    assert_int_equal(tsa_cause(&c, at - TSA_MAX_FUTURE_S), GH_CAUSE_NONE);
    assert_int_equal(tsa_cause(&c, at - TSA_MAX_FUTURE_S - 1), GH_TIMESTAMP_FUTURE);
    log_case_done(&c);
}

static void tsa_verify_token_size_limited(void **state)
{
    static uint8_t big[TSA_MAX_TOKEN_BYTES + 1];
    struct tsa_trust nobody = {0};
    struct tsa_result result = {0};
    struct gh_error err = {0};

    assert_false(tsa_verify_token(bytes_make(big, sizeof(big)), bytes_make(NULL, 0), &nobody, 0,
                                  &result, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    assert_false(tsa_verify_token(bytes_make(big, sizeof(big) - 1), bytes_make(NULL, 0), &nobody, 0,
                                  &result, &err));
    assert_int_equal(err.cause, GH_TIMESTAMP_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsa_verify_response_good_time_given),
        cmocka_unit_test(tsa_verify_response_any_bit_changed_refused),
        cmocka_unit_test(tsa_verify_response_cut_refused),
        cmocka_unit_test(tsa_verify_response_other_signature_refused),
        cmocka_unit_test(tsa_verify_response_untrusted_refused),
        cmocka_unit_test(tsa_verify_response_rules_of_notation_enforced),
        cmocka_unit_test(tsa_verify_response_future_refused),
        cmocka_unit_test(tsa_verify_token_size_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
