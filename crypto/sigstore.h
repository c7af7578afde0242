/*
 * The common core of everything the Sigstore ecosystem signs: time stamps, log entries, certificate
 * and identity (or key), and the signature itself. Wrappings (cosign layers, bundles) are read by
 * crypto/cosign and crypto/bundle, which also judge what was signed.
 *
 * Spec:    verification.md sections 2.1, 2.2, 2.4, 3.3 to 3.5, 4
 * Threads: any; no shared state (the trust root's memo is synchronised)
 */
#ifndef CRYPTO_SIGSTORE_H
#define CRYPTO_SIGSTORE_H

#include "crypto/bytes.h"
#include "crypto/evidence.h"
#include "crypto/keyed.h"
#include "crypto/rekor_entry.h"
#include "crypto/signer.h"
#include "gatehouse.h"

struct gh_error;
struct rekor_proof;
struct x509_cert;
struct x509_path;

#define SIGSTORE_MAX_TIMESTAMPS 32
#define SIGSTORE_MAX_HINTS 9 /* certificates of a chain besides the leaf */
#define SIGSTORE_MAX_TIMES 16
#define SIGSTORE_MAX_COUNTED REKOR_MAX_ENTRIES

enum sigstore_form {
    SIGSTORE_LEGACY_SIGNATURE,   /* cosign layer over a simple-signing payload */
    SIGSTORE_LEGACY_ATTESTATION, /* cosign layer that holds an envelope */
    SIGSTORE_MESSAGE,            /* bundle with a message signature */
    SIGSTORE_ENVELOPE            /* bundle with an envelope */
};

/* One signature with everything that came with it. Views are borrowed, the rest is owned:
 * sigstore_input_done(). */
struct sigstore_input {
    enum sigstore_form form;
    struct keyed_message message; /* payload, pre-authentication encoding or artifact */
    struct bytes signature;
    struct bytes imprint;       /* what time stamps cover */
    struct bytes imprint_other; /* or else this; data NULL: nothing else */
    struct bytes key_hint;      /* data NULL when there is none */
    struct x509_cert *leaf;     /* NULL: signed by a bare key */
    struct x509_cert *hints[SIGSTORE_MAX_HINTS];
    size_t hint_count;
    struct bytes_buf timestamps[SIGSTORE_MAX_TIMESTAMPS]; /* TimeStampResp */
    size_t timestamp_count;
    struct rekor_entry entries[REKOR_MAX_ENTRIES];
    size_t entry_count;
    bool is_promise_required; /* bundle v0.1, when it has entries */
    bool is_proof_required;   /* bundles from v0.2, when they have entries */
    /* envelopes */
    struct bytes payload;
    struct bytes payload_type;
    struct bytes envelope; /* legacy attestations: the blob as stored */
};

void sigstore_input_done(struct sigstore_input *input);

/*
 * Verify a signature for a signer of keys or identities, up to and including the cryptographic
 * check. A time stamp or a log entry that is present and can be judged must be right, also where
 * the signer does not ask for it.
 *
 * Takes:   now_unix_s: the moment the decision is for
 * Gives:   *reached: the step that failed, or EVIDENCE_STEP_SIGNATURE; *out: filled but for the
 *          evidence's own digest and payload
 * Fails:   SIGNATURE_FORMAT_DISALLOWED, IDENTITY_MISSING, TRUST_ROOT_MISSING, TRUST_ROOT_STALE,
 *          KEY_*, SIG_*, TIME_SOURCE_MISSING, TIMESTAMP_*, TLOG_*, SET_*, INCLUSION_PROOF_*,
 *          CHECKPOINT_*, CERT_*, SCT_*, IDENTITY_MISMATCH, ISSUER_MISMATCH, EXTENSION_MISMATCH,
 *          COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool sigstore_verify(struct sigstore_input *input, const struct signer *signer,
                                int64_t now_unix_s, enum evidence_step *reached,
                                struct evidence_proof *out, struct gh_error *err);

#endif
