/*
 * Signatures checked with a signer's own keys: which of them made it, and whether that key may have
 * been used when it was made.
 *
 * Spec:    verification.md sections 2.2 step 5, 2.4 step 7, 3.1; interface.md ("A key's hash is
 *          SHA-256 or its curve's own")
 * Threads: any; no shared state
 */
#ifndef CRYPTO_KEYED_H
#define CRYPTO_KEYED_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "crypto/signer.h"
#include "gatehouse.h"

struct gh_error;

/* What was signed. */
struct keyed_message {
    struct bytes bytes;   /* data NULL where only the digest is known (verify-bundle) */
    struct digest sha256; /* the others NONE until somebody needed them */
    struct digest sha384;
    struct digest sha512;
};

/* Start with the bytes and their SHA-256. Fails: INTERNAL_ERROR. */
GH_CHECKED bool keyed_message_init(struct keyed_message *message, struct bytes bytes,
                                   struct gh_error *err);
/* Start with a digest alone; what other hashes need is then refused. */
void keyed_message_init_digest(struct keyed_message *message, const struct digest *digest);
/* The digest by ALG, computed when it is asked for first. Fails: SIG_ALG_UNSUPPORTED where only
 * another digest is known, INTERNAL_ERROR. */
GH_CHECKED bool keyed_message_digest(struct keyed_message *message, enum digest_alg alg,
                                     const struct digest **out, struct gh_error *err);

/* Which hash is tried first; the other one of the key is tried as well. */
enum keyed_preference { KEYED_SHA256_FIRST, KEYED_OWN_HASH_FIRST };

/*
 * Check a signature with one key by every algorithm that its type allows: ECDSA with SHA-256 or the
 * curve's own hash, PKCS#1 v1.5 then PSS with SHA-256, Ed25519 then Ed25519ph. The key alone
 * chooses, never the evidence.
 *
 * Gives: *scheme, *alg: what verified; may be NULL
 * Fails: SIG_INVALID, SIG_MALFORMED (r and s side by side instead of DER), KEY_WEAK,
 *        SIG_ALG_UNSUPPORTED, INTERNAL_ERROR
 */
GH_CHECKED bool keyed_check(const struct key *key, struct keyed_message *message,
                            enum keyed_preference preference, struct bytes signature,
                            enum key_scheme *scheme, enum digest_alg *alg, struct gh_error *err);

/* One of a signer's keys that verified the signature. */
struct keyed_match {
    const struct signer_key *key;
    enum key_scheme scheme;
    enum digest_alg alg;
};

/*
 * Find the keys of the signer that verify the signature; keys whose HINT (base64 of the SHA-256 of
 * the key) agrees come first, and a hint that fits none of them changes only the cause. The
 * same key may stand in a signer twice, with different windows: call again with *at as it was left.
 *
 * Takes: hint: as the evidence gives it; data NULL when there is none; at: starts at 0
 * Fails: KEY_UNKNOWN (a hint that names none of the keys, and none verifies), KEY_RESOLVE_FAILED
 *        (none verifies, and one of the keys could not be obtained), SIG_INVALID,
 *        SIG_MALFORMED, KEY_WEAK, SIG_ALG_UNSUPPORTED, INTERNAL_ERROR
 */
GH_CHECKED bool keyed_find(const struct signer *signer, struct keyed_message *message,
                           enum keyed_preference preference, struct bytes signature,
                           struct bytes hint, size_t *at, struct keyed_match *out,
                           struct gh_error *err);

/* Whether HINT names one of the signer's keys: candidates that say so are tried first. */
bool keyed_hint_fits(const struct signer *signer, struct bytes hint);

/*
 * Whether the key may have signed at every one of the proved times, or, without any, now.
 * A compromised key never; a superseded or retired one where all times are proved to be older, or
 * where its end is still to come and no time is proved.
 *
 * Fails: KEY_REVOKED, KEY_EXPIRED, KEY_NOT_YET_VALID
 */
GH_CHECKED bool keyed_check_window(const struct signer_key *key, const int64_t *times_unix_s,
                                   size_t time_count, int64_t now_unix_s, struct gh_error *err);

#endif
