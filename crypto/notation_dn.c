#include "crypto/notation_dn.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/der.h"
#include "crypto/notation.h"
#include "crypto/notation_vendor.h"
#include "metrics/error.h"

#define NOTATION_DN_PREFIX "x509.subject:"

struct notation_rdn {
    char *type; /* dotted object identifier */
    struct bytes_buf value;
};

struct notation_dn {
    char *text;
    bool is_profile;
    bool is_ambiguous; /* a subject that matches nothing */
    struct notation_rdn rdns[NOTATION_DN_MAX_RDNS];
    size_t rdn_count;
};

/* Short names as the specification and Go's names spell them; case counts. */
static const struct {
    const char *name;
    const char *type;
} notation_dn_types[] = {
    {"CN", "2.5.4.3"},
    {"SERIALNUMBER", "2.5.4.5"},
    {"C", "2.5.4.6"},
    {"L", "2.5.4.7"},
    {"ST", "2.5.4.8"},
    {"S", "2.5.4.8"},
    {"STREET", "2.5.4.9"},
    {"O", "2.5.4.10"},
    {"OU", "2.5.4.11"},
    {"POSTALCODE", "2.5.4.17"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"UID", "0.9.2342.19200300.100.1.1"},
};

void notation_dn_free(struct notation_dn *dn)
{
    if (dn == NULL) {
        return;
    }
    for (size_t i = 0; i < dn->rdn_count; i++) {
        free(dn->rdns[i].type);
        bytes_buf_done(&dn->rdns[i].value);
    }
    free(dn->text);
    free(dn);
}

const char *notation_dn_text(const struct notation_dn *dn)
{
    return dn->text != NULL ? dn->text : "";
}

bool notation_dn_is_profile(const struct notation_dn *dn)
{
    return dn->is_profile;
}

static const struct notation_rdn *notation_dn_find(const struct notation_dn *dn, const char *type)
{
    for (size_t i = 0; i < dn->rdn_count; i++) {
        if (strcmp(dn->rdns[i].type, type) == 0) {
            return &dn->rdns[i];
        }
    }
    return NULL;
}

/* Takes: value: taken, also on failure. */
static bool notation_dn_add(struct notation_dn *dn, const char *type, struct bytes_buf value,
                            struct gh_error *err)
{
    struct notation_rdn *rdn = &dn->rdns[dn->rdn_count];

    if (dn->rdn_count == NOTATION_DN_MAX_RDNS) {
        bytes_buf_done(&value);
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a name of more than %d parts",
                       NOTATION_DN_MAX_RDNS);
    }
    rdn->type = strdup(type);
    if (rdn->type == NULL) {
        bytes_buf_done(&value);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a name");
    }
    rdn->value = value;
    dn->rdn_count++;
    return true;
}

static bool notation_dn_is_dotted(struct bytes type)
{
    bool is_digit_last = false;
    bool has_dot = false;

    for (size_t i = 0; i < type.len; i++) {
        if (type.data[i] >= '0' && type.data[i] <= '9') {
            is_digit_last = true;
        } else if (type.data[i] == '.' && is_digit_last) {
            is_digit_last = false;
            has_dot = true;
        } else {
            return false;
        }
    }
    return is_digit_last && has_dot && type.len < DER_MAX_OID_TEXT;
}

/* The type in front of '='. */
static bool notation_dn_parse_type(struct bytes *in, char out[DER_MAX_OID_TEXT],
                                   struct gh_error *err)
{
    struct bytes type;

    bytes_skip_space(in);
    if (!bytes_split(in, '=', &type)) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "a part of the name has no '='");
    }
    while (type.len > 0 && type.data[type.len - 1] == ' ') {
        type.len--;
    }
    for (size_t i = 0; i < GH_COUNT(notation_dn_types); i++) {
        if (bytes_equal_cstr(type, notation_dn_types[i].name)) {
            memcpy(out, notation_dn_types[i].type, strlen(notation_dn_types[i].type) + 1);
            return true;
        }
    }
    if (!notation_dn_is_dotted(type)) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                       "attribute type \"%.*s\" is not known (types are upper-case: C, ST, O, CN)",
                       (int)GH_MIN(type.len, (size_t)40), (const char *)type.data);
    }
    memcpy(out, type.data, type.len);
    out[type.len] = '\0';
    return true;
}

