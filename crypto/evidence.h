/*
 * Evidence: what was found for a subject, and what a format's verifier proved with it. Plain data
 * that the shell fills, the formats read and requirements judge. All pointers are borrowed from
 * whoever made the set unless a field says otherwise.
 */
#ifndef CRYPTO_EVIDENCE_H
#define CRYPTO_EVIDENCE_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"

/* The manifest that is being decided. */
struct evidence_subject {
    struct digest digest;   /* of the exact bytes a client receives */
    struct bytes manifest;  /* those bytes */
    const char *media_type; /* as served */
    const char *name;       /* upstream/repository as policies name it: "ghcr.io/acme/app" */
    const char *tag;        /* NULL where it was asked for by digest */
};

enum evidence_kind {
    EVIDENCE_BROKEN = 0,         /* could not be fetched or parsed: `failure` says why */
    EVIDENCE_COSIGN_SIGNATURE,   /* blob: simple-signing payload; annotations: of its layer */
    EVIDENCE_COSIGN_ATTESTATION, /* blob: DSSE envelope under .att; annotations: of its layer */
    EVIDENCE_BUNDLE,             /* blob: Sigstore bundle JSON */
    EVIDENCE_DSSE,               /* blob: DSSE envelope attached as a referrer */
    EVIDENCE_NOTATION_JWS,       /* blob: JWS envelope; annotations: of the signature manifest */
    EVIDENCE_NOTATION_COSE,      /* blob: COSE envelope; annotations: of the signature manifest */
    EVIDENCE_OPENPGP             /* blob: OpenPGP signed message from a lookaside */
};

struct evidence_annotation {
    const char *name;
    const char *value;
};

struct evidence_item {
    enum evidence_kind kind;
    const char *location; /* for people: "referrer sha256:…", "tag sha256-….sig, layer 2" */
    struct digest digest; /* of blob, checked by whoever fetched it */
    struct bytes blob;
    const struct evidence_annotation *annotations;
    size_t annotation_count;
    struct gh_error failure; /* only with EVIDENCE_BROKEN: the candidate fails with it */
};

struct evidence_set {
    const struct evidence_item *items;
    size_t count;
    /* Set where discovery failed or was cut short: then absence of a signature proves nothing and
     * the outcome is undecided instead of "unsigned". */
    struct gh_error incomplete;
};

/* The value of an annotation, or NULL. */
const char *evidence_annotation_get(const struct evidence_item *item, const char *name);

/* How far a candidate came; later is further. The labels are shown by `gatehouse verify`. */
enum evidence_step {
    EVIDENCE_STEP_FETCH = 0,
    EVIDENCE_STEP_PARSE,
    EVIDENCE_STEP_SIGNER,      /* choosing the key or identity */
    EVIDENCE_STEP_TIME,        /* time stamps */
    EVIDENCE_STEP_TLOG,        /* transparency log */
    EVIDENCE_STEP_CERTIFICATE, /* path, usage, validity, SCT, revocation */
    EVIDENCE_STEP_IDENTITY,
    EVIDENCE_STEP_SIGNATURE, /* the cryptographic check */
    EVIDENCE_STEP_PAYLOAD,   /* structure and type of what was signed */
    EVIDENCE_STEP_SUBJECT,   /* binding to the digest */
    EVIDENCE_STEP_REFERENCE, /* binding to the name, annotations, metadata */
    EVIDENCE_STEP_PREDICATE, /* predicate type, checks, conditions, age */
    EVIDENCE_STEP_DONE
};
const char *evidence_step_label(enum evidence_step step);

/* What a proof rests on; a revocation or rotation of any of these ends the verdict. */
enum evidence_rest_kind {
    EVIDENCE_REST_KEY,         /* SHA-256 of the SPKI */
    EVIDENCE_REST_CERTIFICATE, /* SHA-256 of the certificate's DER */
    EVIDENCE_REST_ROOT,        /* fingerprint of the trust root's content */
    EVIDENCE_REST_LOG,         /* log id */
    EVIDENCE_REST_EVIDENCE,    /* digest of the evidence blob */
    EVIDENCE_REST_ANSWER /* evidence_question_name(): a list, OCSP answer or vendor's status */
};

