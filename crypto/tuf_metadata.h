/*
 * TUF metadata documents: read, validated, and verified against the role that delegates to them.
 * Nothing here knows of versions seen before or of time; that is crypto/tuf.h.
 *
 * Spec:    TUF 1.0 sections 4.2 to 4.6, TAP 15
 * Threads: a document belongs to one thread at a time
 */
#ifndef CRYPTO_TUF_METADATA_H
#define CRYPTO_TUF_METADATA_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/tuf_key.h"
#include "crypto/tuf_path.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define TUF_MAX_ROOT_BYTES (512u * 1024)
#define TUF_MAX_TIMESTAMP_BYTES (16u * 1024)
#define TUF_MAX_SNAPSHOT_BYTES (2u * 1024 * 1024)
#define TUF_MAX_TARGETS_BYTES (5u * 1024 * 1024)
#define TUF_MAX_TARGET_BYTES (64u * 1024 * 1024)
#define TUF_MAX_KEYS 1024       /* in one document */
#define TUF_MAX_ROLES 4096      /* that one document delegates to */
#define TUF_MAX_ROLE_KEYS 256   /* of one role */
#define TUF_MAX_SIGNATURES 256  /* on one document */
#define TUF_MAX_PATTERNS 100000 /* of one role */

enum tuf_type { TUF_ROOT, TUF_TIMESTAMP, TUF_SNAPSHOT, TUF_TARGETS };

/* A role as its delegator defines it. Key ids and patterns are borrowed from the document. */
struct tuf_role {
    const char *name; /* NULL for the bins of a succinct delegation */
    const json_t *key_ids;
    size_t threshold;
    bool is_terminating;
    const json_t *paths;         /* NULL where hash prefixes choose */
    const json_t *hash_prefixes; /* NULL where paths choose */
};

struct tuf_metadata {
    enum tuf_type type;
    int64_t version;
    int64_t expires_unix_s;
    struct bytes_buf bytes; /* as received */
    json_t *doc;            /* owned */
    json_t *body;           /* `signed`, borrowed from doc */
    bool is_consistent;     /* root: consistent_snapshot */
    struct tuf_key *keys;   /* root, targets */
    size_t key_count;
    struct tuf_role *roles; /* root: the four; targets: delegations in order */
    size_t role_count;
    struct tuf_role bins; /* targets: succinct delegation, when bin_bits is not 0 */
    unsigned bin_bits;
    const char *bin_prefix;
};

/* What a timestamp or snapshot says of a metadata file, or a targets role of a target. */
struct tuf_file {
    int64_t version; /* metadata only */
    bool has_length;
    int64_t length;
    const json_t *hashes; /* NULL where none are given */
};

/*
 * Read a document of the type. Every member this client uses must be well-formed; members it does
 * not know stay part of what is signed.
 *
 * Gives: *out: new, tuf_metadata_free()
 * Fails: TRUST_ROOT_MALFORMED, TUF_MIX_MATCH (another type), TUF_SIGNATURE_THRESHOLD (a threshold
 *        below one, duplicate key ids), TUF_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool tuf_metadata_read(enum tuf_type type, struct bytes in, struct tuf_metadata **out,
                                  struct gh_error *err);
void tuf_metadata_free(struct tuf_metadata *metadata);
GH_DEFINE_FREEP(tuf_metadata, struct tuf_metadata)

/* The largest document of the type that is accepted. */
size_t tuf_metadata_limit(enum tuf_type type);

/*
 * Verify a document as ROLE of DELEGATOR: signatures of at least the threshold of distinct keys.
 * Signatures by keys that are not the role's, and those that do not verify, count for nothing.
 *
 * Fails: TUF_SIGNATURE_THRESHOLD, TUF_KEYID_MISMATCH (the threshold is missed, and a signature
 * names a key whose id is not its hash), INTERNAL_ERROR
 */
GH_CHECKED bool tuf_metadata_verify(const struct tuf_metadata *delegator,
                                    const struct tuf_role *role,
                                    const struct tuf_metadata *document, struct gh_error *err);

/* The entry for a metadata file ("targets.json") in a timestamp or snapshot; false where there is
 * none. */
bool tuf_metadata_meta(const struct tuf_metadata *metadata, const char *file, struct tuf_file *out);
/* The entry for a target in a targets role; false where there is none. */
bool tuf_metadata_target(const struct tuf_metadata *metadata, struct bytes path,
                         struct tuf_file *out);

/*
 * Compare bytes with what is known of them: exact length and every hash of a known algorithm, of
 * which a target must have one.
 *
 * Fails: CAUSE, or INTERNAL_ERROR
 */
GH_CHECKED bool tuf_file_check(const struct tuf_file *file, struct bytes content, bool is_target,
                               enum gh_cause cause, struct gh_error *err);
/* The hash that names the target in a consistent repository; NULL where no known one is given. */
const char *tuf_file_hash(const struct tuf_file *file);

#endif
