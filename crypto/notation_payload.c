#include "crypto/notation_payload.h"

#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"

#define NOTATION_PAYLOAD_RESERVED "io.cncf.notary"

void notation_payload_done(struct notation_payload *payload)
{
    json_decref(payload->doc);
    payload->doc = NULL;
}

static bool notation_payload_fill(struct bytes in, struct notation_payload *out,
                                  struct gh_error *err)
{
    json_t *target;
    struct bytes digest;
    const char *name;
    json_t *value;

    GH_TRY(sjson_parse_object(in, NOTATION_MAX_PAYLOAD_BYTES, &out->doc, err));
    GH_TRY(sjson_get_object(out->doc, "targetArtifact", &target, err));
    GH_TRY(sjson_get_string(target, "mediaType", &out->media_type, err));
    GH_TRY(sjson_get_string(target, "digest", &digest, err));
    GH_TRY(sjson_get_int(target, "size", &out->size, err));
    GH_TRY(sjson_opt_object(target, "annotations", &out->annotations, err));
    json_object_foreach (out->annotations, name, value) {
        if (!json_is_string(value)) {
            return gh_fail(err, GH_PAYLOAD_MALFORMED, "annotation %.80s is no text", name);
        }
    }
    return digest_parse(digest, &out->digest, err);
}

bool notation_payload_read(struct bytes in, struct notation_payload *out, struct gh_error *err)
{
    if (notation_payload_fill(in, out, err)) {
        return true;
    }
    if (err != NULL && err->cause == GH_DIGEST_ALG_UNSUPPORTED) {
        err->cause = GH_PAYLOAD_MALFORMED;
    }
    return gh_recast(err, GH_PAYLOAD_MALFORMED);
}

bool notation_payload_check_subject(const struct notation_payload *payload,
                                    const struct evidence_subject *subject, struct gh_error *err)
{
    char wanted[DIGEST_MAX_TEXT];
    char found[DIGEST_MAX_TEXT];

    if (!digest_equal(&payload->digest, &subject->digest)) {
        digest_format(&subject->digest, wanted);
        digest_format(&payload->digest, found);
        return gh_fail(err, GH_PAYLOAD_DIGEST_MISMATCH, "the image is %.80s, signed was %.80s",
                       wanted, found);
    }
    if (payload->size < 0 || (uint64_t)payload->size != subject->manifest.len) {
        return gh_fail(err, GH_PAYLOAD_DIGEST_MISMATCH,
                       "the manifest has %zu bytes, signed were %lld", subject->manifest.len,
                       (long long)payload->size);
    }
    if (subject->media_type == NULL ||
        !bytes_equal_cstr(payload->media_type, subject->media_type)) {
        return gh_fail(err, GH_PAYLOAD_DIGEST_MISMATCH,
                       "the manifest is of media type %.80s, signed was %.*s",
                       subject->media_type != NULL ? subject->media_type : "(none)",
                       (int)GH_MIN(payload->media_type.len, (size_t)80),
                       (const char *)payload->media_type.data);
    }
    return true;
}

bool notation_payload_check_metadata(const struct notation_payload *payload,
                                     const struct evidence_annotation *required, size_t count,
                                     struct gh_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *value =
            json_string_value(json_object_get(payload->annotations, required[i].name));

        if (strncmp(required[i].name, NOTATION_PAYLOAD_RESERVED,
                    sizeof(NOTATION_PAYLOAD_RESERVED) - 1) == 0) {
            return gh_fail(err, GH_ANNOTATION_MISMATCH, "metadata %.80s has a reserved name",
                           required[i].name);
        }
        if (value == NULL || strcmp(value, required[i].value) != 0) {
            return gh_fail(err, GH_ANNOTATION_MISMATCH, "metadata %.60s: wanted %.60s, found %.60s",
                           required[i].name, required[i].value, value != NULL ? value : "nothing");
        }
    }
    return true;
}
