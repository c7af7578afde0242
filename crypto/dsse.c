#include "crypto/dsse.h"

#include <stdio.h>
#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"

void dsse_done(struct dsse *dsse)
{
    for (size_t i = 0; i < dsse->signature_count; i++) {
        bytes_buf_done(&dsse->signatures[i].value);
    }
    bytes_buf_done(&dsse->payload);
    bytes_buf_done(&dsse->pae);
    json_decref(dsse->doc);
    memset(dsse, 0, sizeof(*dsse));
}

bool dsse_pae(struct bytes type, struct bytes payload, struct bytes_buf *out, struct gh_error *err)
{
    char head[DSSE_MAX_TYPE_BYTES + 64];
    int len;

    if (type.len > DSSE_MAX_TYPE_BYTES) {
        return gh_fail(err, GH_PAYLOAD_TYPE_MISMATCH, "a payload type of %zu bytes", type.len);
    }
    len = snprintf(head, sizeof(head), "DSSEv1 %zu %.*s %zu ", type.len, (int)type.len,
                   type.data != NULL ? (const char *)type.data : "", payload.len);
    if (len <= 0 || (size_t)len >= sizeof(head)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the encoding does not fit");
    }
    GH_TRY(bytes_buf_alloc((size_t)len + payload.len, out, err));
    memcpy(out->data, head, (size_t)len);
    if (payload.len > 0) {
        memcpy(out->data + len, payload.data, payload.len);
    }
    return true;
}

static bool dsse_read_signature(const json_t *object, enum bytes_base64 form,
                                struct dsse_signature *out, struct gh_error *err)
{
    struct gh_error detail = {0};
    struct bytes text;

    GH_TRY(sjson_get_string(object, "sig", &text, err));
    GH_TRY(sjson_opt_string(object, "keyid", &out->keyid, err));
    if (out->keyid.len == 0) {
        out->keyid.data = NULL;
    }
    if (text.len == 0 || text.len > 2 * DSSE_MAX_SIGNATURE_BYTES ||
        !bytes_base64_decode(text, form, &out->value, &detail)) {
        return gh_fail(err, GH_SIG_MALFORMED, "the envelope's signature is not base64: %s",
                       detail.text);
    }
    return true;
}

static bool dsse_read_members(json_t *envelope, enum bytes_base64 form, size_t limit,
                              struct dsse *out, struct gh_error *err)
{
    struct gh_error detail = {0};
    struct bytes payload;
    json_t *signatures;
    size_t count;

    GH_TRY(sjson_get_string(envelope, "payloadType", &out->payload_type, err));
    GH_TRY(sjson_get_string(envelope, "payload", &payload, err));
    GH_TRY(sjson_opt_array(envelope, "signatures", &signatures, err));
    count = json_array_size(signatures);
    if (count == 0 || count > limit) {
        return gh_fail(err, GH_DSSE_SIGNATURE_COUNT,
                       "the envelope holds %zu signatures, wanted are 1 to %zu", count, limit);
    }
    for (size_t i = 0; i < count; i++) {
        out->signature_count = i + 1;
        GH_TRY(dsse_read_signature(json_array_get(signatures, i), form, &out->signatures[i], err));
    }
    if (!bytes_base64_decode(payload, form, &out->payload, &detail)) {
        return gh_fail(err, GH_PAYLOAD_MALFORMED, "the envelope's payload is not base64: %s",
                       detail.text);
    }
    return dsse_pae(out->payload_type, bytes_view(&out->payload), &out->pae, err);
}

static bool dsse_read_limited(json_t *envelope, enum bytes_base64 form, size_t limit,
                              struct dsse *out, struct gh_error *err)
{
    struct dsse dsse = {.doc = json_incref(envelope)};

    if (!dsse_read_members(envelope, form, limit, &dsse, err)) {
        dsse_done(&dsse);
        return false;
    }
    *out = dsse;
    return true;
}

bool dsse_read(json_t *envelope, enum bytes_base64 form, struct dsse *out, struct gh_error *err)
{
    return dsse_read_limited(envelope, form, 1, out, err);
}

bool dsse_parse(struct bytes json, struct dsse *out, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;

    GH_TRY(sjson_parse_object(json, DSSE_MAX_BYTES, &doc, err));
    return dsse_read_limited(doc, BYTES_BASE64_ANY_ALPHABET, DSSE_MAX_SIGNATURES, out, err);
}

bool dsse_check_in_toto(const struct dsse *dsse, struct gh_error *err)
{
    if (!bytes_equal_cstr(dsse->payload_type, DSSE_IN_TOTO)) {
        return gh_fail(err, GH_PAYLOAD_TYPE_MISMATCH, "wanted payload type %s, found %.*s",
                       DSSE_IN_TOTO, (int)GH_MIN(dsse->payload_type.len, (size_t)80),
                       (const char *)dsse->payload_type.data);
    }
    return true;
}
