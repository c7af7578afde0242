/* Certificate chains of notation signatures: what a leaf and its authorities must be. */
#include "crypto/notation_chain.h"

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

/* A leaf of this profile under the root. */
static void assert_leaf_judged(struct judge *judge, const struct maker_profile *profile,
                               enum gh_cause cause)
{
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own, &root};

    maker_issue(&root, profile, &own);
    (void)!judge_jws(judge, HEADER, payload, certs, 2, NULL);
    if (judge->err.cause != cause) {
        print_message("# %s: %s (%s)\n", profile->name, gh_cause_label(judge->err.cause),
                      judge->err.text);
    }
    assert_int_equal(judge->err.cause, cause);
    maker_done(&own);
}

static void notation_verify_unfit_leaf_refused(void **state)
{
    static const struct maker_profile good[] = {
        {.name = "no eku", .usage = "critical,digitalSignature"},
        {.name = "not a CA", .constraints = "CA:FALSE", .usage = "critical,digitalSignature"},
        {.name = "content commitment", .usage = "critical,digitalSignature,nonRepudiation"},
    };
    static const struct maker_profile bad[] = {
        {.name = "no usage", .extended = "codeSigning"},
        {.name = "usage not critical", .usage = "digitalSignature"},
        {.name = "other usage", .usage = "critical,nonRepudiation"},
        {.name = "ke", .usage = "critical,digitalSignature,keyEncipherment"},
        {.name = "de", .usage = "critical,digitalSignature,dataEncipherment"},
        {.name = "ka", .usage = "critical,digitalSignature,keyAgreement"},
        {.name = "cs", .usage = "critical,digitalSignature,keyCertSign"},
        {.name = "crl", .usage = "critical,digitalSignature,cRLSign"},
        {.name = "eo", .usage = "critical,digitalSignature,encipherOnly"},
        {.name = "do", .usage = "critical,digitalSignature,decipherOnly"},
        {.name = "ca", .constraints = "critical,CA:TRUE", .usage = "critical,digitalSignature"},
        {.name = "server", .usage = "critical,digitalSignature", .extended = "serverAuth"},
        {.name = "client", .usage = "critical,digitalSignature", .extended = "clientAuth"},
        {.name = "mail", .usage = "critical,digitalSignature", .extended = "emailProtection"},
        {.name = "tsa", .usage = "critical,digitalSignature", .extended = "timeStamping"},
        {.name = "any",
         .usage = "critical,digitalSignature",
         .extended = "codeSigning,anyExtendedKeyUsage"},
    };
    struct maker_profile sha1 = MAKER_LEAF;
    struct maker_profile strange = MAKER_LEAF;
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(good); i++) {
        assert_leaf_judged(&judge, &good[i], GH_CAUSE_NONE);
    }
    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        assert_leaf_judged(&judge, &bad[i], GH_NOTATION_CHAIN_INVALID);
    }
    sha1.md = EVP_sha1();
    assert_leaf_judged(&judge, &sha1, GH_NOTATION_CHAIN_INVALID);
    strange.other = "1.2.3.4=critical,DER:0500";
    assert_leaf_judged(&judge, &strange, GH_CERT_MALFORMED);
    strange.other = "1.2.3.4=DER:0500";
    assert_leaf_judged(&judge, &strange, GH_CAUSE_NONE);
    judge_done(&judge);
}

static void notation_verify_unfit_authority_refused(void **state)
{
    static const struct maker_profile rows[] = {
        {.name = "no constraints", .usage = "critical,keyCertSign"},
        {.name = "soft", .constraints = "CA:TRUE", .usage = "critical,keyCertSign"},
        {.name = "not a CA", .constraints = "critical,CA:FALSE", .usage = "critical,keyCertSign"},
        {.name = "no usage", .constraints = "critical,CA:TRUE"},
        {.name = "soft usage", .constraints = "critical,CA:TRUE", .usage = "keyCertSign"},
        {.name = "crl alone", .constraints = "critical,CA:TRUE", .usage = "critical,cRLSign"},
    };
    static const struct maker_profile fine = {
        .name = "issuing", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i <= GH_COUNT(rows); i++) {
        struct maker_cert middle;
        struct maker_cert own;
        const struct maker_cert *const certs[] = {&own, &middle, &root};

        maker_issue(&root, i < GH_COUNT(rows) ? &rows[i] : &fine, &middle);
        maker_issue(&middle, &leaf_profile, &own);
        assert_int_equal(judge_jws(&judge, HEADER, payload, certs, 3, NULL), i == GH_COUNT(rows));
        assert_int_equal(judge.err.cause,
                         i < GH_COUNT(rows) ? GH_NOTATION_CHAIN_INVALID : GH_CAUSE_NONE);
        maker_done(&own);
        maker_done(&middle);
    }
    judge_done(&judge);
}

