#include "proxy/layout.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "crypto/manifest.h"
#include "crypto/sjson.h"
#include "policy/image.h"
#include "proxy/config_files.h"
#include "proxy/referrers_page.h"

#define LAYOUT_MAX_MARKER_BYTES 4096
#define LAYOUT_MAX_PATH 4096
#define LAYOUT_MAX_UNLISTED_BYTES (256u * 1024) /* of a referrer's manifest */
#define LAYOUT_REF_NAME "org.opencontainers.image.ref.name"
#define LAYOUT_CONTAINERD_NAME "io.containerd.image.name"
#define LAYOUT_COSIGN_KIND "kind"
#define LAYOUT_COSIGN_PREFIX "dev.cosignproject.cosign/"

/* One manifest that index.json lists, or a referrer that it does not. Texts are borrowed. */
struct layout_entry {
    struct digest digest;
    const char *media_type;
    const char *name;       /* NULL: none */
    const char *image_name; /* containerd's; NULL: none */
    const char *kind;       /* cosign's "image", "sigs", "atts"; NULL: none */
    struct digest subject;  /* DIGEST_NONE: names none */
    json_t *referrer;       /* owned; the descriptor a referrers list has of it; NULL: none */
    json_t *manifest;       /* owned, of a referrer that is not listed; else NULL */
    bool is_child;          /* of another entry, which is an index */
};

struct layout {
    char *folder;
    json_t *doc; /* index.json */
    struct layout_entry *entries;
    size_t count;
    char tag[IMAGE_MAX_TAG_BYTES + 1];     /* the one that leads to the root */
    struct digest root;                    /* the image that is judged; DIGEST_NONE: not here */
    const struct layout_entry *root_entry; /* NULL: not listed */
};

/* --- files --- */

static bool layout_path(const struct layout *layout, const char *name, char *out, size_t size,
                        struct gh_error *err)
{
    if (snprintf(out, size, "%s/%s", layout->folder, name) >= (int)size) {
        return gh_fail(err, GH_NAME_UNKNOWN, "the layout's path is too long");
    }
    return true;
}

/* Only a digest that was parsed becomes a path. */
static bool layout_blob_path(const struct layout *layout, const struct digest *digest, char *out,
                             size_t size, struct gh_error *err)
{
    char text[DIGEST_MAX_TEXT];
    char name[DIGEST_MAX_TEXT + 8];

    digest_format(digest, text);
    *strchr(text, ':') = '/';
    (void)snprintf(name, sizeof(name), "blobs/%s", text);
    return layout_path(layout, name, out, size, err);
}

static bool layout_read_blob(const struct layout *layout, const struct digest *digest, size_t limit,
                             struct bytes_buf *out, struct gh_error *err)
{
    char path[LAYOUT_MAX_PATH];
    unsigned mode;

    GH_TRY(layout_blob_path(layout, digest, path, sizeof(path), err));
    return config_files_read(path, limit, out, &mode, err);
}

/* --- reading index.json --- */

