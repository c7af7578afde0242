/*
 * Finding the evidence of a digest: referrers list, fallback tag, cosign's tags, in the image's
 * repository and in signature repositories; then the manifests and the blobs that the wanted kinds
 * need. Absent, broken and unavailable stay three different things: what was read and is bad is an
 * EVIDENCE_BROKEN item, what could not be had makes the set incomplete, and only an answered "no"
 * counts as none.
 *
 * Spec:    verification.md 1.2-1.5; OCI distribution-spec "Listing Referrers"
 * Threads: the client's worker; results are immutable and counted, so any thread may read them
 */
#ifndef PROXY_REFERRERS_H
#define PROXY_REFERRERS_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "crypto/evidence.h"
#include "gatehouse.h"
#include "proxy/upstream.h"

struct helper_pool;
struct referrers_search;
struct worker;

#define REFERRERS_MAX_PAGES 16
#define REFERRERS_MAX_DESCRIPTORS 1000
#define REFERRERS_MAX_PAGE_BYTES (4u * 1024 * 1024)
#define REFERRERS_MAX_MANIFEST_BYTES (4u * 1024 * 1024)
#define REFERRERS_MAX_TOTAL_BYTES (64u * 1024 * 1024)
#define REFERRERS_MAX_ITEMS 1024
#define REFERRERS_MAX_PLACES 8
#define REFERRERS_MAX_PARALLEL 8
#define REFERRERS_TIMEOUT_MS 20000
#define REFERRERS_DEFAULT_BLOB_BYTES (8u * 1024 * 1024)
#define REFERRERS_INLINE_BYTES (64u * 1024) /* a tenth of a millisecond of hashing */

/* A mask of evidence kinds: REFERRERS_KIND(EVIDENCE_BUNDLE) | … */
#define REFERRERS_KIND(kind) (1u << (kind))

/* A repository to look in. */
struct referrers_place {
    struct upstream *upstream;
    const char *repository;
    const char *label; /* for people, in front of locations; NULL for the image's own */
};

enum referrers_part { REFERRERS_MANIFEST, REFERRERS_BLOB };

/* Everything is copied but CTX. */
struct referrers_ask {
    const struct referrers_place *places; /* the image's own repository first */
    size_t place_count;
    struct digest subject;
    unsigned kinds;         /* what the requirements can use; nothing else is fetched */
    size_t max_blob_bytes;  /* limits.evidence; 0: default */
    size_t max_total_bytes; /* 0: default */
    unsigned timeout_ms;    /* 0: default */
    void *ctx;
    /* Where answers of more than REFERRERS_INLINE_BYTES are hashed, parsed and kept; NULL: where
     * they come, on the worker. */
    struct helper_pool *helpers;
    struct worker *worker;
    /* What is stored already, checked against DIGEST by whoever stored it: *out is new. May be
     * NULL. Asked for content by digest only, never for tags or lists. Both hooks may be called on
     * helper threads, and after a cancel: STORE_CTX outlives the helpers. */
    void *store_ctx;
    bool (*lookup)(void *store_ctx, enum referrers_part part, const struct digest *digest,
                   struct bytes_buf *out);
    /* Content as it arrives, checked against DIGEST; borrowed for the call. May be NULL. */
    void (*store)(void *store_ctx, enum referrers_part part, const struct digest *digest,
                  const char *media_type, struct bytes content);
};

/* What was found. Owns everything the set points to. */
struct referrers_result {
    struct evidence_set set;
    int references; /* atomic */
};

void referrers_result_unref(struct referrers_result *result);

/* RESULT is a reference handed over; NULL when memory was out (refuse as undecided). */
typedef void (*referrers_done_fn)(void *ctx, struct referrers_result *result);

/*
 * Search. DONE is called once with ask->ctx, never from within this call and not after a cancel.
 *
 * Gives: the search, for referrers_cancel(); NULL when memory is out: DONE is not called
 */
struct referrers_search *referrers_find(struct upstream_client *client,
                                        const struct referrers_ask *ask, referrers_done_fn done);
void referrers_cancel(struct referrers_search *search);

/* An answer to a client's GET of /v2/<name>/referrers/<digest>. */
struct referrers_list {
    enum upstream_outcome outcome; /* UPSTREAM_OK: body is an index, empty where there is nothing */
    bool is_retryable;
    struct gh_error error;
    struct bytes_buf body; /* an OCI index; whoever is called may take it */
};
typedef void (*referrers_list_fn)(void *ctx, struct referrers_list *list);

/*
 * List the referrers for a client: the API's pages joined, or the fallback tag where the registry
 * has no API. ARTIFACT_TYPE filters, NULL: all; the filter is always applied here.
 */
struct referrers_search *referrers_list(struct upstream_client *client,
                                        const struct referrers_place *place,
                                        const struct digest *subject, const char *artifact_type,
                                        referrers_list_fn done, void *ctx);

#endif
