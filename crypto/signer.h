/*
 * A signer as policy defines it, compiled to what the formats need: plain data, filled by
 * policy/trust, read by crypto's verifiers. Immutable once the snapshot stands.
 */
#ifndef CRYPTO_SIGNER_H
#define CRYPTO_SIGNER_H

#include "crypto/digest.h"
#include "gatehouse.h"

struct checkpoint_witness; /* crypto/checkpoint.h */
struct key;                /* crypto/key.h */
struct pattern;            /* crypto/pattern.h */
struct trustroot;          /* crypto/trustroot.h: trusted_root.json */
struct notation_store; /* crypto/notation.h: certificates by kind, and lists loaded from files */
struct notation_dn;    /* crypto/notation.h: a parsed x509.subject identity */

enum signer_type { SIGNER_KEYS, SIGNER_KEYLESS, SIGNER_NOTATION };
enum signer_demand { SIGNER_OFF, SIGNER_OPTIONAL, SIGNER_REQUIRED };
enum signer_reference { SIGNER_REFERENCE_OFF, SIGNER_REFERENCE_REPOSITORY, SIGNER_REFERENCE_EXACT };
enum signer_revoked { SIGNER_NOT_REVOKED, SIGNER_COMPROMISED, SIGNER_SUPERSEDED, SIGNER_RETIRED };

struct signer_key {
    struct key *key;           /* owned by the snapshot */
    char *source;              /* how the configuration names it: "keys/2026.pub" */
    int64_t not_before_unix_s; /* INT64_MIN: open */
    int64_t not_after_unix_s;  /* INT64_MAX: open */
    enum signer_revoked revoked;
    int64_t revoked_at_unix_s;
};

struct signer_claim {
    const char *name;        /* Fulcio's extension name in snake_case */
    struct pattern *pattern; /* exact or glob */
};

/* What to do when a notation check fails. */
enum signer_action { SIGNER_ENFORCE, SIGNER_LOG, SIGNER_SKIP };

struct signer {
    char *name;
    enum signer_type type;
    struct digest fingerprint; /* definition and the content of the trust material it names */

    /* keys */
    struct signer_key *keys;
    size_t key_count;

    /* keys and keyless */
    enum signer_demand tlog;
    enum signer_demand timestamp;
    enum signer_demand sct;     /* keyless */
    size_t tlog_threshold;      /* distinct log operators; 0 as 1 */
    size_t timestamp_threshold; /* distinct authorities; 0 as 1 */
    size_t sct_threshold;       /* distinct certificate logs; 0 as 1 */
    const struct checkpoint_witness *witnesses;
    size_t witness_count;
    size_t witness_threshold;     /* 0: off */
    const struct trustroot *root; /* NULL when none is named or it is missing */
    struct digest root_fingerprint;
    bool is_root_stale;           /* the named root is past its max_age: TRUST_ROOT_STALE */
    int64_t root_stale_at_unix_s; /* from then on decisions refuse what rests on the root;
                                     INT64_MAX: never */
    bool is_root_named;
    enum signer_reference match_reference;

    /* keyless */
    struct pattern *issuer;
    struct pattern *subject;
    struct signer_claim *claims;
    size_t claim_count;

    /* notation */
    const struct notation_store *store;
    struct notation_dn **identities; /* none and is_any_identity: "*" */
    size_t identity_count;
    bool is_any_identity;
    enum signer_action authenticity;
    enum signer_action authentic_timestamp;
    enum signer_action expiry;
    enum signer_action revocation;
    bool is_timestamp_after_expiry_only; /* verify_timestamp: after_cert_expiry */

    char *signature_repository; /* "upstream/repository" or NULL */
    bool is_emergency;
};

#endif
