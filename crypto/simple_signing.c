#include "crypto/simple_signing.h"

#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"

void simple_signing_done(struct simple_signing *payload)
{
    json_decref(payload->doc);
    memset(payload, 0, sizeof(*payload));
}

/* All of the members and no other. */
static bool simple_signing_members(const json_t *object, const char *const *keys, const char *what,
                                   struct gh_error *err)
{
    struct gh_error detail = {0};

    if (!json_is_object(object)) {
        return gh_fail(err, GH_PAYLOAD_MALFORMED, "`%s` is no object", what);
    }
    if (!sjson_only_keys(object, keys, &detail)) {
        return gh_fail(err, GH_PAYLOAD_UNKNOWN_FIELD, "in `%s`: %s", what, detail.text);
    }
    for (size_t i = 0; keys[i] != NULL; i++) {
        if (json_object_get(object, keys[i]) == NULL) {
            return gh_fail(err, GH_PAYLOAD_MALFORMED, "`%s` lacks member '%s'", what, keys[i]);
        }
    }
    return true;
}

static bool simple_signing_text(const json_t *object, const char *key, struct bytes *out,
                                struct gh_error *err)
{
    if (!sjson_get_string(object, key, out, err)) {
        return gh_recast(err, GH_PAYLOAD_MALFORMED);
    }
    return true;
}

static bool simple_signing_read(struct simple_signing *out, struct gh_error *err)
{
    static const char *const top[] = {"critical", "optional", NULL};
    static const char *const inner[] = {"identity", "image", "type", NULL};
    static const char *const image_keys[] = {"docker-manifest-digest", NULL};
    static const char *const identity_keys[] = {"docker-reference", NULL};
    const json_t *critical = json_object_get(out->doc, "critical");
    const json_t *optional = json_object_get(out->doc, "optional");
    const json_t *image = json_object_get(critical, "image");
    const json_t *identity = json_object_get(critical, "identity");

    GH_TRY(simple_signing_members(out->doc, top, "payload", err));
    GH_TRY(simple_signing_members(critical, inner, "critical", err));
    GH_TRY(simple_signing_members(image, image_keys, "critical.image", err));
    GH_TRY(simple_signing_members(identity, identity_keys, "critical.identity", err));
    if (!json_is_object(optional) && !json_is_null(optional)) {
        return gh_fail(err, GH_PAYLOAD_MALFORMED, "`optional` is neither an object nor null");
    }
    out->optional = json_is_object(optional) ? optional : NULL;
    return simple_signing_text(critical, "type", &out->type, err) &&
           simple_signing_text(image, "docker-manifest-digest", &out->digest, err) &&
           simple_signing_text(identity, "docker-reference", &out->reference, err);
}

bool simple_signing_parse(struct bytes payload, struct simple_signing *out, struct gh_error *err)
{
    struct simple_signing parsed = {0};

    if (!sjson_parse_object(payload, SIMPLE_SIGNING_MAX_BYTES, &parsed.doc, err)) {
        return gh_recast(err, GH_PAYLOAD_MALFORMED);
    }
    if (!simple_signing_read(&parsed, err)) {
        simple_signing_done(&parsed);
        return false;
    }
    *out = parsed;
    return true;
}