static void notation_verify_path_length_honoured(void **state)
{
    static const struct maker_profile short_root = {.name = "short",
                                                    .constraints = "critical,CA:TRUE,pathlen:0",
                                                    .usage = "critical,keyCertSign"};
    static const struct maker_profile middle_profile = {
        .name = "issuing", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    struct maker_cert top;
    struct maker_cert middle;
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own, &middle, &top};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    maker_issue(NULL, &short_root, &top);
    maker_issue(&top, &middle_profile, &middle);
    maker_issue(&middle, &leaf_profile, &own);
    assert_true(notation_store_add(judge.store, NOTATION_STORE_CA, bytes_view(&top.der), NULL));
    assert_false(judge_jws(&judge, HEADER, payload, certs, 3, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    maker_done(&own);
    maker_done(&middle);
    maker_done(&top);
    judge_done(&judge);
}

static void notation_verify_wrong_chain_order_refused(void **state)
{
    static const struct maker_profile other_profile = MAKER_LEAF;
    static const struct maker_profile middle_profile = {
        .name = "issuing", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
    struct maker_cert middle;
    struct maker_cert own;
    const struct maker_cert *const no_root[] = {&own, &middle};
    const struct maker_cert *const shuffled[] = {&own, &root, &middle};
    const struct maker_cert *const extra[] = {&own, &middle, &root, &root};
    const struct maker_cert *const alone[] = {&leaf};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    maker_issue(&root, &middle_profile, &middle);
    maker_issue(&middle, &other_profile, &own);
    assert_false(judge_jws(&judge, HEADER, payload, no_root, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    assert_false(judge_jws(&judge, HEADER, payload, shuffled, 3, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    assert_false(judge_jws(&judge, HEADER, payload, extra, 4, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    assert_false(judge_jws(&judge, HEADER, payload, alone, 1, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    maker_done(&own);
    maker_done(&middle);
    judge_done(&judge);
}

static void notation_verify_self_signed_leaf_judged_as_leaf(void **state)
{
    static const struct maker_profile profile = MAKER_LEAF;
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    maker_issue(NULL, &profile, &own);
    assert_false(judge_jws(&judge, HEADER, payload, certs, 1, NULL));
    assert_int_equal(judge.err.cause, GH_CERT_CHAIN_UNTRUSTED);
    assert_int_equal(judge.reached, EVIDENCE_STEP_SIGNER);
    assert_true(notation_store_add(judge.store, NOTATION_STORE_CA, bytes_view(&own.der), NULL));
    assert_true(judge_jws(&judge, HEADER, payload, certs, 1, NULL));
    maker_done(&own);
    judge_done(&judge);
}

static void notation_verify_chain_length_limited(void **state)
{
    const struct maker_cert *certs[11];
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(certs); i++) {
        certs[i] = &leaf;
    }
    assert_false(judge_jws(&judge, HEADER, payload, certs, 11, NULL));
    assert_int_equal(judge.err.cause, GH_COUNT_LIMIT_EXCEEDED);
    assert_false(judge_jws(&judge, HEADER, payload, certs, 10, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    judge_done(&judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_unfit_leaf_refused),
        cmocka_unit_test(notation_verify_unfit_authority_refused),
        cmocka_unit_test(notation_verify_path_length_honoured),
        cmocka_unit_test(notation_verify_wrong_chain_order_refused),
        cmocka_unit_test(notation_verify_self_signed_leaf_judged_as_leaf),
        cmocka_unit_test(notation_verify_chain_length_limited),
    };

    return cmocka_run_group_tests(tests, judge_set_up, judge_tear_down);
}
