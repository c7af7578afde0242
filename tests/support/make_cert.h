/*
 * Certificates made for one test: P-256 keys, any extension in OpenSSL's configuration words.
 * Include after cmocka.h.
 */
#ifndef TESTS_SUPPORT_MAKE_CERT_H
#define TESTS_SUPPORT_MAKE_CERT_H

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "crypto/x509.h"
#include "gatehouse.h"

#define MAKE_CERT_DAY 86400
#define MAKE_CERT_T0 1700000000

struct make_cert {
    const char *subject; /* CN; NULL: empty name */
    const char *issuer;
    EVP_PKEY *key;
    EVP_PKEY *signer;
    int64_t not_before;
    int64_t not_after;
    const EVP_MD *hash;           /* SHA-256 when NULL */
    const char *extensions[2][8]; /* [0]: names ("basicConstraints"), [1]: values */
};

GH_UNUSED static EVP_PKEY *make_cert_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert_non_null(key);
    return key;
}

static void make_cert_name(X509_NAME *name, const char *text)
{
    if (text != NULL) {
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                    (const unsigned char *)text, -1, -1, 0),
                         1);
    }
}

/* DER: free with OPENSSL_free(). */
GH_UNUSED static struct bytes make_cert_der(const struct make_cert *make)
{
    X509 *x509 = X509_new();
    unsigned char *der = NULL;
    int len;

    assert_non_null(x509);
    assert_int_equal(X509_set_version(x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 77), 1);
    make_cert_name(X509_get_subject_name(x509), make->subject);
    make_cert_name(X509_get_issuer_name(x509), make->issuer);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x509), make->not_before));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x509), make->not_after));
    assert_int_equal(X509_set_pubkey(x509, make->key), 1);
    for (size_t i = 0; i < 8 && make->extensions[0][i] != NULL; i++) {
        X509V3_CTX ctx;
        X509_EXTENSION *extension;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
        extension = X509V3_EXT_nconf(NULL, &ctx, make->extensions[0][i], make->extensions[1][i]);
        assert_non_null(extension);
        assert_int_equal(X509_add_ext(x509, extension, -1), 1);
        X509_EXTENSION_free(extension);
    }
    assert_true(X509_sign(x509, make->signer, make->hash != NULL ? make->hash : EVP_sha256()) > 0);
    len = i2d_X509(x509, &der);
    assert_true(len > 0);
    X509_free(x509);
    return bytes_make(der, (size_t)len);
}

GH_UNUSED static struct x509_cert *make_cert(const struct make_cert *make)
{
    struct bytes der = make_cert_der(make);
    struct x509_cert *cert = NULL;
    struct gh_error err = {0};

    if (!x509_cert_parse(der, &cert, &err)) {
        fail_msg("%s", err.text);
    }
    OPENSSL_free((void *)der.data);
    return cert;
}

#endif
