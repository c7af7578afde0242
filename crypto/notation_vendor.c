#include "crypto/notation_vendor.h"

#include <string.h>
#include <strings.h>

#include "crypto/digest.h"
#include "crypto/evidence.h"
#include "crypto/notation_chain.h"
#include "crypto/notation_envelope.h"
#include "crypto/sjson.h"
#include "crypto/x509.h"
#include "metrics/error.h"
#include "metrics/text.h"

#define NOTATION_AWS_PLATFORM "Notation-OCI-SHA384-ECDSA"
#define NOTATION_VENDOR_MAX_URL 8192
#define NOTATION_VENDOR_MAX_REVOKED 64
#define NOTATION_VENDOR_ARN_FIELDS 6

bool notation_vendor_is_aws(const struct notation_envelope *envelope)
{
    return bytes_equal_cstr(envelope->plugin, NOTATION_AWS_PLUGIN);
}

bool notation_vendor_reads(const struct notation_envelope *envelope,
                           const struct notation_attribute *attribute)
{
    return notation_vendor_is_aws(envelope) && attribute->text.data != NULL &&
           (bytes_equal_cstr(attribute->name, NOTATION_AWS_PROFILE) ||
            bytes_equal_cstr(attribute->name, NOTATION_AWS_JOB));
}

/* One number of a version; leading zeros are no SemVer. */
static bool notation_vendor_number(struct bytes *in, uint64_t *out)
{
    size_t used = 0;
    uint64_t value = 0;

    while (used < in->len && used < 10 && in->data[used] >= '0' && in->data[used] <= '9') {
        value = value * 10 + (uint64_t)(in->data[used++] - '0');
    }
    if (used == 0 || (used > 1 && in->data[0] == '0')) {
        return false;
    }
    *in = bytes_slice(*in, used, SIZE_MAX);
    *out = value;
    return true;
}

/* MAJOR.MINOR.PATCH; what a pre-release asks for is older than its release, so it is ignored. */
static bool notation_vendor_version(struct bytes in, uint64_t out[3])
{
    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            if (in.len == 0 || in.data[0] != '.') {
                return false;
            }
            in = bytes_slice(in, 1, SIZE_MAX);
        }
        if (!notation_vendor_number(&in, &out[i])) {
            return false;
        }
    }
    return in.len == 0 || in.data[0] == '-' || in.data[0] == '+';
}

static bool notation_vendor_check_version(struct bytes wanted, struct gh_error *err)
{
    uint64_t want[3];
    uint64_t have[3] = {0};

    if (wanted.data == NULL) {
        return true;
    }
    if (!notation_vendor_version(wanted, want) ||
        !notation_vendor_version(BYTES_LITERAL(NOTATION_AWS_VERSION), have)) {
        return gh_fail(err, GH_NOTATION_PLUGIN_REQUIRED,
                       "the minimum plugin version \"%.*s\" is no version",
                       (int)GH_MIN(wanted.len, (size_t)40), (const char *)wanted.data);
    }
    for (int i = 0; i < 3; i++) {
        if (want[i] != have[i]) {
            return want[i] < have[i] ||
                   gh_fail(err, GH_NOTATION_PLUGIN_REQUIRED,
                           "the signature asks for plugin version %.*s, built in is %s",
                           (int)GH_MIN(wanted.len, (size_t)40), (const char *)wanted.data,
                           NOTATION_AWS_VERSION);
        }
    }
    return true;
}

bool notation_vendor_check(const struct notation_envelope *envelope, struct gh_error *err)
{
    static const char *const needed[] = {NOTATION_AWS_PROFILE, NOTATION_AWS_JOB};

    if (envelope->plugin.data == NULL) {
        return true;
    }
    if (!notation_vendor_is_aws(envelope)) {
        return gh_fail(err, GH_NOTATION_PLUGIN_REQUIRED,
                       "the signature asks for plugin %.*s, which is not built in",
                       (int)GH_MIN(envelope->plugin.len, (size_t)80),
                       (const char *)envelope->plugin.data);
    }
    GH_TRY(notation_vendor_check_version(envelope->plugin_min_version, err));
    if (envelope->scheme != NOTATION_SCHEME_SIGNING_AUTHORITY) {
        return gh_fail(err, GH_NOTATION_PLUGIN_FAILED,
                       "an AWS Signer signature of another scheme than signingAuthority");
    }
    for (size_t i = 0; i < GH_COUNT(needed); i++) {
        const struct notation_attribute *attribute =
            notation_envelope_attribute(envelope, needed[i]);

        if (attribute == NULL || attribute->text.data == NULL ||
            !notation_envelope_is_critical(envelope, needed[i])) {
            return gh_fail(err, GH_NOTATION_PLUGIN_FAILED,
                           "an AWS Signer signature without the critical attribute %s", needed[i]);
        }
    }
    return true;
}

