/*
 * Distinguished names as identities: what a policy writes and what a certificate's subject says, as
 * the same list of types and values. The public part is in crypto/notation.h.
 *
 * Spec: RFC 4514; notaryproject/specifications, trust-store-trust-policy.md, "Trusted identities"
 */
#ifndef CRYPTO_NOTATION_DN_H
#define CRYPTO_NOTATION_DN_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct notation_dn;

#define NOTATION_DN_MAX_RDNS 32

/*
 * Read the subject of a certificate. A subject that no identity can match for sure (a type twice,
 * several values in one RDN, a string type that is not read) still reads and then matches nothing.
 *
 * Takes: name: DER of a Name; borrowed for the call
 * Gives: *out: new, notation_dn_free()
 * Fails: CERT_MALFORMED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool notation_dn_read(struct bytes name, struct notation_dn **out, struct gh_error *err);

/* Whether every type and value of IDENTITY is in SUBJECT. */
bool notation_dn_matches(const struct notation_dn *identity, const struct notation_dn *subject);
/* A signing-profile ARN instead of a name. */
bool notation_dn_is_profile(const struct notation_dn *dn);

#endif