static const char *layout_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* What a referrers list says of a manifest: its own words, not those of index.json. */
static json_t *layout_make_referrer(const json_t *descriptor, const json_t *manifest)
{
    const char *type = layout_text(manifest, "artifactType");
    const json_t *annotations = json_object_get(manifest, "annotations");
    json_t *out = json_object();

    if (type == NULL) {
        type = layout_text(json_object_get(manifest, "config"), "mediaType");
    }
    if (out == NULL ||
        json_object_set(out, "mediaType", json_object_get(descriptor, "mediaType")) != 0 ||
        json_object_set(out, "digest", json_object_get(descriptor, "digest")) != 0 ||
        json_object_set(out, "size", json_object_get(descriptor, "size")) != 0 ||
        (type != NULL && json_object_set_new(out, "artifactType", json_string(type)) != 0) ||
        (json_is_object(annotations) &&
         json_object_set(out, "annotations", (json_t *)annotations) != 0)) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static struct layout_entry *layout_find(const struct layout *layout, const struct digest *digest)
{
    for (size_t i = 0; i < layout->count; i++) {
        if (digest_equal(&layout->entries[i].digest, digest)) {
            return &layout->entries[i];
        }
    }
    return NULL;
}

static void layout_mark_children(struct layout *layout, const json_t *manifest)
{
    const json_t *child;
    size_t i;

    json_array_foreach (json_object_get(manifest, "manifests"), i, child) {
        const char *text = layout_text(child, "digest");
        struct digest digest;
        struct layout_entry *entry;

        if (text != NULL && digest_parse(bytes_of(text), &digest, NULL)) {
            entry = layout_find(layout, &digest);
            if (entry != NULL) {
                entry->is_child = true;
            }
        }
    }
}

/*
 * Look into a listed manifest for its subject and children. One that cannot be read is nobody's
 * evidence; who asks for it by digest is told.
 */
static void layout_look_into(struct layout *layout, struct layout_entry *entry,
                             const json_t *descriptor)
{
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    GH_OWN(sjson_freep) json_t *manifest = NULL;
    const char *subject;

    if (!layout_read_blob(layout, &entry->digest, MANIFEST_MAX_BYTES, &body, NULL) ||
        !sjson_parse_object(bytes_view(&body), MANIFEST_MAX_BYTES, &manifest, NULL)) {
        return;
    }
    layout_mark_children(layout, manifest);
    subject = layout_text(json_object_get(manifest, "subject"), "digest");
    if (subject != NULL && digest_parse(bytes_of(subject), &entry->subject, NULL)) {
        entry->referrer = layout_make_referrer(descriptor, manifest);
    }
}

static bool layout_read_entry(struct layout *layout, const json_t *descriptor, size_t number,
                              struct gh_error *err)
{
    struct layout_entry *entry = &layout->entries[layout->count];
    const json_t *annotations = json_object_get(descriptor, "annotations");
    const char *digest = layout_text(descriptor, "digest");
    const char *kind = layout_text(annotations, LAYOUT_COSIGN_KIND);

    entry->media_type = layout_text(descriptor, "mediaType");
    if (digest == NULL || entry->media_type == NULL ||
        !digest_parse(bytes_of(digest), &entry->digest, NULL)) {
        return gh_fail(err, GH_MALFORMED_MANIFEST,
                       "index.json: manifest %zu is no descriptor with a media type and a digest",
                       number);
    }
    entry->name = layout_text(annotations, LAYOUT_REF_NAME);
    entry->image_name = layout_text(annotations, LAYOUT_CONTAINERD_NAME);
    if (kind != NULL && strncmp(kind, LAYOUT_COSIGN_PREFIX, strlen(LAYOUT_COSIGN_PREFIX)) == 0) {
        entry->kind = kind + strlen(LAYOUT_COSIGN_PREFIX);
    }
    layout->count++;
    return true;
}

static bool layout_read_index(struct layout *layout, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    const json_t *descriptor;
    json_t *list = NULL;
    char path[LAYOUT_MAX_PATH];
    unsigned mode;
    size_t i;

    GH_TRY(layout_path(layout, "index.json", path, sizeof(path), err));
    GH_TRY(config_files_read(path, LAYOUT_MAX_INDEX_BYTES, &body, &mode, err));
    if (!sjson_parse_object(bytes_view(&body), LAYOUT_MAX_INDEX_BYTES, &layout->doc, err) ||
        !sjson_get_array(layout->doc, "manifests", &list, err)) {
        gh_error_at(err, "index.json");
        return gh_recast(err, GH_MALFORMED_MANIFEST);
    }
    if (json_array_size(list) > LAYOUT_MAX_ENTRIES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "index.json lists %zu manifests, at most %d",
                       json_array_size(list), LAYOUT_MAX_ENTRIES);
    }
    layout->entries = calloc(json_array_size(list) + 1, sizeof(*layout->entries));
    if (layout->entries == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a layout");
    }
    json_array_foreach (list, i, descriptor) {
        GH_TRY(layout_read_entry(layout, descriptor, i, err));
    }
    json_array_foreach (list, i, descriptor) {
        layout_look_into(layout, &layout->entries[i], descriptor);
    }
    return true;
}

/* --- referrers that index.json does not list --- */

/* Of a manifest that no descriptor speaks of: its own word, else its shape. */
static const char *layout_type_of(const json_t *manifest)
{
    const char *type = layout_text(manifest, "mediaType");

    if (type != NULL) {
        return type;
    }
    return json_object_get(manifest, "manifests") != NULL ? MANIFEST_OCI_INDEX : MANIFEST_OCI_IMAGE;
}

/* Take the blob as a referrer where it is a manifest with a subject; anything else is not looked
 * for. */
