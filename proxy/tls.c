#include "proxy/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "metrics/lock.h"

#define TLS_RECORD_BYTES 16384
#define TLS_FILE_BYTES (64u * 1024) /* read from a file at a time */
#define TLS_MAX_CHAIN 10
#define TLS_MAX_CLIENT_CAS 64
#define TLS_TICKET_KEY_BYTES 80 /* name, HMAC key, AES key in OpenSSL 3.0 */

struct tls {
    struct lock lock; /* rank GH_RANK_LIMIT: context */
    SSL_CTX *context;
};

struct tls_next {
    SSL_CTX *context;
    bool keeps_tickets;
};

/* ---- contexts ---- */

static void tls_bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

static void tls_x509_freep(X509 **certificate)
{
    X509_free(*certificate);
}

static void tls_pkey_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void tls_context_freep(SSL_CTX **context)
{
    SSL_CTX_free(*context);
}

static bool tls_fail(struct gh_error *err, const char *what)
{
    char reason[160] = "no reason given";
    unsigned long code = ERR_get_error();

    if (code != 0) {
        ERR_error_string_n(code, reason, sizeof(reason));
    }
    ERR_clear_error();
    return gh_fail(err, GH_INTERNAL_ERROR, "%s: %s", what, reason);
}

static BIO *tls_bio(struct bytes pem)
{
    return pem.len > 0 && pem.len < INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
}

/* An encrypted key would make OpenSSL ask at the terminal. */
static int tls_no_passphrase(char *buffer, int size, int is_writing, void *arg)
{
    return 0;
}

static bool tls_use_certificate(SSL_CTX *context, struct bytes pem, struct gh_error *err)
{
    GH_OWN(tls_bio_freep) BIO *bio = tls_bio(pem);

    if (bio == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the TLS certificate file is empty");
    }
    for (int i = 0; i <= TLS_MAX_CHAIN; i++) {
        GH_OWN(tls_x509_freep)
        X509 *certificate = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);

        if (certificate == NULL) {
            ERR_clear_error(); /* the end of the file */
            return i > 0 ? true
                         : gh_fail(err, GH_INTERNAL_ERROR,
                                   "the TLS certificate file holds no PEM certificate");
        }
        if (i == 0 ? SSL_CTX_use_certificate(context, certificate) != 1
                   : SSL_CTX_add1_chain_cert(context, certificate) != 1) {
            return tls_fail(err, "the TLS certificate cannot be used");
        }
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "the TLS chain is longer than %d certificates",
                   TLS_MAX_CHAIN);
}

static bool tls_use_key(SSL_CTX *context, struct bytes pem, struct gh_error *err)
{
    GH_OWN(tls_bio_freep) BIO *bio = tls_bio(pem);
    GH_OWN(tls_pkey_freep) EVP_PKEY *key = NULL;

    if (bio == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the TLS key file is empty");
    }
    key = PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL);
    if (key == NULL) {
        return tls_fail(err, "the TLS key cannot be read (it must be PEM and not encrypted)");
    }
    if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1) {
        return tls_fail(err, "the TLS key does not belong to the certificate");
    }
    return true;
}

static bool tls_use_client_ca(SSL_CTX *context, const struct tls_config *config,
                              struct gh_error *err)
{
    GH_OWN(tls_bio_freep) BIO *bio = tls_bio(config->client_ca);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    int count = 0;

    if (bio == NULL) {
        return config->requires_client
                   ? gh_fail(err, GH_INTERNAL_ERROR, "client certificates need a client_ca")
                   : true;
    }
    for (;;) {
        GH_OWN(tls_x509_freep)
        X509 *ca = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);

