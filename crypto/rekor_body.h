/*
 * Agreement of a log entry's body with the evidence it came with. All comparisons are of decoded
 * bytes.
 *
 * Spec:    verification.md sections 4.4 and 4.6
 * Threads: any; no shared state
 */
#ifndef CRYPTO_REKOR_BODY_H
#define CRYPTO_REKOR_BODY_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct rekor_entry;
struct rekor_signed;

enum rekor_body_form {
    REKOR_BODY_HASHEDREKORD_1, /* 0.0.1 */
    REKOR_BODY_HASHEDREKORD_2, /* 0.0.2: Rekor v2 */
    REKOR_BODY_DSSE_1,
    REKOR_BODY_INTOTO_1,
    REKOR_BODY_INTOTO_2
};

/* The form for kind and version as a bundle names them. Fails: TLOG_ENTRY_TYPE_UNSUPPORTED. */
GH_CHECKED bool rekor_body_form(const char *kind, const char *version, enum rekor_body_form *out,
                                struct gh_error *err);

/*
 * Check that the body records WHAT, and that it is of the kind and version the entry names (when it
 * names any). Not for hashedrekord 0.0.2, which is rebuilt instead.
 *
 * Fails: TLOG_ENTRY_MALFORMED, TLOG_ENTRY_TYPE_UNSUPPORTED, TLOG_KIND_MISMATCH,
 *        TLOG_DIGEST_MISMATCH, TLOG_SIGNATURE_MISMATCH, TLOG_KEY_MISMATCH, INTERNAL_ERROR
 */
GH_CHECKED bool rekor_body_check(const struct rekor_entry *entry, const struct rekor_signed *what,
                                 struct gh_error *err);

/*
 * Build the body of a hashedrekord 0.0.2 entry for WHAT; where the entry brings a body, it must be
 * the same bytes.
 *
 * Gives: *out: new, bytes_buf_done()
 * Fails: as rekor_body_check(), and SIG_ALG_UNSUPPORTED (pure Ed25519 cannot be logged so)
 */
GH_CHECKED bool rekor_body_rebuild(const struct rekor_entry *entry, const struct rekor_signed *what,
                                   struct bytes_buf *out, struct gh_error *err);

#endif
