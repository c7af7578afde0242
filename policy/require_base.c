#include "policy/require_base.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/bundle.h"
#include "crypto/cosign.h"
#include "crypto/manifest.h"
#include "crypto/sjson.h"
#include "crypto/statement.h"

#define REQUIRE_BASE_MAX_NAME 512

/* A base image as the evidence names it. */
struct require_base_image {
    struct digest digest;
    char name[REQUIRE_BASE_MAX_NAME];
};

struct require_base_list {
    struct require_base_image items[REQUIRE_BASE_MAX_IMAGES];
    size_t count;
};

static bool require_base_add(struct require_base_list *list, struct bytes digest, struct bytes name,
                             struct gh_error *err)
{
    struct require_base_image *image;
    size_t slash;
    size_t colon;

    if (list->count == REQUIRE_BASE_MAX_IMAGES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d base images",
                       REQUIRE_BASE_MAX_IMAGES);
    }
    image = &list->items[list->count];
    GH_TRY(digest_parse(digest, &image->digest, err));
    name = bytes_slice(name, 0, GH_MIN(name.len, bytes_find(name, BYTES_LITERAL("@"))));
    slash = bytes_find_last(name, BYTES_LITERAL("/"));
    colon = bytes_find_last(name, BYTES_LITERAL(":"));
    if (colon != SIZE_MAX && (slash == SIZE_MAX || colon > slash)) {
        name = bytes_slice(name, 0, colon); /* the digest says which one, a tag does not */
    }
    if (name.len == 0 || name.len >= sizeof(image->name) || bytes_contains_nul(name)) {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED, "the base image's name cannot be used");
    }
    memcpy(image->name, name.data, name.len);
    image->name[name.len] = '\0';
    list->count++;
    return true;
}

static bool require_base_from_annotations(const struct require_input *input,
                                          struct require_base_list *list, struct gh_error *err)
{
    struct manifest *manifest = NULL;
    const json_t *digest;
    const json_t *name;
    bool ok;

    GH_TRY(manifest_parse(input->subject->manifest, input->subject->media_type, &manifest, err));
    digest = json_object_get(manifest->annotations, REQUIRE_BASE_ANNOTATION_DIGEST);
    name = json_object_get(manifest->annotations, REQUIRE_BASE_ANNOTATION_NAME);
    if (!json_is_string(digest) || !json_is_string(name)) {
        ok = gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                     "the image lacks the annotations %s and %s that name its base",
                     REQUIRE_BASE_ANNOTATION_NAME, REQUIRE_BASE_ANNOTATION_DIGEST);
    } else {
        ok = require_base_add(list, sjson_string(digest), sjson_string(name), err);
    }
    manifest_free(manifest);
    return ok;
}

/* `pkg:docker/NAME@VERSION?…` as builders write base images; other materials are no images. */
static bool require_base_add_material(struct require_base_list *list, const json_t *material,
                                      struct gh_error *err)
{
    static const char prefix[] = "pkg:docker/";
    const json_t *uri = json_object_get(material, "uri");
    const json_t *hex = json_object_get(json_object_get(material, "digest"), "sha256");
    char digest[DIGEST_MAX_TEXT] = "sha256:";
    struct bytes name;

    if (!json_is_string(uri) || !bytes_starts_with(sjson_string(uri), bytes_of(prefix))) {
        return true;
    }
    if (!json_is_string(hex) || json_string_length(hex) != 64) {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                       "the provenance names base image %.100s without its digest",
                       json_string_value(uri));
    }
    name = bytes_slice(sjson_string(uri), sizeof(prefix) - 1, json_string_length(uri));
    name = bytes_slice(name, 0, GH_MIN(name.len, bytes_find(name, BYTES_LITERAL("?"))));
    if (bytes_find(name, BYTES_LITERAL("%")) != SIZE_MAX) {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                       "escapes in the base image's name are not supported yet");
    }
    memcpy(digest + 7, json_string_value(hex), 65);
    return require_base_add(list, bytes_of(digest), name, err);
}

static bool require_base_read_statement(struct bytes payload, struct require_base_list *list,
                                        struct gh_error *err)
{
    GH_OWN(statement_done) struct statement statement = {0};
    const json_t *materials;

    GH_TRY(statement_parse(payload, &statement, err));
    materials = json_object_get(statement.predicate, "materials");
    if (materials == NULL) {
        materials = json_object_get(json_object_get(statement.predicate, "buildDefinition"),
                                    "resolvedDependencies");
    }
    for (size_t i = 0; i < json_array_size(materials); i++) {
        GH_TRY(require_base_add_material(list, json_array_get(materials, i), err));
    }
    if (list->count == 0) {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED, "the provenance names no base image");
    }
    return true;
}

static bool require_base_from_provenance(const struct require_input *input,
                                         struct require_base_list *list, struct gh_error *err)
{
    static const char *const types[] = {"https://slsa.dev/provenance/v0.2",
                                        "https://slsa.dev/provenance/v1"};
    struct claims_wanted wanted = {
        .is_attestation = true, .types = types, .type_count = GH_COUNT(types)};
    size_t limit = input->max_candidates > 0 ? input->max_candidates : input->evidence->count;

