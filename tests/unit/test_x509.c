#include "crypto/x509.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/log_case.h"
#include "tests/support/make_cert.h"

static struct make_cert cert_make(EVP_PKEY *key)
{
    return (struct make_cert){"leaf",       "leaf",
                              key,          key,
                              MAKE_CERT_T0, MAKE_CERT_T0 + 60,
                              NULL,         {{"keyUsage"}, {"critical,digitalSignature"}}};
}

static enum gh_cause cert_cause(const struct make_cert *make)
{
    struct bytes der = make_cert_der(make);
    struct gh_error err = {0};
    struct x509_view view;
    bool ok = x509_view_read(der, &view, &err);

    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    OPENSSL_free((void *)der.data);
    return err.cause;
}

static void x509_view_read_fields_given(void **state)
{
    EVP_PKEY *key = make_cert_key();
    struct make_cert make = cert_make(key);
    struct x509_cert *cert;
    const struct x509_view *view;
    char name[32];

    make.extensions[0][1] = "extendedKeyUsage";
    make.extensions[1][1] = "critical,timeStamping,1.2.3.4";
    make.extensions[0][2] = "subjectAltName";
    make.extensions[1][2] = "URI:https://a.test/x,email:a@b.test,DNS:c.test,IP:127.0.0.1";
    make.extensions[0][3] = "basicConstraints";
    make.extensions[1][3] = "CA:TRUE,pathlen:3";
    cert = make_cert(&make);
    view = x509_cert_view(cert);
    assert_true(view->not_before_unix_s == MAKE_CERT_T0);
    assert_true(view->not_after_unix_s == MAKE_CERT_T0 + 60);
    assert_int_equal(view->key_usage, X509_KU_DIGITAL_SIGNATURE);
    assert_true(view->is_ext_key_usage_critical);
    assert_int_equal(view->ext_key_usage, X509_EKU_TIME_STAMPING | X509_EKU_OTHER);
    assert_int_equal(view->ext_key_usage_count, 2);
    assert_int_equal(view->san_count, 4);
    assert_int_equal(view->sans[0].kind, X509_SAN_URI);
    assert_true(bytes_equal_cstr(view->sans[0].value, "https://a.test/x"));
    assert_int_equal(view->sans[3].kind, X509_SAN_IP);
    assert_true(view->is_ca);
    assert_int_equal(view->path_len, 3);
    assert_true(x509_cert_is_self_issued(cert));
    assert_true(x509_check_signed(view, x509_cert_key(cert), NULL));
    x509_name_describe(view->subject, name, sizeof(name));
    assert_string_equal(name, "CN=leaf");
    x509_cert_unref(cert);
    EVP_PKEY_free(key);
}

static void x509_view_read_extension_rules_enforced(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        enum gh_cause cause;
    } rows[] = {
        {"1.2.3.4", "critical,DER:0500", GH_CERT_MALFORMED},
        {"1.2.3.4", "DER:0500", GH_CAUSE_NONE},
        {"1.3.6.1.4.1.11129.2.4.3", "critical,DER:0500", GH_CERT_MALFORMED}, /* a precertificate */
        {"keyUsage", "digitalSignature", GH_CERT_MALFORMED},                 /* twice */
        {"basicConstraints", "DER:300003", GH_CERT_MALFORMED},
        {"basicConstraints", "DER:3003020100", GH_CERT_MALFORMED}, /* pathlen of no CA */
        {"basicConstraints", "DER:300402020001", GH_CERT_MALFORMED},
        {"extendedKeyUsage", "DER:3000", GH_CERT_MALFORMED},
        {"subjectAltName", "DER:3000", GH_CERT_MALFORMED},
        {"subjectAltName", "DER:30058103610062", GH_CERT_MALFORMED}, /* NUL in an address */
        {"subjectAltName", "DER:3003810161", GH_CAUSE_NONE},
        {"subjectAltName", "DER:30030201FF", GH_CERT_MALFORMED},
        {"certificatePolicies", "critical,DER:30053003060155", GH_CAUSE_NONE},
        {"policyConstraints", "critical,requireExplicitPolicy:0", GH_CERT_MALFORMED},
    };
    EVP_PKEY *key = make_cert_key();

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct make_cert make = cert_make(key);
        enum gh_cause cause;

        make.extensions[0][1] = rows[i].name;
        make.extensions[1][1] = rows[i].value;
        cause = cert_cause(&make);
        if (cause != rows[i].cause) {
            fail_msg("row %zu: %s", i, gh_cause_label(cause));
        }
    }
    EVP_PKEY_free(key);
}

