/*
 * Thresholds count who vouches, never how often: logs, certificate logs, time-stamp authorities and
 * witnesses, in bundles by a stack made here (CVE-2026-49834).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "crypto/bundle.h"
#include "crypto/checkpoint.h"
#include "crypto/key.h"
#include "crypto/pattern.h"
#include "crypto/signer.h"
#include "crypto/trustroot.h"
#include "metrics/error.h"
#include "tests/support/sigstore_maker.h"

#define NOW (SIGSTORE_MAKER_TIME + 86400)
#define WITNESSES 2

struct stack {
    struct sigstore_maker *maker;
    struct trustroot *root;
    EVP_PKEY *witness_keys[WITNESSES];
    struct checkpoint_witness witnesses[WITNESSES];
};

static const char *const witness_names[WITNESSES] = {"one.test/w", "two.test/w"};

static int stack_setup(void **state)
{
    struct stack *stack = calloc(1, sizeof(*stack));
    char *text;

    assert_non_null(stack);
    stack->maker = sigstore_maker_new();
    text = sigstore_maker_root(stack->maker);
    assert_true(trustroot_parse(bytes_of(text), &stack->root, NULL));
    free(text);
    for (size_t i = 0; i < WITNESSES; i++) {
        struct key *key = NULL;

        stack->witness_keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        assert_true(key_from_evp(stack->witness_keys[i], &key, NULL));
        stack->witnesses[i] =
            (struct checkpoint_witness){.name = bytes_of(witness_names[i]), .key = key};
    }
    *state = stack;
    return 0;
}

static int stack_teardown(void **state)
{
    struct stack *stack = *state;

    for (size_t i = 0; i < WITNESSES; i++) {
        key_free((struct key *)stack->witnesses[i].key);
        EVP_PKEY_free(stack->witness_keys[i]);
    }
    trustroot_free(stack->root);
    sigstore_maker_free(stack->maker);
    free(stack);
    return 0;
}

struct row {
    const char *name;
    enum gh_cause cause;
    size_t tlog, timestamp, sct, witnesses; /* thresholds */
    struct sigstore_make make;
    unsigned cosigners[2]; /* witness numbers, 1-based; 0: none */
};

static const struct row rows[] = {
    {"one of each", GH_CAUSE_NONE, 1, 1, 1, 0, {.logs = 1, .scts = 1, .stamps = 1}, {0}},
    {"zero counts as one", GH_CAUSE_NONE, 0, 0, 0, 0, {.logs = 1, .scts = 1, .stamps = 1}, {0}},
    {"no certificate log", GH_SCT_MISSING, 0, 0, 0, 0, {.logs = 1, .stamps = 1}, {0}},
    {"no log", GH_TLOG_MISSING, 1, 1, 1, 0, {.scts = 1, .stamps = 1}, {0}},
    {"no time stamp", GH_TIME_SOURCE_MISSING, 1, 1, 1, 0, {.logs = 1, .scts = 1}, {0}},
    {"two logs", GH_CAUSE_NONE, 2, 1, 1, 0, {.logs = 2, .scts = 1, .stamps = 1}, {0}},
    {"three logs", GH_CAUSE_NONE, 3, 1, 1, 0, {.logs = 3, .scts = 1, .stamps = 1}, {0}},
    {"one log of two",
     GH_TLOG_THRESHOLD_NOT_MET,
     2,
     1,
     1,
     0,
     {.logs = 1, .scts = 1, .stamps = 1},
     {0}},
    {"two entries of one log",
     GH_TLOG_THRESHOLD_NOT_MET,
     2,
     1,
     1,
     0,
     {.logs = 1, .repeats = 1, .scts = 1, .stamps = 1},
     {0}},
    {"three entries of two logs",
     GH_TLOG_THRESHOLD_NOT_MET,
     3,
     1,
     1,
     0,
     {.logs = 2, .repeats = 1, .scts = 1, .stamps = 1},
     {0}},
    {"two authorities", GH_CAUSE_NONE, 1, 2, 1, 0, {.logs = 1, .scts = 1, .stamps = 2}, {0}},
    {"one authority of two",
     GH_TIME_SOURCE_MISSING,
     1,
     2,
     1,
     0,
     {.logs = 1, .scts = 1, .stamps = 1},
     {0}},
    {"two stamps of one authority",
     GH_TIME_SOURCE_MISSING,
     1,
     2,
     1,
     0,
     {.logs = 1, .scts = 1, .stamps = 1, .stamp_repeats = 1},
     {0}},
    {"a second time after the leaf",
     GH_CERT_NOT_VALID_AT_TIME,
     1,
     1,
     1,
     0,
     {.logs = 1, .scts = 1, .stamps = 2, .stamp_offset_s = 541},
     {0}},
    {"a second time before the leaf",
     GH_CERT_NOT_VALID_AT_TIME,
     1,
     1,
     1,
     0,
     {.logs = 1, .scts = 1, .stamps = 2, .stamp_offset_s = -61},
     {0}},
    {"two certificate logs", GH_CAUSE_NONE, 1, 1, 2, 0, {.logs = 1, .scts = 2, .stamps = 1}, {0}},
    {"one certificate log of two",
     GH_SCT_MISSING,
     1,
     1,
     2,
     0,
     {.logs = 1, .scts = 1, .stamps = 1},
     {0}},
    {"two SCTs of one log",
     GH_SCT_MISSING,
     1,
     1,
     2,
     0,
     {.logs = 1, .scts = 1, .sct_repeats = 1, .stamps = 1},
     {0}},
    {"two witnesses", GH_CAUSE_NONE, 1, 1, 1, 2, {.logs = 1, .scts = 1, .stamps = 1}, {1, 2}},
    {"one witness of one", GH_CAUSE_NONE, 1, 1, 1, 1, {.logs = 1, .scts = 1, .stamps = 1}, {2}},
    {"one witness of two",
     GH_WITNESS_THRESHOLD_NOT_MET,
     1,
     1,
     1,
     2,
     {.logs = 1, .scts = 1, .stamps = 1},
     {1}},
    {"one witness twice",
     GH_WITNESS_THRESHOLD_NOT_MET,
     1,
     1,
     1,
     2,
     {.logs = 1, .scts = 1, .stamps = 1},
     {1, 1}},
    {"no witness",
     GH_WITNESS_THRESHOLD_NOT_MET,
     1,
     1,
     1,
     1,
     {.logs = 1, .scts = 1, .stamps = 1},
     {0}},
    {"witnesses that nobody asks for",
     GH_CAUSE_NONE,
     1,
     1,
     1,
     0,
     {.logs = 1, .scts = 1, .stamps = 1},
     {1, 2}},
};

