/*
 * Signed notes over the audit log's head: who has the note and the public key can tell that the log
 * up to there is the one that was signed.
 *
 * Spec:    C2SP signed-note (text, blank line, "— name base64(key id, signature)"), Ed25519
 * Threads: any; a key is constant once read
 */
#ifndef METRICS_AUDIT_NOTE_H
#define METRICS_AUDIT_NOTE_H

#include "gatehouse.h"

struct gh_error;
struct text;

#define AUDIT_NOTE_MAX_NAME 128
#define AUDIT_NOTE_MAX_BYTES 1024
#define AUDIT_NOTE_MAX_SIGNATURES 8
#define AUDIT_HASH_BYTES 32

struct audit_note_key;

/*
 * Read a key: an Ed25519 private key or public key in PEM, to be known as NAME, or a C2SP verifier
 * key ("name+hex+base64"; NAME is then NULL or must agree).
 *
 * Gives: *out: new, audit_note_key_free()
 * Fails: INTERNAL_ERROR saying what is wrong with it, never the key
 */
GH_CHECKED bool audit_note_key_read(const void *data, size_t len, const char *name,
                                    struct audit_note_key **out, struct gh_error *err);
void audit_note_key_free(struct audit_note_key *key);
GH_DEFINE_FREEP(audit_note_key, struct audit_note_key)
bool audit_note_key_can_sign(const struct audit_note_key *key);
/* The C2SP verifier key, to be kept elsewhere. */
void audit_note_key_show(const struct audit_note_key *key, struct text *out);

/* What is signed: origin, number of records, hash of the last of them. */
struct audit_note {
    char origin[AUDIT_NOTE_MAX_NAME];
    uint64_t size;
    uint8_t root[AUDIT_HASH_BYTES];
};

/* Write the signed note. Fails: INTERNAL_ERROR */
GH_CHECKED bool audit_note_sign(const struct audit_note_key *key, const struct audit_note *note,
                                struct text *out, struct gh_error *err);
/*
 * Read a note, and check it when KEYS are given: one of them must have signed, under its own name
 * as the origin. Signatures of unknown keys are passed over.
 *
 * Fails: SIG_MALFORMED, SIG_INVALID, KEY_UNKNOWN
 */
GH_CHECKED bool audit_note_read(const char *text, size_t len,
                                const struct audit_note_key *const *keys, size_t key_count,
                                struct audit_note *out, struct gh_error *err);

#endif
