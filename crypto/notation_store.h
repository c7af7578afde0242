/*
 * What the verifier reads from a trust store; building one is in crypto/notation.h.
 */
#ifndef CRYPTO_NOTATION_STORE_H
#define CRYPTO_NOTATION_STORE_H

#include "crypto/notation.h"
#include "crypto/tsa.h"

struct crl;
struct notation_chain;
struct x509_cert;

/* Whether the store of KIND holds exactly this certificate. */
bool notation_store_has(const struct notation_store *store, enum notation_store_kind kind,
                        const struct x509_cert *cert);
/* The lists loaded from files. Borrowed. */
const struct crl *const *notation_store_crls(const struct notation_store *store, size_t *count);
/* The time stamp authorities. Borrowed. */
const struct tsa_trust *notation_store_tsa(const struct notation_store *store);

/*
 * Chains that were read and led to a certificate of the store are remembered, so that neither their
 * certificates nor the links between them are worked on again. Only such chains: others would let a
 * stranger push the good ones out.
 *
 * Gives:   a reference, or NULL
 * Threads: any; synchronised by one lock that is held for a table look-up only and under which
 *          nothing else is called
 */
struct notation_chain *notation_store_find_chain(const struct notation_store *store,
                                                 const struct digest *name);
void notation_store_keep_chain(const struct notation_store *store, struct notation_chain *chain);

#endif