struct evidence_rest {
    enum evidence_rest_kind kind;
    struct digest id;
};

/* A transparency log entry that counted. */
struct evidence_log_entry {
    uint8_t log_id[32];
    int64_t index;
    int64_t integrated_unix_s; /* 0 where the log does not vouch for a time */
};

#define EVIDENCE_MAX_RESTS 32
#define EVIDENCE_MAX_LOG_ENTRIES 16
#define EVIDENCE_MAX_SIGNER_TEXT 256
#define EVIDENCE_MAX_LOGGED 4
#define EVIDENCE_UNTIL_FOREVER INT64_MAX

/* What one good candidate proves. Owns `payload` and `leaf`; free with evidence_proof_done(). */
struct evidence_proof {
    struct digest authority; /* who signed: key fingerprint, or SHA-256 of certificate issuer and
                                identity; two proofs of one authority count once in at_least */
    char signer_text[EVIDENCE_MAX_SIGNER_TEXT]; /* for people; printable ASCII */
    bool has_proved_time;
    int64_t proved_unix_s; /* newest proved signing time (RFC 3161 or signed log time) */
    int64_t until_unix_s;  /* the proof holds no longer than this; EVIDENCE_UNTIL_FOREVER */
    struct evidence_rest rests[EVIDENCE_MAX_RESTS];
    size_t rest_count;
    struct evidence_log_entry logs[EVIDENCE_MAX_LOG_ENTRIES];
    size_t log_count;
    struct bytes_buf payload; /* attestations: the signed in-toto Statement, as received */
    struct bytes_buf leaf;    /* keyless: DER of the signing certificate */
    struct gh_error logged[EVIDENCE_MAX_LOGGED]; /* checks that failed but that the signer only
                                                    logs (notation levels below strict) */
    size_t logged_count;
};

void evidence_proof_done(struct evidence_proof *proof);
/* Record what the proof rests on; duplicates are folded, and running out of room fails with
 * COUNT_LIMIT_EXCEEDED (a proof whose ground is not known must not be cached). */
GH_CHECKED bool evidence_proof_rest(struct evidence_proof *proof, enum evidence_rest_kind kind,
                                    const struct digest *id, struct gh_error *err);
void evidence_proof_until(struct evidence_proof *proof, int64_t unix_s);

/*
 * What verification lacks and the shell must fetch before it can be decided: a CRL by GET or an
 * OCSP answer by POST of `body`. Addresses come only from certificates whose path to a configured
 * root has verified.
 */
enum evidence_want_kind { EVIDENCE_WANT_CRL, EVIDENCE_WANT_OCSP, EVIDENCE_WANT_VENDOR };

#define EVIDENCE_MAX_WANTS 16

struct evidence_want {
    enum evidence_want_kind kind;
    char *url;             /* owned */
    struct bytes_buf body; /* owned; empty for a GET */
    size_t limit_bytes;
};

struct evidence_wants {
    struct evidence_want items[EVIDENCE_MAX_WANTS];
    size_t count;
};

void evidence_wants_done(struct evidence_wants *wants);
/* Ask for URL (copied) with BODY (copied); the same question is asked once.
 * Fails: COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR. */
GH_CHECKED bool evidence_wants_add(struct evidence_wants *wants, enum evidence_want_kind kind,
                                   const char *url, struct bytes body, size_t limit_bytes,
                                   struct gh_error *err);

/* What was fetched: the answer to an earlier want, or why it could not be had. */
struct evidence_answer {
    enum evidence_want_kind kind;
    const char *url;
    struct bytes body; /* the question's body */
    struct bytes answer;
    struct gh_error failure; /* set when it could not be fetched */
};

struct evidence_answers {
    const struct evidence_answer *items;
    size_t count;
};

/* The name of a question: SHA-256 over what it asks, and where. Fails: INTERNAL_ERROR. */
GH_CHECKED bool evidence_question_name(enum evidence_want_kind kind, const char *url,
                                       struct bytes body, struct digest *out, struct gh_error *err);

/* The answer to this question, or NULL when it was not asked yet. */
const struct evidence_answer *evidence_answers_find(const struct evidence_answers *answers,
                                                    enum evidence_want_kind kind, const char *url,
                                                    struct bytes body);

#endif