static bool layout_look_at(struct layout *layout, const struct digest *digest, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    GH_OWN(sjson_freep) json_t *manifest = NULL;
    GH_OWN(sjson_freep) json_t *descriptor = NULL;
    struct layout_entry entry = {.digest = *digest};
    struct layout_entry *grown;
    char text[DIGEST_MAX_TEXT];
    const char *subject;

    if (!layout_read_blob(layout, digest, LAYOUT_MAX_UNLISTED_BYTES, &body, NULL) ||
        body.len == 0 || body.data[0] != '{' ||
        !sjson_parse_object(bytes_view(&body), LAYOUT_MAX_UNLISTED_BYTES, &manifest, NULL)) {
        return true;
    }
    subject = layout_text(json_object_get(manifest, "subject"), "digest");
    if (subject == NULL || !digest_parse(bytes_of(subject), &entry.subject, NULL)) {
        return true;
    }
    digest_format(digest, text);
    descriptor = json_pack("{s:s, s:s, s:I}", "mediaType", layout_type_of(manifest), "digest", text,
                           "size", (json_int_t)body.len);
    grown = realloc(layout->entries, (layout->count + 1) * sizeof(*grown));
    if (grown != NULL) {
        layout->entries = grown;
    }
    entry.referrer = descriptor != NULL ? layout_make_referrer(descriptor, manifest) : NULL;
    if (grown == NULL || entry.referrer == NULL) {
        json_decref(entry.referrer);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a layout");
    }
    entry.media_type = layout_type_of(manifest);
    entry.manifest = GH_TAKE(manifest);
    layout->entries[layout->count++] = entry;
    return true;
}

static int layout_is_blob_name(const struct dirent *file)
{
    size_t len = strlen(file->d_name);

    return (len == 64 || len == 128) && strspn(file->d_name, "0123456789abcdef") == len;
}

/*
 * `cosign save` lists the image alone and leaves its bundles among the blobs. Looking at each small
 * one finds them; nothing is believed of it but which subject it is offered for.
 */
static bool layout_look_around(struct layout *layout, const char *algorithm, struct gh_error *err)
{
    struct dirent **files = NULL;
    char path[LAYOUT_MAX_PATH], text[DIGEST_MAX_TEXT];
    struct digest digest;
    bool is_good = true;
    int count;

    (void)snprintf(text, sizeof(text), "blobs/%s", algorithm);
    GH_TRY(layout_path(layout, text, path, sizeof(path), err));
    count = scandir(path, &files, layout_is_blob_name, alphasort);
    if (count > LAYOUT_MAX_BLOBS) {
        is_good = gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the layout has %d blobs, at most %d",
                          count, LAYOUT_MAX_BLOBS);
    }
    for (int i = 0; i < count; i++) {
        (void)snprintf(text, sizeof(text), "%s:%.128s", algorithm, files[i]->d_name);
        if (is_good && digest_parse(bytes_of(text), &digest, NULL) &&
            layout_find(layout, &digest) == NULL) {
            is_good = layout_look_at(layout, &digest, err);
        }
        free(files[i]);
    }
    free(files);
    return is_good;
}

static bool layout_check_marker(const struct layout *layout, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    GH_OWN(sjson_freep) json_t *marker = NULL;
    const char *version;
    char path[LAYOUT_MAX_PATH];
    unsigned mode;

    GH_TRY(layout_path(layout, "oci-layout", path, sizeof(path), err));
    if (!config_files_read(path, LAYOUT_MAX_MARKER_BYTES, &body, &mode, NULL)) {
        return gh_fail(err, GH_NAME_UNKNOWN, "%.160s is no OCI image layout: it has no oci-layout",
                       layout->folder);
    }
    if (!sjson_parse_object(bytes_view(&body), LAYOUT_MAX_MARKER_BYTES, &marker, NULL)) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "oci-layout is no JSON object");
    }
    version = layout_text(marker, "imageLayoutVersion");
    if (version == NULL || strncmp(version, "1.", 2) != 0) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "oci-layout has version '%.32s', 1.x is read",
                       version != NULL ? version : "");
    }
    return true;
}

/* --- which image --- */

/* "sha256-<hex>", with or without a suffix, is a name of evidence. */
static bool layout_is_evidence_name(const char *name)
{
    return strncmp(name, "sha256-", 7) == 0 && strspn(name + 7, "0123456789abcdef") == 64 &&
           (name[71] == '\0' || name[71] == '.');
}

