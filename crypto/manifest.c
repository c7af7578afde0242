#include "crypto/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"

bool manifest_type_is_known(struct bytes media_type)
{
    return bytes_equal_cstr(media_type, MANIFEST_OCI_IMAGE) ||
           bytes_equal_cstr(media_type, MANIFEST_OCI_INDEX) ||
           bytes_equal_cstr(media_type, MANIFEST_DOCKER_IMAGE) ||
           bytes_equal_cstr(media_type, MANIFEST_DOCKER_LIST);
}

bool manifest_type_is_index(struct bytes media_type)
{
    return bytes_equal_cstr(media_type, MANIFEST_OCI_INDEX) ||
           bytes_equal_cstr(media_type, MANIFEST_DOCKER_LIST);
}

static bool manifest_read_media_type(const json_t *object, bool is_required, struct bytes *out,
                                     struct gh_error *err)
{
    GH_TRY(sjson_opt_string(object, "mediaType", out, err));
    if (is_required && (out->data == NULL || out->len == 0)) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "a descriptor has no mediaType");
    }
    if (out->len > MANIFEST_MAX_MEDIA_TYPE) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "a media type of %zu bytes", out->len);
    }
    return true;
}

static bool manifest_read_annotations(const json_t *object, const json_t **out,
                                      struct gh_error *err)
{
    json_t *annotations;
    const char *key;
    json_t *value;

    GH_TRY(sjson_opt_object(object, "annotations", &annotations, err));
    if (annotations != NULL) {
        json_object_foreach (annotations, key, value) {
            if (!json_is_string(value)) {
                return gh_fail(err, GH_MALFORMED_MANIFEST, "annotation '%s' is not a string", key);
            }
        }
    }
    *out = annotations;
    return true;
}

static bool manifest_read_descriptor(const json_t *object, struct manifest_descriptor *out,
                                     struct gh_error *err)
{
    struct manifest_descriptor item = {0};
    struct bytes digest;
    json_t *platform;

    if (!json_is_object(object)) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "a descriptor is not an object");
    }
    GH_TRY(manifest_read_media_type(object, true, &item.media_type, err));
    GH_TRY(sjson_get_string(object, "digest", &digest, err));
    GH_TRY(digest_parse(digest, &item.digest, err));
    GH_TRY(sjson_get_int(object, "size", &item.size, err));
    if (item.size < 0) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "a descriptor's size is negative");
    }
    GH_TRY(sjson_opt_string(object, "artifactType", &item.artifact_type, err));
    GH_TRY(manifest_read_annotations(object, &item.annotations, err));
    GH_TRY(sjson_opt_object(object, "platform", &platform, err));
    if (platform != NULL) {
        GH_TRY(sjson_opt_string(platform, "os", &item.os, err));
        GH_TRY(sjson_opt_string(platform, "architecture", &item.architecture, err));
    }
    *out = item;
    return true;
}

static bool manifest_read_items(struct manifest *manifest, const char *key, struct gh_error *err)
{
    json_t *list;
    size_t count;

    GH_TRY(sjson_get_array(manifest->doc, key, &list, err));
    count = json_array_size(list);
    if (count > MANIFEST_MAX_ITEMS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "%zu %s, at most %d are accepted", count, key,
                       MANIFEST_MAX_ITEMS);
    }
    manifest->items = calloc(count > 0 ? count : 1, sizeof(*manifest->items));
    if (manifest->items == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for %zu descriptors", count);
    }
    for (size_t i = 0; i < count; i++) {
        if (!manifest_read_descriptor(json_array_get(list, i), &manifest->items[i], err)) {
            gh_error_at(err, "%s %zu", key, i);
            return false;
        }
    }
    manifest->item_count = count;
    return true;
}

/* What the document says it is must be what it was served as, and can only be read one way. */
static bool manifest_check_type(struct manifest *manifest, struct bytes served,
                                struct gh_error *err)
{
    bool has_manifests = json_object_get(manifest->doc, "manifests") != NULL;
    bool has_image = json_object_get(manifest->doc, "layers") != NULL ||
                     json_object_get(manifest->doc, "config") != NULL ||
                     json_object_get(manifest->doc, "fsLayers") != NULL;
    struct bytes own;

