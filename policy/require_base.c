#include "policy/require_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/manifest.h"
#include "crypto/sjson.h"
#include "crypto/statement.h"
#include "metrics/text.h"
#include "policy/predicate_provenance.h"

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

struct require_base_list *require_base_list_new(void)
{
    return calloc(1, sizeof(struct require_base_list));
}

void require_base_list_free(struct require_base_list *list)
{
    free(list);
}

/* NAME is upstream/repository, with a tag or not. */
static bool require_base_add(struct require_base_list *list, const struct digest *digest,
                             struct bytes name, struct gh_error *err)
{
    struct require_base_image image = {.digest = *digest};
    size_t slash, colon;

    name = bytes_slice(name, 0, GH_MIN(name.len, bytes_find(name, BYTES_LITERAL("@"))));
    slash = bytes_find_last(name, BYTES_LITERAL("/"));
    colon = bytes_find_last(name, BYTES_LITERAL(":"));
    if (colon != SIZE_MAX && (slash == SIZE_MAX || colon > slash)) {
        name = bytes_slice(name, 0, colon); /* the digest says which one, a tag does not */
    }
    if (name.len == 0 || name.len >= sizeof(image.name) || bytes_contains_nul(name)) {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED, "the base image's name cannot be used");
    }
    memcpy(image.name, name.data, name.len);
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, image.name) == 0 &&
            digest_equal(&list->items[i].digest, digest)) {
            return true;
        }
    }
    if (list->count == REQUIRE_BASE_MAX_IMAGES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d base images",
                       REQUIRE_BASE_MAX_IMAGES);
    }
    list->items[list->count++] = image;
    return true;
}

bool require_base_from_annotations(const struct require_input *input,
                                   struct require_base_list *list, struct gh_error *err)
{
    struct digest parsed;
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
        ok = digest_parse(sjson_string(digest), &parsed, err) &&
             require_base_add(list, &parsed, sjson_string(name), err);
    }
    manifest_free(manifest);
    return ok;
}

/* ---- provenance -------------------------------------------------------------------------- */

/* How materials write images; everything else (sources, packages, tools) is none. */
enum require_base_form {
    REQUIRE_BASE_NONE,
    REQUIRE_BASE_PURL_DOCKER,
    REQUIRE_BASE_PURL_OCI,
    REQUIRE_BASE_PLAIN
};

static const struct {
    const char *prefix;
    enum require_base_form form;
} require_base_forms[] = {
    {"pkg:docker/", REQUIRE_BASE_PURL_DOCKER},
    {"pkg:oci/", REQUIRE_BASE_PURL_OCI},
    {"oci://", REQUIRE_BASE_PLAIN},
    {"docker://", REQUIRE_BASE_PLAIN},
    {"docker-image://", REQUIRE_BASE_PLAIN},
};

static enum require_base_form require_base_form(struct bytes *uri)
{
    for (size_t i = 0; i < GH_COUNT(require_base_forms); i++) {
        size_t len = strlen(require_base_forms[i].prefix);

        if (uri->len >= len &&
            strncasecmp((const char *)uri->data, require_base_forms[i].prefix, len) == 0) {
            *uri = bytes_slice(*uri, len, SIZE_MAX);
            return require_base_forms[i].form;
        }
    }
    return REQUIRE_BASE_NONE;
}

/* The value of a hexadecimal digit of either case, or -1. */
static int require_base_digit(struct bytes in, size_t at)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = at < in.len && in.data[at] != '\0' ? strchr(digits, in.data[at]) : NULL;

    return found != NULL ? (int)((found - digits) % 16) : -1;
}

