#include "crypto/x509_fulcio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "tests/support/make_cert.h"

#define FULCIO(arc) "1.3.6.1.4.1.57264.1." #arc

static enum gh_cause fulcio_cause(const char *const names[], const char *const values[],
                                  size_t count)
{
    EVP_PKEY *key = make_cert_key();
    struct make_cert make = {"x", "x", key, key, MAKE_CERT_T0, MAKE_CERT_T0 + 1, NULL, {{0}, {0}}};
    struct x509_fulcio fulcio;
    struct gh_error err = {0};
    struct x509_cert *cert;
    bool ok;

    memcpy(make.extensions[0], names, count * sizeof(names[0]));
    memcpy(make.extensions[1], values, count * sizeof(values[0]));
    cert = make_cert(&make);
    ok = x509_fulcio_read(x509_cert_view(cert), &fulcio, &err);
    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    x509_cert_unref(cert);
    EVP_PKEY_free(key);
    return err.cause;
}

static void fulcio_read_rules_enforced(void **state)
{
    static const struct {
        const char *names[3];
        const char *values[3];
        size_t count;
        enum gh_cause cause;
    } rows[] = {
        {{"subjectAltName"}, {"URI:https://a.test/x"}, 1, GH_CAUSE_NONE},
        {{"subjectAltName"}, {"email:a@b.test"}, 1, GH_CAUSE_NONE},
        {{"subjectAltName"}, {"DNS:a.test"}, 1, GH_IDENTITY_MISMATCH},
        {{"subjectAltName"}, {"IP:127.0.0.1"}, 1, GH_IDENTITY_MISMATCH},
        {{"subjectAltName"}, {"email:a@b.test,email:c@d.test"}, 1, GH_IDENTITY_MISMATCH},
        {{"subjectAltName"}, {"DER:30028100"}, 1, GH_IDENTITY_MISMATCH},
        {{"keyUsage"}, {"digitalSignature"}, 1, GH_IDENTITY_MISMATCH},
        {{"subjectAltName"}, {"otherName:" FULCIO(7) ";UTF8:user"}, 1, GH_CAUSE_NONE},
        {{"subjectAltName"}, {"otherName:" FULCIO(7) ";IA5:user"}, 1, GH_CERT_MALFORMED},
        {{"subjectAltName"}, {"otherName:1.2.3.4;UTF8:user"}, 1, GH_IDENTITY_MISMATCH},
        {{"subjectAltName", FULCIO(8)},
         {"email:a@b.test", "ASN1:UTF8String:https://i.test"},
         2,
         GH_CAUSE_NONE},
        {{"subjectAltName", FULCIO(8)}, {"email:a@b.test", "DER:6869"}, 2, GH_CERT_MALFORMED},
        {{"subjectAltName", FULCIO(8)},
         {"email:a@b.test", "ASN1:IA5String:https://i.test"},
         2,
         GH_CERT_MALFORMED},
        {{"subjectAltName", FULCIO(8), FULCIO(1)},
         {"email:a@b.test", "ASN1:UTF8String:hi", "DER:6869"},
         3,
         GH_CAUSE_NONE},
        {{"subjectAltName", FULCIO(8), FULCIO(1)},
         {"email:a@b.test", "ASN1:UTF8String:hi", "DER:6868"},
         3,
         GH_ISSUER_MISMATCH},
        {{"subjectAltName", FULCIO(12)},
         {"email:a@b.test", "DER:0C03610062"},
         2,
         GH_CERT_MALFORMED},
        {{"subjectAltName", FULCIO(6)}, {"email:a@b.test", "DER:FF"}, 2, GH_CERT_MALFORMED},
        {{"subjectAltName", FULCIO(12)}, {"email:a@b.test", "DER:0C016100"}, 2, GH_CERT_MALFORMED},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        enum gh_cause cause = fulcio_cause(rows[i].names, rows[i].values, rows[i].count);

        if (cause != rows[i].cause) {
            fail_msg("row %zu: %s", i, gh_cause_label(cause));
        }
    }
}

static void fulcio_claim_values_decided_by_oid(void **state)
{
    EVP_PKEY *key = make_cert_key();
    struct make_cert make = {
        "x",
        "x",
        key,
        key,
        MAKE_CERT_T0,
        MAKE_CERT_T0 + 1,
        NULL,
        {{"subjectAltName", FULCIO(6), FULCIO(12), FULCIO(1)},
         {"email:a@b.test", "DER:0C0161", "ASN1:UTF8String:https://r.test", "DER:6869"}}};
    struct x509_cert *cert = make_cert(&make);
    struct x509_fulcio fulcio;

    assert_true(x509_fulcio_read(x509_cert_view(cert), &fulcio, NULL));
    /* .6 is raw: that it looks like a DER string does not make it one. */
    assert_true(
        bytes_equal(x509_fulcio_claim(&fulcio, "github_workflow_ref"), BYTES_LITERAL("\x0c\x01"
                                                                                     "a")));
    assert_true(
        bytes_equal_cstr(x509_fulcio_claim(&fulcio, "source_repository_uri"), "https://r.test"));
    assert_true(bytes_equal_cstr(x509_fulcio_claim(&fulcio, "issuer"), "hi"));
    assert_null(x509_fulcio_claim(&fulcio, "build_trigger").data);
    assert_null(x509_fulcio_claim(&fulcio, "no_such_claim").data);
    assert_int_equal(x509_fulcio_claim_arc("no_such_claim"), 0);
    assert_string_equal(x509_fulcio_claim_name(24), "token_subject");
    assert_null(x509_fulcio_claim_name(7));
    x509_cert_unref(cert);
    EVP_PKEY_free(key);
}

static void fulcio_claim_every_arc_named(void **state)
{
    for (unsigned arc = 2; arc <= X509_FULCIO_MAX_ARC; arc++) {
        const char *name = x509_fulcio_claim_name(arc);

        assert_int_equal(name == NULL, arc == 7);
        if (name != NULL) {
            assert_int_equal(x509_fulcio_claim_arc(name), arc);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fulcio_read_rules_enforced),
        cmocka_unit_test(fulcio_claim_values_decided_by_oid),
        cmocka_unit_test(fulcio_claim_every_arc_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
