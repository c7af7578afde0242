/*
 * The pure part of finding evidence: pages of descriptors, Link headers, tag names, and which
 * artifact types hold which kind of evidence.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_REFERRERS_PAGE_H
#define PROXY_REFERRERS_PAGE_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;

#define REFERRERS_PAGE_MAX_TAG 128 /* OCI distribution-spec, tags */
#define REFERRERS_PAGE_MAX_LINK 4096
#define REFERRERS_PAGE_BUNDLE_PREFIX "application/vnd.dev.sigstore.bundle"

struct referrers_descriptor {
    struct digest digest;
    int64_t size;
    struct bytes media_type;
    struct bytes artifact_type; /* no bytes when absent */
};

/*
 * Read a page: an OCI index.
 *
 * Gives: *doc: new, json_decref(); *list: its `manifests`, borrowed from *doc
 * Fails: FALLBACK_INDEX_INVALID
 */
GH_CHECKED bool referrers_page_parse(struct bytes body, const char *content_type, json_t **doc,
                                     json_t **list, struct gh_error *err);

/*
 * Read one descriptor of a page. Views are borrowed from it. One that is broken is the registry's
 * or a pusher's junk and no reason to drop the others.
 *
 * Fails: MALFORMED_MANIFEST, DIGEST_ALG_UNSUPPORTED
 */
GH_CHECKED bool referrers_page_descriptor(const json_t *entry, struct referrers_descriptor *out,
                                          struct gh_error *err);

/*
 * The target of rel="next" in a Link header.
 *
 * Spec:  RFC 8288 section 3
 * Gives: *out: new, free(); NULL where there is no next
 * Fails: PAGINATION_INVALID
 */
GH_CHECKED bool referrers_page_next(const char *link, char **out, struct gh_error *err);

/* The fallback tag of a digest: "sha256-<hex>", both parts cut as the specification says. */
void referrers_page_fallback_tag(const struct digest *digest, char out[REFERRERS_PAGE_MAX_TAG + 1]);
/* "sha256-<hex>" + SUFFIX (".sig"). False where that is too long for a tag. */
bool referrers_page_cosign_tag(const struct digest *digest, const char *suffix,
                               char out[REFERRERS_PAGE_MAX_TAG + 1]);

/* The kinds of evidence (mask of 1 << kind) an artifact type may hold; 0: none that is known. */
unsigned referrers_page_kinds(struct bytes artifact_type);
/* The kind of one layer in a manifest whose artifact holds KINDS; EVIDENCE_BROKEN: none. */
int referrers_page_layer_kind(unsigned kinds, struct bytes layer_type);

#endif