/* Percent-decoding; false where an escape is none, or a NUL, or there is no room. */
static bool require_base_unescape(struct bytes in, char out[REQUIRE_BASE_MAX_NAME])
{
    size_t used = 0;

    for (size_t i = 0; i < in.len; i++) {
        uint8_t byte = in.data[i];

        if (byte == '%') {
            int high = require_base_digit(in, i + 1);
            int low = require_base_digit(in, i + 2);

            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        }
        if (byte == '\0' || used + 1 >= REQUIRE_BASE_MAX_NAME) {
            return false;
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return true;
}

/* An image as a URI names it. */
struct require_base_uri {
    char name[REQUIRE_BASE_MAX_NAME];
    char version[REQUIRE_BASE_MAX_NAME];    /* tag or digest; "" */
    char repository[REQUIRE_BASE_MAX_NAME]; /* a purl's repository_url; "" */
    char digest[REQUIRE_BASE_MAX_NAME];     /* a purl's qualifier; "" */
};

static bool require_base_read_qualifiers(struct bytes rest, struct require_base_uri *out)
{
    bool is_good = true;

    while (rest.len > 0 && is_good) {
        struct bytes pair = rest;
        size_t equals;

        if (!bytes_split(&rest, '&', &pair)) {
            rest = bytes_make(NULL, 0);
        }
        equals = bytes_find(pair, BYTES_LITERAL("="));
        if (equals == SIZE_MAX) {
            continue;
        }
        if (bytes_equal_cstr(bytes_slice(pair, 0, equals), "repository_url")) {
            is_good =
                require_base_unescape(bytes_slice(pair, equals + 1, SIZE_MAX), out->repository);
        } else if (bytes_equal_cstr(bytes_slice(pair, 0, equals), "digest")) {
            is_good = require_base_unescape(bytes_slice(pair, equals + 1, SIZE_MAX), out->digest);
        }
    }
    return is_good;
}

static bool require_base_read_uri(struct bytes uri, bool is_purl, struct require_base_uri *out)
{
    size_t query = is_purl ? bytes_find(uri, BYTES_LITERAL("?")) : SIZE_MAX;
    struct bytes name = bytes_slice(uri, 0, GH_MIN(query, uri.len));
    size_t at = bytes_find_last(name, BYTES_LITERAL("@"));

    memset(out, 0, sizeof(*out));
    if (query != SIZE_MAX &&
        !require_base_read_qualifiers(bytes_slice(uri, query + 1, SIZE_MAX), out)) {
        return false;
    }
    if (at != SIZE_MAX) {
        if (!require_base_unescape(bytes_slice(name, at + 1, SIZE_MAX), out->version)) {
            return false;
        }
        name = bytes_slice(name, 0, at);
    }
    return require_base_unescape(name, out->name) && out->name[0] != '\0';
}

/* upstream/repository. Without a registry Docker's own is meant, whatever the gateway's default. */
static bool require_base_full_name(enum require_base_form form, const struct require_base_uri *uri,
                                   char out[2 * REQUIRE_BASE_MAX_NAME])
{
    const char *repository = uri->repository;
    const char *parts[3] = {"", "", uri->name};
    size_t first = strcspn(uri->name, "/");
    bool has_registry = uri->name[first] == '/' && (memchr(uri->name, '.', first) != NULL ||
                                                    memchr(uri->name, ':', first) != NULL ||
                                                    strncmp(uri->name, "localhost/", 10) == 0);

    if (strncasecmp(repository, "https://", 8) == 0) {
        repository += 8;
    }
    if (form == REQUIRE_BASE_PURL_OCI) { /* its name is the last part of the URL's, no more */
        parts[2] = repository;
        (void)text_join(out, 2 * REQUIRE_BASE_MAX_NAME, parts, GH_COUNT(parts));
        return repository[0] != '\0';
    }
    if (repository[0] != '\0') {
        parts[0] = repository;
        parts[1] = repository[strlen(repository) - 1] == '/' ? "" : "/";
    } else if (!has_registry) {
        parts[0] = "docker.io/";
    }
    (void)text_join(out, 2 * REQUIRE_BASE_MAX_NAME, parts, GH_COUNT(parts));
    return true;
}

/* The material's digest; where the URI names one, too, it must be the same. */
static bool require_base_digest(const json_t *material, const struct require_base_uri *uri,
                                struct digest *out, struct gh_error *err)
{
    const char *named = uri->digest[0] != '\0' ? uri->digest : uri->version;
    const json_t *hex = json_object_get(json_object_get(material, "digest"), "sha256");
    char text[DIGEST_MAX_TEXT];
    struct digest other;

    if (json_is_string(hex)) {
        (void)snprintf(text, sizeof(text), "sha256:%.*s", (int)(sizeof(text) - 8),
                       json_string_value(hex));
        GH_TRY(digest_parse(bytes_of(text), out, err));
    } else if (strchr(named, ':') != NULL) {
        return digest_parse(bytes_of(named), out, err);
    } else {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                       "the provenance names base image %.100s without its digest", uri->name);
    }
    if (strchr(named, ':') != NULL &&
        (!digest_parse(bytes_of(named), &other, NULL) || !digest_equal(&other, out))) {
        return gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                       "the provenance names base image %.80s with two digests", uri->name);
    }
    return true;
}

