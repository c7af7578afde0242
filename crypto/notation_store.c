#include "crypto/notation_store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crl.h"
#include "crypto/key.h"
#include "crypto/memo.h"
#include "crypto/notation_chain.h"
#include "crypto/x509.h"
#include "metrics/error.h"

#define NOTATION_STORE_CHAINS 256 /* remembered; a power of two */
#define NOTATION_STORE_WAYS 4

struct notation_store_part {
    struct x509_cert *certs[NOTATION_MAX_STORE_CERTIFICATES];
    size_t count;
};

struct notation_store {
    struct notation_store_part parts[NOTATION_STORE_KINDS];
    struct crl *crls[NOTATION_MAX_STORE_CRLS];
    size_t crl_count;
    struct x509_authority *authorities[NOTATION_MAX_STORE_CERTIFICATES]; /* of the tsa part */
    struct tsa_authority tsa[NOTATION_MAX_STORE_CERTIFICATES];
    struct tsa_trust tsa_trust;
    struct memo *memo;
    pthread_mutex_t lock; /* the innermost: nothing is called under it */
    struct notation_chain *chains[NOTATION_STORE_CHAINS];
    unsigned next_way;
};

bool notation_store_new(struct notation_store **out, struct gh_error *err)
{
    struct notation_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a trust store");
    }
    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store);
        return gh_fail(err, GH_INTERNAL_ERROR, "no lock for a trust store");
    }
    if (!memo_new(&store->memo, err)) {
        notation_store_free(store);
        return false;
    }
    store->tsa_trust = (struct tsa_trust){
        .items = store->tsa,
        .is_ess_v2_required = true,
        .is_embedded_required = true,
        .memo = store->memo,
    };
    *out = store;
    return true;
}

void notation_store_free(struct notation_store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t kind = 0; kind < NOTATION_STORE_KINDS; kind++) {
        for (size_t i = 0; i < store->parts[kind].count; i++) {
            x509_cert_unref(store->parts[kind].certs[i]);
        }
    }
    for (size_t i = 0; i < store->tsa_trust.count; i++) {
        x509_authority_free(store->authorities[i]);
    }
    for (size_t i = 0; i < store->crl_count; i++) {
        crl_free(store->crls[i]);
    }
    for (size_t i = 0; i < NOTATION_STORE_CHAINS; i++) {
        notation_chain_unref(store->chains[i]);
    }
    memo_free(store->memo);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static bool notation_store_add_tsa(struct notation_store *store, struct x509_cert *cert,
                                   struct gh_error *err)
{
    size_t at = store->tsa_trust.count;

    GH_TRY(x509_authority_new(&cert, 1, INT64_MIN, INT64_MAX, &store->authorities[at], err));
    store->tsa[at].authority = store->authorities[at];
    store->tsa[at].leaf = NULL;
    store->tsa[at].operator_id = *x509_cert_fingerprint(cert);
    store->tsa_trust.count++;
    return true;
}

/* Takes: cert: taken, also on failure. */
static bool notation_store_add_cert(struct notation_store *store, enum notation_store_kind kind,
                                    struct x509_cert *cert, struct gh_error *err)
{
    struct notation_store_part *part = &store->parts[kind];
    GH_OWN(x509_cert_unrefp) struct x509_cert *owned = cert;
    const struct x509_view *view = x509_cert_view(cert);
    bool is_self_signed =
        x509_cert_is_self_issued(cert) && x509_check_signed(view, x509_cert_key(cert), NULL);

    if (notation_store_has(store, kind, cert)) {
        return true;
    }
    if (key_is_weak(x509_cert_key(cert))) {
        return gh_fail(err, GH_KEY_WEAK, "a certificate of the trust store has a weak key");
    }
    if (!is_self_signed && (kind == NOTATION_STORE_TSA || !view->is_ca)) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "a certificate of the trust store is not self-signed%s",
                       kind == NOTATION_STORE_TSA ? "" : " and no authority");
    }
    if (part->count == NOTATION_MAX_STORE_CERTIFICATES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a trust store of more than %d certificates",
                       NOTATION_MAX_STORE_CERTIFICATES);
    }
    if (kind == NOTATION_STORE_TSA) {
        GH_TRY(notation_store_add_tsa(store, cert, err));
    }
    part->certs[part->count++] = GH_TAKE(owned);
    return true;
}

/* What cannot be read as a certificate makes the trust store malformed. */
static bool notation_store_recast(struct gh_error *err)
{
    if (err != NULL &&
        (err->cause == GH_CERT_MALFORMED || err->cause == GH_SIG_MALFORMED ||
         err->cause == GH_SIG_ALG_UNSUPPORTED || err->cause == GH_CERT_CHAIN_UNTRUSTED)) {
        err->cause = GH_TRUST_ROOT_MALFORMED;
    }
    return false;
}

static bool notation_store_add_pem(struct notation_store *store, enum notation_store_kind kind,
                                   struct bytes file, struct gh_error *err)
{
    bytes_skip_space(&file);
    while (file.len > 0) {
        struct bytes label;
        struct bytes_buf der;
        struct x509_cert *cert = NULL;
        bool is_read;

        GH_TRY(bytes_pem_next(&file, &label, &der, err));
        is_read = bytes_equal_cstr(label, "CERTIFICATE")
                      ? x509_cert_parse(bytes_view(&der), &cert, err)
                      : gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                                "a PEM block that is no CERTIFICATE in the trust store");
        bytes_buf_done(&der);
        GH_TRY(is_read);
        GH_TRY(notation_store_add_cert(store, kind, cert, err));
        bytes_skip_space(&file);
    }
    return true;
}

