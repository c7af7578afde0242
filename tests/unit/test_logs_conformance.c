/*
 * Proof material of the public Sigstore conformance cases; read from the suite beside the tree and
 * skipped where that is absent. Certificates, SCTs, entries and time stamps are judged here; the
 * verdict on a whole bundle is tested by its own suite.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "crypto/sct.h"
#include "crypto/x509_path.h"
#include "tests/support/log_case.h"

static const char *conformance_dir(void)
{
    static const char *const places[] = {"../shared/suites/sigstore-conformance",
                                         "../../shared/suites/sigstore-conformance",
                                         "../../../shared/suites/sigstore-conformance",
                                         "../../../../shared/suites/sigstore-conformance"};
    const char *named = getenv("GH_SUITES_SIGSTORE");

    for (size_t i = 0; named == NULL && i < GH_COUNT(places); i++) {
        DIR *dir = opendir(places[i]);

        if (dir != NULL) {
            (void)closedir(dir);
            return places[i];
        }
    }
    return named;
}

static bool conformance_open(struct log_case *c, const char *dir, const char *name)
{
    struct bytes_buf artifact;
    struct bytes_buf bundle;
    struct bytes_buf root;
    char path[1024];

    memset(c, 0, sizeof(*c));
    (void)snprintf(path, sizeof(path), "%s/cases/%s/bundle.sigstore.json", dir, name);
    bundle = log_case_file(path);
    if (bundle.data == NULL) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%s/cases/%s/trusted_root.json", dir, name);
    root = log_case_file(path);
    if (root.data == NULL) {
        (void)snprintf(path, sizeof(path), "%s/trust/%s", dir, "trusted_root.production.json");
        root = log_case_file(path);
    }
    assert_non_null(root.data);
    (void)snprintf(path, sizeof(path), "%s/cases/%s/artifact", dir, name);
    artifact = log_case_file(path);
    if (artifact.data == NULL) {
        (void)snprintf(path, sizeof(path), "%s/cases/a.txt", dir);
        artifact = log_case_file(path);
    }
    assert_true(trustroot_parse(bytes_view(&root), &c->root, NULL));
    log_case_bundle(c, bytes_view(&bundle), artifact);
    (void)snprintf(path, sizeof(path), "%s/cases/%s/key.pub", dir, name);
    bytes_buf_done(&root);
    root = log_case_file(path);
    if (root.data != NULL) {
        assert_true(key_parse_pem(bytes_view(&root), &c->key, NULL));
        log_case_hashes(c);
    }
    bytes_buf_done(&root);
    bytes_buf_done(&bundle);
    return true;
}

/* All that can be proved about the case, as a bundle verifier would put it together. */
static bool conformance_verify(struct log_case *c, struct gh_error *err)
{
    struct rekor_proof proofs[REKOR_MAX_ENTRIES];
    struct tsa_result stamp = {0};
    struct x509_path path;
    size_t proof_count = 0;
    int64_t times[4];
    size_t count = 0;
    struct x509_path_input input = {.leaf = c->leaf, .use = X509_USE_CODE_SIGNING};

    if (c->token.data != NULL) {
        GH_TRY(tsa_verify_response(bytes_view(&c->token), bytes_view(&c->signature),
                                   trustroot_tsa(c->root), LOG_CASE_NOW, &stamp, err));
        times[count++] = stamp.gen_time.unix_s;
        tsa_result_done(&stamp);
    }
    c->options.times_unix_s = times;
    c->options.time_count = count;
    GH_TRY(rekor_verify(c->entries, c->entry_count, c->root, &c->what, &c->options, LOG_CASE_NOW,
                        proofs, &proof_count, err));
    if (proofs[0].has_time) {
        times[count++] = proofs[0].integrated_unix_s;
    }
    if (c->leaf == NULL) {
        return true;
    }
    input.authorities = trustroot_authorities(c->root, &input.authority_count);
    input.times_unix_s = times;
    input.time_count = count;
    GH_TRY(x509_path_verify(&input, &path, err));
    return sct_verify(c->leaf, path.certs[1], c->root, 1, NULL, err);
}

static bool conformance_is_happy(const char *name)
{
    return name[0] != '.' && strstr(name, "_fail") == NULL;
}

static void conformance_accepted_cases_proved(void **state)
{
    const char *dir = conformance_dir();
    char path[1024];
    struct dirent *entry;
    unsigned seen = 0;
    unsigned failed = 0;
    DIR *cases;

    if (dir == NULL) {
        skip();
    }
    (void)snprintf(path, sizeof(path), "%s/cases", dir);
    cases = opendir(path);
    assert_non_null(cases);
    while ((entry = readdir(cases)) != NULL) {
        struct gh_error err = {0};
        struct log_case c;

        if (!conformance_is_happy(entry->d_name) || !conformance_open(&c, dir, entry->d_name)) {
            continue;
        }
        if (!conformance_verify(&c, &err)) {
            print_message("%s: %s: %s\n", entry->d_name, gh_cause_label(err.cause), err.text);
            failed++;
        }
        log_case_done(&c);
        seen++;
    }
    (void)closedir(cases);
    assert_int_equal(failed, 0);
    assert_true(seen > 20);
}

