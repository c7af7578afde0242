/*
 * Verification of transparency log entries: signed promise, inclusion proof, checkpoint, and
 * agreement of the entry with the evidence it came with. Entries as data are crypto/rekor_entry.h.
 *
 * Spec:    verification.md section 4; RFC 6962 section 2.1; sigstore rekor-spec, rekor-v2-spec
 * Threads: any; no shared state (the trust root's memo is synchronised)
 */
#ifndef CRYPTO_REKOR_H
#define CRYPTO_REKOR_H

#include "crypto/bytes.h"
#include "crypto/checkpoint.h"
#include "crypto/digest.h"
#include "crypto/key.h"
#include "crypto/rekor_entry.h"
#include "gatehouse.h"

struct gh_error;
struct trustroot;

enum rekor_content {
    REKOR_MESSAGE, /* a signature over bytes: hashedrekord */
    REKOR_DSSE     /* an envelope: dsse, intoto, or hashedrekord 0.0.2 over the hash of its PAE */
};

/* What was signed, as the caller holds it. All borrowed; bytes are decoded. */
struct rekor_signed {
    enum rekor_content content;
    /* Message: the digest of what was signed, as far as known, by algorithm (NONE: not known).
     * DSSE: the digests of the PAE. */
    struct digest sha256;
    struct digest sha384;
    struct digest sha512;
    struct bytes signature; /* message or envelope signature */
    struct bytes leaf;      /* DER of the certificate; NULL for a bare key */
    const struct key *key;  /* the key that signs: the leaf's, or the bare one */
    enum key_scheme scheme; /* it signs with this (RSA: PKCS#1 v1.5 or PSS) */
    /* DSSE only */
    struct digest payload_sha256; /* of the decoded payload */
    struct bytes payload_type;
    struct bytes envelope; /* legacy attestations: the blob as stored; NULL in bundles */
};

struct rekor_options {
    bool is_promise_required;    /* bundle v0.1 */
    bool is_proof_required;      /* bundles from v0.2 */
    size_t threshold;            /* distinct operators; at least 1 */
    const int64_t *times_unix_s; /* proved by time stamps: the log key's window must hold them */
    size_t time_count;
    const struct checkpoint_witness *witnesses;
    size_t witness_count;
    size_t witness_threshold; /* 0: off */
};

/* What an entry proves. */
struct rekor_proof {
    const struct trustroot_log *log; /* borrowed from the trust root */
    int64_t index;
    bool has_time; /* its promise verified */
    int64_t integrated_unix_s;
};

/*
 * Verify one entry.
 *
 * Fails:   TLOG_LOG_UNKNOWN, TLOG_KEY_WINDOW, SET_MISSING, SET_INVALID, INCLUSION_PROOF_MISSING,
 *          INCLUSION_PROOF_INVALID, CHECKPOINT_*, WITNESS_THRESHOLD_NOT_MET, TLOG_ENTRY_*,
 *          TLOG_*_MISMATCH, TIMESTAMP_FUTURE (integrated in the future), INTERNAL_ERROR
 */
GH_CHECKED bool rekor_entry_verify(const struct rekor_entry *entry, const struct trustroot *root,
                                   const struct rekor_signed *what,
                                   const struct rekor_options *options, int64_t now_unix_s,
                                   struct rekor_proof *out, struct gh_error *err);

/*
 * Verify all entries of a piece of evidence. Entries of unknown logs are passed over; one that does
 * not verify does not count and one that contradicts the evidence fails it.
 *
 * Gives: out[0..*out_count): those that counted (room for COUNT)
 * Fails: as rekor_entry_verify(); TLOG_MISSING (no entry), TLOG_DUPLICATE_ENTRY,
 *        TLOG_THRESHOLD_NOT_MET
 */
GH_CHECKED bool rekor_verify(const struct rekor_entry *entries, size_t count,
                             const struct trustroot *root, const struct rekor_signed *what,
                             const struct rekor_options *options, int64_t now_unix_s,
                             struct rekor_proof *out, size_t *out_count, struct gh_error *err);

#endif
