#include "policy/image.h"

#include <stdio.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/arena.h"

#define IMAGE_HUB "docker.io"

static bool image_is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One component: [a-z0-9]+ joined by '.', '_', '__' or a run of '-'. */
static bool image_is_component(struct bytes text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t start = at;

        while (at < text.len && image_is_alnum(text.data[at])) {
            at++;
        }
        if (at == start) {
            return false;
        }
        if (at == text.len) {
            return true;
        }
        start = at;
        if (text.data[at] == '-') {
            while (at < text.len && text.data[at] == '-') {
                at++;
            }
        } else if (text.data[at] == '.') {
            at++;
        } else {
            while (at < text.len && text.data[at] == '_') {
                at++;
            }
            if (at - start > 2) {
                return false;
            }
        }
        if (at == start) {
            return false;
        }
    }
    return false;
}

bool image_is_repository(struct bytes text)
{
    struct bytes part;

    if (text.len == 0 || text.len > IMAGE_MAX_REPOSITORY_BYTES) {
        return false;
    }
    while (bytes_split(&text, '/', &part)) {
        if (!image_is_component(part)) {
            return false;
        }
    }
    return image_is_component(text);
}

bool image_is_tag(struct bytes text)
{
    if (text.len == 0 || text.len > IMAGE_MAX_TAG_BYTES) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool is_word = image_is_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';

        if (!is_word && (i == 0 || (c != '.' && c != '-'))) {
            return false;
        }
    }
    return true;
}

bool image_is_upstream(struct bytes text)
{
    size_t colon = bytes_find(text, BYTES_LITERAL(":"));
    struct bytes host = bytes_slice(text, 0, colon);
    struct bytes label;

    if (text.len == 0 || text.len > IMAGE_MAX_UPSTREAM_BYTES) {
        return false;
    }
    if (colon != SIZE_MAX) {
        struct bytes port = bytes_slice(text, colon + 1, SIZE_MAX);

        if (port.len == 0 || port.len > 5) {
            return false;
        }
        for (size_t i = 0; i < port.len; i++) {
            if (port.data[i] < '0' || port.data[i] > '9') {
                return false;
            }
        }
    }
    for (bool is_more = true; is_more;) {
        is_more = bytes_split(&host, '.', &label);
        if (!is_more) {
            label = host;
        }
        if (label.len == 0 || label.data[0] == '-' || label.data[label.len - 1] == '-') {
            return false;
        }
        for (size_t i = 0; i < label.len; i++) {
            if (!image_is_alnum(label.data[i]) && label.data[i] != '-') {
                return false;
            }
        }
    }
    return true;
}

const char *image_upstream_alias(const char *upstream)
{
    if (strcmp(upstream, "index.docker.io") == 0 || strcmp(upstream, "registry-1.docker.io") == 0) {
        return IMAGE_HUB;
    }
    return upstream;
}

static bool image_copy(struct bytes from, char *to, size_t size)
{
    if (from.len >= size) {
        return false;
    }
    if (from.len > 0) {
        memcpy(to, from.data, from.len);
    }
    to[from.len] = '\0';
    return true;
}

/* Whether the first component of a name can only be an upstream's. */
static bool image_looks_like_upstream(struct bytes first)
{
    return bytes_find(first, BYTES_LITERAL(".")) != SIZE_MAX ||
           bytes_find(first, BYTES_LITERAL(":")) != SIZE_MAX ||
           bytes_equal_cstr(first, "localhost");
}

static bool image_ref_split_upstream(struct bytes *text, const char *default_upstream,
                                     struct image_ref *out, struct gh_error *err)
{
    size_t slash = bytes_find(*text, BYTES_LITERAL("/"));
    struct bytes first = bytes_slice(*text, 0, slash);

    if (slash != SIZE_MAX && image_looks_like_upstream(first)) {
        if (!image_is_upstream(first) || !image_copy(first, out->upstream, sizeof(out->upstream))) {
            return gh_fail(err, GH_NAME_UNKNOWN, "\"%.*s\" is not a registry's name",
                           (int)GH_MIN(first.len, 128), (const char *)first.data);
        }
        *text = bytes_slice(*text, slash + 1, SIZE_MAX);
    } else if (default_upstream == NULL) {
        return gh_fail(err, GH_NAME_UNKNOWN,
                       "the image names no registry, and there is no default_upstream");
    } else if (!image_copy(bytes_of(default_upstream), out->upstream, sizeof(out->upstream))) {
        return gh_fail(err, GH_NAME_UNKNOWN, "the default_upstream is not a registry's name");
    }
    if (image_upstream_alias(out->upstream) != out->upstream) {
        (void)snprintf(out->upstream, sizeof(out->upstream), "%s", IMAGE_HUB);
    }
    return true;
}

