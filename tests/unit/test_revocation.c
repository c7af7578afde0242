#include "crypto/revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/crl.h"
#include "crypto/ocsp.h"
#include "crypto/x509.h"
#include "metrics/error.h"
#include "tests/support/notation_maker.h"

#define CRL_URL "http://crl.test/root.crl"
#define OCSP_URL "http://ocsp.test/"

static struct maker_cert root;
static struct maker_cert stranger; /* a CA of the same name */
static struct maker_cert by_crl;
static struct maker_cert by_ocsp;
static struct maker_cert by_both;
static struct maker_cert by_none;
static struct maker_cert by_https;
static struct maker_cert delegate; /* an OCSP responder, with nocheck */
static struct maker_cert checked;  /* … and one without, that names the CRL */
static struct maker_cert usurper;  /* issued by the root, but not for OCSP */

static int set_up(void **state)
{
    static const struct maker_profile root_profile = MAKER_ROOT;
    static const struct maker_profile crl = {
        .name = "crl", .usage = "critical,digitalSignature", .points = "URI:" CRL_URL};
    static const struct maker_profile ocsp = {
        .name = "ocsp", .usage = "critical,digitalSignature", .access = "OCSP;URI:" OCSP_URL};
    static const struct maker_profile both = {.name = "both",
                                              .usage = "critical,digitalSignature",
                                              .points = "URI:" CRL_URL,
                                              .access = "OCSP;URI:" OCSP_URL};
    static const struct maker_profile none = {.name = "none", .usage = "critical,digitalSignature"};
    static const struct maker_profile https = {.name = "https",
                                               .usage = "critical,digitalSignature",
                                               .points = "URI:https://crl.test/root.crl",
                                               .access = "OCSP;URI:ldap://ocsp.test/"};
    static const struct maker_profile responder = {.name = "responder",
                                                   .usage = "critical,digitalSignature",
                                                   .extended = "OCSPSigning",
                                                   .other = "noCheck=NULL"};
    static const struct maker_profile named = {.name = "named",
                                               .usage = "critical,digitalSignature",
                                               .extended = "OCSPSigning",
                                               .points = "URI:" CRL_URL};

    (void)state;
    maker_issue(NULL, &root_profile, &root);
    maker_issue(NULL, &root_profile, &stranger);
    maker_issue(&root, &crl, &by_crl);
    maker_issue(&root, &ocsp, &by_ocsp);
    maker_issue(&root, &both, &by_both);
    maker_issue(&root, &none, &by_none);
    maker_issue(&root, &https, &by_https);
    maker_issue(&root, &responder, &delegate);
    maker_issue(&root, &named, &checked);
    maker_issue(&root, &none, &usurper);
    return 0;
}

static int tear_down(void **state)
{
    struct maker_cert *const all[] = {&root,    &stranger, &by_crl,   &by_ocsp, &by_both,
                                      &by_none, &by_https, &delegate, &checked, &usurper};

    (void)state;
    for (size_t i = 0; i < GH_COUNT(all); i++) {
        maker_done(all[i]);
    }
    return 0;
}

/* One run: answers given beforehand, wants and cause kept. */
struct run {
    struct evidence_answer answers[4];
    struct evidence_answers known;
    struct bytes_buf bodies[4];
    const struct crl *files[2];
    size_t file_count;
    bool has_time;
    int64_t until;
    struct evidence_proof proof;
    struct evidence_wants wants;
    struct gh_error err;
};

