#include "crypto/cose.h"

#include <string.h>

#include "crypto/cbor.h"
#include "metrics/error.h"

#define COSE_TAG_SIGN1 18
#define COSE_LABEL_ALG 1
#define COSE_LABEL_CRIT 2
#define COSE_LABEL_CONTENT_TYPE 3
#define COSE_LABEL_X5CHAIN 33

/* Notation has less than ten of them; attributes come on top. */
#define COSE_MAX_HEADERS CBOR_MAX_ENTRIES

static const struct {
    int64_t label;
    enum notation_alg alg;
} cose_algs[] = {
    {-37, NOTATION_ALG_PS256}, {-38, NOTATION_ALG_PS384}, {-39, NOTATION_ALG_PS512},
    {-7, NOTATION_ALG_ES256},  {-35, NOTATION_ALG_ES384}, {-36, NOTATION_ALG_ES512},
};

/* One pair of a header map, as it stands. */
struct cose_header {
    struct bytes key;
    struct bytes value;
    bool is_text; /* else an integer */
    struct bytes name;
    int64_t label;
};

struct cose_headers {
    struct cose_header items[COSE_MAX_HEADERS];
    size_t count;
};

/* Split a map into pairs. All of *in up to the map's end was checked by cbor_skip(). */
static bool cose_read_map(struct bytes *in, struct cose_headers *out, struct gh_error *err)
{
    struct bytes whole;
    struct cbor_head head;

    GH_TRY(cbor_skip(in, CBOR_MAX_DEPTH, &whole, err));
    GH_TRY(cbor_take(&whole, CBOR_KIND_MAP, &head, err));
    for (out->count = 0; out->count < head.value; out->count++) {
        struct cose_header *header = &out->items[out->count];
        struct cbor_head key;
        struct bytes key_at;

        memset(header, 0, sizeof(*header));
        GH_TRY(cbor_skip(&whole, CBOR_MAX_DEPTH, &header->key, err));
        GH_TRY(cbor_skip(&whole, CBOR_MAX_DEPTH, &header->value, err));
        key_at = header->key;
        GH_TRY(cbor_next(&key_at, &key, err));
        header->is_text = key.kind == CBOR_KIND_TEXT;
        header->name = key.content;
        if (!header->is_text) {
            GH_TRY(cbor_head_int64(&key, &header->label, err));
        }
    }
    return true;
}

static const struct cose_header *cose_by_label(const struct cose_headers *headers, int64_t label)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (!headers->items[i].is_text && headers->items[i].label == label) {
            return &headers->items[i];
        }
    }
    return NULL;
}

static const struct cose_header *cose_by_name(const struct cose_headers *headers, const char *name)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (headers->items[i].is_text && bytes_equal_cstr(headers->items[i].name, name)) {
            return &headers->items[i];
        }
    }
    return NULL;
}

static bool cose_opt_text(const struct cose_headers *headers, const char *name, struct bytes *out,
                          struct gh_error *err)
{
    const struct cose_header *header = cose_by_name(headers, name);
    struct bytes value;

    if (header == NULL) {
        *out = (struct bytes){NULL, 0};
        return true;
    }
    value = header->value;
    return cbor_text(&value, out, err);
}

static bool cose_opt_time(const struct cose_headers *headers, const char *name, bool *has,
                          int64_t *out, struct gh_error *err)
{
    const struct cose_header *header = cose_by_name(headers, name);
    struct bytes value;
    struct cbor_head tag;

    *has = header != NULL;
    if (header == NULL) {
        return true;
    }
    value = header->value;
    GH_TRY(cbor_take(&value, CBOR_KIND_TAG, &tag, err));
    return cbor_int64(&value, out, err);
}

static bool cose_read_alg(const struct cose_headers *headers, struct notation_envelope *out,
                          struct gh_error *err)
{
    const struct cose_header *header = cose_by_label(headers, COSE_LABEL_ALG);
    struct cbor_head head;
    struct bytes value;
    int64_t label;

    if (header == NULL) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "the envelope names no algorithm");
    }
    value = header->value;
    GH_TRY(cbor_next(&value, &head, err));
    if (head.kind == CBOR_KIND_TEXT) {
        return true; /* a private algorithm: stays unknown */
    }
    GH_TRY(cbor_head_int64(&head, &label, err));
    for (size_t i = 0; i < GH_COUNT(cose_algs); i++) {
        if (cose_algs[i].label == label) {
            out->alg = cose_algs[i].alg;
        }
    }
    return true;
}

static bool cose_read_crit(const struct cose_headers *headers, struct notation_envelope *out,
                           struct gh_error *err)
{
    const struct cose_header *header = cose_by_label(headers, COSE_LABEL_CRIT);
    struct bytes value;
    struct cbor_head head;

