/* TLS on connections, and certificates that are read anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "tests/support/conn_scene.h"

static void make_certificate(struct bytes_buf *certificate_pem, struct bytes_buf *key_pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    long len;
    struct gh_error err = {0};

    assert_non_null(key);
    assert_int_equal(X509_set_version(x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 7), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                                                (const unsigned char *)"client", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x509, X509_get_subject_name(x509)), 1);
    assert_int_equal(X509_set_pubkey(x509, key), 1);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
    len = BIO_get_mem_data(bio, &data);
    assert_true(bytes_dup(bytes_make(data, (size_t)len), certificate_pem, &err));
    (void)BIO_reset(bio);
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    len = BIO_get_mem_data(bio, &data);
    assert_true(bytes_dup(bytes_make(data, (size_t)len), key_pem, &err));
    BIO_free(bio);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static struct tls *make_tls(bool with_client_ca, struct bytes_buf *certificate,
                            struct bytes_buf *key)
{
    struct gh_error err = {0};
    struct tls *tls = NULL;
    struct tls_config config;

    make_certificate(certificate, key);
    config = (struct tls_config){.certificate = bytes_view(certificate),
                                 .key = bytes_view(key),
                                 .client_ca =
                                     with_client_ca ? bytes_view(certificate) : (struct bytes){0}};
    assert_true(tls_new(&config, &tls, &err));
    return tls;
}

static size_t tls_read_all(SSL *ssl, char *out, size_t cap)
{
    size_t len = 0;
    int got;

    while (len < cap && (got = SSL_read(ssl, out + len, (int)(cap - len))) > 0) {
        len += (size_t)got;
    }
    return len;
}

static void conn_tls_file_exact_and_head_answered(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct fixture f;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    char *text = malloc(BLOB_BYTES + 65536);

    fixture_start(&f, make_tls(false, &certificate, &key), 100);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        int fd = client_connect(&f);
        SSL *ssl = SSL_new(context);
        const char *body;
        size_t len;
        int first;

        assert_int_equal(SSL_set_max_proto_version(ssl, version), 1);
        assert_int_equal(SSL_set_fd(ssl, fd), 1);
        assert_int_equal(SSL_connect(ssl), 1);
        assert_int_equal(SSL_version(ssl), version);
        assert_true(SSL_write(ssl, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", 29) > 0);
        first = SSL_read(ssl, text, 4096);
        assert_true(first > 0);
        text[first] = '\0';
        assert_non_null(strstr(text, "Content-Length: 2\r\n"));
        assert_true(
            SSL_write(ssl, "GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 50) > 0);
        len = tls_read_all(ssl, text, BLOB_BYTES + 65536);
        body = memmem(text, len, "\r\n\r\n", 4);
        assert_non_null(body);
        body += 4;
        assert_int_equal(len - (size_t)(body - text), BLOB_BYTES);
        assert_memory_equal(body, f.blob, BLOB_BYTES);
        SSL_free(ssl);
        (void)close(fd);
    }
    SSL_CTX_free(context);
    free(text);
    fixture_stop(&f);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
}

/* One request over TLS with or without a client certificate; empty where the handshake failed. */
static void ask_who(const struct fixture *f, const struct bytes_buf *certificate,
                    const struct bytes_buf *key, char *text, size_t cap)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int fd = client_connect(f);
    size_t len = 0;

    if (certificate != NULL) {
        BIO *certificate_bio = BIO_new_mem_buf(certificate->data, (int)certificate->len);
        BIO *key_bio = BIO_new_mem_buf(key->data, (int)key->len);
        X509 *x509 = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
        EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);

        assert_int_equal(SSL_use_certificate(ssl, x509), 1);
        assert_int_equal(SSL_use_PrivateKey(ssl, pkey), 1);
        X509_free(x509);
        EVP_PKEY_free(pkey);
        BIO_free(certificate_bio);
        BIO_free(key_bio);
    }
    assert_int_equal(SSL_set_tlsext_host_name(ssl, "registry.test"), 1);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (SSL_connect(ssl) == 1 &&
        SSL_write(ssl, "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 49) > 0) {
        len = tls_read_all(ssl, text, cap - 1);
    }
    text[len] = '\0';
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
}

static void conn_tls_client_certificate_known_to_handler(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct bytes_buf stranger = {0};
    struct bytes_buf stranger_key = {0};
    struct fixture f;
    char text[4096];

    fixture_start(&f, make_tls(true, &certificate, &key), 100);
    make_certificate(&stranger, &stranger_key);
    ask_who(&f, &certificate, &key, text, sizeof(text));
    assert_non_null(strstr(text, "/CN=client"));
    assert_non_null(strstr(text, "X-Server: registry.test\r\n"));
    ask_who(&f, NULL, NULL, text, sizeof(text)); /* optional: served, as nobody */
    assert_non_null(strstr(text, "nobody"));
    ask_who(&f, &stranger, &stranger_key, text, sizeof(text));
    assert_string_equal(text, "");
    fixture_stop(&f);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
    bytes_buf_done(&stranger);
    bytes_buf_done(&stranger_key);
}

static void tls_old_version_refused(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct fixture f;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int fd;

    fixture_start(&f, make_tls(false, &certificate, &key), 100);
    fd = client_connect(&f);
    SSL_set_security_level(ssl, 0);
    assert_int_equal(SSL_set_min_proto_version(ssl, TLS1_VERSION), 1);
    assert_int_equal(SSL_set_max_proto_version(ssl, TLS1_1_VERSION), 1);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
    fixture_stop(&f);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
}

static void tls_new_wrong_key_refused(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct bytes_buf other_certificate = {0};
    struct bytes_buf other_key = {0};
    struct gh_error err = {0};
    struct tls *tls = make_tls(false, &certificate, &key);
    struct tls_config config;

    make_certificate(&other_certificate, &other_key);
    config =
        (struct tls_config){.certificate = bytes_view(&certificate), .key = bytes_view(&other_key)};
    assert_false(tls_reload(tls, &config, &err)); /* and the old one stays */
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    gh_error_clear(&err);
    config.certificate = bytes_view(&other_certificate);
    assert_true(tls_reload(tls, &config, &err));
    gh_error_clear(&err);
    config.certificate = BYTES_LITERAL("not a certificate");
    assert_false(tls_reload(tls, &config, &err));
    gh_error_clear(&err);
    config = (struct tls_config){
        .certificate = bytes_view(&certificate), .key = bytes_view(&key), .requires_client = true};
    assert_false(tls_reload(tls, &config, &err));
    tls_free(tls);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
    bytes_buf_done(&other_certificate);
    bytes_buf_done(&other_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conn_tls_file_exact_and_head_answered),
        cmocka_unit_test(conn_tls_client_certificate_known_to_handler),
        cmocka_unit_test(tls_old_version_refused),
        cmocka_unit_test(tls_new_wrong_key_refused),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