static int notation_dn_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows a backslash: one special character or two hex digits (RFC 4514 section 3). */
static bool notation_dn_unescape(struct bytes *in, uint8_t *out, struct gh_error *err)
{
    static const char specials[] = "\"+,;<>=# \\";

    if (in->len >= 1 && in->data[0] != 0 && strchr(specials, in->data[0]) != NULL) {
        *out = in->data[0];
        *in = bytes_slice(*in, 1, SIZE_MAX);
        return true;
    }
    if (in->len >= 2 && notation_dn_hex(in->data[0]) >= 0 && notation_dn_hex(in->data[1]) >= 0) {
        *out = (uint8_t)(notation_dn_hex(in->data[0]) << 4 | notation_dn_hex(in->data[1]));
        *in = bytes_slice(*in, 2, SIZE_MAX);
        return true;
    }
    return gh_fail(err, GH_NOTATION_POLICY_INVALID, "the name has a wrong escape");
}

/* Read up to the separator, which stays; *kept is where unescaped trailing spaces begin. */
static bool notation_dn_scan_value(struct bytes *in, struct bytes_buf *value, size_t *kept,
                                   struct gh_error *err)
{
    size_t used = 0;

    *kept = 0;
    while (in->len > 0 && in->data[0] != ',' && in->data[0] != ';') {
        uint8_t c = in->data[0];

        *in = bytes_slice(*in, 1, SIZE_MAX);
        if (c == '+') {
            return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                           "a part of the name has several values (+)");
        }
        if (c == '"' || c == '<' || c == '>' || c == 0) {
            return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                           "character 0x%02x of the name must be escaped", c);
        }
        if (c == '\\') {
            GH_TRY(notation_dn_unescape(in, &c, err));
            value->data[used++] = c;
            *kept = used;
            continue;
        }
        value->data[used++] = c;
        *kept = c == ' ' ? *kept : used;
    }
    return true;
}

static bool notation_dn_parse_value(struct bytes *in, struct bytes_buf *out, struct gh_error *err)
{
    struct bytes_buf value;
    size_t kept;

    bytes_skip_space(in);
    /* CVE-2023-25656: a value in hex form is BER of any shape and size. */
    if (in->len > 0 && in->data[0] == '#') {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "values in hex form (=#) are not accepted");
    }
    GH_TRY(bytes_buf_alloc(in->len, &value, err));
    if (!notation_dn_scan_value(in, &value, &kept, err)) {
        bytes_buf_done(&value);
        return false;
    }
    value.len = kept;
    if (kept == 0 || !bytes_is_utf8(bytes_view(&value))) {
        bytes_buf_done(&value);
        return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                       "a value of the name is empty or not UTF-8");
    }
    *out = value;
    return true;
}

static bool notation_dn_parse_name(struct bytes in, struct notation_dn *dn, struct gh_error *err)
{
    for (;;) {
        char type[DER_MAX_OID_TEXT];
        struct bytes_buf value;

        GH_TRY(notation_dn_parse_type(&in, type, err));
        if (notation_dn_find(dn, type) != NULL) {
            return gh_fail(err, GH_NOTATION_POLICY_INVALID, "the name has type %s twice", type);
        }
        GH_TRY(notation_dn_parse_value(&in, &value, err));
        GH_TRY(notation_dn_add(dn, type, value, err));
        if (in.len == 0) {
            return true;
        }
        in = bytes_slice(in, 1, SIZE_MAX); /* the separator */
    }
}

/* Without country, state and organisation a name says too little about who it is. */
static bool notation_dn_check_required(const struct notation_dn *dn, struct gh_error *err)
{
    if (notation_dn_find(dn, "2.5.4.6") == NULL || notation_dn_find(dn, "2.5.4.8") == NULL ||
        notation_dn_find(dn, "2.5.4.10") == NULL) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                       "an x509.subject identity needs C, ST and O");
    }
    return true;
}