    GH_TRY(manifest_read_media_type(manifest->doc, false, &own, err));
    if (has_manifests && has_image) {
        return gh_fail(err, GH_AMBIGUOUS_MANIFEST,
                       "the document has both 'manifests' and 'layers' or 'config'");
    }
    if (own.data != NULL && served.len > 0 && !bytes_equal(own, served)) {
        return gh_fail(err, GH_MEDIA_TYPE_MISMATCH, "served as '%.*s', but says '%.*s'",
                       (int)GH_MIN(served.len, (size_t)80), (const char *)served.data,
                       (int)GH_MIN(own.len, (size_t)80), (const char *)own.data);
    }
    manifest->media_type = served.len > 0 ? served : own;
    if (!manifest_type_is_known(manifest->media_type)) {
        return gh_fail(err, GH_MANIFEST_TYPE_UNSUPPORTED, "manifests of type '%.*s'",
                       (int)GH_MIN(manifest->media_type.len, (size_t)100),
                       (const char *)manifest->media_type.data);
    }
    manifest->kind = manifest_type_is_index(manifest->media_type) ? MANIFEST_INDEX : MANIFEST_IMAGE;
    if ((manifest->kind == MANIFEST_INDEX && has_image) ||
        (manifest->kind == MANIFEST_IMAGE && has_manifests)) {
        return gh_fail(err, GH_MEDIA_TYPE_MISMATCH, "served as '%.*s', but holds something else",
                       (int)manifest->media_type.len, (const char *)manifest->media_type.data);
    }
    return true;
}

static bool manifest_read(struct manifest *manifest, struct bytes served, struct gh_error *err)
{
    json_t *object;
    int64_t schema;

    GH_TRY(manifest_check_type(manifest, served, err));
    GH_TRY(sjson_get_int(manifest->doc, "schemaVersion", &schema, err));
    if (schema != 2) {
        return gh_fail(err, GH_MANIFEST_TYPE_UNSUPPORTED, "schemaVersion %lld, only 2 is accepted",
                       (long long)schema);
    }
    GH_TRY(sjson_opt_string(manifest->doc, "artifactType", &manifest->artifact_type, err));
    GH_TRY(manifest_read_annotations(manifest->doc, &manifest->annotations, err));
    GH_TRY(sjson_opt_object(manifest->doc, "subject", &object, err));
    if (object != NULL) {
        GH_TRY(manifest_read_descriptor(object, &manifest->subject, err));
        manifest->has_subject = true;
    }
    if (manifest->kind == MANIFEST_INDEX) {
        return manifest_read_items(manifest, "manifests", err);
    }
    GH_TRY(sjson_get_object(manifest->doc, "config", &object, err));
    GH_TRY(manifest_read_descriptor(object, &manifest->config, err));
    manifest->has_config = true;
    return manifest_read_items(manifest, "layers", err);
}

/* Keep the served type where the views point: inside the document. */
static bool manifest_keep_type(struct manifest *manifest, const char *content_type,
                               struct bytes *served, struct gh_error *err)
{
    size_t len = content_type != NULL ? strcspn(content_type, "; \t") : 0;
    json_t *kept;

    *served = bytes_make(NULL, 0);
    if (len == 0) {
        return true;
    }
    kept = json_stringn(content_type, len);
    if (kept == NULL || json_object_set_new(manifest->doc, "\x01served", kept) != 0) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "the content type is not text");
    }
    *served = sjson_string(json_object_get(manifest->doc, "\x01served"));
    return true;
}

bool manifest_parse(struct bytes in, const char *content_type, struct manifest **out,
                    struct gh_error *err)
{
    GH_OWN(manifest_freep) struct manifest *manifest = calloc(1, sizeof(*manifest));
    struct bytes served;