/* arn:PARTITION:signer:REGION:ACCOUNT:RESOURCE */
static bool notation_vendor_split(struct bytes arn, struct bytes fields[NOTATION_VENDOR_ARN_FIELDS])
{
    for (int i = 0; i < NOTATION_VENDOR_ARN_FIELDS - 1; i++) {
        if (!bytes_split(&arn, ':', &fields[i])) {
            return false;
        }
    }
    fields[NOTATION_VENDOR_ARN_FIELDS - 1] = arn;
    return bytes_equal_cstr(fields[0], "arn") && bytes_equal_cstr(fields[2], "signer");
}

bool notation_vendor_is_profile(struct bytes arn)
{
    static const struct bytes prefix = BYTES_LITERAL("/signing-profiles/");
    struct bytes fields[NOTATION_VENDOR_ARN_FIELDS];
    struct bytes name;
    struct bytes rest;

    if (!notation_vendor_split(arn, fields)) {
        return false;
    }
    for (size_t i = 0; i < arn.len; i++) {
        if (arn.data[i] <= ' ' || arn.data[i] >= 0x7f || arn.data[i] == '*') {
            return false;
        }
    }
    rest = fields[NOTATION_VENDOR_ARN_FIELDS - 1];
    if (fields[3].len == 0 || fields[4].len == 0 || !bytes_starts_with(rest, prefix)) {
        return false;
    }
    rest = bytes_slice(rest, prefix.len, SIZE_MAX);
    if (!bytes_split(&rest, '/', &name)) {
        return rest.len > 0;
    }
    return name.len > 0 && rest.len > 0 && bytes_find(rest, BYTES_LITERAL("/")) == SIZE_MAX;
}

static bool notation_vendor_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len &&
           (a.len == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0);
}

bool notation_vendor_profile_matches(struct bytes trusted, struct bytes signing)
{
    static const struct bytes prefix = BYTES_LITERAL("/signing-profiles/");
    struct bytes fields[NOTATION_VENDOR_ARN_FIELDS];
    struct bytes rest;
    struct bytes name;

    if (!notation_vendor_is_profile(trusted) || !notation_vendor_is_profile(signing)) {
        return false;
    }
    if (notation_vendor_equal(trusted, signing)) {
        return true;
    }
    (void)notation_vendor_split(trusted, fields);
    rest = bytes_slice(fields[NOTATION_VENDOR_ARN_FIELDS - 1], prefix.len, SIZE_MAX);
    if (bytes_split(&rest, '/', &name)) {
        return false; /* one version, and it is another */
    }
    return notation_vendor_equal(
        trusted, bytes_slice(signing, 0, bytes_find_last(signing, BYTES_LITERAL("/"))));
}

static void notation_vendor_put_query(struct text *url, const char *name, struct bytes value)
{
    static const char hex[] = "0123456789ABCDEF";

    text_put(url, name);
    text_put_char(url, '=');
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';

        if (is_plain) {
            text_put_char(url, (char)c);
        } else {
            text_put_char(url, '%');
            text_put_char(url, hex[c >> 4]);
            text_put_char(url, hex[c & 15]);
        }
    }
}

/* Each certificate is named by its hash and its issuer's, the root by its own twice. */
static bool notation_vendor_put_hashes(struct text *url, const struct notation_chain *chain,
                                       struct gh_error *err)
{
    for (size_t i = 0; i < chain->count; i++) {
        size_t issuer = GH_MIN(i + 1, chain->count - 1);
        struct digest own;
        struct digest above;

        GH_TRY(digest_compute(DIGEST_SHA384, x509_cert_view(chain->certs[i])->tbs, &own, err));
        GH_TRY(
            digest_compute(DIGEST_SHA384, x509_cert_view(chain->certs[issuer])->tbs, &above, err));
        text_put(url, "certificateHashes=");
        text_put_hex(url, own.value, digest_alg_len(own.alg));
        text_put_hex(url, above.value, digest_alg_len(above.alg));
        text_put_char(url, '&');
    }
    return true;
}

