/*
 * Inside of the search for evidence. Only referrers*.c includes this.
 */
#ifndef PROXY_REFERRERS_SEARCH_H
#define PROXY_REFERRERS_SEARCH_H

#include <event2/event.h>
#include <jansson.h>
#include <sys/queue.h>

#include "crypto/manifest.h"
#include "gatehouse.h"
#include "proxy/helper.h"
#include "proxy/referrers.h"
#include "proxy/referrers_page.h"

#define REFERRERS_MAX_ANNOTATIONS 64 /* of one item */
#define REFERRERS_MAX_PATH 1024
#define REFERRERS_MAX_MANIFESTS (REFERRERS_MAX_DESCRIPTORS + 2 * REFERRERS_MAX_PLACES)

enum referrers_blob_state { REFERRERS_BLOB_WANTED = 0, REFERRERS_BLOB_HERE, REFERRERS_BLOB_BROKEN };

/* One blob, however many items share it: layers of a .sig manifest often have one payload. */
struct referrers_blob {
    struct digest digest;
    int64_t size;
    enum referrers_blob_state state;
    struct bytes_buf content;
    struct gh_error error;
};

/* An item before its blob is there. */
struct referrers_draft {
    uint64_t order; /* where it stands in the registry's own order */
    struct evidence_item item;
    struct evidence_annotation *annotations; /* owned */
    char *location;                          /* owned */
    size_t blob;                             /* SIZE_MAX: none */
};

/* The result with what it owns; `open` comes first, so that one is the other. */
struct referrers_found {
    struct referrers_result open;
    struct evidence_item *items;
    struct referrers_draft *drafts;
    size_t draft_count;
    struct referrers_blob *blobs;
    size_t blob_count;
    struct manifest **manifests; /* hold the annotations' strings */
    size_t manifest_count;
};

struct referrers_found *referrers_found_new(void);
/*
 * Take a manifest apart into drafts and wanted blobs.
 *
 * Takes: manifest: taken; place: where it was found, for people
 * Gives: what is wrong with it becomes a broken draft; false only past REFERRERS_MAX_ITEMS or
 *        without memory: the set is incomplete then
 */
GH_CHECKED bool referrers_found_add(struct referrers_found *found, struct manifest *manifest,
                                    unsigned kinds, size_t max_blob_bytes, uint64_t order,
                                    const char *place, struct gh_error *err);
/* Record a candidate that cannot be judged, with why. */
GH_CHECKED bool referrers_found_add_broken(struct referrers_found *found, uint64_t order,
                                           const char *place, const struct gh_error *why,
                                           struct gh_error *err);
/* Sort and turn drafts into the set. Fails: INTERNAL_ERROR. */
GH_CHECKED bool referrers_found_seal(struct referrers_found *found, struct gh_error *err);

enum referrers_task_kind {
    REFERRERS_TASK_PAGE,
    REFERRERS_TASK_FALLBACK,
    REFERRERS_TASK_TAG,
    REFERRERS_TASK_MANIFEST,
    REFERRERS_TASK_BLOB
};

struct referrers_task {
    TAILQ_ENTRY(referrers_task) link;
    struct referrers_search *search;
    enum referrers_task_kind kind;
    size_t place;
    uint64_t order;
    char *path;
    char *label;      /* "referrer sha256:…", "tag sha256-….sig" */
    char *media_type; /* a manifest's, as its descriptor says; may be NULL */
    unsigned kinds;   /* what a tag may hold; 0: as the manifest says */
    struct digest digest;
    int64_t size;
    size_t blob;
    struct upstream_request *request;
    struct referrers_check *check; /* with a helper */
};

/*
 * An answer, or what is stored in its place, being judged: hashed, parsed, kept. What is large goes
 * to a helper for that; the rest of the search's state stays on the worker.
 */
struct referrers_check {
    struct helper_job job;       /* first */
    struct referrers_task *task; /* NULL: nobody waits any more */
    enum referrers_task_kind kind;
    bool is_lookup; /* whether it is stored; then CONTENT is what was found */
    struct digest digest;
    int64_t size; /* of what is looked up */
    struct bytes_buf content;
    char *type; /* Content-Type; may be NULL */
    char *link; /* of a page; may be NULL */
    void *store_ctx;
    bool (*lookup)(void *store_ctx, enum referrers_part part, const struct digest *digest,
                   struct bytes_buf *out);
    void (*store)(void *store_ctx, enum referrers_part part, const struct digest *digest,
                  const char *media_type, struct bytes content);

    /* out */
    bool is_here;              /* of a lookup */
    struct manifest *manifest; /* of a manifest or tag */
    json_t *doc;               /* of a page or fallback list */
    json_t *list;              /* in doc */
    struct gh_error error;     /* none: it is good */
};

/* New, about nothing yet; NULL when memory is out. */
struct referrers_check *referrers_check_new(struct referrers_task *task);
/* Judge it (taken), here or on a helper; referrers_task_judged() follows, before this returns or
 * later. */
void referrers_check_start(struct referrers_check *check, size_t len);
/* The task is gone. */
void referrers_check_leave(struct referrers_check *check);
/* referrers_task.c: CHECK is borrowed. The task may be freed, and the search finished. */
void referrers_task_judged(struct referrers_task *task, struct referrers_check *check);

TAILQ_HEAD(referrers_task_list, referrers_task);

struct referrers_search {
    struct upstream_client *client;
    struct referrers_ask ask;
    struct referrers_place places[REFERRERS_MAX_PLACES]; /* owned copies */
    referrers_done_fn done;
    referrers_list_fn list_done;
    char *artifact_type; /* of a list's filter */
    void *list_ctx;
    struct event *timer;
    bool is_started;
    bool is_pumping;
    int64_t deadline_ms;
    struct referrers_task_list ready;
    struct referrers_task_list later; /* descriptors that do not say what they are */
    struct referrers_task_list running;
    size_t running_count;
    size_t descriptor_count;
    size_t page_count;
    size_t seen_count;
    uint64_t total_bytes;
    struct referrers_found *found;
    struct gh_error incomplete;
    /* of a list */
    json_t *listed;
    enum upstream_outcome list_outcome;
    bool is_list_retryable;
    /* Only what the counts say; zeroing these for every search would cost more than the rest. */
    char *pages[REFERRERS_MAX_PAGES];
    struct digest seen[REFERRERS_MAX_DESCRIPTORS];
};

/* referrers_task.c: start a task that is listed as running. It may end, and be freed, at once. */
void referrers_task_start(struct referrers_task *task);
/* Where in the registry's order something stands. */
enum referrers_source {
    REFERRERS_FROM_API,
    REFERRERS_FROM_FALLBACK,
    REFERRERS_FROM_SIG,
    REFERRERS_FROM_ATT
};
uint64_t referrers_task_order(size_t place, enum referrers_source source, size_t index);
void referrers_task_free(struct referrers_task *task);
/* referrers.c */
GH_CHECKED bool referrers_search_add(struct referrers_search *search, enum referrers_task_kind kind,
                                     size_t place, uint64_t order, const char *path,
                                     const char *label, struct referrers_task **out);
void referrers_search_trouble(struct referrers_search *search, const struct gh_error *error);
/* Start what can be started, finish when nothing is left. May free the search. */
void referrers_search_pump(struct referrers_search *search);

#endif