static enum gh_cause verify_row(const struct stack *stack, const struct row *row, char *text)
{
    struct signer signer = {.name = (char *)"ci",
                            .type = SIGNER_KEYLESS,
                            .tlog = SIGNER_REQUIRED,
                            .timestamp = SIGNER_REQUIRED,
                            .sct = SIGNER_REQUIRED,
                            .tlog_threshold = row->tlog,
                            .timestamp_threshold = row->timestamp,
                            .sct_threshold = row->sct,
                            .witnesses = stack->witnesses,
                            .witness_count = WITNESSES,
                            .witness_threshold = row->witnesses,
                            .root = stack->root,
                            .root_stale_at_unix_s = INT64_MAX,
                            .root_fingerprint = *trustroot_fingerprint(stack->root)};
    struct evidence_item item = {.kind = EVIDENCE_BUNDLE, .location = "test"};
    struct evidence_subject subject = {.name = "registry.test/app",
                                       .manifest = bytes_of(SIGSTORE_MAKER_MANIFEST)};
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step;

    item.blob = bytes_of(text);
    assert_true(
        digest_compute(DIGEST_SHA256, item.blob, &item.digest, NULL) &&
        digest_compute(DIGEST_SHA256, subject.manifest, &subject.digest, NULL) &&
        pattern_new(PATTERN_EXACT, bytes_of(SIGSTORE_MAKER_ISSUER), &signer.issuer, NULL) &&
        pattern_new(PATTERN_EXACT, bytes_of(SIGSTORE_MAKER_SUBJECT), &signer.subject, NULL));
    if (bundle_verify(&item, &subject, &signer, NULL, NOW, &step, &proof, &err)) {
        assert_int_equal(proof.proved_unix_s, SIGSTORE_MAKER_TIME);
    } else {
        assert_int_not_equal(err.cause, GH_CAUSE_NONE);
    }
    evidence_proof_done(&proof);
    pattern_free(signer.issuer);
    pattern_free(signer.subject);
    if (err.cause != row->cause) {
        fail_msg("%s: wanted %s, found %s: %s", row->name, gh_cause_label(row->cause),
                 gh_cause_label(err.cause), err.text);
    }
    return err.cause;
}

static void bundle_verify_thresholds_count_who_vouches(void **state)
{
    const struct stack *stack = *state;

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct sigstore_maker_witness cosigners[2] = {0};
        struct sigstore_make make = rows[i].make;
        char *text;

        for (; make.witness_count < 2 && rows[i].cosigners[make.witness_count] != 0;
             make.witness_count++) {
            unsigned who = rows[i].cosigners[make.witness_count] - 1;

            cosigners[make.witness_count] = (struct sigstore_maker_witness){
                .name = witness_names[who], .key = stack->witness_keys[who]};
        }
        make.witnesses = cosigners;
        text = sigstore_maker_bundle(stack->maker, &make);
        assert_int_equal(verify_row(stack, &rows[i], text), rows[i].cause);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundle_verify_thresholds_count_who_vouches),
    };

    return cmocka_run_group_tests(tests, stack_setup, stack_teardown);
}
