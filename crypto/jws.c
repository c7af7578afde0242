#include "crypto/jws.h"

#include <string.h>

#include "crypto/rfc3339.h"
#include "crypto/sjson.h"
#include "metrics/error.h"

static const struct {
    const char *name;
    enum notation_alg alg;
} jws_algs[] = {
    {"PS256", NOTATION_ALG_PS256}, {"PS384", NOTATION_ALG_PS384}, {"PS512", NOTATION_ALG_PS512},
    {"ES256", NOTATION_ALG_ES256}, {"ES384", NOTATION_ALG_ES384}, {"ES512", NOTATION_ALG_ES512},
};

/* Headers that would bring a key, or another reading of the payload, from outside. */
static const char *const jws_forbidden[] = {"b64", "jwk", "jku", "x5u"};

static bool jws_get_time(const json_t *header, const char *name, bool *has, int64_t *out,
                         struct gh_error *err)
{
    struct bytes text;

    GH_TRY(sjson_opt_string(header, name, &text, err));
    *has = text.data != NULL;
    /* A fraction is cut off: for an expiry that is the earlier and thus the strict reading. */
    if (*has && !rfc3339_parse(text, out)) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header %s is no RFC 3339 time", name);
    }
    return true;
}

static bool jws_read_crit(const json_t *header, struct notation_envelope *out, struct gh_error *err)
{
    const json_t *crit = json_object_get(header, "crit");

    if (crit == NULL) {
        return true; /* notation_envelope_check() says that it is missing */
    }
    if (!json_is_array(crit)) {
        return gh_fail(err, GH_NOTATION_CRIT_INVALID, "header crit is not a list");
    }
    if (json_array_size(crit) > NOTATION_MAX_CRIT) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d critical headers",
                       NOTATION_MAX_CRIT);
    }
    for (size_t i = 0; i < json_array_size(crit); i++) {
        const json_t *name = json_array_get(crit, i);

        if (!json_is_string(name)) {
            return gh_fail(err, GH_NOTATION_CRIT_INVALID, "header crit lists what is no text");
        }
        out->crit[out->crit_count++] = sjson_string(name);
    }
    return true;
}

/* Headers of the specification are read by name; everything else is an attribute. */
static bool jws_is_own_header(const char *name)
{
    static const char *const names[] = {
        "alg",
        "cty",
        "crit",
        NOTATION_HEADER_SCHEME,
        NOTATION_HEADER_SIGNING_TIME,
        NOTATION_HEADER_AUTHENTIC_TIME,
        NOTATION_HEADER_EXPIRY,
        NOTATION_HEADER_PLUGIN,
        NOTATION_HEADER_PLUGIN_VERSION,
    };

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool jws_read_attributes(json_t *header, struct notation_envelope *out, struct gh_error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach (header, name, value) {
        struct notation_attribute *attribute;

        if (jws_is_own_header(name)) {
            continue;
        }
        if (out->attribute_count == NOTATION_MAX_ATTRIBUTES) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d signed attributes",
                           NOTATION_MAX_ATTRIBUTES);
        }
        attribute = &out->attributes[out->attribute_count++];
        attribute->name = bytes_of(name);
        if (json_is_string(value)) {
            attribute->text = sjson_string(value);
        }
    }
    return true;
}

static bool jws_read_protected(json_t *header, struct notation_envelope *out, struct gh_error *err)
{
    struct bytes alg;

    GH_TRY(sjson_get_string(header, "alg", &alg, err));
    for (size_t i = 0; i < GH_COUNT(jws_algs); i++) {
        if (bytes_equal_cstr(alg, jws_algs[i].name)) {
            out->alg = jws_algs[i].alg;
        }
    }
    GH_TRY(sjson_opt_string(header, "cty", &out->content_type, err));
    GH_TRY(jws_read_crit(header, out, err));
    GH_TRY(sjson_opt_string(header, NOTATION_HEADER_SCHEME, &out->scheme_text, err));
    GH_TRY(jws_get_time(header, NOTATION_HEADER_SIGNING_TIME, &out->has_signing_time,
                        &out->signing_unix_s, err));
    GH_TRY(jws_get_time(header, NOTATION_HEADER_AUTHENTIC_TIME, &out->has_authentic_time,
                        &out->authentic_unix_s, err));
    GH_TRY(
        jws_get_time(header, NOTATION_HEADER_EXPIRY, &out->has_expiry, &out->expiry_unix_s, err));
    GH_TRY(sjson_opt_string(header, NOTATION_HEADER_PLUGIN, &out->plugin, err));
    GH_TRY(sjson_opt_string(header, NOTATION_HEADER_PLUGIN_VERSION, &out->plugin_min_version, err));
    return jws_read_attributes(header, out, err);
}

static bool jws_read_chain(const json_t *header, struct notation_envelope *out,
                           struct gh_error *err)
{
    json_t *chain;

