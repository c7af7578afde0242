/*
 * From a request target to what is asked for, as the OCI Distribution specification lays paths
 * out. Pure: knows nothing of configuration.
 *
 * Spec:    OCI distribution-spec, "Endpoints" (end-1 to end-13) and "Registry Proxying"
 * Threads: any
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

#define ROUTE_MAX_NAME 255
#define ROUTE_MAX_TAG 128
#define ROUTE_MAX_QUERY_VALUE 255

enum route_kind {
    ROUTE_UNKNOWN = 0, /* not below /v2/ */
    ROUTE_VERSION,     /* GET /v2/ */
    ROUTE_MANIFEST,
    ROUTE_BLOB,
    ROUTE_TAGS,
    ROUTE_REFERRERS,
    ROUTE_CATALOG,
    ROUTE_UPLOAD /* blob uploads */
};

struct route {
    enum route_kind kind;
    char name[ROUTE_MAX_NAME + 1]; /* whole name as the client wrote it, "docker.io/library/x" */
    bool is_digest;
    struct digest digest;
    char tag[ROUTE_MAX_TAG + 1]; /* empty with a digest */
    char ns[ROUTE_MAX_NAME + 1]; /* `ns=`; empty when absent */
    bool has_limit;              /* `n=` */
    uint32_t limit;
    char last[ROUTE_MAX_QUERY_VALUE + 1]; /* `last=`, empty when absent */
    char artifact_type[ROUTE_MAX_QUERY_VALUE + 1];
};

/* Which registry error a target deserves that cannot be routed. */
enum route_fault {
    ROUTE_OK = 0,
    ROUTE_NOT_FOUND,      /* 404 UNSUPPORTED: no such endpoint */
    ROUTE_NAME_INVALID,   /* 400 NAME_INVALID */
    ROUTE_DIGEST_INVALID, /* 400 DIGEST_INVALID */
    ROUTE_TAG_INVALID,    /* 400 MANIFEST_INVALID */
    ROUTE_QUERY_INVALID   /* 400 UNSUPPORTED: repeated or malformed parameter */
};

/*
 * Read the path and the query of a target ("/v2/name/manifests/ref", "ns=…"; no question mark).
 * Percent-encoding is resolved once; an encoded slash never becomes a separator.
 *
 * Gives: *out, filled only with ROUTE_OK
 */
enum route_fault route_parse(struct bytes path, struct bytes query, struct route *out);

/* Percent-decode into OUT with its NUL. A NUL is refused, a slash that was encoded, too, unless it
 * is allowed, and so is what does not fit. */
GH_CHECKED bool route_decode(struct bytes in, bool allow_slash, char *out, size_t size);

/* The distribution grammar of repository names. Where ALLOW_HOST is set, an upstream's
 * host[:port] may be the first component, or the second behind a tenant's prefix. */
bool route_name_is_valid(struct bytes name, bool allow_host);
bool route_tag_is_valid(struct bytes tag);

/* For metrics and logs: "manifests", "blobs", … */
const char *route_label(enum route_kind kind);

/*
 * The digest named by an evidence tag: sha256-<hex>, with .sig, .att or .sbom behind it, or alone
 * (the referrers fallback). False when TAG is none of these.
 */
bool route_evidence_tag(struct bytes tag, struct digest *out);

#endif