/* The region becomes part of a host name, so it must look like one. */
static bool notation_vendor_is_region(struct bytes region)
{
    for (size_t i = 0; i < region.len; i++) {
        uint8_t c = region.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
    }
    return region.len > 0 && region.len <= 32;
}

static bool notation_vendor_build_url(const struct notation_envelope *envelope,
                                      const struct notation_chain *chain, struct text *url,
                                      struct gh_error *err)
{
    struct bytes profile = notation_envelope_attribute(envelope, NOTATION_AWS_PROFILE)->text;
    struct bytes job = notation_envelope_attribute(envelope, NOTATION_AWS_JOB)->text;
    struct bytes fields[NOTATION_VENDOR_ARN_FIELDS];
    struct text time;

    if (!notation_vendor_is_profile(profile) || !notation_vendor_split(profile, fields) ||
        !notation_vendor_is_region(fields[3])) {
        return gh_fail(err, GH_NOTATION_PLUGIN_FAILED,
                       "the signing profile version is not an ARN of AWS Signer");
    }
    text_printf(url, "https://data-signer.%.*s.amazonaws.com%s/revocations?", (int)fields[3].len,
                (const char *)fields[3].data, bytes_equal_cstr(fields[1], "aws-cn") ? ".cn" : "");
    GH_TRY(notation_vendor_put_hashes(url, chain, err));
    notation_vendor_put_query(url, "jobArn", job);
    notation_vendor_put_query(url, "&platformId", BYTES_LITERAL(NOTATION_AWS_PLATFORM));
    notation_vendor_put_query(url, "&profileVersionArn", profile);
    text_init(&time, 64);
    text_put_time(&time, envelope->authentic_unix_s);
    notation_vendor_put_query(url, "&signatureTimestamp", bytes_of(text_cstr(&time)));
    text_done(&time);
    return text_ok(url) ||
           gh_fail(err, GH_NOTATION_PLUGIN_FAILED, "the question to AWS Signer would be too long");
}

/* {"revokedEntities": [...]}: an answer without the list does not answer. */
static bool notation_vendor_judge(struct bytes answer, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *revoked;

    if (!sjson_parse_object(answer, NOTATION_MAX_VENDOR_ANSWER_BYTES, &doc, err) ||
        !sjson_get_array(doc, "revokedEntities", &revoked, err)) {
        return gh_recast(err, GH_NOTATION_PLUGIN_FAILED);
    }
    if (json_array_size(revoked) > 0) {
        const char *first = json_string_value(json_array_get(revoked, 0));

        return gh_fail(err, GH_REVOCATION_REVOKED, "AWS Signer lists %zu revoked entities (%.120s)",
                       json_array_size(revoked), first != NULL ? first : "?");
    }
    return true;
}

bool notation_vendor_check_revocation(const struct notation_envelope *envelope,
                                      const struct notation_chain *chain,
                                      const struct evidence_answers *answers,
                                      struct evidence_wants *wants, struct evidence_proof *proof,
                                      struct gh_error *err)
{
    struct digest name;
    struct bytes nothing = {NULL, 0};
    const struct evidence_answer *answer;
    struct text url;
    bool is_good = false;

    text_init(&url, NOTATION_VENDOR_MAX_URL);
    if (!notation_vendor_build_url(envelope, chain, &url, err)) {
        text_done(&url);
        return false;
    }
    answer = evidence_answers_find(answers, EVIDENCE_WANT_VENDOR, text_cstr(&url), nothing);
    if (answer == NULL) {
        /* Asked or not, nothing is proved: false without a cause says that it must be fetched. */
        if (!evidence_wants_add(wants, EVIDENCE_WANT_VENDOR, text_cstr(&url), nothing,
                                NOTATION_MAX_VENDOR_ANSWER_BYTES, err)) {
            is_good = false;
        }
    } else if (answer->failure.cause == GH_NOTATION_PLUGIN_REQUIRED) {
        gh_fail(err, GH_NOTATION_PLUGIN_REQUIRED,
                "AWS Signer cannot be asked for revocation here: %s", answer->failure.text);
    } else if (answer->failure.cause != GH_CAUSE_NONE) {
        gh_fail(err, GH_REVOCATION_UNAVAILABLE, "AWS Signer: %s", answer->failure.text);
    } else {
        is_good = notation_vendor_judge(answer->answer, err) &&
                  evidence_question_name(answer->kind, answer->url, answer->body, &name, err) &&
                  evidence_proof_rest(proof, EVIDENCE_REST_ANSWER, &name, err);
    }
    text_done(&url);
    return is_good;
}
