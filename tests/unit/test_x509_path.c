#include "crypto/x509_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/memo.h"
#include "metrics/error.h"
#include "tests/support/make_cert.h"

#define NOW MAKE_CERT_T0

/* root -> intermediate -> leaf; any of the three can be made differently. */
struct path_case {
    EVP_PKEY *keys[3];
    struct make_cert root;
    struct make_cert middle;
    struct make_cert leaf;
    struct x509_cert *certs[3];
    struct x509_authority *authority;
    int64_t start_unix_ms;
    int64_t end_unix_ms;
    int64_t times[2];
    size_t time_count;
    enum x509_use use;
    bool is_middle_hinted; /* the authority is the root alone */
};

static void path_setup(struct path_case *c)
{
    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < 3; i++) {
        c->keys[i] = make_cert_key();
    }
    c->root = (struct make_cert){"root",
                                 "root",
                                 c->keys[0],
                                 c->keys[0],
                                 NOW - 9 * MAKE_CERT_DAY,
                                 NOW + 9 * MAKE_CERT_DAY,
                                 NULL,
                                 {{"basicConstraints", "keyUsage", "subjectKeyIdentifier"},
                                  {"critical,CA:TRUE", "critical,keyCertSign", "hash"}}};
    c->middle = (struct make_cert){"middle",
                                   "root",
                                   c->keys[1],
                                   c->keys[0],
                                   NOW - 5 * MAKE_CERT_DAY,
                                   NOW + 5 * MAKE_CERT_DAY,
                                   NULL,
                                   {{"basicConstraints", "keyUsage", "extendedKeyUsage"},
                                    {"critical,CA:TRUE,pathlen:0", "keyCertSign", "codeSigning"}}};
    c->leaf = (struct make_cert){
        NULL,
        "middle",
        c->keys[2],
        c->keys[1],
        NOW - 600,
        NOW + 600,
        NULL,
        {{"keyUsage", "extendedKeyUsage", "subjectAltName"},
         {"critical,digitalSignature", "codeSigning", "critical,email:dev@example.test"}}};
    c->start_unix_ms = INT64_MIN;
    c->end_unix_ms = INT64_MAX;
    c->times[0] = NOW;
    c->time_count = 1;
    c->use = X509_USE_CODE_SIGNING;
}

static enum gh_cause path_run(struct path_case *c, struct memo *memo)
{
    struct x509_path path = {0};
    struct gh_error err = {0};
    struct x509_path_input input = {
        .times_unix_s = c->times, .time_count = c->time_count, .use = c->use, .memo = memo};
    bool ok;

    c->certs[0] = make_cert(&c->leaf);
    c->certs[1] = make_cert(&c->middle);
    c->certs[2] = make_cert(&c->root);
    ok = x509_authority_new(c->certs + (c->is_middle_hinted ? 2 : 1), c->is_middle_hinted ? 1 : 2,
                            c->start_unix_ms, c->end_unix_ms, &c->authority, &err);
    if (ok) {
        input.leaf = c->certs[0];
        input.hints = c->certs + 1;
        input.hint_count = c->is_middle_hinted ? 1 : 0;
        input.authorities = (const struct x509_authority *const *)&c->authority;
        input.authority_count = 1;
        ok = x509_path_verify(&input, &path, &err);
    }
    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    if (ok) {
        assert_int_equal(path.count, 3);
        assert_ptr_equal(path.certs[0], c->certs[0]);
        assert_int_equal(x509_path_until(&path), c->leaf.not_after);
    }
    x509_authority_free(c->authority);
    c->authority = NULL;
    for (unsigned i = 0; i < 3; i++) {
        x509_cert_unrefp(&c->certs[i]);
    }
    return err.cause;
}

static void path_teardown(struct path_case *c)
{
    for (unsigned i = 0; i < 3; i++) {
        EVP_PKEY_free(c->keys[i]);
    }
}

