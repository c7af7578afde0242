#include "crypto/notation_envelope.h"

#include <assert.h>

#include "crypto/notation_vendor.h"
#include "metrics/error.h"

void notation_envelope_done(struct notation_envelope *envelope)
{
    for (size_t i = 0; i < envelope->owned_count; i++) {
        bytes_buf_done(&envelope->owned[i]);
    }
    envelope->owned_count = 0;
    for (size_t i = 0; i < GH_COUNT(envelope->docs); i++) {
        json_decref(envelope->docs[i]);
        envelope->docs[i] = NULL;
    }
}

struct bytes notation_envelope_own(struct notation_envelope *envelope, struct bytes_buf buf)
{
    /* The parsers decode a fixed number of fields and at most NOTATION_MAX_CHAIN certificates. */
    assert(envelope->owned_count < GH_COUNT(envelope->owned));
    envelope->owned[envelope->owned_count++] = buf;
    return bytes_view(&buf);
}

bool notation_envelope_is_critical(const struct notation_envelope *envelope, const char *name)
{
    for (size_t i = 0; i < envelope->crit_count; i++) {
        if (bytes_equal_cstr(envelope->crit[i], name)) {
            return true;
        }
    }
    return false;
}

const struct notation_attribute *
notation_envelope_attribute(const struct notation_envelope *envelope, const char *name)
{
    for (size_t i = 0; i < envelope->attribute_count; i++) {
        if (bytes_equal_cstr(envelope->attributes[i].name, name)) {
            return &envelope->attributes[i];
        }
    }
    return NULL;
}

/* Whether the header NAME exists among those the specification defines; *is_ours says whether it
 * defines it at all. */
static bool notation_envelope_has(const struct notation_envelope *envelope, struct bytes name,
                                  bool *is_ours)
{
    const struct {
        const char *name;
        bool is_present;
    } ours[] = {
        {NOTATION_HEADER_SCHEME, envelope->scheme_text.data != NULL},
        {NOTATION_HEADER_SIGNING_TIME, envelope->has_signing_time},
        {NOTATION_HEADER_AUTHENTIC_TIME, envelope->has_authentic_time},
        {NOTATION_HEADER_EXPIRY, envelope->has_expiry},
        {NOTATION_HEADER_PLUGIN, envelope->plugin.data != NULL},
        {NOTATION_HEADER_PLUGIN_VERSION, envelope->plugin_min_version.data != NULL},
    };

    *is_ours = false;
    for (size_t i = 0; i < GH_COUNT(ours); i++) {
        if (bytes_equal_cstr(name, ours[i].name)) {
            *is_ours = true;
            return ours[i].is_present;
        }
    }
    return false;
}

/* IANA's JOSE header names: RFC 7515 section 4.1.11 forbids to list them. COSE's have integer
 * labels, which the parser of crit refuses. */
