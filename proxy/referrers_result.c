/*
 * What a search found: drafts while blobs are still on their way, then the evidence set.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/referrers_search.h"

struct referrers_found *referrers_found_new(void)
{
    struct referrers_found *found = calloc(1, sizeof(*found));

    if (found == NULL) {
        return NULL;
    }
    found->open.references = 1;
    /* Each is filled in when it is counted: zeroing half a megabyte for every search would be a
     * tenth of its cost. */
    found->drafts = reallocarray(NULL, REFERRERS_MAX_ITEMS, sizeof(*found->drafts));
    found->blobs = reallocarray(NULL, REFERRERS_MAX_ITEMS, sizeof(*found->blobs));
    found->manifests = reallocarray(NULL, REFERRERS_MAX_MANIFESTS, sizeof(struct manifest *));
    if (found->drafts == NULL || found->blobs == NULL || found->manifests == NULL) {
        referrers_result_unref(&found->open);
        return NULL;
    }
    return found;
}

void referrers_result_unref(struct referrers_result *result)
{
    struct referrers_found *found = (struct referrers_found *)result;

    if (result == NULL || __atomic_sub_fetch(&result->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < found->draft_count; i++) {
        free(found->drafts[i].annotations);
        free(found->drafts[i].location);
    }
    for (size_t i = 0; i < found->blob_count; i++) {
        bytes_buf_done(&found->blobs[i].content);
    }
    for (size_t i = 0; i < found->manifest_count; i++) {
        manifest_free(found->manifests[i]);
    }
    free(found->items);
    free(found->drafts);
    free(found->blobs);
    free(found->manifests);
    free(found);
}

static bool found_add_draft(struct referrers_found *found, uint64_t order, const char *place,
                            size_t layer, struct referrers_draft **out, struct gh_error *err)
{
    struct referrers_draft *draft = &found->drafts[found->draft_count];
    char location[256];

    if (found->draft_count == REFERRERS_MAX_ITEMS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d pieces of evidence",
                       REFERRERS_MAX_ITEMS);
    }
    if (layer == SIZE_MAX) {
        (void)snprintf(location, sizeof(location), "%s", place);
    } else {
        (void)snprintf(location, sizeof(location), "%s, layer %zu", place, layer);
    }
    memset(draft, 0, sizeof(*draft));
    draft->location = strdup(location);
    if (draft->location == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for evidence");
    }
    draft->order = order + (layer == SIZE_MAX ? 0 : layer);
    draft->item.location = draft->location;
    draft->blob = SIZE_MAX;
    found->draft_count++;
    *out = draft;
    return true;
}

bool referrers_found_add_broken(struct referrers_found *found, uint64_t order, const char *place,
                                const struct gh_error *why, struct gh_error *err)
{
    struct referrers_draft *draft = NULL;

    GH_TRY(found_add_draft(found, order, place, SIZE_MAX, &draft, err));
    draft->item.failure = *why;
    return true;
}

static bool found_copy_annotations(struct referrers_draft *draft, const json_t *annotations,
                                   struct gh_error *err)
{
    size_t count = json_object_size(annotations);
    const char *name;
    json_t *value;

    if (count == 0) {
        return true;
    }
    if (count > REFERRERS_MAX_ANNOTATIONS) {
        return gh_fail(&draft->item.failure, GH_COUNT_LIMIT_EXCEEDED,
                       "%zu annotations, at most %d are read", count, REFERRERS_MAX_ANNOTATIONS);
    }
    draft->annotations = calloc(count, sizeof(*draft->annotations));
    if (draft->annotations == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for annotations");
    }
    json_object_foreach ((json_t *)(uintptr_t)annotations, name, value) {
        if (json_is_string(value)) {
            /* Borrowed from the manifest's document, which the result keeps. */
            draft->annotations[draft->item.annotation_count++] =
                (struct evidence_annotation){.name = name, .value = json_string_value(value)};
        }
    }
    draft->item.annotations = draft->annotations;
    return true;
}

static bool found_want_blob(struct referrers_found *found, const struct manifest_descriptor *layer,
                            size_t *out, struct gh_error *err)
{
    for (size_t i = 0; i < found->blob_count; i++) {
        if (digest_equal(&found->blobs[i].digest, &layer->digest) &&
            found->blobs[i].size == layer->size) {
            *out = i;
            return true;
        }
    }
    if (found->blob_count == REFERRERS_MAX_ITEMS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d blobs of evidence",
                       REFERRERS_MAX_ITEMS);
    }
    *out = found->blob_count;
    found->blobs[found->blob_count++] =
        (struct referrers_blob){.digest = layer->digest, .size = layer->size};
    return true;
}

/* The cause that a format uses for a manifest that does not have its form. */
static enum gh_cause found_form_cause(unsigned kinds)
{
    if ((kinds & REFERRERS_KIND(EVIDENCE_BUNDLE)) != 0) {
        return GH_BUNDLE_MALFORMED;
    }
    if ((kinds & REFERRERS_KIND(EVIDENCE_NOTATION_JWS)) != 0) {
        return GH_NOTATION_MANIFEST_INVALID;
    }
    return GH_MEDIA_TYPE_MISMATCH;
}