static void leaf_for_servers(struct path_case *c)
{
    c->leaf.extensions[1][1] = "serverAuth";
}
static void leaf_for_anything(struct path_case *c)
{
    c->leaf.extensions[1][1] = "codeSigning,anyExtendedKeyUsage";
}
static void leaf_without_eku(struct path_case *c)
{
    c->leaf.extensions[0][1] = "subjectKeyIdentifier";
    c->leaf.extensions[1][1] = "hash";
}
static void leaf_without_signing(struct path_case *c)
{
    c->leaf.extensions[1][0] = "critical,keyAgreement";
}
static void leaf_is_ca(struct path_case *c)
{
    c->leaf.extensions[0][3] = "basicConstraints";
    c->leaf.extensions[1][3] = "CA:TRUE";
}
static void leaf_by_other_key(struct path_case *c)
{
    c->leaf.signer = c->keys[0];
}
static void leaf_by_other_name(struct path_case *c)
{
    c->leaf.issuer = "nobody";
}
static void leaf_by_sha1(struct path_case *c)
{
    c->leaf.hash = EVP_sha1();
}
static void middle_no_ca(struct path_case *c)
{
    c->middle.extensions[1][0] = "critical,CA:FALSE";
}
static void middle_no_cert_sign(struct path_case *c)
{
    c->middle.extensions[1][1] = "digitalSignature";
}
static void middle_for_servers(struct path_case *c)
{
    c->middle.extensions[1][2] = "serverAuth";
}
static void root_pathlen_zero(struct path_case *c)
{
    c->root.extensions[1][0] = "critical,CA:TRUE,pathlen:0";
}
static void middle_by_other_key(struct path_case *c)
{
    c->middle.signer = c->keys[2];
}
static void middle_excludes(struct path_case *c)
{
    c->middle.extensions[0][3] = "nameConstraints";
    c->middle.extensions[1][3] = "critical,permitted;email:other.test";
}
static void root_excludes(struct path_case *c)
{
    c->root.extensions[0][3] = "nameConstraints";
    c->root.extensions[1][3] = "critical,excluded;email:example.test";
}
static void root_permits(struct path_case *c)
{
    c->root.extensions[0][3] = "nameConstraints";
    c->root.extensions[1][3] = "critical,permitted;email:example.test";
}
static void at_leaf_end(struct path_case *c)
{
    c->times[0] = NOW + 600;
}
static void after_leaf_end(struct path_case *c)
{
    c->times[0] = NOW + 601;
}
static void before_leaf(struct path_case *c)
{
    c->times[0] = NOW - 601;
}
static void second_time_outside(struct path_case *c)
{
    c->times[1] = NOW + 601;
    c->time_count = 2;
}
static void no_time(struct path_case *c)
{
    c->time_count = 0;
}
static void middle_ended(struct path_case *c)
{
    c->middle.not_after = NOW - 1;
}
static void root_ended(struct path_case *c)
{
    c->root.not_after = NOW - 1;
}
static void root_not_begun(struct path_case *c)
{
    c->root.not_before = NOW + 1;
}
static void window_ended(struct path_case *c)
{
    c->end_unix_ms = (int64_t)NOW * 1000 - 1;
}
static void window_ends_now(struct path_case *c)
{
    c->end_unix_ms = (int64_t)NOW * 1000;
}
static void window_not_begun(struct path_case *c)
{
    c->start_unix_ms = (int64_t)NOW * 1000 + 1;
}
static void nothing(struct path_case *c)
{
    assert_int_equal(c->use, X509_USE_CODE_SIGNING);
}
static void stamping(struct path_case *c)
{
    c->use = X509_USE_TIME_STAMPING;
    c->leaf.extensions[1][1] = "critical,timeStamping";
    c->middle.extensions[1][2] = "timeStamping";
}
static void stamping_not_critical(struct path_case *c)
{
    stamping(c);
    c->leaf.extensions[1][1] = "timeStamping";
}
static void stamping_and_more(struct path_case *c)
{
    stamping(c);
    c->leaf.extensions[1][1] = "critical,timeStamping,codeSigning";
}
static void stamping_by_code_signing_ca(struct path_case *c)
{
    stamping(c);
    c->middle.extensions[1][2] = "codeSigning";
}

static const struct {
    void (*change)(struct path_case *c);
    enum gh_cause cause;
} path_rows[] = {
    {nothing, GH_CAUSE_NONE},
    {leaf_for_servers, GH_CERT_USAGE_INVALID},
    {leaf_for_anything, GH_CERT_USAGE_INVALID},
    {leaf_without_eku, GH_CERT_USAGE_INVALID},
    {leaf_without_signing, GH_CERT_USAGE_INVALID},
    {leaf_is_ca, GH_CERT_USAGE_INVALID},
    {leaf_by_other_key, GH_CERT_CHAIN_UNTRUSTED},
    {leaf_by_other_name, GH_CERT_CHAIN_UNTRUSTED},
    {leaf_by_sha1, GH_SIG_ALG_UNSUPPORTED},
    {middle_no_ca, GH_CERT_USAGE_INVALID},
    {middle_no_cert_sign, GH_CERT_USAGE_INVALID},
    {middle_for_servers, GH_CERT_USAGE_INVALID},
    {root_pathlen_zero, GH_CERT_USAGE_INVALID},
    {middle_by_other_key, GH_CERT_CHAIN_UNTRUSTED},
    {middle_excludes, GH_CERT_CHAIN_UNTRUSTED},
    {root_excludes, GH_CERT_CHAIN_UNTRUSTED},
    {root_permits, GH_CAUSE_NONE},
    {at_leaf_end, GH_CAUSE_NONE},
    {after_leaf_end, GH_CERT_NOT_VALID_AT_TIME},
    {before_leaf, GH_CERT_NOT_VALID_AT_TIME},
    {second_time_outside, GH_CERT_NOT_VALID_AT_TIME},
    {no_time, GH_TIME_SOURCE_MISSING},
    {middle_ended, GH_CERT_CA_WINDOW},
    {root_ended, GH_CERT_CA_WINDOW},
    {root_not_begun, GH_CERT_CA_WINDOW},
    {window_ended, GH_CERT_CA_WINDOW},
    {window_ends_now, GH_CAUSE_NONE},
    {window_not_begun, GH_CERT_CA_WINDOW},
    {stamping, GH_CAUSE_NONE},
    {stamping_not_critical, GH_CERT_USAGE_INVALID},
    {stamping_and_more, GH_CERT_USAGE_INVALID},
    {stamping_by_code_signing_ca, GH_CERT_USAGE_INVALID},
};