    GH_TRY(sjson_get_array(header, "x5c", &chain, err));
    if (json_array_size(chain) == 0) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header x5c holds no certificate");
    }
    if (json_array_size(chain) > NOTATION_MAX_CHAIN) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a chain of more than %d certificates",
                       NOTATION_MAX_CHAIN);
    }
    for (size_t i = 0; i < json_array_size(chain); i++) {
        const json_t *text = json_array_get(chain, i);
        struct bytes_buf der;

        if (!json_is_string(text)) {
            return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header x5c holds what is no text");
        }
        if (json_string_length(text) > NOTATION_MAX_CERTIFICATE_BYTES / 3 * 4 + 4) {
            return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "certificate %zu is longer than %u bytes",
                           i, NOTATION_MAX_CERTIFICATE_BYTES);
        }
        GH_TRY(bytes_base64_decode(sjson_string(text), BYTES_BASE64_STANDARD, &der, err));
        out->chain[out->chain_count++] = notation_envelope_own(out, der);
    }
    return true;
}

static bool jws_read_unprotected(const json_t *header, const json_t *signed_header,
                                 struct notation_envelope *out, struct gh_error *err)
{
    const char *name;
    json_t *value;
    struct bytes text;
    struct bytes_buf der;

    json_object_foreach ((json_t *)header, name, value) {
        (void)value;
        if (json_object_get(signed_header, name) != NULL) {
            return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID,
                           "header %.80s is both signed and unsigned", name);
        }
        if (jws_is_own_header(name)) {
            return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header %.80s is not signed", name);
        }
    }
    GH_TRY(jws_read_chain(header, out, err));
    GH_TRY(sjson_opt_string(header, NOTATION_HEADER_AGENT, &out->agent, err));
    GH_TRY(sjson_opt_string(header, NOTATION_HEADER_TIMESTAMP, &text, err));
    if (text.data == NULL) {
        return true;
    }
    if (text.len > NOTATION_MAX_TIMESTAMP_BYTES / 3 * 4 + 4) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the time stamp is longer than %u bytes",
                       NOTATION_MAX_TIMESTAMP_BYTES);
    }
    GH_TRY(bytes_base64_decode(text, BYTES_BASE64_STANDARD, &der, err));
    out->timestamp = notation_envelope_own(out, der);
    return true;
}

static bool jws_decode(struct bytes text, struct notation_envelope *out, struct bytes *decoded,
                       struct gh_error *err)
{
    struct bytes_buf buf;

    GH_TRY(bytes_base64_decode(text, BYTES_BASE64_URL_NOPAD, &buf, err));
    *decoded = notation_envelope_own(out, buf);
    return true;
}

/* RFC 7515 section 5.2: the texts as received, joined by a dot. */
static bool jws_join(struct bytes header, struct bytes payload, struct notation_envelope *out,
                     struct gh_error *err)
{
    struct bytes_buf buf;

    GH_TRY(bytes_buf_alloc(header.len + 1 + payload.len, &buf, err));
    if (header.len > 0) {
        memcpy(buf.data, header.data, header.len);
    }
    buf.data[header.len] = '.';
    if (payload.len > 0) {
        memcpy(buf.data + header.len + 1, payload.data, payload.len);
    }
    out->signed_input = notation_envelope_own(out, buf);
    return true;
}

static bool jws_read(struct bytes in, struct notation_envelope *out, struct gh_error *err)
{
    static const char *const members[] = {"payload", "protected", "header", "signature", NULL};
    struct bytes header_text;
    struct bytes payload_text;
    struct bytes signature_text;
    struct bytes header;
    json_t *unprotected;

    GH_TRY(sjson_parse_object(in, NOTATION_MAX_ENVELOPE_BYTES, &out->docs[0], err));
    GH_TRY(sjson_only_keys(out->docs[0], members, err));
    GH_TRY(sjson_get_string(out->docs[0], "protected", &header_text, err));
    GH_TRY(sjson_get_string(out->docs[0], "payload", &payload_text, err));
    GH_TRY(sjson_get_string(out->docs[0], "signature", &signature_text, err));
    GH_TRY(sjson_get_object(out->docs[0], "header", &unprotected, err));
    GH_TRY(jws_decode(header_text, out, &header, err));
    GH_TRY(jws_decode(payload_text, out, &out->payload, err));
    GH_TRY(jws_decode(signature_text, out, &out->signature, err));
    GH_TRY(sjson_parse_object(header, NOTATION_MAX_ENVELOPE_BYTES, &out->docs[1], err));
    for (size_t i = 0; i < GH_COUNT(jws_forbidden); i++) {
        if (json_object_get(out->docs[1], jws_forbidden[i]) != NULL ||
            json_object_get(unprotected, jws_forbidden[i]) != NULL) {
            return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header %s is not accepted",
                           jws_forbidden[i]);
        }
    }
    GH_TRY(jws_read_protected(out->docs[1], out, err));
    GH_TRY(jws_read_unprotected(unprotected, out->docs[1], out, err));
    return jws_join(header_text, payload_text, out, err);
}

bool jws_parse(struct bytes in, struct notation_envelope *out, struct gh_error *err)
{
    return jws_read(in, out, err) || gh_recast(err, GH_NOTATION_ENVELOPE_INVALID);
}
