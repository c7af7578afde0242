/*
 * TLS for listeners: contexts made from files' bytes, and the TLS half of the transport table.
 *
 * TLS 1.2 and 1.3 only, no renegotiation, no compression, HTTP/1.1 by ALPN. Sessions are resumed by
 * tickets alone; the context, and so the ticket key, is shared by all workers.
 *
 * Threads: tls_new() and tls_free(): before and after all others; tls_prepare(), tls_adopt(),
 *          tls_reload() and tls_context(): any, a lock of rank GH_RANK_LIMIT; the rest: the worker
 *          the connection lives on
 */
#ifndef PROXY_TLS_H
#define PROXY_TLS_H

#include "crypto/bytes.h"
#include "proxy/transport.h"

struct ssl_ctx_st;
struct tls;
struct tls_next;

struct tls_config {
    struct bytes certificate; /* PEM: leaf first, then its chain */
    struct bytes key;         /* PEM, unencrypted */
    struct bytes client_ca;   /* PEM, may be empty: clients are not asked for a certificate */
    bool requires_client;     /* refuse the handshake without a client certificate */
};

/*
 * Takes: config: borrowed for the call
 * Gives: *out: new, caller frees with tls_free()
 * Fails: INTERNAL_ERROR (the file readers above it know the better cause)
 */
GH_CHECKED bool tls_new(const struct tls_config *config, struct tls **out, struct gh_error *err);
/*
 * Make ready what new files say, and swap it in later: connections under way keep theirs. Without
 * client_ca the ticket key stays, so that sessions go on; with it, a ticket would carry a client
 * past a CA that is no longer trusted, so it changes.
 *
 * Gives: *out: new, tls_adopt() takes it, or tls_next_free()
 * Fails: as tls_new()
 */
GH_CHECKED bool tls_prepare(const struct tls_config *config, struct tls_next **out,
                            struct gh_error *err);
void tls_adopt(struct tls *tls, struct tls_next *next);
void tls_next_free(struct tls_next *next);
GH_DEFINE_FREEP(tls_next, struct tls_next)
/* Both at once; on failure the old ones stay. */
GH_CHECKED bool tls_reload(struct tls *tls, const struct tls_config *config, struct gh_error *err);
/* A reference to the current context; conn_arrival takes it. */
struct ssl_ctx_st *tls_context(struct tls *tls);
void tls_free(struct tls *tls);
GH_DEFINE_FREEP(tls, struct tls)

/* Give back a reference of tls_context(). Threads: any. */
void tls_context_unref(struct ssl_ctx_st *context);

/* Takes: context: taken; fd: taken, also on failure. False when memory is out. */
GH_CHECKED bool tls_init_transport(struct transport *transport, struct ssl_ctx_st *context, int fd);

/* The verified client certificate, NULL without (and on plain connections). Borrowed. */
struct x509_st *tls_peer_certificate(const struct transport *transport);
const char *tls_server_name(const struct transport *transport);

#endif
