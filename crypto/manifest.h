/*
 * Image manifests and indexes, OCI and Docker schema 2, read from bytes whose digest was checked.
 * A parser only: it knows nothing of trust.
 *
 * Spec:    OCI image-spec manifest.md, image-index.md; Docker image manifest v2 schema 2
 * Threads: a manifest is immutable after parsing
 */
#ifndef CRYPTO_MANIFEST_H
#define CRYPTO_MANIFEST_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;

#define MANIFEST_MAX_BYTES (4u * 1024 * 1024)
#define MANIFEST_MAX_ITEMS 1000 /* layers, or entries of an index */
#define MANIFEST_MAX_MEDIA_TYPE 255

#define MANIFEST_OCI_IMAGE "application/vnd.oci.image.manifest.v1+json"
#define MANIFEST_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MANIFEST_DOCKER_IMAGE "application/vnd.docker.distribution.manifest.v2+json"
#define MANIFEST_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct manifest_descriptor {
    struct bytes media_type;
    struct digest digest;
    int64_t size;
    struct bytes artifact_type; /* data NULL when absent */
    struct bytes os;            /* of `platform`; data NULL when there is none */
    struct bytes architecture;
    const json_t *annotations; /* object or NULL */
};

struct manifest {
    json_t *doc; /* owns what the views point to */
    enum manifest_kind kind;
    struct bytes media_type;    /* from the document, else as served */
    struct bytes artifact_type; /* data NULL when absent */
    bool has_config;
    struct manifest_descriptor config;
    struct manifest_descriptor *items; /* layers of an image, manifests of an index */
    size_t item_count;
    bool has_subject;
    struct manifest_descriptor subject;
    const json_t *annotations; /* object or NULL */
};

/*
 * Read a manifest that was served as CONTENT_TYPE (parameters ignored; copied into the document).
 * Without a content type the document's own mediaType decides.
 *
 * Gives: *out: new, manifest_free()
 * Fails: MALFORMED_JSON, DUPLICATE_JSON_KEY, MALFORMED_MANIFEST, AMBIGUOUS_MANIFEST (an index and
 *        an image at once, CVE-2021-41190), MEDIA_TYPE_MISMATCH, MANIFEST_TYPE_UNSUPPORTED
 *        (schema 1, withdrawn types), SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED,
 *        DIGEST_ALG_UNSUPPORTED
 */
GH_CHECKED bool manifest_parse(struct bytes in, const char *content_type, struct manifest **out,
                               struct gh_error *err);
void manifest_free(struct manifest *manifest);
GH_DEFINE_FREEP(manifest, struct manifest)

/* One of the four types that manifest_parse() accepts. */
bool manifest_type_is_known(struct bytes media_type);
bool manifest_type_is_index(struct bytes media_type);

/* An annotation's value, or no bytes. */
struct bytes manifest_annotation(const json_t *annotations, const char *name);

/*
 * Whether an index entry is a BuildKit attestation manifest: platform unknown/unknown and a
 * reference to another entry. It is no runnable platform, and no evidence by itself.
 */
bool manifest_is_attestation_entry(const struct manifest_descriptor *entry);

/*
 * Whether the manifest is, by every type it declares, signature or attestation material and
 * nothing a runtime would unpack: artifact type, config and every layer are of the known evidence
 * types (verification.md 1.3, 8.5).
 */
bool manifest_is_evidence(const struct manifest *manifest);

#endif