bool image_ref_parse(struct bytes text, const char *default_upstream, struct image_ref *out,
                     struct gh_error *err)
{
    struct image_ref ref = {0};
    struct bytes shown = text;
    size_t at = bytes_find(text, BYTES_LITERAL("@"));
    size_t colon;
    const char *library = "";

    if (at != SIZE_MAX) {
        GH_TRY(digest_parse(bytes_slice(text, at + 1, SIZE_MAX), &ref.digest, err));
        text = bytes_slice(text, 0, at);
    }
    GH_TRY(image_ref_split_upstream(&text, default_upstream, &ref, err));
    colon = bytes_find_last(text, BYTES_LITERAL(":"));
    if (colon != SIZE_MAX) {
        struct bytes tag = bytes_slice(text, colon + 1, SIZE_MAX);

        if (!image_is_tag(tag) || !image_copy(tag, ref.tag, sizeof(ref.tag))) {
            return gh_fail(err, GH_NAME_UNKNOWN, "\"%.*s\" is not a tag", (int)GH_MIN(tag.len, 140),
                           (const char *)tag.data);
        }
        text = bytes_slice(text, 0, colon);
    }
    if (strcmp(ref.upstream, IMAGE_HUB) == 0 && bytes_find(text, BYTES_LITERAL("/")) == SIZE_MAX) {
        library = "library/";
    }
    if (!image_is_repository(text) || text.len + strlen(library) > IMAGE_MAX_REPOSITORY_BYTES) {
        return gh_fail(err, GH_NAME_UNKNOWN, "\"%.*s\" is not the name of an image",
                       (int)GH_MIN(shown.len, 140), (const char *)shown.data);
    }
    at = TEXT_JOIN(ref.repository, library);
    memcpy(ref.repository + at, text.data, text.len); /* its length was compared above */
    ref.repository[at + text.len] = '\0';
    (void)TEXT_JOIN(ref.name, ref.upstream, "/", ref.repository);
    *out = ref;
    return true;
}

/* ---- patterns ---- */

static bool image_pattern_component(struct bytes part, bool is_first, struct gh_error *err)
{
    if (part.len == 0) {
        return gh_fail(err, GH_NAME_UNKNOWN, "a pattern has no empty components");
    }
    if (bytes_equal_cstr(part, "**")) {
        return true;
    }
    if (bytes_find(part, BYTES_LITERAL("**")) != SIZE_MAX) {
        return gh_fail(err, GH_NAME_UNKNOWN, "`**` stands alone between slashes");
    }
    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.data[i];

        if (c == ':' && !is_first) {
            return gh_fail(err, GH_NAME_UNKNOWN,
                           "tags are not patterns, because they move; use deny_tags, or a digest");
        }
        if (!image_is_alnum(c) && c != '*' && c != '.' && c != '_' && c != '-' && c != ':') {
            return gh_fail(err, GH_NAME_UNKNOWN,
                           "names consist of lower-case letters, digits and . _ - /");
        }
    }
    if (bytes_find(part, BYTES_LITERAL("*")) != SIZE_MAX) {
        return true;
    }
    if (is_first ? !image_is_upstream(part) : !image_is_component(part)) {
        return gh_fail(err, GH_NAME_UNKNOWN, "\"%.*s\" is not %s", (int)GH_MIN(part.len, 100),
                       (const char *)part.data,
                       is_first ? "a registry's name" : "a component of a repository's name");
    }
    return true;
}

static bool image_pattern_check(struct bytes text, size_t *components, struct gh_error *err)
{
    struct bytes rest = text;
    struct bytes part;
    size_t globstars = 0;

    *components = 0;
    for (bool is_more = true; is_more;) {
        is_more = bytes_split(&rest, '/', &part);
        if (!is_more) {
            part = rest;
        }
        GH_TRY(image_pattern_component(part, *components == 0, err));
        globstars += bytes_equal_cstr(part, "**") ? 1 : 0;
        ++*components;
    }
    if (bytes_equal_cstr(text, "*")) {
        return gh_fail(err, GH_NAME_UNKNOWN,
                       "`*` is one component, and a name has two or more; for everything write "
                       "`**`");
    }
    if (*components == 1 && !bytes_equal_cstr(text, "**")) {
        return gh_fail(err, GH_NAME_UNKNOWN,
                       "a pattern names a registry and a repository; for all of a registry write "
                       "\"%.*s/**\"",
                       (int)GH_MIN(text.len, 100), (const char *)text.data);
    }
    if (globstars > IMAGE_MAX_GLOBSTARS) {
        return gh_fail(err, GH_NAME_UNKNOWN, "a pattern may hold `**` at most %d times",
                       IMAGE_MAX_GLOBSTARS);
    }
    return true;
}