static bool run_check(struct run *run, const struct maker_cert *leaf)
{
    struct x509_cert *path[2] = {NULL, NULL};
    struct revocation_input input = {
        .path = path,
        .count = 2,
        .crls = run->files,
        .crl_count = run->file_count,
        .answers = &run->known,
        .now_unix_s = MAKER_NOW,
        .has_signing_time = run->has_time,
        .signing_unix_s = MAKER_NOW - 1800,
    };
    bool is_good;

    assert_true(x509_cert_parse(bytes_view(&leaf->der), &path[0], NULL));
    assert_true(x509_cert_parse(bytes_view(&root.der), &path[1], NULL));
    run->known.items = run->answers;
    memset(&run->proof, 0, sizeof(run->proof));
    run->proof.until_unix_s = INT64_MAX;
    evidence_wants_done(&run->wants);
    gh_error_clear(&run->err);
    is_good = revocation_check(&input, &run->wants, &run->proof, &run->err);
    run->until = run->proof.until_unix_s;
    x509_cert_unref(path[0]);
    x509_cert_unref(path[1]);
    return is_good;
}

/* Answer with BODY (taken), or with a failure when it is empty. */
static void run_answer(struct run *run, enum evidence_want_kind kind, const char *url,
                       struct bytes question, struct bytes_buf body)
{
    struct evidence_answer *answer = &run->answers[run->known.count];

    run->bodies[run->known.count++] = body;
    answer->kind = kind;
    answer->url = url;
    answer->body = question;
    answer->answer = bytes_view(&body);
    if (body.data == NULL) {
        gh_fail(&answer->failure, GH_UPSTREAM_UNAVAILABLE, "nobody there");
    }
}

static struct bytes_buf question_about(const struct maker_cert *about)
{
    struct x509_cert *cert = NULL;
    struct x509_cert *issuer = NULL;
    struct bytes_buf question;

    assert_true(x509_cert_parse(bytes_view(&about->der), &cert, NULL));
    assert_true(x509_cert_parse(bytes_view(&root.der), &issuer, NULL));
    assert_true(ocsp_ask(cert, issuer, &question, NULL));
    x509_cert_unref(cert);
    x509_cert_unref(issuer);
    return question;
}

static void run_done(struct run *run)
{
    for (size_t i = 0; i < run->known.count; i++) {
        bytes_buf_done(&run->bodies[i]);
    }
    evidence_wants_done(&run->wants);
    memset(run, 0, sizeof(*run));
}

static void assert_crl_judged(const struct maker_cert *issuer, const struct maker_crl *crl,
                              enum gh_cause cause)
{
    struct run run = {0};

    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0}, maker_crl(issuer, crl));
    assert_int_equal(run_check(&run, &by_crl), cause == GH_CAUSE_NONE);
    if (run.err.cause != cause) {
        print_message("# %s (%s)\n", gh_cause_label(run.err.cause), run.err.text);
    }
    assert_int_equal(run.err.cause, cause);
    run_done(&run);
}

static void revocation_check_asks_first(void **state)
{
    struct run run = {0};
    struct bytes_buf question = question_about(&by_both);

    (void)state;
    assert_true(run_check(&run, &by_none));
    assert_int_equal(run.wants.count, 0);
    assert_true(run.until == INT64_MAX);
    assert_false(run_check(&run, &by_crl));
    assert_int_equal(run.err.cause, GH_CAUSE_NONE);
    assert_int_equal(run.wants.count, 1);
    assert_int_equal(run.wants.items[0].kind, EVIDENCE_WANT_CRL);
    assert_string_equal(run.wants.items[0].url, CRL_URL);
    assert_int_equal(run.wants.items[0].limit_bytes, CRL_MAX_BYTES);
    /* OCSP alone where it is named, the list only once that did not help. */
    assert_false(run_check(&run, &by_both));
    assert_int_equal(run.wants.count, 1);
    assert_int_equal(run.wants.items[0].kind, EVIDENCE_WANT_OCSP);
    assert_true(bytes_equal(bytes_view(&run.wants.items[0].body), bytes_view(&question)));
    run_answer(&run, EVIDENCE_WANT_OCSP, OCSP_URL, bytes_view(&question), (struct bytes_buf){0});
    assert_false(run_check(&run, &by_both));
    assert_int_equal(run.err.cause, GH_CAUSE_NONE);
    assert_int_equal(run.wants.count, 1);
    assert_int_equal(run.wants.items[0].kind, EVIDENCE_WANT_CRL);
    bytes_buf_done(&question);
    run_done(&run);
}

