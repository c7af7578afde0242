/*
 * trusted_root.json: authorities, logs and time-stamp authorities of a Sigstore instance, each with
 * the window in which it is trusted.
 *
 * Spec:    sigstore protobuf-specs trustroot v0.1, v0.2; verification.md section 3.6
 * Threads: immutable once parsed, but for the memo, which is synchronised
 */
#ifndef CRYPTO_TRUSTROOT_H
#define CRYPTO_TRUSTROOT_H

#include "crypto/bytes.h"
#include "crypto/checkpoint.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "crypto/tsa.h"
#include "crypto/x509_path.h"
#include "gatehouse.h"

struct gh_error;
struct memo;

#define TRUSTROOT_MAX_BYTES (2u * 1024 * 1024)
#define TRUSTROOT_MAX_ITEMS 64 /* of each kind */

/* A transparency log of certificates or of signatures. */
struct trustroot_log {
    struct key *key; /* NULL where its algorithm is not accepted: such a log proves nothing */
    enum key_scheme scheme;
    enum digest_alg alg;
    uint8_t id[32];             /* as log entries and SCTs name it */
    char *base_url;             /* "" when absent */
    char *host;                 /* of base_url */
    char *origin;               /* base_url without scheme and trailing slash */
    bool has_checkpoint_key_id; /* v0.2 */
    uint8_t checkpoint_key_id[CHECKPOINT_KEY_ID_BYTES];
    struct digest operator_id; /* counts once in a threshold: `operator`, else the log itself */
    int64_t start_unix_ms;
    int64_t end_unix_ms; /* INT64_MAX: open */
};

/* Whether the moment lies in the log key's window, closed at both ends. */
bool trustroot_log_covers(const struct trustroot_log *log, int64_t unix_ms);

struct trustroot;

/*
 * Read a trusted root.
 *
 * Gives: *out: new, trustroot_free()
 * Fails: TRUST_ROOT_MALFORMED, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool trustroot_parse(struct bytes json, struct trustroot **out, struct gh_error *err);
void trustroot_free(struct trustroot *root);
GH_DEFINE_FREEP(trustroot, struct trustroot)

/* SHA-256 of the file's bytes. */
const struct digest *trustroot_fingerprint(const struct trustroot *root);

/* All borrowed from the root. */
const struct trustroot_log *trustroot_tlogs(const struct trustroot *root, size_t *count);
const struct trustroot_log *trustroot_ctlogs(const struct trustroot *root, size_t *count);
const struct x509_authority *const *trustroot_authorities(const struct trustroot *root,
                                                          size_t *count);
const struct tsa_trust *trustroot_tsa(const struct trustroot *root);
struct memo *trustroot_memo(const struct trustroot *root);

#endif