static void assert_rows(bool is_middle_hinted)
{
    for (size_t i = 0; i < GH_COUNT(path_rows); i++) {
        enum gh_cause wanted = path_rows[i].cause;
        struct path_case c;
        enum gh_cause cause;

        path_setup(&c);
        c.is_middle_hinted = is_middle_hinted;
        path_rows[i].change(&c);
        if (is_middle_hinted && path_rows[i].change == middle_no_ca) {
            wanted = GH_CERT_CHAIN_UNTRUSTED; /* no authority, so no help either */
        }
        cause = path_run(&c, NULL);
        if (cause != wanted) {
            fail_msg("row %zu: %s instead of %s", i, gh_cause_label(cause), gh_cause_label(wanted));
        }
        path_teardown(&c);
    }
}

static void path_verify_trusted_chain_exact_cause(void **state)
{
    assert_rows(false);
}

static void path_verify_hinted_chain_exact_cause(void **state)
{
    assert_rows(true);
}

/* What was proved of one pair of certificates must not be taken for another. */
static void path_verify_memo_holds_facts_only(void **state)
{
    struct memo *memo = NULL;
    struct path_case c;

    assert_true(memo_new(&memo, NULL));
    path_setup(&c);
    c.is_middle_hinted = true;
    assert_int_equal(path_run(&c, memo), GH_CAUSE_NONE);
    assert_int_equal(path_run(&c, memo), GH_CAUSE_NONE);
    middle_by_other_key(&c);
    assert_int_equal(path_run(&c, memo), GH_CERT_CHAIN_UNTRUSTED);
    path_teardown(&c);
    path_setup(&c);
    c.is_middle_hinted = true;
    assert_int_equal(path_run(&c, memo), GH_CAUSE_NONE);
    middle_ended(&c);
    assert_int_equal(path_run(&c, memo), GH_CERT_CA_WINDOW);
    path_teardown(&c);
    memo_free(memo);
}

/* An anchor that is itself an intermediate is trusted for itself. */
static void path_verify_intermediate_anchor_accepted(void **state)
{
    struct x509_authority *authority = NULL;
    struct x509_path path = {0};
    struct x509_cert *leaf;
    struct x509_cert *middle;
    struct path_case c;
    struct x509_path_input input;

    path_setup(&c);
    leaf = make_cert(&c.leaf);
    middle = make_cert(&c.middle);
    assert_true(x509_authority_new(&middle, 1, INT64_MIN, INT64_MAX, &authority, NULL));
    input =
        (struct x509_path_input){.leaf = leaf,
                                 .authorities = (const struct x509_authority *const *)&authority,
                                 .authority_count = 1,
                                 .times_unix_s = c.times,
                                 .time_count = 1,
                                 .use = X509_USE_CODE_SIGNING};
    assert_true(x509_path_verify(&input, &path, NULL));
    assert_int_equal(path.count, 2);
    x509_authority_free(authority);
    x509_cert_unref(leaf);
    x509_cert_unref(middle);
    path_teardown(&c);
}

static void path_verify_too_many_hints_refused(void **state)
{
    struct x509_cert *hints[X509_MAX_HINTS + 1] = {0};
    struct gh_error err = {0};
    int64_t at = NOW;
    struct x509_path path;
    struct path_case c;
    struct x509_path_input input = {
        .hints = hints, .hint_count = X509_MAX_HINTS + 1, .times_unix_s = &at, .time_count = 1};

    path_setup(&c);
    input.leaf = make_cert(&c.leaf);
    assert_false(x509_path_verify(&input, &path, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    x509_cert_unref((struct x509_cert *)input.leaf);
    path_teardown(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_verify_trusted_chain_exact_cause),
        cmocka_unit_test(path_verify_hinted_chain_exact_cause),
        cmocka_unit_test(path_verify_memo_holds_facts_only),
        cmocka_unit_test(path_verify_intermediate_anchor_accepted),
        cmocka_unit_test(path_verify_too_many_hints_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