static void revocation_check_unusable_address_refused(void **state)
{
    struct run run = {0};

    (void)state;
    assert_false(run_check(&run, &by_https));
    assert_int_equal(run.err.cause, GH_REVOCATION_UNAVAILABLE);
    assert_int_equal(run.wants.count, 0);
    run_done(&run);
}

static void revocation_check_crl_judged(void **state)
{
    (void)state;
    assert_crl_judged(&root, &(struct maker_crl){0}, GH_CAUSE_NONE);
    assert_crl_judged(&root, &(struct maker_crl){.revoked = &by_ocsp}, GH_CAUSE_NONE);
    assert_crl_judged(&root, &(struct maker_crl){.revoked = &by_crl}, GH_REVOCATION_REVOKED);
    /* An invalidity date spares nothing without an authentic time. */
    assert_crl_judged(&root, &(struct maker_crl){.revoked = &by_crl, .invalidity_s = -60},
                      GH_REVOCATION_REVOKED);
    assert_crl_judged(&stranger, &(struct maker_crl){0}, GH_CRL_INVALID);
    assert_crl_judged(&by_none, &(struct maker_crl){0}, GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.from_s = -7200, .to_s = -1}, GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.from_s = 3600, .to_s = 7200}, GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.is_delta = true}, GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.has_freshest = true}, GH_REVOCATION_UNAVAILABLE);
    assert_crl_judged(&root, &(struct maker_crl){.has_freshest = true, .revoked = &by_crl},
                      GH_REVOCATION_REVOKED);
    assert_crl_judged(&root, &(struct maker_crl){.point = "critical,fullname:URI:" CRL_URL},
                      GH_CAUSE_NONE);
    assert_crl_judged(&root,
                      &(struct maker_crl){.point = "critical,fullname:URI:http://crl.test/2.crl"},
                      GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.point = "critical,onlyuser:TRUE"},
                      GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.point = "critical,indirectCRL:TRUE"},
                      GH_CRL_INVALID);
    assert_crl_judged(&root, &(struct maker_crl){.point = "critical,onlysomereasons:keyCompromise"},
                      GH_CRL_INVALID);
}

static void revocation_check_crl_bounds_until(void **state)
{
    struct run run = {0};

    (void)state;
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0},
               maker_crl(&root, &(struct maker_crl){.from_s = -60, .to_s = 42}));
    assert_true(run_check(&run, &by_crl));
    assert_true(run.until == MAKER_NOW + 42);
    run_done(&run);
}

static void revocation_check_invalidity_date_spares_earlier(void **state)
{
    struct run run = {.has_time = true};

    (void)state;
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0},
               maker_crl(&root, &(struct maker_crl){.revoked = &by_crl, .invalidity_s = -60}));
    assert_true(run_check(&run, &by_crl));
    run_done(&run);
    run.has_time = true;
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0},
               maker_crl(&root, &(struct maker_crl){.revoked = &by_crl, .invalidity_s = -7200}));
    assert_false(run_check(&run, &by_crl));
    assert_int_equal(run.err.cause, GH_REVOCATION_REVOKED);
    run_done(&run);
}

static void assert_ocsp_judged(const struct maker_cert *leaf, const struct maker_cert *signer,
                               const struct maker_cert *about, enum maker_status status,
                               long from_s, long to_s, enum gh_cause cause)
{
    struct run run = {0};
    struct bytes_buf question = question_about(leaf);

    run_answer(&run, EVIDENCE_WANT_OCSP, OCSP_URL, bytes_view(&question),
               maker_ocsp(signer, &root, about, status, from_s, to_s));
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0}, (struct bytes_buf){0});
    assert_int_equal(run_check(&run, leaf), cause == GH_CAUSE_NONE);
    if (run.err.cause != cause) {
        print_message("# %s (%s)\n", gh_cause_label(run.err.cause), run.err.text);
    }
    assert_int_equal(run.err.cause, cause);
    run_done(&run);
    bytes_buf_done(&question);
}