        if (ca == NULL) {
            break;
        }
        if (++count > TLS_MAX_CLIENT_CAS || X509_STORE_add_cert(store, ca) != 1 ||
            SSL_CTX_add_client_CA(context, ca) != 1) {
            return tls_fail(err, "client_ca cannot be used");
        }
    }
    ERR_clear_error();
    if (count == 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "client_ca holds no PEM certificate");
    }
    SSL_CTX_set_verify(
        context, SSL_VERIFY_PEER | (config->requires_client ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    SSL_CTX_set_verify_depth(context, TLS_MAX_CHAIN);
    return true;
}

/* HTTP/1.1 where the client offers a choice that has it; a client that offers others only gets no
 * answer to its offer, and speaks HTTP/1.1 or fails. */
static int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";

    for (unsigned at = 0; at < in_len && in[at] < in_len - at; at += 1u + in[at]) {
        if (in[at] == 8 && memcmp(in + at, ours, 9) == 0) {
            *out = in + at + 1;
            *out_len = 8;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static bool tls_set_protocol(SSL_CTX *context, struct gh_error *err)
{
    static const unsigned char id[] = "gatehouse";

    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, tls_on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(context, 1) != 1 ||
        SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        return tls_fail(err, "TLS cannot be set up");
    }
    return true;
}

static bool tls_make_context(const struct tls_config *config, SSL_CTX **out, struct gh_error *err)
{
    GH_OWN(tls_context_freep) SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    ERR_clear_error();
    if (context == NULL) {
        return tls_fail(err, "no memory for TLS");
    }
    GH_TRY(tls_set_protocol(context, err));
    GH_TRY(tls_use_certificate(context, config->certificate, err));
    GH_TRY(tls_use_key(context, config->key, err));
    GH_TRY(tls_use_client_ca(context, config, err));
    *out = GH_TAKE(context);
    return true;
}

bool tls_new(const struct tls_config *config, struct tls **out, struct gh_error *err)
{
    GH_OWN(tls_freep) struct tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for TLS");
    }
    lock_init(&tls->lock, GH_RANK_LIMIT);
    GH_TRY(tls_make_context(config, &tls->context, err));
    *out = GH_TAKE(tls);
    return true;
}

bool tls_prepare(const struct tls_config *config, struct tls_next **out, struct gh_error *err)
{
    GH_OWN(tls_next_freep) struct tls_next *next = calloc(1, sizeof(*next));

    if (next == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for TLS");
    }
    GH_TRY(tls_make_context(config, &next->context, err));
    next->keeps_tickets = config->client_ca.len == 0;
    *out = GH_TAKE(next);
    return true;
}

void tls_next_free(struct tls_next *next)
{
    if (next != NULL) {
        SSL_CTX_free(next->context);
        free(next);
    }
}

void tls_adopt(struct tls *tls, struct tls_next *next)
{
    unsigned char keys[TLS_TICKET_KEY_BYTES];
    SSL_CTX *old;

    if (next->keeps_tickets &&
        SSL_CTX_get_tlsext_ticket_keys(tls->context, keys, sizeof(keys)) == 1) {
        (void)SSL_CTX_set_tlsext_ticket_keys(next->context, keys, sizeof(keys));
    }
    OPENSSL_cleanse(keys, sizeof(keys));
    ERR_clear_error();
    lock_acquire(&tls->lock);
    old = tls->context;
    tls->context = GH_TAKE(next->context);
    lock_release(&tls->lock);
    SSL_CTX_free(old);
    tls_next_free(next);
}

bool tls_reload(struct tls *tls, const struct tls_config *config, struct gh_error *err)
{
    struct tls_next *next = NULL;

    GH_TRY(tls_prepare(config, &next, err));
    tls_adopt(tls, next);
    return true;
}

struct ssl_ctx_st *tls_context(struct tls *tls)
{
    LOCK_HOLD(&tls->lock);
    return SSL_CTX_up_ref(tls->context) == 1 ? tls->context : NULL;
}

void tls_free(struct tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        lock_done(&tls->lock);
        free(tls);
    }
}

void tls_context_unref(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
}

/* ---- transport ---- */

static ssize_t tls_result(const struct transport *transport, int code)
{
    switch (SSL_get_error(transport->ssl, code)) {
    case SSL_ERROR_WANT_READ:
        return TRANSPORT_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TRANSPORT_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TRANSPORT_END;
    default:
        ERR_clear_error();
        /* After a fatal error OpenSSL forbids any further call, SSL_shutdown() included. */
        SSL_set_quiet_shutdown(transport->ssl, 1);
        return TRANSPORT_LOST;
    }
}

static ssize_t tls_read(struct transport *transport, void *data, size_t len)
{
    size_t total = 0;

    ERR_clear_error();
    /* OpenSSL gives one record at a time; what it holds already does not show at the socket. */
    while (total < len) {
        int got = SSL_read(transport->ssl, (uint8_t *)data + total,
                           (int)GH_MIN(len - total, (size_t)INT32_MAX));

        if (got <= 0) {
            return total > 0 ? (ssize_t)total : tls_result(transport, got);
        }
        total += (size_t)got;
        if (SSL_has_pending(transport->ssl) != 1) {
            break;
        }
    }
    return (ssize_t)total;
}