static bool layout_is_image(const struct layout_entry *entry)
{
    return entry->subject.alg == DIGEST_NONE &&
           (entry->kind == NULL || strncmp(entry->kind, "image", 5) == 0) &&
           (entry->name == NULL || !layout_is_evidence_name(entry->name));
}

/* The tag alone, or the whole name with it (an image without a tag is its `latest`). */
static bool layout_is_named(const struct layout_entry *entry, const struct image_ref *as)
{
    const char *const names[] = {entry->name, entry->image_name};
    const char *tag = as->tag[0] != '\0' ? as->tag : "latest";
    char whole[IMAGE_MAX_NAME_BYTES + IMAGE_MAX_TAG_BYTES + 2];

    (void)snprintf(whole, sizeof(whole), "%s:%s", as->name, tag);
    for (size_t i = 0; i < GH_COUNT(names); i++) {
        if (names[i] != NULL && (strcmp(names[i], tag) == 0 || strcmp(names[i], whole) == 0)) {
            return true;
        }
    }
    return false;
}

/* The one image that is wanted among those listed; NULL where there is none. */
static bool layout_choose(const struct layout *layout, const struct image_ref *as, bool by_name,
                          const struct layout_entry **out, struct gh_error *err)
{
    const struct layout_entry *chosen = NULL;

    for (size_t i = 0; i < layout->count; i++) {
        const struct layout_entry *entry = &layout->entries[i];

        if (!layout_is_image(entry) || (by_name ? !layout_is_named(entry, as) : entry->is_child)) {
            continue;
        }
        if (chosen != NULL && !digest_equal(&chosen->digest, &entry->digest)) {
            return gh_fail(err, GH_NAME_UNKNOWN,
                           by_name ? "the layout has several images of that name: name its digest "
                                     "(NAME@sha256:…)"
                                   : "the layout has several images, and none of that name: name "
                                     "a digest (NAME@sha256:…) or a tag that it has");
        }
        chosen = entry;
    }
    *out = chosen;
    return true;
}

static bool layout_find_root(struct layout *layout, const struct image_ref *as,
                             struct gh_error *err)
{
    (void)snprintf(layout->tag, sizeof(layout->tag), "%s", as->tag[0] != '\0' ? as->tag : "latest");
    if (as->digest.alg != DIGEST_NONE) {
        layout->root = as->digest;
        layout->root_entry = layout_find(layout, &as->digest);
        return true;
    }
    GH_TRY(layout_choose(layout, as, true, &layout->root_entry, err));
    if (layout->root_entry == NULL) {
        GH_TRY(layout_choose(layout, as, false, &layout->root_entry, err));
    }
    if (layout->root_entry != NULL) {
        layout->root = layout->root_entry->digest;
    }
    return true;
}

bool layout_open(const char *folder, const struct image_ref *as, struct layout **out,
                 struct gh_error *err)
{
    GH_OWN(layout_freep) struct layout *layout = calloc(1, sizeof(*layout));

    if (layout == NULL || (layout->folder = strdup(folder)) == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a layout");
    }
    GH_TRY(layout_check_marker(layout, err));
    GH_TRY(layout_read_index(layout, err));
    GH_TRY(layout_look_around(layout, "sha256", err));
    GH_TRY(layout_look_around(layout, "sha512", err));
    GH_TRY(layout_find_root(layout, as, err));
    *out = GH_TAKE(layout);
    return true;
}

void layout_free(struct layout *layout)
{
    if (layout == NULL) {
        return;
    }
    for (size_t i = 0; i < layout->count; i++) {
        json_decref(layout->entries[i].referrer);
        json_decref(layout->entries[i].manifest);
    }
    free(layout->entries);
    json_decref(layout->doc);
    free(layout->folder);
    free(layout);
}

/* --- answers --- */

static void layout_fail(struct upstream_result *result, enum upstream_outcome outcome, int status,
                        enum gh_cause cause, const char *text)
{
    result->outcome = outcome;
    result->head.status = status;
    (void)gh_fail(&result->error, cause, "the layout %s", text);
}

static void layout_absent(struct upstream_result *result, const char *what)
{
    layout_fail(result, UPSTREAM_ABSENT, 404, GH_MANIFEST_UNKNOWN, what);
}