static bool require_base_add_material(struct require_base_list *list, const json_t *material,
                                      size_t *images, struct gh_error *err)
{
    const json_t *text = json_object_get(material, "uri");
    struct require_base_uri *uri;
    enum require_base_form form = REQUIRE_BASE_NONE;
    char name[2 * REQUIRE_BASE_MAX_NAME];
    struct digest digest;
    struct bytes rest;
    bool ok;

    if (json_is_string(text)) {
        rest = sjson_string(text);
        form = require_base_form(&rest);
    }
    if (form == REQUIRE_BASE_NONE) {
        return true;
    }
    ++*images;
    uri = calloc(1, sizeof(*uri));
    if (uri == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a base image");
    }
    ok = require_base_read_uri(rest, form != REQUIRE_BASE_PLAIN, uri) &&
         require_base_full_name(form, uri, name);
    if (!ok) {
        (void)gh_fail(err, GH_BASE_IMAGE_UNVERIFIED,
                      "the provenance names a base image as %.120s, which says no registry and "
                      "repository",
                      json_string_value(text));
    }
    ok = ok && require_base_digest(material, uri, &digest, err) &&
         require_base_add(list, &digest, bytes_of(name), err);
    free(uri);
    return ok;
}

bool require_base_read(const struct statement *statement, struct require_base_list *list,
                       bool *is_silent, struct gh_error *err)
{
    const json_t *build = json_object_get(statement->predicate, "buildDefinition");
    bool is_v02 = bytes_equal_cstr(statement->predicate_type, PREDICATE_TYPE_SLSA_V02);
    const json_t *materials = is_v02 ? json_object_get(statement->predicate, "materials")
                                     : json_object_get(build, "resolvedDependencies");
    size_t images = 0;

    if (materials != NULL && !json_is_array(materials) && !json_is_null(materials)) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the provenance's materials are no list");
    }
    for (size_t i = 0; i < json_array_size(materials); i++) {
        GH_TRY(require_base_add_material(list, json_array_get(materials, i), &images, err));
    }
    *is_silent = images == 0;
    return true;
}

/* ---- verdicts ---------------------------------------------------------------------------- */

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
    verdict->log_count = 0;
    verdict->has_proved_time = false;
    verdict->proved_unix_s = 0;
    verdict->until_unix_s = EVIDENCE_UNTIL_FOREVER;
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

bool require_base_verify(const struct require_input *input, const struct require_base_list *list,
                         struct verdict *verdict, struct require_other *other)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct verdict *base = require_base_find(input, &list->items[i]);

        if (base == NULL) {
            memset(other, 0, sizeof(*other));
            other->digest = list->items[i].digest;
            other->name = strdup(list->items[i].name);
            return false;
        }
        if (!require_base_take(verdict, base, &list->items[i])) {
            break;
        }
    }
    return true;
}