/* Cut anywhere, or with one byte more, it is no certificate. */
static void x509_view_read_other_length_refused(void **state)
{
    EVP_PKEY *key = make_cert_key();
    struct make_cert make = cert_make(key);
    struct bytes der = make_cert_der(&make);
    uint8_t *longer = calloc(1, der.len + 1);
    struct gh_error err = {0};
    struct x509_view view;

    assert_non_null(longer);
    memcpy(longer, der.data, der.len);
    assert_true(x509_view_read(bytes_make(longer, der.len), &view, NULL));
    assert_false(x509_view_read(bytes_make(longer, der.len + 1), &view, &err));
    assert_int_equal(err.cause, GH_CERT_MALFORMED);
    for (size_t len = 0; len < der.len; len++) {
        gh_error_clear(&err);
        assert_false(x509_view_read(bytes_make(longer, len), &view, &err));
        assert_int_equal(err.cause, GH_CERT_MALFORMED);
    }
    free(longer);
    OPENSSL_free((void *)der.data);
    EVP_PKEY_free(key);
}

static void x509_cert_parse_pem_public_key_refused(void **state)
{
    static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwr\n"
                              "kBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==\n"
                              "-----END PUBLIC KEY-----\n";
    struct x509_cert *cert = NULL;
    struct gh_error err = {0};

    assert_false(x509_cert_parse_pem(bytes_of(pem), &cert, &err));
    assert_int_equal(err.cause, GH_CERT_MALFORMED);
    assert_null(cert);
}

static void x509_cert_parse_pem_more_than_one_refused(void **state)
{
    struct x509_cert *certs[2] = {0};
    struct gh_error err = {0};
    struct bytes pem = {0};
    char twice[16384];
    size_t count = 0;
    struct log_case c;

    log_case_open(&c, "github-legacy.json", "trusted_root.json");
    assert_true(sjson_get_string(json_object_get(c.doc, "annotations"),
                                 "dev.sigstore.cosign/certificate", &pem, NULL));
    (void)snprintf(twice, sizeof(twice), "%.*s\n%.*s", (int)pem.len, (const char *)pem.data,
                   (int)pem.len, (const char *)pem.data);
    assert_false(x509_cert_parse_pem(bytes_of(twice), &certs[0], &err));
    assert_int_equal(err.cause, GH_CERT_MALFORMED);
    assert_true(x509_cert_parse_pem_chain(bytes_of(twice), 2, certs, &count, NULL));
    assert_int_equal(count, 2);
    assert_true(x509_cert_equal(certs[0], certs[1]));
    x509_cert_unrefp(&certs[0]);
    x509_cert_unrefp(&certs[1]);
    gh_error_clear(&err);
    assert_false(x509_cert_parse_pem_chain(bytes_of(twice), 1, certs, &count, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    assert_null(certs[0]);
    log_case_done(&c);
}

static void x509_view_read_size_limited(void **state)
{
    static uint8_t big[X509_MAX_CERT_BYTES + 1];
    struct gh_error err = {0};
    struct x509_view view;

    assert_false(x509_view_read(bytes_make(big, sizeof(big)), &view, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    assert_false(x509_view_read(bytes_make(big, sizeof(big) - 1), &view, &err));
    assert_int_equal(err.cause, GH_CERT_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x509_view_read_fields_given),
        cmocka_unit_test(x509_view_read_extension_rules_enforced),
        cmocka_unit_test(x509_view_read_other_length_refused),
        cmocka_unit_test(x509_cert_parse_pem_public_key_refused),
        cmocka_unit_test(x509_cert_parse_pem_more_than_one_refused),
        cmocka_unit_test(x509_view_read_size_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
