#include "proxy/referrers_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/evidence.h"
#include "crypto/manifest.h"
#include "crypto/sjson.h"

#define PAGE_KIND(kind) (1u << (kind))
#define PAGE_SIMPLE_SIGNING "application/vnd.dev.cosign.simplesigning.v1+json"
#define PAGE_DSSE "application/vnd.dsse.envelope.v1+json"
#define PAGE_MAX_BYTES (4u * 1024 * 1024)

/* A media type without its parameters, compared without case (RFC 9110 section 8.3.1). */
static bool page_type_is(const char *content_type, const char *wanted)
{
    size_t len = strcspn(content_type, "; \t");

    return len == strlen(wanted) && strncasecmp(content_type, wanted, len) == 0;
}

bool referrers_page_parse(struct bytes body, const char *content_type, json_t **doc, json_t **list,
                          struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *parsed = NULL;
    struct gh_error inner = {0};
    struct bytes media_type = {0};
    json_t *manifests = NULL;

    if (content_type == NULL || !page_type_is(content_type, MANIFEST_OCI_INDEX)) {
        return gh_fail(err, GH_FALLBACK_INDEX_INVALID,
                       "a list of referrers is an OCI index, this is %.100s",
                       content_type != NULL ? content_type : "without a Content-Type");
    }
    if (!sjson_parse_object(body, PAGE_MAX_BYTES, &parsed, &inner) ||
        !sjson_opt_string(parsed, "mediaType", &media_type, &inner) ||
        !sjson_get_array(parsed, "manifests", &manifests, &inner)) {
        return gh_fail(err, GH_FALLBACK_INDEX_INVALID, "the list of referrers is no index: %s",
                       inner.text);
    }
    if (media_type.data != NULL && !bytes_equal_cstr(media_type, MANIFEST_OCI_INDEX)) {
        return gh_fail(err, GH_FALLBACK_INDEX_INVALID, "the list of referrers calls itself %.*s",
                       (int)GH_MIN(media_type.len, 100u), (const char *)media_type.data);
    }
    *list = manifests;
    *doc = GH_TAKE(parsed);
    return true;
}

bool referrers_page_descriptor(const json_t *entry, struct referrers_descriptor *out,
                               struct gh_error *err)
{
    struct referrers_descriptor read = {0};
    struct gh_error inner = {0};
    struct bytes digest = {0};

    if (!json_is_object(entry) || !sjson_get_string(entry, "digest", &digest, &inner) ||
        !sjson_get_string(entry, "mediaType", &read.media_type, &inner) ||
        !sjson_get_int(entry, "size", &read.size, &inner) ||
        !sjson_opt_string(entry, "artifactType", &read.artifact_type, &inner)) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "a descriptor cannot be read: %s", inner.text);
    }
    if (read.size < 0) {
        return gh_fail(err, GH_MALFORMED_MANIFEST, "a descriptor has a negative size");
    }
    GH_TRY(digest_parse(digest, &read.digest, err));
    *out = read;
    return true;
}

/* --- Link --- */

static void page_skip(const char **at, const char *set)
{
    *at += strspn(*at, set);
}

/* Whether a rel value, a list of relation types, holds "next". */
static bool page_rel_has_next(const char *value, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t word = 0;

        while (at + word < len && value[at + word] != ' ') {
            word++;
        }
        if (word == 4 && strncasecmp(value + at, "next", 4) == 0) {
            return true;
        }
        at += word + 1;
    }
    return false;
}

/* The parameters of one link; *is_next is set where they say rel=next. */
static bool page_read_params(const char **at, bool *is_next)
{
    for (;;) {
        const char *name;
        const char *value;
        size_t name_len;
        size_t value_len;

        page_skip(at, " \t");
        if (**at != ';') {
            return **at == ',' || **at == '\0';
        }
        (*at)++;
        page_skip(at, " \t");
        name = *at;
        name_len = strcspn(name, "=;, \t\"");
        *at += name_len;
        page_skip(at, " \t");
        if (**at != '=') {
            continue; /* a parameter without a value */
        }
        (*at)++;
        page_skip(at, " \t");
        if (**at == '"') {
            value = ++*at;
            value_len = strcspn(value, "\"");
            if (value[value_len] != '"') {
                return false;
            }
            *at += value_len + 1;
        } else {
            value = *at;
            value_len = strcspn(value, ";, \t");
            *at += value_len;
        }
        if (name_len == 3 && strncasecmp(name, "rel", 3) == 0) {
            *is_next = *is_next || page_rel_has_next(value, value_len);
        }
    }
}