/* DIGEST: the one it is stored under, which is not yet the one it has; NULL: none. */
static void layout_give(struct upstream_result *result, const char *type,
                        const struct digest *digest)
{
    char **headers = result->head.headers;
    char text[DIGEST_MAX_TEXT];

    headers[UPSTREAM_CONTENT_TYPE] = strdup(type);
    if (digest != NULL) {
        digest_format(digest, text);
        headers[UPSTREAM_DOCKER_CONTENT_DIGEST] = strdup(text);
    }
    if (headers[UPSTREAM_CONTENT_TYPE] == NULL ||
        (digest != NULL && headers[UPSTREAM_DOCKER_CONTENT_DIGEST] == NULL)) {
        layout_fail(result, UPSTREAM_FAILED, 0, GH_INTERNAL_ERROR, "needs memory");
        return;
    }
    result->outcome = UPSTREAM_OK;
    result->head.status = 200;
    result->head.content_length = (int64_t)result->body.len;
}

/* False: the result says why. */
static bool layout_load(const struct layout *layout, const struct digest *digest, size_t limit,
                        struct upstream_result *result)
{
    struct gh_error error = {0};
    char path[LAYOUT_MAX_PATH];
    unsigned mode;

    if (!layout_blob_path(layout, digest, path, sizeof(path), &error) ||
        (access(path, F_OK) != 0 && errno == ENOENT)) {
        layout_absent(result, "does not have it");
        return false;
    }
    if (config_files_read(path, limit, &result->body, &mode, &error)) {
        return true;
    }
    if (error.cause == GH_SIZE_LIMIT_EXCEEDED) {
        layout_fail(result, UPSTREAM_TOO_LARGE, 200, GH_SIZE_LIMIT_EXCEEDED,
                    "has more bytes of it than may be read");
    } else {
        layout_fail(result, UPSTREAM_UNAVAILABLE, 0, GH_UPSTREAM_UNAVAILABLE,
                    "has it, but it cannot be read");
    }
    return false;
}

static void layout_give_manifest(const struct layout *layout, const struct digest *digest,
                                 size_t limit, struct upstream_result *result)
{
    const struct layout_entry *entry = layout_find(layout, digest);
    GH_OWN(sjson_freep) json_t *manifest = NULL;

    if (!layout_load(layout, digest, limit, result)) {
        return;
    }
    if (entry == NULL && !sjson_parse_object(bytes_view(&result->body), limit, &manifest, NULL)) {
        manifest = NULL; /* who reads it next says what is wrong with it */
    }
    layout_give(result, entry != NULL ? entry->media_type : layout_type_of(manifest), digest);
}

/* What the fallback tag's index lists, where the layout has one. */
static bool layout_add_fallback(const struct layout *layout, const char *tag, json_t *list,
                                json_t *seen)
{
    for (size_t i = 0; i < layout->count; i++) {
        GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
        GH_OWN(sjson_freep) json_t *index = NULL;
        json_t *descriptor;
        size_t k;

        if (layout->entries[i].name == NULL || strcmp(layout->entries[i].name, tag) != 0 ||
            !layout_read_blob(layout, &layout->entries[i].digest, MANIFEST_MAX_BYTES, &body,
                              NULL) ||
            !sjson_parse_object(bytes_view(&body), MANIFEST_MAX_BYTES, &index, NULL)) {
            continue;
        }
        json_array_foreach (json_object_get(index, "manifests"), k, descriptor) {
            const char *digest = layout_text(descriptor, "digest");

            if (digest != NULL && json_object_get(seen, digest) == NULL &&
                json_array_append(list, descriptor) != 0) {
                return false;
            }
        }
    }
    return true;
}

static bool layout_list_referrers(const struct layout *layout, const struct digest *subject,
                                  json_t *list)
{
    GH_OWN(sjson_freep) json_t *seen = json_object();
    char tag[REFERRERS_PAGE_MAX_TAG + 1];

    for (size_t i = 0; seen != NULL && i < layout->count; i++) {
        const struct layout_entry *entry = &layout->entries[i];
        const char *digest = layout_text(entry->referrer, "digest");

        if (digest != NULL && digest_equal(&entry->subject, subject) &&
            json_object_get(seen, digest) == NULL &&
            (json_array_append(list, entry->referrer) != 0 ||
             json_object_set_new(seen, digest, json_true()) != 0)) {
            return false;
        }
    }
    referrers_page_fallback_tag(subject, tag);
    return seen != NULL && layout_add_fallback(layout, tag, list, seen);
}