static bool notation_envelope_is_registered(struct bytes name)
{
    static const char *const names[] = {
        "alg", "jku", "jwk",  "kid",         "x5u", "x5c",   "x5t",     "x5t#S256",
        "typ", "cty", "crit", "enc",         "zip", "epk",   "apu",     "apv",
        "iv",  "tag", "p2s",  "p2c",         "iss", "sub",   "aud",     "b64",
        "ppt", "url", "svt",  "trust_chain", "jwt", "nonce", "iheSSId",
    };

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        if (bytes_equal_cstr(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool notation_envelope_check_listed(const struct notation_envelope *envelope, size_t index,
                                           struct gh_error *err)
{
    struct bytes name = envelope->crit[index];
    bool is_ours;

    for (size_t k = 0; k < index; k++) {
        if (bytes_equal(envelope->crit[k], name)) {
            return gh_fail(err, GH_NOTATION_CRIT_INVALID, "critical header %.*s is listed twice",
                           (int)GH_MIN(name.len, (size_t)80), (const char *)name.data);
        }
    }
    if (notation_envelope_has(envelope, name, &is_ours)) {
        return true;
    }
    if (is_ours || notation_envelope_is_registered(name)) {
        return gh_fail(err, GH_NOTATION_CRIT_INVALID,
                       "critical header %.*s is absent or may not be critical",
                       (int)GH_MIN(name.len, (size_t)80), (const char *)name.data);
    }
    for (size_t i = 0; i < envelope->attribute_count; i++) {
        if (!bytes_equal(envelope->attributes[i].name, name)) {
            continue;
        }
        if (notation_vendor_reads(envelope, &envelope->attributes[i])) {
            return true;
        }
        return gh_fail(err, GH_NOTATION_CRIT_UNKNOWN, "critical header %.*s is not understood",
                       (int)GH_MIN(name.len, (size_t)80), (const char *)name.data);
    }
    return gh_fail(err, GH_NOTATION_CRIT_INVALID, "critical header %.*s is absent",
                   (int)GH_MIN(name.len, (size_t)80), (const char *)name.data);
}

static bool notation_envelope_check_crit(const struct notation_envelope *envelope,
                                         struct gh_error *err)
{
    const struct {
        const char *name;
        bool is_present;
    } musts[] = {
        {NOTATION_HEADER_SCHEME, true},
        {NOTATION_HEADER_AUTHENTIC_TIME, envelope->has_authentic_time},
        {NOTATION_HEADER_EXPIRY, envelope->has_expiry},
    };

    if (envelope->crit_count == 0) {
        return gh_fail(err, GH_NOTATION_CRIT_INVALID, "the envelope lists no critical headers");
    }
    for (size_t i = 0; i < GH_COUNT(musts); i++) {
        if (musts[i].is_present && !notation_envelope_is_critical(envelope, musts[i].name)) {
            return gh_fail(err, GH_NOTATION_CRIT_INVALID, "header %s is not listed as critical",
                           musts[i].name);
        }
    }
    for (size_t i = 0; i < envelope->crit_count; i++) {
        GH_TRY(notation_envelope_check_listed(envelope, i, err));
    }
    return true;
}

/* Each scheme has its own time, and only its own: a time that nobody vouches for must not pass for
 * the signing authority's. */
static bool notation_envelope_check_times(const struct notation_envelope *envelope,
                                          struct gh_error *err)
{
    bool is_authority = envelope->scheme == NOTATION_SCHEME_SIGNING_AUTHORITY;
    bool has_own = is_authority ? envelope->has_authentic_time : envelope->has_signing_time;
    bool has_other = is_authority ? envelope->has_signing_time : envelope->has_authentic_time;
    int64_t time = is_authority ? envelope->authentic_unix_s : envelope->signing_unix_s;

    if (has_other) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID,
                       "the envelope has the signing time of the other scheme");
    }
    if (!has_own) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header %s is missing",
                       is_authority ? NOTATION_HEADER_AUTHENTIC_TIME
                                    : NOTATION_HEADER_SIGNING_TIME);
    }
    if (envelope->has_expiry && envelope->expiry_unix_s <= time) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID,
                       "the signature expires before it was made");
    }
    return true;
}

bool notation_envelope_check(struct notation_envelope *envelope, struct gh_error *err)
{
    if (!bytes_equal_cstr(envelope->content_type, NOTATION_PAYLOAD_TYPE)) {
        return gh_fail(err, GH_PAYLOAD_TYPE_MISMATCH, "wanted content type %s, found %.*s",
                       NOTATION_PAYLOAD_TYPE, (int)GH_MIN(envelope->content_type.len, (size_t)80),
                       (const char *)envelope->content_type.data);
    }
    if (envelope->scheme_text.data == NULL) {
        return gh_fail(err, GH_NOTATION_ENVELOPE_INVALID, "header %s is missing",
                       NOTATION_HEADER_SCHEME);
    }
    GH_TRY(notation_envelope_check_crit(envelope, err));
    if (bytes_equal_cstr(envelope->scheme_text, "notary.x509")) {
        envelope->scheme = NOTATION_SCHEME_X509;
    } else if (bytes_equal_cstr(envelope->scheme_text, "notary.x509.signingAuthority")) {
        envelope->scheme = NOTATION_SCHEME_SIGNING_AUTHORITY;
    } else {
        return gh_fail(err, GH_NOTATION_SCHEME_UNSUPPORTED, "signing scheme %.*s is not known",
                       (int)GH_MIN(envelope->scheme_text.len, (size_t)80),
                       (const char *)envelope->scheme_text.data);
    }
    return notation_envelope_check_times(envelope, err);
}