bool notation_store_add(struct notation_store *store, enum notation_store_kind kind,
                        struct bytes file, struct gh_error *err)
{
    struct bytes start = file;
    struct x509_cert *cert = NULL;

    bytes_skip_space(&start);
    if (start.len == 0) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "a file of the trust store is empty");
    }
    if (bytes_starts_with(start, BYTES_LITERAL("-----BEGIN "))) {
        return notation_store_add_pem(store, kind, file, err) || notation_store_recast(err);
    }
    return (x509_cert_parse(file, &cert, err) && notation_store_add_cert(store, kind, cert, err)) ||
           notation_store_recast(err);
}

bool notation_store_add_crl(struct notation_store *store, struct bytes file, struct gh_error *err)
{
    struct bytes start = file;
    struct bytes_buf pem = {0};
    struct crl *crl = NULL;
    bool is_read;

    if (store->crl_count == NOTATION_MAX_STORE_CRLS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a trust store of more than %d lists",
                       NOTATION_MAX_STORE_CRLS);
    }
    bytes_skip_space(&start);
    if (bytes_starts_with(start, BYTES_LITERAL("-----BEGIN "))) {
        struct bytes label;

        if (!bytes_pem_next(&start, &label, &pem, err)) {
            return gh_recast(err, GH_CRL_INVALID);
        }
        bytes_skip_space(&start);
        if (start.len > 0 || !bytes_equal_cstr(label, "X509 CRL")) {
            bytes_buf_done(&pem);
            return gh_fail(err, GH_CRL_INVALID, "wanted one PEM block labelled X509 CRL");
        }
        file = bytes_view(&pem);
    }
    is_read = crl_parse(file, &crl, err);
    bytes_buf_done(&pem);
    GH_TRY(is_read);
    store->crls[store->crl_count++] = crl;
    return true;
}

size_t notation_store_count(const struct notation_store *store, enum notation_store_kind kind)
{
    return store->parts[kind].count;
}

int64_t notation_store_end(const struct notation_store *store)
{
    int64_t first = INT64_MAX;

    for (size_t kind = 0; kind < NOTATION_STORE_KINDS; kind++) {
        for (size_t i = 0; i < store->parts[kind].count; i++) {
            const struct x509_view *view = x509_cert_view(store->parts[kind].certs[i]);

            first = GH_MIN(first, view->not_after_unix_s);
        }
    }
    return first;
}

int64_t notation_store_lists_end(const struct notation_store *store)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < store->crl_count; i++) {
        first = GH_MIN(first, crl_next_update(store->crls[i]));
    }
    return first;
}

bool notation_store_has(const struct notation_store *store, enum notation_store_kind kind,
                        const struct x509_cert *cert)
{
    const struct notation_store_part *part = &store->parts[kind];

    for (size_t i = 0; i < part->count; i++) {
        if (x509_cert_equal(part->certs[i], cert)) {
            return true;
        }
    }
    return false;
}

const struct crl *const *notation_store_crls(const struct notation_store *store, size_t *count)
{
    *count = store->crl_count;
    return (const struct crl *const *)store->crls;
}

const struct tsa_trust *notation_store_tsa(const struct notation_store *store)
{
    return &store->tsa_trust;
}

/* First slot of the few a chain may lie in. */
static size_t notation_store_slot(const struct digest *name)
{
    size_t index = (size_t)name->value[0] << 8 | name->value[1];

    return index % (NOTATION_STORE_CHAINS / NOTATION_STORE_WAYS) * NOTATION_STORE_WAYS;
}

/* The memory is no part of the store's meaning, so a store handed out as const still remembers. */
static struct notation_store *notation_store_writable(const struct notation_store *store)
{
    return (struct notation_store *)store;
}

struct notation_chain *notation_store_find_chain(const struct notation_store *store,
                                                 const struct digest *name)
{
    struct notation_store *own = notation_store_writable(store);
    size_t slot = notation_store_slot(name);
    struct notation_chain *found = NULL;

    pthread_mutex_lock(&own->lock);
    for (size_t i = slot; i < slot + NOTATION_STORE_WAYS && found == NULL; i++) {
        if (own->chains[i] != NULL && digest_equal(&own->chains[i]->name, name)) {
            found = notation_chain_ref(own->chains[i]);
        }
    }
    pthread_mutex_unlock(&own->lock);
    return found;
}

void notation_store_keep_chain(const struct notation_store *store, struct notation_chain *chain)
{
    struct notation_store *own = notation_store_writable(store);
    size_t slot = notation_store_slot(&chain->name);
    struct notation_chain *old = notation_chain_ref(chain);
    size_t way = SIZE_MAX;

    pthread_mutex_lock(&own->lock);
    for (size_t i = slot; i < slot + NOTATION_STORE_WAYS; i++) {
        if (own->chains[i] == NULL || digest_equal(&own->chains[i]->name, &chain->name)) {
            way = i;
            break;
        }
    }
    if (way == SIZE_MAX) {
        way = slot + own->next_way++ % NOTATION_STORE_WAYS;
    }
    {
        struct notation_chain *swap = own->chains[way];

        own->chains[way] = old;
        old = swap;
    }
    pthread_mutex_unlock(&own->lock);
    notation_chain_unref(old); /* outside the lock: it may free certificates */
}