/*
 * One record at most. OpenSSL wants a record it could not send offered again with at least its
 * length: callers offer the same bytes in the same order, and retry_len keeps the length.
 */
static ssize_t tls_write_record(struct transport *transport, const void *data, size_t len)
{
    int sent;

    if (transport->retry_len > 0) {
        if (len < transport->retry_len) {
            return TRANSPORT_LOST; /* the caller's bytes have changed: nothing sane can follow */
        }
        len = transport->retry_len;
    }
    ERR_clear_error();
    sent = SSL_write(transport->ssl, data, (int)len);
    if (sent > 0) {
        transport->retry_len = 0;
        return sent;
    }
    transport->retry_len = (uint32_t)len;
    return tls_result(transport, sent);
}

static ssize_t tls_writev(struct transport *transport, const struct iovec *iov, int count,
                          bool more)
{
    uint8_t record[TLS_RECORD_BYTES];
    size_t len = 0;

    if (count > 0 && iov[0].iov_len >= sizeof(record)) {
        return tls_write_record(transport, iov[0].iov_base, sizeof(record));
    }
    for (int i = 0; i < count && len < sizeof(record); i++) {
        size_t part = GH_MIN(iov[i].iov_len, sizeof(record) - len);

        memcpy(record + len, iov[i].iov_base, part);
        len += part;
    }
    return tls_write_record(transport, record, len);
}

static ssize_t tls_sendfile(struct transport *transport, int fd, uint64_t offset, size_t len,
                            bool more)
{
    uint8_t block[TLS_FILE_BYTES];
    ssize_t got = pread(fd, block, GH_MIN(len, sizeof(block)), (off_t)offset);
    size_t total = 0;

    if (got <= 0) {
        return got == 0 ? TRANSPORT_END : TRANSPORT_FILE_LOST;
    }
    while (total < (size_t)got) {
        size_t part = GH_MIN((size_t)got - total, (size_t)TLS_RECORD_BYTES);
        ssize_t sent = tls_write_record(transport, block + total, part);

        if (sent <= 0) {
            return total > 0 && sent != TRANSPORT_LOST ? (ssize_t)total : sent;
        }
        total += (size_t)sent;
    }
    return (ssize_t)total;
}

static ssize_t tls_handshake(struct transport *transport)
{
    int code;

    ERR_clear_error();
    code = SSL_accept(transport->ssl);
    return code == 1 ? 1 : tls_result(transport, code);
}

static void tls_shutdown(struct transport *transport)
{
    ERR_clear_error();
    if (transport->retry_len == 0 && SSL_is_init_finished(transport->ssl)) {
        (void)SSL_shutdown(transport->ssl); /* close_notify; its answer is not waited for */
        ERR_clear_error();
    }
}

static void tls_close(struct transport *transport)
{
    if (transport->ssl != NULL) {
        tls_shutdown(transport);
        SSL_free(transport->ssl);
        transport->ssl = NULL;
    }
    if (transport->fd >= 0) {
        (void)close(transport->fd);
        transport->fd = -1;
    }
}

static bool tls_has_pending(const struct transport *transport)
{
    return SSL_has_pending(transport->ssl) == 1;
}

bool tls_init_transport(struct transport *transport, struct ssl_ctx_st *context, int fd)
{
    static const struct transport_ops ops = {
        .read = tls_read,
        .writev = tls_writev,
        .sendfile = tls_sendfile,
        .handshake = tls_handshake,
        .shutdown = tls_shutdown,
        .close = tls_close,
        .has_pending = tls_has_pending,
    };
    SSL *ssl = SSL_new(context);

    SSL_CTX_free(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        (void)close(fd);
        ERR_clear_error();
        return false;
    }
    SSL_set_accept_state(ssl);
    *transport = (struct transport){.ops = &ops, .ssl = ssl, .fd = fd};
    return true;
}

struct x509_st *tls_peer_certificate(const struct transport *transport)
{
    if (transport->ssl == NULL || SSL_get_verify_result(transport->ssl) != X509_V_OK) {
        return NULL;
    }
    return SSL_get0_peer_certificate(transport->ssl);
}

const char *tls_server_name(const struct transport *transport)
{
    return transport->ssl != NULL ? SSL_get_servername(transport->ssl, TLSEXT_NAMETYPE_host_name)
                                  : NULL;
}