    for (size_t i = 0; i < GH_MIN(limit, input->evidence->count); i++) {
        const struct evidence_item *item = &input->evidence->items[i];
        struct evidence_proof proof = {0};
        enum evidence_step step;
        struct gh_error ignored = {0};
        bool is_good = false;
        bool ok;

        if (item->kind == EVIDENCE_BUNDLE) {
            is_good = bundle_verify(item, input->subject, input->require->signer, &wanted,
                                    input->now_unix_s, &step, &proof, &ignored);
        } else if (item->kind == EVIDENCE_COSIGN_ATTESTATION || item->kind == EVIDENCE_DSSE) {
            is_good = cosign_verify(item, input->subject, input->require->signer, &wanted,
                                    input->now_unix_s, &step, &proof, &ignored);
        }
        if (is_good) {
            ok = require_base_read_statement(bytes_view(&proof.payload), list, err);
            evidence_proof_done(&proof);
            return ok;
        }
    }
    if (input->evidence->incomplete.cause != GH_CAUSE_NONE) {
        return gh_fail(err, input->evidence->incomplete.cause, "%s",
                       input->evidence->incomplete.text);
    }
    return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                   "no provenance signed by %.100s names the base image",
                   input->require->signer->name);
}

static const struct verdict *require_base_find(const struct require_input *input,
                                               const struct require_base_image *image)
{
    for (size_t i = 0; i < input->other_count; i++) {
        const struct require_other *other = &input->others[i];

        if (other->name != NULL && strcmp(other->name, image->name) == 0 &&
            digest_equal(&other->digest, &image->digest)) {
            return other->verdict;
        }
    }
    return NULL;
}

static void require_base_refuse(struct verdict *verdict, enum verdict_outcome outcome,
                                const struct gh_error *error)
{
    verdict->outcome = outcome;
    verdict->error = *error;
    verdict->authority_count = 0;
    verdict->rest_count = 0;
}

/* False where the ground of all bases together does not fit: then nothing may be cached on it. */
static bool require_base_add_ground(struct verdict *verdict, const struct verdict *base)
{
    if (base->rest_count > VERDICT_MAX_RESTS - verdict->rest_count ||
        base->authority_count > VERDICT_MAX_AUTHORITIES - verdict->authority_count) {
        return false;
    }
    for (size_t i = 0; i < base->rest_count; i++) {
        verdict->rests[verdict->rest_count++] = base->rests[i];
    }
    for (size_t i = 0; i < base->authority_count; i++) {
        verdict->authorities[verdict->authority_count++] = base->authorities[i];
    }
    verdict->until_unix_s = GH_MIN(verdict->until_unix_s, base->until_unix_s);
    return true;
}

/* The verdict about one base is taken over. False: it is not satisfied, *verdict says so. */
static bool require_base_take(struct verdict *verdict, const struct verdict *base,
                              const struct require_base_image *image)
{
    struct gh_error error = {0};

    if (base->outcome == VERDICT_UNDECIDED) {
        require_base_refuse(verdict, VERDICT_UNDECIDED, &base->error);
        return false;
    }
    if (base->outcome == VERDICT_DENIED) {
        (void)gh_fail(&error, GH_BASE_IMAGE_UNVERIFIED, "base image %.80s: %.120s", image->name,
                      base->error.text);
        require_base_refuse(verdict, VERDICT_DENIED, &error);
        return false;
    }
    if (!require_base_add_ground(verdict, base)) {
        (void)gh_fail(&error, GH_COUNT_LIMIT_EXCEEDED, "the base images rest on too much");
        require_base_refuse(verdict, VERDICT_UNDECIDED, &error);
        return false;
    }
    return true;
}

bool require_base_verify(const struct require_input *input, struct verdict *verdict,
                         struct require_other *other)
{
    struct require_base_list *list = calloc(1, sizeof(*list));
    struct gh_error error = {0};
    bool is_known;
    bool is_asked = false;

    if (list == NULL) {
        (void)gh_fail(&error, GH_INTERNAL_ERROR, "no memory for base images");
        require_base_refuse(verdict, VERDICT_UNDECIDED, &error);
        return true;
    }
    is_known = input->require->base_from == REQUIRE_BASE_ANNOTATION
                   ? require_base_from_annotations(input, list, &error)
                   : require_base_from_provenance(input, list, &error);
    if (!is_known) {
        bool is_incomplete = input->require->base_from == REQUIRE_BASE_PROVENANCE &&
                             input->evidence->incomplete.cause != GH_CAUSE_NONE;

        require_base_refuse(verdict, is_incomplete ? VERDICT_UNDECIDED : VERDICT_DENIED, &error);
    } else {
        verdict->outcome = VERDICT_SATISFIED;
        for (size_t i = 0; i < list->count; i++) {
            const struct verdict *base = require_base_find(input, &list->items[i]);

            if (base == NULL) {
                memset(other, 0, sizeof(*other));
                other->digest = list->items[i].digest;
                other->name = strdup(list->items[i].name);
                is_asked = true;
                break;
            }
            if (!require_base_take(verdict, base, &list->items[i])) {
                break;
            }
        }
    }
    free(list);
    return !is_asked;
}
