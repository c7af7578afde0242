/* Signatures of AWS Signer: the vendor is asked, and what it must answer. */
#include "crypto/notation_vendor.h"

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

/* The shell's answer to what the vendor's verification asked for. */
static void answer_vendor(struct judge *judge, struct evidence_answer *answer, const char *body,
                          enum gh_cause failure)
{
    memset(answer, 0, sizeof(*answer));
    answer->kind = EVIDENCE_WANT_VENDOR;
    answer->url = judge->wants.items[0].url;
    answer->answer = bytes_of(body);
    if (failure != GH_CAUSE_NONE) {
        gh_fail(&answer->failure, failure, "no");
    }
    judge->answers = (struct evidence_answers){answer, 1};
}

static void notation_verify_aws_asks_vendor(void **state)
{
    static const struct {
        const char *body;
        enum gh_cause failure;
        enum gh_cause cause;
    } rows[] = {
        {"{\"revokedEntities\":[]}", GH_CAUSE_NONE, GH_CAUSE_NONE},
        {"{\"revokedEntities\":[\"arn:x\"]}", GH_CAUSE_NONE, GH_REVOCATION_REVOKED},
        {"{}", GH_CAUSE_NONE, GH_NOTATION_PLUGIN_FAILED},
        {"nonsense", GH_CAUSE_NONE, GH_NOTATION_PLUGIN_FAILED},
        {"", GH_NOTATION_PLUGIN_REQUIRED, GH_NOTATION_PLUGIN_REQUIRED},
        {"", GH_UPSTREAM_UNAVAILABLE, GH_REVOCATION_UNAVAILABLE},
    };
    struct notation_dn *dns[1] = {NULL};
    struct evidence_answer answer;
    struct judge judge;
    char url[8192];

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    /* "Any" is nobody here. */
    assert_false(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_IDENTITY_MISMATCH);
    assert_true(notation_dn_parse(
        BYTES_LITERAL("arn:aws:signer:us-west-2:1:/signing-profiles/release"), &dns[0], NULL));
    judge.signer.is_any_identity = false;
    judge.signer.identities = dns;
    judge.signer.identity_count = 1;
    assert_false(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_CAUSE_NONE);
    assert_int_equal(judge.wants.count, 1);
    assert_int_equal(judge.wants.items[0].kind, EVIDENCE_WANT_VENDOR);
    snprintf(url, sizeof(url), "%s", judge.wants.items[0].url);
    assert_non_null(strstr(url, "https://data-signer.us-west-2.amazonaws.com/revocations?"));
    assert_non_null(strstr(url, "&signatureTimestamp=2027-01-15T07%3A00%3A00Z"));
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        answer_vendor(&judge, &answer, rows[i].body, rows[i].failure);
        answer.url = url;
        assert_int_equal(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL),
                         rows[i].cause == GH_CAUSE_NONE);
        assert_int_equal(judge.err.cause, rows[i].cause);
    }
    judge.signer.revocation = SIGNER_LOG;
    answer_vendor(&judge, &answer, "", GH_NOTATION_PLUGIN_REQUIRED);
    answer.url = url;
    assert_true(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.proof.logged[0].cause, GH_NOTATION_PLUGIN_REQUIRED);
    judge.signer.revocation = SIGNER_SKIP;
    judge.answers.count = 0;
    assert_true(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    notation_dn_free(dns[0]);
    judge_done(&judge);
}

static void notation_verify_aws_incomplete_refused(void **state)
{
#define AWS_PLUGIN "\"io.cncf.notary.verificationPlugin\":\"com.amazonaws.signer.notation.plugin\""
    static const struct {
        const char *header;
        enum gh_cause cause;
    } rows[] = {
        {"{\"alg\":\"ES256\"," CTY "," CRIT "," SCHEME "," TIME "," AWS_PLUGIN "}",
         GH_NOTATION_PLUGIN_FAILED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME "," SA_TIME "," AWS_PLUGIN
         "}",
         GH_NOTATION_PLUGIN_FAILED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME "," SA_TIME
         "," AWS_ATTRIBUTES "}",
         GH_NOTATION_PLUGIN_FAILED}, /* there, but not critical */
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" AWS_NAMES "]," SA_SCHEME "," SA_TIME
         "," AWS_ATTRIBUTES ",\"io.cncf.notary.verificationPluginMinVersion\":\"2.0.0\"}",
         GH_NOTATION_PLUGIN_REQUIRED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" AWS_NAMES "]," SA_SCHEME "," SA_TIME
         "," AWS_ATTRIBUTES ",\"io.cncf.notary.verificationPluginMinVersion\":\"new\"}",
         GH_NOTATION_PLUGIN_REQUIRED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES
         ",\"com.amazonaws.signer.signingJob\"]," SA_SCHEME "," SA_TIME
         ",\"com.amazonaws.signer.signingJob\":\"arn\"}",
         GH_NOTATION_CRIT_UNKNOWN}, /* the attribute without the plugin */
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_false(judge_jws(&judge, rows[i].header, payload, chain, 2, NULL));
        assert_int_equal(judge.err.cause, rows[i].cause);
    }
    judge_done(&judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_aws_asks_vendor),
        cmocka_unit_test(notation_verify_aws_incomplete_refused),
    };

    return cmocka_run_group_tests(tests, judge_set_up, judge_tear_down);
}