static void layout_give_referrers(const struct layout *layout, const struct digest *subject,
                                  size_t limit, struct upstream_result *result)
{
    json_t *list = json_array();
    GH_OWN(sjson_freep)
    json_t *page = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MANIFEST_OCI_INDEX,
                             "manifests", list);
    char *text = NULL;

    if (page != NULL && layout_list_referrers(layout, subject, list)) {
        text = json_dumps(page, JSON_COMPACT);
    }
    if (text == NULL || !bytes_dup(bytes_of(text), &result->body, NULL)) {
        layout_fail(result, UPSTREAM_FAILED, 0, GH_INTERNAL_ERROR, "needs memory");
    } else if (result->body.len > limit) {
        layout_fail(result, UPSTREAM_TOO_LARGE, 200, GH_SIZE_LIMIT_EXCEEDED,
                    "lists more referrers than may be read");
    } else {
        layout_give(result, MANIFEST_OCI_INDEX, NULL);
    }
    free(text);
}

/* What `cosign save` wrote beside the image: KIND is "sigs" or "atts". */
static const struct layout_entry *layout_find_saved(const struct layout *layout, const char *kind)
{
    const char *name = layout->root_entry != NULL ? layout->root_entry->name : NULL;

    for (size_t i = 0; i < layout->count; i++) {
        const struct layout_entry *entry = &layout->entries[i];

        if (entry->kind != NULL && strcmp(entry->kind, kind) == 0 &&
            (name == NULL || entry->name == NULL || strcmp(name, entry->name) == 0)) {
            return entry;
        }
    }
    return NULL;
}

static const struct layout_entry *layout_find_saved_tag(const struct layout *layout,
                                                        const char *tag)
{
    char wanted[REFERRERS_PAGE_MAX_TAG + 1];

    if (layout->root.alg == DIGEST_NONE) {
        return NULL;
    }
    if (referrers_page_cosign_tag(&layout->root, ".sig", wanted) && strcmp(tag, wanted) == 0) {
        return layout_find_saved(layout, "sigs");
    }
    if (referrers_page_cosign_tag(&layout->root, ".att", wanted) && strcmp(tag, wanted) == 0) {
        return layout_find_saved(layout, "atts");
    }
    return NULL;
}

static void layout_give_tag(const struct layout *layout, const char *tag, size_t limit,
                            struct upstream_result *result)
{
    const struct layout_entry *entry = NULL;

    if (strcmp(tag, layout->tag) == 0 && layout->root.alg != DIGEST_NONE) {
        layout_give_manifest(layout, &layout->root, limit, result);
        return;
    }
    for (size_t i = 0; entry == NULL && i < layout->count; i++) {
        if (layout->entries[i].name != NULL && strcmp(layout->entries[i].name, tag) == 0) {
            entry = &layout->entries[i];
        }
    }
    if (entry == NULL) {
        entry = layout_find_saved_tag(layout, tag);
    }
    if (entry == NULL) {
        layout_absent(result, "has no image of that name");
    } else {
        layout_give_manifest(layout, &entry->digest, limit, result);
    }
}

void layout_answer(void *self, const char *path, size_t limit, struct upstream_result *result)
{
    const struct layout *layout = self;
    char copy[LAYOUT_MAX_PATH];
    char *reference, *what;
    struct digest digest;
    bool by_digest;

    memset(result, 0, sizeof(*result));
    (void)snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(path, "?"), path);
    reference = strrchr(copy, '/');
    if (reference != NULL) {
        *reference++ = '\0';
    }
    what = reference != NULL ? strrchr(copy, '/') : NULL;
    if (what == NULL || strlen(path) >= sizeof(copy)) {
        layout_absent(result, "does not have it");
        return;
    }
    by_digest = digest_parse(bytes_of(reference), &digest, NULL);
    if (strcmp(what, "/manifests") == 0 && !by_digest) {
        layout_give_tag(layout, reference, limit, result);
    } else if (strcmp(what, "/manifests") == 0) {
        layout_give_manifest(layout, &digest, limit, result);
    } else if (strcmp(what, "/referrers") == 0 && by_digest) {
        layout_give_referrers(layout, &digest, limit, result);
    } else if (strcmp(what, "/blobs") == 0 && by_digest) {
        if (layout_load(layout, &digest, limit, result)) {
            layout_give(result, "application/octet-stream", &digest);
        }
    } else {
        layout_absent(result, "does not have it");
    }
}