static void revocation_check_ocsp_judged(void **state)
{
    (void)state;
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_GOOD, -60, 60, GH_CAUSE_NONE);
    assert_ocsp_judged(&by_ocsp, &delegate, &by_ocsp, MAKER_GOOD, -60, 60, GH_CAUSE_NONE);
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_REVOKED, -60, 60, GH_REVOCATION_REVOKED);
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_UNKNOWN, -60, 60,
                       GH_REVOCATION_UNAVAILABLE);
    /* stale, from the future, old without an end, fresh without one */
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_GOOD, -120, -60, GH_OCSP_INVALID);
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_GOOD, 3600, 7200, GH_OCSP_INVALID);
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_GOOD, -OCSP_MAX_AGE_S - 1, 0,
                       GH_OCSP_INVALID);
    assert_ocsp_judged(&by_ocsp, &root, &by_ocsp, MAKER_GOOD, -60, 0, GH_CAUSE_NONE);
    /* about another certificate; by a stranger; by one who may not */
    assert_ocsp_judged(&by_ocsp, &root, &by_crl, MAKER_GOOD, -60, 60, GH_OCSP_INVALID);
    assert_ocsp_judged(&by_ocsp, &stranger, &by_ocsp, MAKER_GOOD, -60, 60, GH_OCSP_INVALID);
    assert_ocsp_judged(&by_ocsp, &usurper, &by_ocsp, MAKER_GOOD, -60, 60, GH_OCSP_INVALID);
    /* a responder whose own status cannot be had */
    assert_ocsp_judged(&by_ocsp, &checked, &by_ocsp, MAKER_GOOD, -60, 60,
                       GH_REVOCATION_UNAVAILABLE);
    /* no list to fall back to: the first failure counts */
    assert_ocsp_judged(&by_both, &root, &by_both, MAKER_GOOD, -120, -60, GH_OCSP_INVALID);
    assert_ocsp_judged(&by_both, &root, &by_both, MAKER_GOOD, -60, 60, GH_CAUSE_NONE);
}

static void revocation_check_ocsp_down_falls_back(void **state)
{
    static const struct {
        struct maker_crl crl;
        enum gh_cause cause;
    } rows[] = {
        {{.revoked = NULL}, GH_CAUSE_NONE},
        {{.revoked = &by_both}, GH_REVOCATION_REVOKED},
        {{.from_s = -120, .to_s = -60}, GH_REVOCATION_UNAVAILABLE},
    };
    struct bytes_buf question = question_about(&by_both);

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct run run = {0};

        run_answer(&run, EVIDENCE_WANT_OCSP, OCSP_URL, bytes_view(&question),
                   (struct bytes_buf){0});
        run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0},
                   maker_crl(&root, &rows[i].crl));
        assert_int_equal(run_check(&run, &by_both), rows[i].cause == GH_CAUSE_NONE);
        assert_int_equal(run.err.cause, rows[i].cause);
        run_done(&run);
    }
    bytes_buf_done(&question);
}

static void revocation_check_responder_checked_by_list(void **state)
{
    struct bytes_buf question = question_about(&by_ocsp);
    struct run run = {0};

    (void)state;
    run_answer(&run, EVIDENCE_WANT_OCSP, OCSP_URL, bytes_view(&question),
               maker_ocsp(&checked, &root, &by_ocsp, MAKER_GOOD, -60, 60));
    assert_false(run_check(&run, &by_ocsp));
    assert_int_equal(run.err.cause, GH_CAUSE_NONE);
    assert_int_equal(run.wants.count, 1);
    assert_int_equal(run.wants.items[0].kind, EVIDENCE_WANT_CRL);
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0},
               maker_crl(&root, &(struct maker_crl){0}));
    assert_true(run_check(&run, &by_ocsp));
    bytes_buf_done(&run.bodies[--run.known.count]);
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, (struct bytes){NULL, 0},
               maker_crl(&root, &(struct maker_crl){.revoked = &checked}));
    assert_false(run_check(&run, &by_ocsp));
    assert_int_equal(run.err.cause, GH_OCSP_INVALID);
    run_done(&run);
    bytes_buf_done(&question);
}