static const struct {
    const char *name;
    enum gh_cause cause;
} conformance_refused[] = {
    {"checkpoint-bad-keyhint_fail", GH_CHECKPOINT_SIGNATURE_INVALID},
    {"checkpoint-wrong-roothash_fail", GH_CHECKPOINT_ROOT_MISMATCH},
    {"dsse-invalid-sig_fail", GH_TLOG_SIGNATURE_MISMATCH},
    {"dsse-mismatch-envelope_fail", GH_TLOG_DIGEST_MISMATCH},
    {"dsse-mismatch-sig_fail", GH_TLOG_SIGNATURE_MISMATCH},
    {"inclusion-proof-corrupted-hash_fail", GH_INCLUSION_PROOF_INVALID},
    {"integrated-time-in-future_fail", GH_CERT_NOT_VALID_AT_TIME},
    {"intoto-expired-certificate_fail", GH_CERT_NOT_VALID_AT_TIME},
    {"intoto-log-entry-mismatch_fail", GH_TLOG_ENTRY_MALFORMED},
    {"intoto-set-outside-signing-cert-validity_fail", GH_CERT_NOT_VALID_AT_TIME},
    {"intoto-tsa-timestamp-outside-cert-validity_fail", GH_CERT_NOT_VALID_AT_TIME},
    {"invalid-checkpoint-signature_fail", GH_CHECKPOINT_SIGNATURE_INVALID},
    {"invalid-ct-key_fail", GH_SCT_LOG_UNKNOWN},
    {"invalid-inclusion-proof_fail", GH_CHECKPOINT_MALFORMED},
    {"rekor2-checkpoint-missing-log-signature_fail", GH_CHECKPOINT_MALFORMED},
    {"rekor2-checkpoint-missing-origin_fail", GH_CHECKPOINT_MALFORMED},
    {"rekor2-checkpoint-missing-root-hash_fail", GH_CHECKPOINT_MALFORMED},
    {"rekor2-checkpoint-missing-size_fail", GH_CHECKPOINT_MALFORMED},
    {"rekor2-checkpoint-no-matching-signature_fail", GH_CHECKPOINT_ORIGIN_MISMATCH},
    {"rekor2-dsse-invalid-sig_fail", GH_TLOG_SIGNATURE_MISMATCH},
    {"rekor2-dsse-mismatch-envelope_fail", GH_TLOG_DIGEST_MISMATCH},
    {"rekor2-dsse-mismatch-sig_fail", GH_TLOG_SIGNATURE_MISMATCH},
    {"rekor2-no-inclusion-proof_fail", GH_INCLUSION_PROOF_MISSING},
    {"rekor2-timestamp-outside-trust-root-tsa-validity_fail", GH_TIMESTAMP_UNTRUSTED},
    {"rekor2-timestamp-outside-tsa-cert-validity_fail", GH_TIMESTAMP_UNTRUSTED},
    {"rekor2-timestamp-payload-mismatch_fail", GH_TIMESTAMP_IMPRINT_MISMATCH},
    {"rekor2-timestamp-with-incorrect-time_fail", GH_TIMESTAMP_INVALID},
    {"rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", GH_TIMESTAMP_UNTRUSTED},
    {"rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail", GH_TIMESTAMP_UNTRUSTED},
    {"set-invalid-signature_fail", GH_SET_INVALID},
    {"wrong-hashedrekord-artifact_fail", GH_TLOG_DIGEST_MISMATCH},
    {"wrong-hashedrekord-cert-and-sig_fail", GH_TLOG_SIGNATURE_MISMATCH},
    {"wrong-hashedrekord-entry_fail", GH_TLOG_DIGEST_MISMATCH},
};

static void conformance_refused_cases_exact_cause(void **state)
{
    const char *dir = conformance_dir();
    unsigned failed = 0;

    if (dir == NULL) {
        skip();
    }
    for (size_t i = 0; i < GH_COUNT(conformance_refused); i++) {
        struct gh_error err = {0};
        struct log_case c;

        if (!conformance_open(&c, dir, conformance_refused[i].name)) {
            continue;
        }
        if (conformance_verify(&c, &err) || err.cause != conformance_refused[i].cause) {
            print_message("%s: %s: %s\n", conformance_refused[i].name, gh_cause_label(err.cause),
                          err.text);
            failed++;
        }
        log_case_done(&c);
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conformance_accepted_cases_proved),
        cmocka_unit_test(conformance_refused_cases_exact_cause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
