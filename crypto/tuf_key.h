/*
 * Keys of TUF metadata. The algorithm follows from the key's scheme alone, never from a signature.
 *
 * Spec:    TUF 1.0 section 4.2; key types rsa (rsassa-pss-sha256), ed25519, ecdsa and
 *          ecdsa-sha2-nistp256 (ecdsa-sha2-nistp256), ecdsa-sha2-nistp384; public keys as PEM or as
 *          hex (Ed25519: 32 bytes; ECDSA: the uncompressed point)
 * Threads: a key that was read is immutable and may be used from any thread
 */
#ifndef CRYPTO_TUF_KEY_H
#define CRYPTO_TUF_KEY_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"

struct evp_pkey_st; /* OpenSSL */

#define TUF_KEY_ID_DIGITS 64 /* of an id that is the key's hash */
#define TUF_KEY_MAX_ID 128
#define TUF_KEY_MIN_RSA_BITS 2048
#define TUF_KEY_MAX_RSA_BITS 16384
#define TUF_KEY_MAX_SIGNATURE_BYTES 2048

enum tuf_scheme {
    TUF_SCHEME_UNUSABLE = 0, /* unknown, or its key could not be read: counts for nothing */
    TUF_SCHEME_RSA_PSS_SHA256,
    TUF_SCHEME_ED25519,
    TUF_SCHEME_ECDSA_P256,
    TUF_SCHEME_ECDSA_P384
};

struct tuf_key {
    char id[TUF_KEY_MAX_ID + 1];
    enum tuf_scheme scheme;
    struct evp_pkey_st *pkey; /* owned; NULL when unusable */
    struct digest material;   /* SHA-256 of the SPKI: one key under two ids is one key */
    bool is_id_wrong;         /* the id is not the key's hash: unusable */
};

/*
 * Read a key and compare its id with its hash (SHA-256 of the canonical key object with all its
 * members, known or not). A key with another id, of an unknown kind, or damaged, is read as
 * unusable: it counts for nothing, but does not lock us out of a document that does not need it.
 * (Roots 10 and 11 of the public Sigstore repository list one with an id of old.)
 *
 * Gives: *out: tuf_key_done() frees
 * Fails: TRUST_ROOT_MALFORMED (not even the form of a key), TUF_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool tuf_key_read(const char *id, const json_t *object, struct tuf_key *out,
                             struct gh_error *err);
void tuf_key_done(struct tuf_key *key);

/* Whether SIGNATURE (as hex text) of MESSAGE verifies. Anything that goes wrong is a no. */
bool tuf_key_verify(const struct tuf_key *key, struct bytes message, struct bytes signature_hex);

#endif
