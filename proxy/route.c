#include "proxy/route.h"

#include <string.h>

#define ROUTE_MAX_PATH 1024

const char *route_label(enum route_kind kind)
{
    switch (kind) {
    case ROUTE_VERSION:
        return "version";
    case ROUTE_MANIFEST:
        return "manifests";
    case ROUTE_BLOB:
        return "blobs";
    case ROUTE_TAGS:
        return "tags";
    case ROUTE_REFERRERS:
        return "referrers";
    case ROUTE_CATALOG:
        return "catalog";
    case ROUTE_UPLOAD:
        return "uploads";
    case ROUTE_UNKNOWN:
        return "other";
    }
    return "other";
}

static bool route_is_lower(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool route_is_word(uint8_t c)
{
    return route_is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool route_component_is_valid(struct bytes part)
{
    size_t i = 0;

    if (part.len == 0 || !route_is_lower(part.data[0]) ||
        !route_is_lower(part.data[part.len - 1])) {
        return false;
    }
    while (i < part.len) {
        size_t run = 0;
        uint8_t c = part.data[i];

        if (route_is_lower(c)) {
            i++;
            continue;
        }
        while (i + run < part.len && part.data[i + run] == c) {
            run++;
        }
        if ((c == '.' && run > 1) || (c == '_' && run > 2) || (c != '.' && c != '_' && c != '-') ||
            !route_is_lower(part.data[i + run])) {
            return false;
        }
        i += run;
    }
    return true;
}

/* host[:port]; letters, digits, dots and hyphens, or [IPv6]. */
static bool route_host_is_valid(struct bytes part)
{
    size_t colon = SIZE_MAX;

    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.data[i];

        if (c == ':' && colon == SIZE_MAX && i > 0) {
            colon = i;
        } else if (c == '.' && i > 0 && part.data[i - 1] == '.') {
            return false; /* no host has an empty label, and ".." means something in paths */
        } else if (colon != SIZE_MAX ? c < '0' || c > '9'
                                     : !route_is_word(c) && c != '.' && c != '-') {
            return false;
        }
    }
    return part.len > 0 && colon != part.len - 1 && part.data[0] != '.' && part.data[0] != '-';
}

bool route_name_is_valid(struct bytes name, bool allow_host)
{
    struct bytes part;
    size_t index = 0;

    if (name.len == 0 || name.len > ROUTE_MAX_NAME) {
        return false;
    }
    for (;;) {
        bool is_last = !bytes_split(&name, '/', &part);

        if (is_last) {
            part = name;
        }
        if (!route_component_is_valid(part) &&
            !(allow_host && index < 2 && !is_last && route_host_is_valid(part))) {
            return false;
        }
        if (is_last) {
            return true;
        }
        index++;
    }
}

bool route_tag_is_valid(struct bytes tag)
{
    if (tag.len == 0 || tag.len > ROUTE_MAX_TAG || !route_is_word(tag.data[0])) {
        return false;
    }
    for (size_t i = 0; i < tag.len; i++) {
        if (!route_is_word(tag.data[i]) && tag.data[i] != '.' && tag.data[i] != '-') {
            return false;
        }
    }
    return true;
}

bool route_evidence_tag(struct bytes tag, struct digest *out)
{
    static const char *const suffixes[] = {".sig", ".att", ".sbom", ""};
    static const char *const algs[] = {"sha256-", "sha512-"};
    struct digest digest = {0};
    struct gh_error err = {0};

    for (size_t a = 0; a < GH_COUNT(algs); a++) {
        struct bytes rest;

        digest.alg = a == 0 ? DIGEST_SHA256 : DIGEST_SHA512;
        if (!bytes_starts_with(tag, bytes_of(algs[a]))) {
            continue;
        }
        rest = bytes_slice(tag, strlen(algs[a]), SIZE_MAX);
        for (size_t s = 0; s < GH_COUNT(suffixes); s++) {
            if (bytes_ends_with(rest, bytes_of(suffixes[s])) &&
                bytes_hex_decode(bytes_slice(rest, 0, rest.len - strlen(suffixes[s])), digest.value,
                                 digest_alg_len(digest.alg), &err)) {
                *out = digest;
                return true;
            }
            gh_error_clear(&err);
        }
    }
    return false;
}

static int route_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool route_decode(struct bytes in, bool allow_slash, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i];

        if (c == '%') {
            int high = i + 2 < in.len ? route_hex(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? route_hex(in.data[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
            if (c == '/' && !allow_slash) {
                return false;
            }
        }
        if (c == 0) {
            return false; /* encoded or not: what is behind it would be lost */
        }
        if (used + 1 >= size) {
            return false;
        }
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return true;
}

static bool route_read_limit(struct bytes text, struct route *out)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > 9) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    out->has_limit = true;
    out->limit = (uint32_t)value;
    return true;
}

/* One `key=value`. Parameters nobody here knows are ignored, repeated ones are refused: two
 * readers could take different values. */
static bool route_read_parameter(struct bytes pair, unsigned *seen, struct route *out)
{
    static const char *const keys[] = {"ns", "n", "last", "artifactType"};
    char *const places[] = {out->ns, NULL, out->last, out->artifact_type};
    struct bytes value = pair;
    struct bytes key;

    if (!bytes_split(&value, '=', &key)) {
        key = pair;
        value = bytes_make("", 0);
    }
    for (unsigned i = 0; i < GH_COUNT(keys); i++) {
        if (!bytes_equal_cstr(key, keys[i])) {
            continue;
        }
        if ((*seen & 1u << i) != 0) {
            return false;
        }
        *seen |= 1u << i;
        return i == 1 ? route_read_limit(value, out)
                      : route_decode(value, true, places[i], ROUTE_MAX_QUERY_VALUE + 1);
    }
    return true;
}

static bool route_read_query(struct bytes query, struct route *out)
{
    struct bytes pair;
    unsigned seen = 0;

    while (bytes_split(&query, '&', &pair)) {
        if (!route_read_parameter(pair, &seen, out)) {
            return false;
        }
    }
    return query.len == 0 || route_read_parameter(query, &seen, out);
}

static enum route_fault route_read_reference(struct bytes text, struct route *out)
{
    char decoded[DIGEST_MAX_TEXT + ROUTE_MAX_TAG];
    struct gh_error err = {0};

    if (!route_decode(text, false, decoded, sizeof(decoded))) {
        return ROUTE_TAG_INVALID;
    }
    if (strchr(decoded, ':') != NULL) {
        out->is_digest = true;
        return digest_parse(bytes_of(decoded), &out->digest, &err) ? ROUTE_OK
                                                                   : ROUTE_DIGEST_INVALID;
    }
    if (!route_tag_is_valid(bytes_of(decoded))) {
        return ROUTE_TAG_INVALID;
    }
    memcpy(out->tag, decoded, strlen(decoded) + 1);
    return ROUTE_OK;
}

static enum route_fault route_read_digest(struct bytes text, struct route *out)
{
    enum route_fault fault = route_read_reference(text, out);

    return fault == ROUTE_OK && out->is_digest ? ROUTE_OK : ROUTE_DIGEST_INVALID;
}

/* What stands behind the name. The last marker counts: "tags" is a legal name component. */
static enum route_fault route_read_path(struct bytes path, struct route *out)
{
    static const struct {
        const char *marker;
        enum route_kind kind;
    } markers[] = {
        {"/blobs/uploads", ROUTE_UPLOAD}, {"/manifests/", ROUTE_MANIFEST}, {"/blobs/", ROUTE_BLOB},
        {"/referrers/", ROUTE_REFERRERS}, {"/tags/list", ROUTE_TAGS},
    };
    size_t best = SIZE_MAX;
    size_t which = 0;
    struct bytes rest;

    if (bytes_equal_cstr(path, "_catalog")) {
        out->kind = ROUTE_CATALOG;
        return ROUTE_OK;
    }
    for (size_t i = 0; i < GH_COUNT(markers); i++) {
        size_t at = bytes_find_last(path, bytes_of(markers[i].marker));

        if (at != SIZE_MAX && (best == SIZE_MAX || at > best)) {
            best = at;
            which = i;
        }
    }
    if (best == SIZE_MAX) {
        return ROUTE_NOT_FOUND;
    }
    out->kind = markers[which].kind;
    rest = bytes_slice(path, best + strlen(markers[which].marker), SIZE_MAX);
    if (!route_decode(bytes_slice(path, 0, best), false, out->name, sizeof(out->name)) ||
        !route_name_is_valid(bytes_of(out->name), true)) {
        return ROUTE_NAME_INVALID;
    }
    switch (out->kind) {
    case ROUTE_MANIFEST:
        return route_read_reference(rest, out);
    case ROUTE_BLOB:
    case ROUTE_REFERRERS:
        return route_read_digest(rest, out);
    case ROUTE_TAGS:
        return rest.len == 0 ? ROUTE_OK : ROUTE_NOT_FOUND;
    case ROUTE_UPLOAD:
        return rest.len == 0 || rest.data[0] == '/' ? ROUTE_OK : ROUTE_NOT_FOUND;
    case ROUTE_UNKNOWN:
    case ROUTE_VERSION:
    case ROUTE_CATALOG:
        return ROUTE_NOT_FOUND;
    }
    return ROUTE_NOT_FOUND;
}

enum route_fault route_parse(struct bytes path, struct bytes query, struct route *out)
{
    struct route route = {0};
    enum route_fault fault = ROUTE_OK;

    if (bytes_equal_cstr(path, "/v2/") || bytes_equal_cstr(path, "/v2")) {
        route.kind = ROUTE_VERSION;
    } else if (!bytes_starts_with(path, BYTES_LITERAL("/v2/"))) {
        return ROUTE_NOT_FOUND;
    } else {
        fault = route_read_path(bytes_slice(path, 4, SIZE_MAX), &route);
    }
    if (fault != ROUTE_OK) {
        return fault;
    }
    if (!route_read_query(query, &route)) {
        return ROUTE_QUERY_INVALID;
    }
    *out = route;
    return ROUTE_OK;
}