static bool notation_dn_parse_into(struct bytes text, struct notation_dn *dn, struct gh_error *err)
{
    if (text.len > NOTATION_MAX_IDENTITY_BYTES || bytes_contains_nul(text)) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "an identity is longer than %d bytes",
                       NOTATION_MAX_IDENTITY_BYTES);
    }
    GH_TRY(bytes_to_cstr(text, &dn->text, err));
    if (bytes_starts_with(text, BYTES_LITERAL("arn:"))) {
        dn->is_profile = true;
        if (!notation_vendor_is_profile(text)) {
            return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                           "\"%.80s\" is not the ARN of a signing profile", dn->text);
        }
        return true;
    }
    if (!bytes_starts_with(text, BYTES_LITERAL(NOTATION_DN_PREFIX))) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "identity \"%.80s\" does not begin with %s",
                       dn->text, NOTATION_DN_PREFIX);
    }
    text = bytes_slice(text, sizeof(NOTATION_DN_PREFIX) - 1, SIZE_MAX);
    GH_TRY(notation_dn_parse_name(text, dn, err));
    return notation_dn_check_required(dn, err);
}

bool notation_dn_parse(struct bytes text, struct notation_dn **out, struct gh_error *err)
{
    GH_OWN(notation_dn_freep) struct notation_dn *dn = calloc(1, sizeof(*dn));

    if (dn == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for an identity");
    }
    GH_TRY(notation_dn_parse_into(text, dn, err));
    *out = GH_TAKE(dn);
    return true;
}

static bool notation_dn_is_text(uint8_t tag)
{
    return tag == DER_UTF8_STRING || tag == DER_PRINTABLE_STRING || tag == DER_IA5_STRING;
}

/* One RelativeDistinguishedName: SET OF { type, value }. */
static bool notation_dn_read_rdn(struct bytes set, struct notation_dn *dn, struct gh_error *err)
{
    for (size_t i = 0; set.len > 0; i++) {
        struct bytes pair;
        struct bytes oid;
        struct der_item value;
        struct bytes_buf copy;
        char type[DER_MAX_OID_TEXT];

        GH_TRY(der_take(&set, DER_SEQUENCE, &pair, err));
        GH_TRY(der_oid(&pair, &oid, err));
        GH_TRY(der_next(&pair, &value, err));
        GH_TRY(der_end(&pair, err));
        GH_TRY(der_oid_text(oid, type, err));
        if (i > 0 || !notation_dn_is_text(value.tag) || notation_dn_find(dn, type) != NULL) {
            dn->is_ambiguous = true;
        }
        GH_TRY(bytes_dup(value.content, &copy, err));
        GH_TRY(notation_dn_add(dn, type, copy, err));
    }
    return true;
}

bool notation_dn_read(struct bytes name, struct notation_dn **out, struct gh_error *err)
{
    GH_OWN(notation_dn_freep) struct notation_dn *dn = calloc(1, sizeof(*dn));
    struct bytes rdns;

    if (dn == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a name");
    }
    if (!der_only(name, DER_SEQUENCE, &rdns, err)) {
        return gh_recast(err, GH_CERT_MALFORMED);
    }
    while (rdns.len > 0) {
        struct bytes set;

        if (!der_take(&rdns, DER_SET, &set, err) || !notation_dn_read_rdn(set, dn, err)) {
            return gh_recast(err, GH_CERT_MALFORMED);
        }
    }
    *out = GH_TAKE(dn);
    return true;
}

bool notation_dn_matches(const struct notation_dn *identity, const struct notation_dn *subject)
{
    if (identity->is_profile || subject->is_profile || subject->is_ambiguous ||
        identity->rdn_count == 0) {
        return false;
    }
    for (size_t i = 0; i < identity->rdn_count; i++) {
        const struct notation_rdn *other = notation_dn_find(subject, identity->rdns[i].type);

        if (other == NULL ||
            !bytes_equal(bytes_view(&identity->rdns[i].value), bytes_view(&other->value))) {
            return false;
        }
    }
    return true;
}

static bool notation_dn_covers(const struct notation_dn *a, const struct notation_dn *b)
{
    if (a->is_profile && b->is_profile) {
        return notation_vendor_profile_matches(bytes_of(a->text), bytes_of(b->text));
    }
    return notation_dn_matches(a, b);
}

bool notation_dn_check_overlap(struct notation_dn *const *dns, size_t count, struct gh_error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (i != k && notation_dn_covers(dns[i], dns[k])) {
                return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                               "identity \"%.80s\" covers \"%.80s\" as well: keep one of them",
                               notation_dn_text(dns[i]), notation_dn_text(dns[k]));
            }
        }
    }
    return true;
}