bool referrers_page_next(const char *link, char **out, struct gh_error *err)
{
    const char *at = link;

    if (strlen(link) > REFERRERS_PAGE_MAX_LINK) {
        return gh_fail(err, GH_PAGINATION_INVALID, "the Link header is longer than %d bytes",
                       REFERRERS_PAGE_MAX_LINK);
    }
    for (;;) {
        const char *target;
        size_t len;
        bool is_next = false;

        page_skip(&at, " \t,");
        if (*at == '\0') {
            *out = NULL;
            return true;
        }
        target = at + 1;
        len = *at == '<' ? strcspn(target, ">") : 0;
        if (*at != '<' || target[len] != '>') {
            return gh_fail(err, GH_PAGINATION_INVALID, "the Link header cannot be parsed");
        }
        at = target + len + 1;
        if (!page_read_params(&at, &is_next)) {
            return gh_fail(err, GH_PAGINATION_INVALID, "the Link header cannot be parsed");
        }
        if (is_next) {
            *out = strndup(target, len);
            return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a link");
        }
    }
}

/* --- names --- */

void referrers_page_fallback_tag(const struct digest *digest, char out[REFERRERS_PAGE_MAX_TAG + 1])
{
    char text[DIGEST_MAX_TEXT];
    const char *hex;

    digest_format(digest, text);
    hex = strchr(text, ':');
    (void)snprintf(out, REFERRERS_PAGE_MAX_TAG + 1, "%.32s-%.64s", digest_alg_name(digest->alg),
                   hex != NULL ? hex + 1 : "");
}

bool referrers_page_cosign_tag(const struct digest *digest, const char *suffix,
                               char out[REFERRERS_PAGE_MAX_TAG + 1])
{
    char text[DIGEST_MAX_TEXT];
    const char *hex;

    digest_format(digest, text);
    hex = strchr(text, ':');
    return hex != NULL &&
           snprintf(out, REFERRERS_PAGE_MAX_TAG + 1, "%s-%s%s", digest_alg_name(digest->alg),
                    hex + 1, suffix) <= REFERRERS_PAGE_MAX_TAG;
}

/* --- kinds --- */

unsigned referrers_page_kinds(struct bytes type)
{
    static const struct {
        const char *type;
        unsigned kinds;
    } rows[] = {
        {"application/vnd.cncf.notary.signature",
         PAGE_KIND(EVIDENCE_NOTATION_JWS) | PAGE_KIND(EVIDENCE_NOTATION_COSE)},
        {"application/vnd.dev.cosign.artifact.sig.v1+json", PAGE_KIND(EVIDENCE_COSIGN_SIGNATURE)},
        {"application/vnd.dev.cosign.artifact.att.v1+json", PAGE_KIND(EVIDENCE_COSIGN_ATTESTATION)},
        {PAGE_DSSE, PAGE_KIND(EVIDENCE_DSSE)},
        {"application/vnd.in-toto+json", PAGE_KIND(EVIDENCE_DSSE)},
        {"application/vnd.in-toto.bundle", PAGE_KIND(EVIDENCE_DSSE)},
    };

    if (bytes_starts_with(type, BYTES_LITERAL(REFERRERS_PAGE_BUNDLE_PREFIX))) {
        return PAGE_KIND(EVIDENCE_BUNDLE);
    }
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (bytes_equal_cstr(type, rows[i].type)) {
            return rows[i].kinds;
        }
    }
    return 0;
}

int referrers_page_layer_kind(unsigned kinds, struct bytes type)
{
    static const struct {
        const char *type;
        enum evidence_kind kind;
    } rows[] = {
        {PAGE_SIMPLE_SIGNING, EVIDENCE_COSIGN_SIGNATURE},
        {PAGE_DSSE, EVIDENCE_COSIGN_ATTESTATION},
        {PAGE_DSSE, EVIDENCE_DSSE},
        {"application/vnd.in-toto+json", EVIDENCE_DSSE},
        {"application/vnd.in-toto.bundle", EVIDENCE_DSSE},
        {"application/jose+json", EVIDENCE_NOTATION_JWS},
        {"application/cose", EVIDENCE_NOTATION_COSE},
    };

    if ((kinds & PAGE_KIND(EVIDENCE_BUNDLE)) != 0 &&
        bytes_starts_with(type, BYTES_LITERAL(REFERRERS_PAGE_BUNDLE_PREFIX))) {
        return EVIDENCE_BUNDLE;
    }
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if ((kinds & PAGE_KIND(rows[i].kind)) != 0 && bytes_equal_cstr(type, rows[i].type)) {
            return rows[i].kind;
        }
    }
    return EVIDENCE_BROKEN;
}