static void assert_file_judged(const struct maker_cert *leaf, const struct maker_cert *issuer,
                               const struct maker_crl *made, enum gh_cause cause, size_t wants)
{
    struct bytes_buf der = maker_crl(issuer, made);
    struct crl *crl = NULL;
    struct run run = {0};

    assert_true(crl_parse(bytes_view(&der), &crl, NULL));
    run.files[0] = crl;
    run.file_count = 1;
    assert_int_equal(run_check(&run, leaf), cause == GH_CAUSE_NONE && wants == 0);
    assert_int_equal(run.err.cause, cause);
    assert_int_equal(run.wants.count, wants);
    crl_free(crl);
    bytes_buf_done(&der);
    run_done(&run);
}

static void revocation_check_lists_from_files_answer(void **state)
{
    static const struct maker_crl stale = {.from_s = -120, .to_s = -60};
    static const struct maker_crl stale_revoked = {
        .from_s = -120, .to_s = -60, .revoked = &by_both};

    (void)state;
    assert_file_judged(&by_both, &root, &(struct maker_crl){0}, GH_CAUSE_NONE, 0);
    assert_file_judged(&by_none, &root, &(struct maker_crl){.revoked = &by_none},
                       GH_REVOCATION_REVOKED, 0);
    assert_file_judged(&by_both, &root, &stale_revoked, GH_REVOCATION_REVOKED, 0);
    assert_file_judged(&by_both, &root, &stale, GH_CAUSE_NONE, 1); /* asks instead */
    assert_file_judged(&by_none, &root, &stale, GH_CRL_INVALID, 0);
    assert_file_judged(&by_both, &stranger, &(struct maker_crl){.revoked = &by_both}, GH_CAUSE_NONE,
                       1);
}

static void crl_parse_broken_refused(void **state)
{
    struct bytes_buf der = maker_crl(&root, &(struct maker_crl){.revoked = &by_crl});

    (void)state;
    for (size_t len = 0; len < der.len; len++) {
        struct crl *crl = NULL;
        struct gh_error err = {0};

        assert_false(crl_parse(bytes_slice(bytes_view(&der), 0, len), &crl, &err));
        assert_int_equal(err.cause, GH_CRL_INVALID);
    }
    bytes_buf_done(&der);
}

static void ocsp_judge_broken_refused(void **state)
{
    struct bytes_buf der = maker_ocsp(&root, &root, &by_ocsp, MAKER_GOOD, -60, 60);
    struct x509_cert *cert = NULL;
    struct x509_cert *issuer = NULL;
    struct ocsp_answer answer;
    static const struct bytes declined = BYTES_LITERAL("\x30\x03\x0a\x01\x06");
    struct gh_error err = {0};

    (void)state;
    assert_true(x509_cert_parse(bytes_view(&by_ocsp.der), &cert, NULL));
    assert_true(x509_cert_parse(bytes_view(&root.der), &issuer, NULL));
    for (size_t len = 0; len < der.len; len++) {
        gh_error_clear(&err);
        assert_false(ocsp_judge(bytes_slice(bytes_view(&der), 0, len), cert, issuer, MAKER_NOW,
                                &answer, &err));
        assert_int_equal(err.cause, GH_OCSP_INVALID);
    }
    gh_error_clear(&err);
    assert_false(ocsp_judge(declined, cert, issuer, MAKER_NOW, &answer, &err));
    assert_int_equal(err.cause, GH_REVOCATION_UNAVAILABLE);
    x509_cert_unref(cert);
    x509_cert_unref(issuer);
    bytes_buf_done(&der);
}