    if (header == NULL) {
        return true; /* notation_envelope_check() says that it is missing */
    }
    value = header->value;
    GH_TRY(cbor_next(&value, &head, err));
    if (head.kind != CBOR_KIND_ARRAY) {
        return gh_fail(err, GH_NOTATION_CRIT_INVALID, "header crit is not a list");
    }
    if (head.value > NOTATION_MAX_CRIT) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d critical headers",
                       NOTATION_MAX_CRIT);
    }
    for (uint64_t i = 0; i < head.value; i++) {
        struct cbor_head name;

        GH_TRY(cbor_next(&value, &name, err));
        if (name.kind != CBOR_KIND_TEXT) {
            return gh_fail(err, GH_NOTATION_CRIT_INVALID,
                           "header crit lists a registered label or what is no text");
        }
        out->crit[out->crit_count++] = name.content;
    }
    return true;
}

static bool cose_is_own_header(const struct cose_header *header)
{
    static const char *const names[] = {
        NOTATION_HEADER_SCHEME, NOTATION_HEADER_SIGNING_TIME, NOTATION_HEADER_AUTHENTIC_TIME,
        NOTATION_HEADER_EXPIRY, NOTATION_HEADER_PLUGIN,       NOTATION_HEADER_PLUGIN_VERSION,
    };

    if (!header->is_text) {
        return header->label == COSE_LABEL_ALG || header->label == COSE_LABEL_CRIT ||
               header->label == COSE_LABEL_CONTENT_TYPE;
    }
    for (size_t i = 0; i < GH_COUNT(names); i++) {
        if (bytes_equal_cstr(header->name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool cose_read_attributes(const struct cose_headers *headers, struct notation_envelope *out,
                                 struct gh_error *err)
{
    for (size_t i = 0; i < headers->count; i++) {
        const struct cose_header *header = &headers->items[i];
        struct bytes value = header->value;
        struct notation_attribute *attribute;
        struct cbor_head head;

        /* Integer labels cannot be listed as critical, so nobody relies on them being read. */
        if (!header->is_text || cose_is_own_header(header)) {
            continue;
        }
        if (out->attribute_count == NOTATION_MAX_ATTRIBUTES) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d signed attributes",
                           NOTATION_MAX_ATTRIBUTES);
        }
        attribute = &out->attributes[out->attribute_count++];
        attribute->name = header->name;
        GH_TRY(cbor_next(&value, &head, err));
        if (head.kind == CBOR_KIND_TEXT) {
            attribute->text = head.content;
        }
    }
    return true;
}

static bool cose_read_protected(const struct cose_headers *headers, struct notation_envelope *out,
                                struct gh_error *err)
{
    const struct cose_header *type = cose_by_label(headers, COSE_LABEL_CONTENT_TYPE);

    GH_TRY(cose_read_alg(headers, out, err));
    GH_TRY(cose_read_crit(headers, out, err));
    if (type != NULL) {
        struct bytes value = type->value;
        struct cbor_head head;

        GH_TRY(cbor_next(&value, &head, err));
        out->content_type = head.content; /* empty for a number: then it is another type */
    }
    GH_TRY(cose_opt_text(headers, NOTATION_HEADER_SCHEME, &out->scheme_text, err));
    GH_TRY(cose_opt_time(headers, NOTATION_HEADER_SIGNING_TIME, &out->has_signing_time,
                         &out->signing_unix_s, err));
    GH_TRY(cose_opt_time(headers, NOTATION_HEADER_AUTHENTIC_TIME, &out->has_authentic_time,
                         &out->authentic_unix_s, err));
    GH_TRY(
        cose_opt_time(headers, NOTATION_HEADER_EXPIRY, &out->has_expiry, &out->expiry_unix_s, err));
    GH_TRY(cose_opt_text(headers, NOTATION_HEADER_PLUGIN, &out->plugin, err));
    GH_TRY(cose_opt_text(headers, NOTATION_HEADER_PLUGIN_VERSION, &out->plugin_min_version, err));
    return cose_read_attributes(headers, out, err);
}

static bool cose_add_certificate(struct bytes der, struct notation_envelope *out,
                                 struct gh_error *err)
{
    if (der.len > NOTATION_MAX_CERTIFICATE_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "certificate %zu is longer than %u bytes",
                       out->chain_count, NOTATION_MAX_CERTIFICATE_BYTES);
    }
    out->chain[out->chain_count++] = der;
    return true;
}

/* RFC 9360 section 2: one certificate stands as a byte string, several as an array. */
static bool cose_read_chain(const struct cose_headers *protected_headers,
                            const struct cose_headers *unprotected, struct notation_envelope *out,
                            struct gh_error *err)
{
    const struct cose_header *header = cose_by_label(unprotected, COSE_LABEL_X5CHAIN);
    struct bytes value;
    struct cbor_head head;

    if (header == NULL) {
        header = cose_by_label(protected_headers, COSE_LABEL_X5CHAIN);
    }
    if (header == NULL) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "the envelope holds no certificate");
    }
    value = header->value;
    GH_TRY(cbor_next(&value, &head, err));
    if (head.kind == CBOR_KIND_BYTES) {
        return cose_add_certificate(head.content, out, err);
    }
    if (head.kind != CBOR_KIND_ARRAY || head.value == 0) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header x5chain holds no certificate");
    }
    if (head.value > NOTATION_MAX_CHAIN) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a chain of more than %d certificates",
                       NOTATION_MAX_CHAIN);
    }
    for (uint64_t i = 0; i < head.value; i++) {
        struct bytes der;

        GH_TRY(cbor_bytes(&value, &der, err));
        GH_TRY(cose_add_certificate(der, out, err));
    }
    return true;
}