bool image_pattern_parse(struct bytes text, struct arena *arena, struct image_pattern *out,
                         struct gh_error *err)
{
    struct image_pattern pattern = {0};
    size_t at = bytes_find(text, BYTES_LITERAL("@"));
    char upstream[IMAGE_MAX_UPSTREAM_BYTES + 1];
    size_t components;
    size_t slash;
    const char *library = "";
    struct bytes rest;

    if (at != SIZE_MAX) {
        GH_TRY(digest_parse(bytes_slice(text, at + 1, SIZE_MAX), &pattern.digest, err));
        text = bytes_slice(text, 0, at);
    }
    if (text.len == 0 || text.len > IMAGE_MAX_NAME_BYTES) {
        return gh_fail(err, GH_NAME_UNKNOWN, "a pattern has 1 to %d characters",
                       IMAGE_MAX_NAME_BYTES);
    }
    GH_TRY(image_pattern_check(text, &components, err));
    pattern.is_literal = bytes_find(text, BYTES_LITERAL("*")) == SIZE_MAX;
    slash = bytes_find(text, BYTES_LITERAL("/"));
    if (slash == SIZE_MAX) {
        pattern.text = arena_copy(arena, text.data, text.len);
    } else {
        if (!image_copy(bytes_slice(text, 0, slash), upstream, sizeof(upstream))) {
            return gh_fail(err, GH_NAME_UNKNOWN, "the registry's name is too long");
        }
        rest = bytes_slice(text, slash + 1, SIZE_MAX);
        if (strcmp(image_upstream_alias(upstream), IMAGE_HUB) == 0 && components == 2 &&
            !bytes_equal_cstr(rest, "**")) {
            library = "library/";
        }
        pattern.text = arena_printf(arena, "%s/%s%.*s", image_upstream_alias(upstream), library,
                                    (int)rest.len, (const char *)rest.data);
    }
    if (pattern.text == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for patterns");
    }
    *out = pattern;
    return true;
}

/* At most text times stars steps, without recursion. */
bool image_component_match(struct bytes pattern, struct bytes text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX;
    size_t mark = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.len && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

static bool image_cut(struct bytes *rest, struct bytes *part)
{
    if (rest->data == NULL) {
        return false;
    }
    if (!bytes_split(rest, '/', part)) {
        *part = *rest;
        *rest = (struct bytes){0};
    }
    return true;
}

/* At most IMAGE_MAX_GLOBSTARS levels of recursion. */
static bool image_match_from(struct bytes pattern, struct bytes name)
{
    struct bytes want;
    struct bytes have;

    while (image_cut(&pattern, &want)) {
        if (bytes_equal_cstr(want, "**")) {
            while (image_cut(&name, &have)) {
                if (image_match_from(pattern, name)) {
                    return true;
                }
            }
            return false;
        }
        if (!image_cut(&name, &have) || !image_component_match(want, have)) {
            return false;
        }
    }
    return name.data == NULL;
}

bool image_pattern_match(const struct image_pattern *pattern, const char *name,
                         const struct digest *digest)
{
    if (pattern->digest.alg != DIGEST_NONE &&
        (digest == NULL || !digest_equal(&pattern->digest, digest))) {
        return false;
    }
    return image_match_from(bytes_of(pattern->text), bytes_of(name));
}

void image_pattern_put_json(struct text *out, const struct image_pattern *pattern)
{
    char digest[DIGEST_MAX_TEXT] = "";
    struct text name;

    text_init(&name, 4096);
    text_put(&name, pattern->text);
    if (pattern->digest.alg != DIGEST_NONE) {
        digest_format(&pattern->digest, digest);
        text_put(&name, "@");
        text_put(&name, digest);
    }
    text_put_json(out, text_cstr(&name));
    text_done(&name);
}
