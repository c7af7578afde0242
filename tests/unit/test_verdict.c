#include "policy/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct verdict *make_verdict(enum verdict_outcome outcome)
{
    struct verdict *verdict = verdict_new();

    assert_non_null(verdict);
    verdict->outcome = outcome;
    verdict->made_unix_s = 1795219200;
    verdict->until_unix_s = EVIDENCE_UNTIL_FOREVER;
    if (outcome != VERDICT_SATISFIED) {
        (void)gh_fail(&verdict->error, GH_SIG_INVALID, "the signature does not verify");
        gh_error_at(&verdict->error, "candidate 1");
    } else {
        verdict->has_proved_time = true;
        verdict->proved_unix_s = -5;
        verdict->authority_count = 1;
        verdict->authorities[0].alg = DIGEST_SHA256;
        verdict->authorities[0].value[3] = 7;
        verdict->rest_count = 2;
        verdict->rests[0].kind = EVIDENCE_REST_ROOT;
        verdict->rests[0].id.alg = DIGEST_SHA512;
        verdict->rests[0].id.value[63] = 1;
        verdict->rests[1].kind = EVIDENCE_REST_ANSWER;
        verdict->rests[1].id.alg = DIGEST_SHA256;
        verdict->log_count = 1;
        verdict->logs[0].index = 42;
        verdict->logs[0].log_id[31] = 9;
        assert_true(verdict_add_logged(
            verdict, &(struct gh_error){GH_NOTATION_EXPIRED, "it has expired", "referrer"}, NULL));
    }
    verdict->candidates = calloc(1, sizeof(*verdict->candidates));
    assert_non_null(verdict->candidates);
    verdict->candidate_count = 1;
    verdict->candidates[0].kind = EVIDENCE_BUNDLE;
    verdict->candidates[0].step = EVIDENCE_STEP_SIGNATURE;
    verdict->candidates[0].location = strdup("referrer");
    verdict->candidates[0].signer = strdup("key a");
    verdict->candidates[0].error = verdict->error;
    verdict->candidates[0].blob.alg = DIGEST_SHA256;
    return verdict;
}

static void verdict_decode_every_outcome_gives_what_was_written(void **state)
{
    for (int outcome = VERDICT_DENIED; outcome <= VERDICT_SATISFIED; outcome++) {
        struct verdict *verdict = make_verdict((enum verdict_outcome)outcome);
        struct verdict *back = NULL;
        struct bytes_buf first = {0};
        struct bytes_buf second = {0};
        struct gh_error err = {0};

        assert_true(verdict_encode(verdict, &first, &err));
        assert_true(verdict_decode(bytes_view(&first), &back, &err));
        assert_true(verdict_encode(back, &second, &err));
        assert_true(bytes_equal(bytes_view(&first), bytes_view(&second)));
        assert_int_equal(back->outcome, outcome);
        assert_int_equal(back->error.cause, verdict->error.cause);
        assert_string_equal(back->error.text, verdict->error.text);
        assert_string_equal(back->error.place, verdict->error.place);
        assert_int_equal(back->proved_unix_s, verdict->proved_unix_s);
        assert_int_equal(back->until_unix_s, verdict->until_unix_s);
        assert_string_equal(back->candidates[0].location, "referrer");
        assert_int_equal(back->logged_count, verdict->logged_count);
        if (back->logged_count > 0) {
            assert_int_equal(back->logged[0].cause, GH_NOTATION_EXPIRED);
            assert_string_equal(back->logged[0].text, "it has expired");
            assert_string_equal(back->logged[0].place, "referrer");
        }
        verdict_unref(verdict_ref(back));
        verdict_unref(back);
        verdict_unref(verdict);
        bytes_buf_done(&first);
        bytes_buf_done(&second);
    }
}

static void assert_stale(struct bytes in)
{
    struct verdict *back = NULL;
    struct gh_error err = {0};

    assert_false(verdict_decode(in, &back, &err));
    assert_int_equal(err.cause, GH_VERDICT_STALE);
    assert_null(back);
}

static void verdict_decode_damaged_bytes_refused(void **state)
{
    struct verdict *verdict = make_verdict(VERDICT_SATISFIED);
    struct bytes_buf buf = {0};
    struct gh_error err = {0};

    assert_true(verdict_encode(verdict, &buf, &err));
    for (size_t i = 0; i < buf.len; i++) {
        assert_stale(bytes_make(buf.data, i)); /* cut short */
        buf.data[i] ^= 0x40;
        assert_stale(bytes_view(&buf));
        buf.data[i] ^= 0x40;
    }
    verdict_unref(verdict);
    bytes_buf_done(&buf);
}

/* With a sum that fits, as another version of the program would have written it. */
static void verdict_decode_other_form_refused(void **state)
{
    static const size_t places[] = {0, 4, 8, 9}; /* magic, form, verifier version, outcome */
    struct gh_error err = {0};

    for (size_t i = 0; i < GH_COUNT(places); i++) {
        struct verdict *verdict = make_verdict(VERDICT_SATISFIED);
        struct bytes_buf buf = {0};
        struct digest sum;

        assert_true(verdict_encode(verdict, &buf, &err));
        buf.data[places[i]] = 1 + (uint8_t)(buf.data[places[i]] * 3);
        assert_true(digest_compute(DIGEST_SHA256, bytes_make(buf.data, buf.len - 32), &sum, &err));
        memcpy(buf.data + buf.len - 32, sum.value, 32);
        assert_stale(bytes_view(&buf));
        verdict_unref(verdict);
        bytes_buf_done(&buf);
    }
}

/* Satisfied with a cause, or refused without one, is a contradiction and no answer. */
static void verdict_decode_contradiction_refused(void **state)
{
    struct verdict *verdict = make_verdict(VERDICT_DENIED);
    struct bytes_buf buf = {0};
    struct gh_error err = {0};

    verdict->outcome = VERDICT_SATISFIED;
    assert_true(verdict_encode(verdict, &buf, &err));
    assert_stale(bytes_view(&buf));
    bytes_buf_done(&buf);
    verdict_unref(verdict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdict_decode_every_outcome_gives_what_was_written),
        cmocka_unit_test(verdict_decode_damaged_bytes_refused),
        cmocka_unit_test(verdict_decode_other_form_refused),
        cmocka_unit_test(verdict_decode_contradiction_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