static bool cose_read_unprotected(const struct cose_headers *unprotected,
                                  const struct cose_headers *protected_headers,
                                  struct notation_envelope *out, struct gh_error *err)
{
    const struct cose_header *stamp;

    for (size_t i = 0; i < unprotected->count; i++) {
        if (cose_is_own_header(&unprotected->items[i])) {
            return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID,
                           "a header that must be signed is not");
        }
        for (size_t k = 0; k < protected_headers->count; k++) {
            if (bytes_equal(unprotected->items[i].key, protected_headers->items[k].key)) {
                return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID,
                               "a header is both signed and unsigned");
            }
        }
    }
    GH_TRY(cose_read_chain(protected_headers, unprotected, out, err));
    GH_TRY(cose_opt_text(unprotected, NOTATION_HEADER_AGENT, &out->agent, err));
    stamp = cose_by_name(unprotected, NOTATION_HEADER_TIMESTAMP);
    if (stamp != NULL) {
        struct bytes value = stamp->value;

        GH_TRY(cbor_bytes(&value, &out->timestamp, err));
        if (out->timestamp.len > NOTATION_MAX_TIMESTAMP_BYTES) {
            return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the time stamp is longer than %u bytes",
                           NOTATION_MAX_TIMESTAMP_BYTES);
        }
    }
    return true;
}

static void cose_put_bytes(uint8_t *at, size_t *used, struct bytes content)
{
    uint8_t head[CBOR_MAX_HEAD];
    size_t head_len = cbor_put_head(CBOR_KIND_BYTES, content.len, head);

    memcpy(at + *used, head, head_len);
    *used += head_len;
    if (content.len > 0) {
        memcpy(at + *used, content.data, content.len);
        *used += content.len;
    }
}

/* RFC 9052 section 4.4: ["Signature1", protected, no external data, payload]. */
static bool cose_join(struct bytes protected_bytes, struct notation_envelope *out,
                      struct gh_error *err)
{
    static const char start[] = "\x84\x6aSignature1";
    struct bytes_buf buf;
    size_t used = sizeof(start) - 1;

    GH_TRY(bytes_buf_alloc(used + 3 * CBOR_MAX_HEAD + protected_bytes.len + out->payload.len, &buf,
                           err));
    memcpy(buf.data, start, used);
    cose_put_bytes(buf.data, &used, protected_bytes);
    cose_put_bytes(buf.data, &used, (struct bytes){NULL, 0});
    cose_put_bytes(buf.data, &used, out->payload);
    buf.len = used;
    out->signed_input = notation_envelope_own(out, buf);
    return true;
}

static bool cose_read(struct bytes in, struct notation_envelope *out, struct gh_error *err)
{
    struct cose_headers protected_headers = {.count = 0};
    struct cose_headers unprotected;
    struct bytes protected_bytes;
    struct bytes map;
    struct cbor_head head;

    if (in.len > NOTATION_MAX_ENVELOPE_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the envelope is longer than %u bytes",
                       NOTATION_MAX_ENVELOPE_BYTES);
    }
    GH_TRY(cbor_take(&in, CBOR_KIND_TAG, &head, err));
    if (head.value != COSE_TAG_SIGN1) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "wanted CBOR tag %d, found %llu",
                       COSE_TAG_SIGN1, (unsigned long long)head.value);
    }
    GH_TRY(cbor_take(&in, CBOR_KIND_ARRAY, &head, err));
    if (head.value != 4) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "a COSE_Sign1 of %llu members, not 4",
                       (unsigned long long)head.value);
    }
    GH_TRY(cbor_bytes(&in, &protected_bytes, err));
    GH_TRY(cose_read_map(&in, &unprotected, err));
    GH_TRY(cbor_bytes(&in, &out->payload, err));
    GH_TRY(cbor_bytes(&in, &out->signature, err));
    GH_TRY(bytes_end(&in, err));
    map = protected_bytes;
    GH_TRY(cose_read_map(&map, &protected_headers, err));
    GH_TRY(bytes_end(&map, err));
    GH_TRY(cose_read_protected(&protected_headers, out, err));
    GH_TRY(cose_read_unprotected(&unprotected, &protected_headers, out, err));
    return cose_join(protected_bytes, out, err);
}

bool cose_parse(struct bytes in, struct notation_envelope *out, struct gh_error *err)
{
    return cose_read(in, out, err) || gh_recast(err, GH_NOTATION_ENVELOPE_INVALID);
}
