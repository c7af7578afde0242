/*
 * Public keys, and the table of signature algorithms that are accepted. A key is recognised by its
 * exact DER form: named curves only, uncompressed points, rsaEncryption, Ed25519.
 *
 * Spec: verification.md section 3.1; RFC 5280 SubjectPublicKeyInfo, RFC 5480, RFC 8410
 */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;
struct evp_pkey_st;

#define KEY_MAX_SPKI_BYTES 4096
#define KEY_MAX_PEM_BYTES 16384
#define KEY_MAX_SIGNATURE_BYTES 1024 /* RSA 4096 needs 512; weak larger ones are refused anyway */

enum key_type { KEY_TYPE_P256 = 1, KEY_TYPE_P384, KEY_TYPE_P521, KEY_TYPE_RSA, KEY_TYPE_ED25519 };

enum key_scheme {
    KEY_SCHEME_ECDSA = 1, /* strict DER of r and s */
    KEY_SCHEME_ECDSA_RAW, /* r and s side by side, each as long as the curve's field (JOSE, COSE) */
    KEY_SCHEME_RSA_PKCS1, /* RSASSA-PKCS1-v1_5 */
    KEY_SCHEME_RSA_PSS,   /* MGF1 with the same hash, salt as long as the hash */
    KEY_SCHEME_ED25519,   /* pure; the digest algorithm is not used */
    KEY_SCHEME_ED25519_PH, /* Ed25519ph over SHA-512; the digest algorithm is not used */
};

struct key;

/*
 * Read one PEM block, `PUBLIC KEY` or `RSA PUBLIC KEY`, with nothing but white space around it.
 *
 * Gives: *out: new, caller frees with key_free()
 * Fails: SIG_MALFORMED, SIG_ALG_UNSUPPORTED (algorithm or curve not accepted), INTERNAL_ERROR
 */
GH_CHECKED bool key_parse_pem(struct bytes pem, struct key **out, struct gh_error *err);
/* As key_parse_pem(), from the DER of a SubjectPublicKeyInfo. */
GH_CHECKED bool key_parse_spki(struct bytes der, struct key **out, struct gh_error *err);
/* As key_parse_pem(), from OpenSSL's form (borrowed for the call). */
GH_CHECKED bool key_from_evp(struct evp_pkey_st *evp, struct key **out, struct gh_error *err);
void key_free(struct key *key);
GH_DEFINE_FREEP(key, struct key)

enum key_type key_type(const struct key *key);
/* "ECDSA P-256", "RSA 2048", … into OUT for people. */
void key_describe(const struct key *key, char *out, size_t size);
unsigned key_bits(const struct key *key);
/* RSA of another size than 2048, 3072 or 4096 or with an exponent under 65537. Such a key parses,
 * so that it can be warned about, but verifies nothing: KEY_WEAK. */
bool key_is_weak(const struct key *key);
/* DER of the SubjectPublicKeyInfo; borrowed. */
struct bytes key_spki(const struct key *key);
/* SHA-256 of the SubjectPublicKeyInfo; borrowed. */
const struct digest *key_fingerprint(const struct key *key);
bool key_equal(const struct key *a, const struct key *b);
/* The hash of the curve's own strength; SHA-256 for RSA, SHA-512 for Ed25519. */
enum digest_alg key_own_digest(const struct key *key);
/* ECDSA, PKCS#1 v1.5 or pure Ed25519, by the key's type. */
enum key_scheme key_default_scheme(const struct key *key);

/*
 * Check SIGNATURE over MESSAGE.
 *
 * Spec:    SEC 1, RFC 8017, RFC 8032
 * Takes:   all borrowed for the call
 * Fails:   SIG_INVALID; SIG_ALG_MISMATCH where the scheme is not one of the key's type; KEY_WEAK;
 *          INTERNAL_ERROR
 * Threads: any; a key is immutable
 */
GH_CHECKED bool key_verify(const struct key *key, enum key_scheme scheme, enum digest_alg alg,
                           struct bytes message, struct bytes signature, struct gh_error *err);

/* As key_verify(), of a message that was hashed before; not for Ed25519, which signs messages
 * (SIG_ALG_MISMATCH). */
GH_CHECKED bool key_verify_digest(const struct key *key, enum key_scheme scheme,
                                  const struct digest *digest, struct bytes signature,
                                  struct gh_error *err);

#endif