/* What an answer says of its own life, believed only for how long it is kept. */
static void revocation_answer_life_own_word_told(void **state)
{
    struct bytes_buf list = maker_crl(&root, &(struct maker_crl){.from_s = -60, .to_s = 42});
    struct bytes_buf answer = maker_ocsp(&root, &root, &by_ocsp, MAKER_GOOD, -60, 42);
    struct bytes_buf old = maker_ocsp(&root, &root, &by_ocsp, MAKER_GOOD, -60, -1);
    struct bytes garbage = BYTES_LITERAL("no answer");
    struct revocation_life life;

    (void)state;
    assert_true(revocation_answer_life(EVIDENCE_WANT_CRL, bytes_view(&list), MAKER_NOW, &life));
    assert_true(life.from_unix_s == MAKER_NOW - 60 && life.until_unix_s == MAKER_NOW + 42);
    assert_true(revocation_answer_life(EVIDENCE_WANT_OCSP, bytes_view(&answer), MAKER_NOW, &life));
    assert_true(life.from_unix_s == MAKER_NOW - 60 && life.until_unix_s == MAKER_NOW + 42);
    assert_false(revocation_answer_life(EVIDENCE_WANT_OCSP, bytes_view(&old), MAKER_NOW, &life));
    assert_false(
        revocation_answer_life(EVIDENCE_WANT_CRL, bytes_view(&list), MAKER_NOW + 42, &life));
    assert_false(revocation_answer_life(EVIDENCE_WANT_CRL, garbage, MAKER_NOW, &life));
    assert_false(revocation_answer_life(EVIDENCE_WANT_OCSP, garbage, MAKER_NOW, &life));
    assert_true(revocation_answer_life(EVIDENCE_WANT_VENDOR, garbage, MAKER_NOW, &life));
    assert_true(life.from_unix_s == INT64_MIN && life.until_unix_s == INT64_MAX);
    bytes_buf_done(&list);
    bytes_buf_done(&answer);
    bytes_buf_done(&old);
}

/* A proof names every answer that it was made from, so that a new one ends it. */
static void revocation_check_answers_rested_on(void **state)
{
    struct bytes nothing = {NULL, 0};
    struct digest name;
    struct run run = {0};

    (void)state;
    run_answer(&run, EVIDENCE_WANT_CRL, CRL_URL, nothing, maker_crl(&root, &(struct maker_crl){0}));
    assert_true(run_check(&run, &by_crl));
    assert_true(evidence_question_name(EVIDENCE_WANT_CRL, CRL_URL, nothing, &name, NULL));
    assert_int_equal(run.proof.rest_count, 1);
    assert_int_equal(run.proof.rests[0].kind, EVIDENCE_REST_ANSWER);
    assert_true(digest_equal(&run.proof.rests[0].id, &name));
    run_done(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(revocation_answer_life_own_word_told),
        cmocka_unit_test(revocation_check_answers_rested_on),
        cmocka_unit_test(revocation_check_asks_first),
        cmocka_unit_test(revocation_check_unusable_address_refused),
        cmocka_unit_test(revocation_check_crl_judged),
        cmocka_unit_test(revocation_check_crl_bounds_until),
        cmocka_unit_test(revocation_check_invalidity_date_spares_earlier),
        cmocka_unit_test(revocation_check_ocsp_judged),
        cmocka_unit_test(revocation_check_ocsp_down_falls_back),
        cmocka_unit_test(revocation_check_responder_checked_by_list),
        cmocka_unit_test(revocation_check_lists_from_files_answer),
        cmocka_unit_test(crl_parse_broken_refused),
        cmocka_unit_test(ocsp_judge_broken_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