    if (manifest == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a manifest");
    }
    GH_TRY(sjson_parse_object(in, MANIFEST_MAX_BYTES, &manifest->doc, err));
    GH_TRY(manifest_keep_type(manifest, content_type, &served, err));
    if (!manifest_read(manifest, served, err)) {
        if (err != NULL && err->cause == GH_MALFORMED_JSON) {
            return gh_recast(err, GH_MALFORMED_MANIFEST);
        }
        return false;
    }
    *out = GH_TAKE(manifest);
    return true;
}

void manifest_free(struct manifest *manifest)
{
    if (manifest == NULL) {
        return;
    }
    json_decref(manifest->doc);
    free(manifest->items);
    free(manifest);
}

struct bytes manifest_annotation(const json_t *annotations, const char *name)
{
    const json_t *value = annotations != NULL ? json_object_get(annotations, name) : NULL;

    return value != NULL ? sjson_string(value) : bytes_make(NULL, 0);
}

bool manifest_is_attestation_entry(const struct manifest_descriptor *entry)
{
    return bytes_equal_cstr(entry->os, "unknown") &&
           bytes_equal_cstr(entry->architecture, "unknown") &&
           bytes_equal_cstr(manifest_annotation(entry->annotations, "vnd.docker.reference.type"),
                            "attestation-manifest");
}

static bool manifest_one_of(struct bytes type, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (bytes_equal_cstr(type, *list)) {
            return true;
        }
    }
    return false;
}

static bool manifest_is_bundle_type(struct bytes type)
{
    return bytes_starts_with(type, BYTES_LITERAL("application/vnd.dev.sigstore.bundle"));
}

/* Types that evidence may declare as its artifact. */
static bool manifest_is_evidence_artifact(struct bytes type)
{
    static const char *const types[] = {"application/vnd.cncf.notary.signature",
                                        "application/vnd.dev.cosign.artifact.sig.v1+json",
                                        "application/vnd.dev.cosign.artifact.att.v1+json",
                                        "application/vnd.dev.cosign.artifact.sbom.v1+json",
                                        "application/vnd.dsse.envelope.v1+json",
                                        "application/vnd.in-toto+json",
                                        "application/vnd.in-toto.bundle",
                                        "application/vnd.docker.attestation.manifest.v1+json",
                                        NULL};

    return manifest_is_bundle_type(type) || manifest_one_of(type, types);
}

/* cosign's .sig and .att manifests carry an ordinary config type: it says nothing either way. */
static bool manifest_is_evidence_config(struct bytes type)
{
    static const char *const types[] = {"application/vnd.oci.empty.v1+json",
                                        "application/vnd.oci.image.config.v1+json",
                                        "application/vnd.docker.container.image.v1+json", NULL};

    return manifest_is_evidence_artifact(type) || manifest_one_of(type, types);
}

static bool manifest_is_evidence_layer(struct bytes type)
{
    static const char *const types[] = {"application/vnd.dev.cosign.simplesigning.v1+json",
                                        "application/vnd.dsse.envelope.v1+json",
                                        "application/jose+json",
                                        "application/cose",
                                        "application/vnd.in-toto+json",
                                        "application/vnd.in-toto.bundle",
                                        "text/spdx",
                                        "text/spdx+json",
                                        "application/vnd.cyclonedx",
                                        "application/vnd.cyclonedx+json",
                                        "application/vnd.cyclonedx+xml",
                                        "application/vnd.syft+json",
                                        NULL};

    return manifest_is_bundle_type(type) || manifest_one_of(type, types);
}

bool manifest_is_evidence(const struct manifest *manifest)
{
    if (manifest->kind != MANIFEST_IMAGE || manifest->item_count == 0 ||
        (manifest->artifact_type.len > 0 &&
         !manifest_is_evidence_artifact(manifest->artifact_type)) ||
        !manifest_is_evidence_config(manifest->config.media_type)) {
        return false;
    }
    for (size_t i = 0; i < manifest->item_count; i++) {
        if (!manifest_is_evidence_layer(manifest->items[i].media_type)) {
            return false;
        }
    }
    return true;
}
