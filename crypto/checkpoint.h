/*
 * Checkpoints: signed notes that commit to a log's tree head, and cosignatures of witnesses.
 *
 * Spec:    C2SP signed-note, tlog-checkpoint, tlog-cosignature; verification.md section 4.5
 * Threads: any; no shared state
 */
#ifndef CRYPTO_CHECKPOINT_H
#define CRYPTO_CHECKPOINT_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "gatehouse.h"

struct gh_error;
struct memo;

#define CHECKPOINT_MAX_BYTES (64u * 1024)
#define CHECKPOINT_MAX_SIGNATURES 32
#define CHECKPOINT_MAX_WITNESSES 32
#define CHECKPOINT_KEY_ID_BYTES 4

struct checkpoint_signature {
    struct bytes name;
    uint8_t key_id[CHECKPOINT_KEY_ID_BYTES];
    struct bytes value; /* behind the key id; into the checkpoint's own memory */
};

struct checkpoint {
    struct bytes text;   /* what is signed, with its last newline */
    struct bytes origin; /* line 1 */
    uint64_t size;
    uint8_t root[32];
    struct checkpoint_signature signatures[CHECKPOINT_MAX_SIGNATURES];
    size_t signature_count;
    struct bytes_buf decoded; /* owns the signatures' bytes */
};

/*
 * Read a signed note with a checkpoint in it.
 *
 * Takes: note: borrowed for as long as *out is used
 * Gives: *out: checkpoint_done() frees what it owns
 * Fails: CHECKPOINT_MALFORMED, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool checkpoint_parse(struct bytes note, struct checkpoint *out, struct gh_error *err);
void checkpoint_done(struct checkpoint *checkpoint);

/* How a log signs its notes; NAME is the key's name (the origin, or its first word). */
struct checkpoint_key {
    const struct key *key;
    enum key_scheme scheme;
    enum digest_alg alg;
    struct bytes name;
};

/* The key id by the rules for the key's type: Ed25519 and RSA bind the name, ECDSA does not.
 * Fails: INTERNAL_ERROR. */
GH_CHECKED bool checkpoint_key_id(const struct checkpoint_key *key,
                                  uint8_t out[CHECKPOINT_KEY_ID_BYTES], struct gh_error *err);

/*
 * Check that the key signed the note: at least one line carries its name and id, and none of those
 * that do is wrong.
 *
 * Takes: key_id: overrides the computed one when not NULL; memo: may be NULL
 * Fails: CHECKPOINT_SIGNATURE_INVALID, INTERNAL_ERROR
 */
GH_CHECKED bool checkpoint_verify(const struct checkpoint *checkpoint,
                                  const struct checkpoint_key *key, const uint8_t *key_id,
                                  struct memo *memo, struct gh_error *err);

struct checkpoint_witness {
    struct bytes name;
    const struct key *key; /* Ed25519 */
};

/*
 * Count the distinct witnesses whose cosignature (type 4) verifies; a line of a known witness that
 * does not verify is passed over. Fails: WITNESS_THRESHOLD_NOT_MET, COUNT_LIMIT_EXCEEDED,
 * INTERNAL_ERROR.
 */
GH_CHECKED bool checkpoint_check_witnesses(const struct checkpoint *checkpoint,
                                           const struct checkpoint_witness *witnesses,
                                           size_t witness_count, size_t threshold,
                                           struct gh_error *err);

#endif
