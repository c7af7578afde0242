/*
 * A notation certificate chain whose form has been proved: complete, in order, each certificate
 * signed by the next, usages as the specification wants them. Trust and time are not part of it, so
 * a chain holds for good once it was read and can be remembered.
 *
 * Spec:    notaryproject/specifications, signature-specification.md, "Certificate Requirements"
 * Threads: immutable; references are counted with atomics
 */
#ifndef CRYPTO_NOTATION_CHAIN_H
#define CRYPTO_NOTATION_CHAIN_H

#include "crypto/digest.h"
#include "crypto/evidence.h"
#include "crypto/key.h"
#include "crypto/notation_envelope.h"
#include "gatehouse.h"

struct gh_error;
struct notation_dn;
struct x509_cert;

struct notation_chain {
    struct digest name; /* of all certificates, as notation_chain_name() gives it */
    struct x509_cert *certs[NOTATION_MAX_CHAIN]; /* leaf first */
    size_t count;
    struct notation_dn *subject;                /* of the leaf */
    char signer_text[EVIDENCE_MAX_SIGNER_TEXT]; /* its subject, for people */
    struct digest authority;                    /* of issuer and subject of the leaf */
    enum notation_alg alg;                      /* the one algorithm the leaf's key may sign with */
    enum key_scheme scheme;
    enum digest_alg digest;
    int64_t not_before_unix_s; /* all certificates are valid from here … */
    int64_t not_after_unix_s;  /* … to here, both included */
    int references;
};

/* The name of a chain: SHA-256 over its certificates, each behind its length.
 * Fails: INTERNAL_ERROR. */
GH_CHECKED bool notation_chain_name(const struct bytes *ders, size_t count, struct digest *out,
                                    struct gh_error *err);

/*
 * Read a chain, leaf first, and prove its form.
 *
 * Takes: ders: borrowed for the call
 * Gives: *out: new with one reference
 * Fails: NOTATION_CHAIN_INVALID, CERT_MALFORMED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool notation_chain_read(const struct bytes *ders, size_t count,
                                    const struct digest *name, struct notation_chain **out,
                                    struct gh_error *err);
struct notation_chain *notation_chain_ref(struct notation_chain *chain);
void notation_chain_unref(struct notation_chain *chain);
GH_UNUSED static inline void notation_chain_unrefp(struct notation_chain **chain)
{
    notation_chain_unref(*chain);
    *chain = NULL;
}

#endif