static bool found_add_layer(struct referrers_found *found, const struct manifest *manifest,
                            size_t index, unsigned kinds, size_t max_blob_bytes, uint64_t order,
                            const char *place, struct gh_error *err)
{
    const struct manifest_descriptor *layer = &manifest->items[index];
    int kind = referrers_page_layer_kind(kinds, layer->media_type);
    bool is_cosign = kind == EVIDENCE_COSIGN_SIGNATURE || kind == EVIDENCE_COSIGN_ATTESTATION;
    struct referrers_draft *draft = NULL;

    GH_TRY(found_add_draft(found, order, place, index, &draft, err));
    draft->item.digest = layer->digest;
    if (kind == EVIDENCE_BROKEN) {
        (void)gh_fail(&draft->item.failure, found_form_cause(kinds),
                      "a layer of type %.*s is no such evidence",
                      (int)GH_MIN(layer->media_type.len, 100u),
                      (const char *)layer->media_type.data);
        return true;
    }
    if (layer->size > (int64_t)max_blob_bytes) {
        (void)gh_fail(&draft->item.failure, GH_SIZE_LIMIT_EXCEEDED,
                      "evidence of %lld bytes, the limit is %zu", (long long)layer->size,
                      max_blob_bytes);
        return true;
    }
    if (!found_copy_annotations(draft, is_cosign ? layer->annotations : manifest->annotations,
                                err)) {
        return draft->item.failure.cause != GH_CAUSE_NONE;
    }
    draft->item.kind = (enum evidence_kind)kind;
    return found_want_blob(found, layer, &draft->blob, err);
}

/* Before OCI 1.1 the type stood in the configuration; never in both, nor in neither. */
static bool found_is_notation_form(const struct manifest *manifest)
{
    struct bytes config = manifest->has_config ? manifest->config.media_type : (struct bytes){0};

    return manifest->artifact_type.len > 0
               ? bytes_equal_cstr(config, "application/vnd.oci.empty.v1+json")
               : bytes_equal_cstr(config, "application/vnd.cncf.notary.signature");
}

bool referrers_found_add(struct referrers_found *found, struct manifest *manifest, unsigned kinds,
                         size_t max_blob_bytes, uint64_t order, const char *place,
                         struct gh_error *err)
{
    bool is_single =
        (kinds & (REFERRERS_KIND(EVIDENCE_BUNDLE) | REFERRERS_KIND(EVIDENCE_NOTATION_JWS) |
                  REFERRERS_KIND(EVIDENCE_NOTATION_COSE))) != 0;
    struct gh_error why = {0};

    if (found->manifest_count == REFERRERS_MAX_MANIFESTS) {
        manifest_free(manifest);
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d manifests of evidence",
                       (int)REFERRERS_MAX_MANIFESTS);
    }
    found->manifests[found->manifest_count++] = manifest;
    if (manifest->kind != MANIFEST_IMAGE) {
        (void)gh_fail(&why, GH_MALFORMED_MANIFEST, "an index where a signature manifest belongs");
        return referrers_found_add_broken(found, order, place, &why, err);
    }
    if (is_single && manifest->item_count != 1) {
        (void)gh_fail(&why, found_form_cause(kinds), "exactly one layer is wanted, there are %zu",
                      manifest->item_count);
        return referrers_found_add_broken(found, order, place, &why, err);
    }
    if (found_form_cause(kinds) == GH_NOTATION_MANIFEST_INVALID &&
        !found_is_notation_form(manifest)) {
        (void)gh_fail(&why, GH_NOTATION_MANIFEST_INVALID,
                      "the type of the configuration is not that of a notation signature");
        return referrers_found_add_broken(found, order, place, &why, err);
    }
    for (size_t i = 0; i < manifest->item_count; i++) {
        GH_TRY(found_add_layer(found, manifest, i, kinds, max_blob_bytes, order, place, err));
    }
    return true;
}

static int found_compare(const void *a, const void *b)
{
    const struct referrers_draft *left = a;
    const struct referrers_draft *right = b;

    return (left->order > right->order) - (left->order < right->order);
}

bool referrers_found_seal(struct referrers_found *found, struct gh_error *err)
{
    qsort(found->drafts, found->draft_count, sizeof(*found->drafts), found_compare);
    found->items = calloc(found->draft_count + 1, sizeof(*found->items));
    if (found->items == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for evidence");
    }
    for (size_t i = 0; i < found->draft_count; i++) {
        struct evidence_item *item = &found->items[i];

        *item = found->drafts[i].item;
        if (found->drafts[i].blob != SIZE_MAX) {
            const struct referrers_blob *blob = &found->blobs[found->drafts[i].blob];

            item->blob = bytes_view(&blob->content);
            if (blob->state != REFERRERS_BLOB_HERE) {
                item->kind = EVIDENCE_BROKEN;
                item->failure = blob->error;
            }
            if (blob->state == REFERRERS_BLOB_WANTED) {
                /* Cut short before it came: the set is incomplete, and the item says so too. */
                (void)gh_fail(&item->failure, GH_DISCOVERY_UNAVAILABLE,
                              "the evidence was not fetched");
            }
        }
    }
    found->open.set.items = found->items;
    found->open.set.count = found->draft_count;
    return true;
}
