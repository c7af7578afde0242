#include "crypto/claims.h"

#include <string.h>

#include "crypto/simple_signing.h"
#include "crypto/sjson.h"
#include "metrics/error.h"

#define CLAIMS_MAX_NAME 512
#define CLAIMS_SHOWN(value) (int)GH_MIN((value).len, (size_t)100), (const char *)(value).data

/* A name in its parts; views. */
struct claims_name {
    struct bytes repository;
    struct bytes tag;    /* data NULL when absent */
    struct bytes digest; /* data NULL when absent */
};

static struct claims_name claims_split_name(struct bytes named)
{
    struct claims_name name = {.repository = named};
    size_t at = bytes_find(named, BYTES_LITERAL("@"));
    size_t slash;
    size_t colon;

    if (at != SIZE_MAX) {
        name.digest = bytes_slice(named, at + 1, named.len);
        name.repository = bytes_slice(named, 0, at);
    }
    slash = bytes_find_last(name.repository, BYTES_LITERAL("/"));
    colon = bytes_find_last(name.repository, BYTES_LITERAL(":"));
    /* A colon before the last slash belongs to a port. */
    if (colon != SIZE_MAX && (slash == SIZE_MAX || colon > slash)) {
        name.tag = bytes_slice(name.repository, colon + 1, name.repository.len);
        name.repository = bytes_slice(name.repository, 0, colon);
    }
    return name;
}

static bool claims_is_host(struct bytes part)
{
    return bytes_find(part, BYTES_LITERAL(".")) != SIZE_MAX ||
           bytes_find(part, BYTES_LITERAL(":")) != SIZE_MAX || bytes_equal_cstr(part, "localhost");
}

static size_t claims_append(char *out, size_t used, struct bytes part)
{
    if (part.len > CLAIMS_MAX_NAME - 1 - used) {
        return CLAIMS_MAX_NAME; /* too long to equal anything */
    }
    memcpy(out + used, part.data, part.len);
    out[used + part.len] = '\0';
    return used + part.len;
}

/* Docker Hub has several spellings for one repository; gives false where the name is too long. */
static bool claims_normalise(struct bytes repository, char out[CLAIMS_MAX_NAME])
{
    struct bytes rest = repository;
    struct bytes host;
    size_t used = 0;
    bool is_hub;

    out[0] = '\0';
    if (!bytes_split(&rest, '/', &host) || !claims_is_host(host)) {
        rest = repository;
        host = BYTES_LITERAL("docker.io");
    }
    is_hub = bytes_equal_cstr(host, "docker.io") || bytes_equal_cstr(host, "index.docker.io") ||
             bytes_equal_cstr(host, "registry-1.docker.io");
    used = claims_append(out, used, is_hub ? BYTES_LITERAL("docker.io/") : host);
    if (used < CLAIMS_MAX_NAME && !is_hub) {
        used = claims_append(out, used, BYTES_LITERAL("/"));
    }
    if (used < CLAIMS_MAX_NAME && is_hub && bytes_find(rest, BYTES_LITERAL("/")) == SIZE_MAX) {
        used = claims_append(out, used, BYTES_LITERAL("library/"));
    }
    if (used < CLAIMS_MAX_NAME) {
        used = claims_append(out, used, rest);
    }
    return used < CLAIMS_MAX_NAME;
}

static bool claims_exact(const struct claims_name *name, const struct evidence_subject *subject)
{
    char digest[DIGEST_MAX_TEXT];

    if (name->digest.data != NULL) {
        digest_format(&subject->digest, digest);
        return bytes_equal_cstr(name->digest, digest);
    }
    return subject->tag != NULL && name->tag.data != NULL &&
           bytes_equal_cstr(name->tag, subject->tag);
}

bool claims_check_reference(enum signer_reference rule, struct bytes named,
                            const struct evidence_subject *subject, struct gh_error *err)
{
    struct claims_name name;
    char signed_name[CLAIMS_MAX_NAME];
    char wanted_name[CLAIMS_MAX_NAME];

    if (rule == SIGNER_REFERENCE_OFF) {
        return true;
    }
    if (named.len == 0 || subject->name == NULL) {
        return gh_fail(err, GH_IDENTITY_REFERENCE_MISMATCH, "the signature names no image");
    }
    name = claims_split_name(named);
    if (!claims_normalise(name.repository, signed_name) ||
        !claims_normalise(bytes_of(subject->name), wanted_name) ||
        strcmp(signed_name, wanted_name) != 0) {
        return gh_fail(err, GH_IDENTITY_REFERENCE_MISMATCH,
                       "the signature was made for %.*s, wanted is %.100s", CLAIMS_SHOWN(named),
                       subject->name);
    }
    if (rule == SIGNER_REFERENCE_EXACT && !claims_exact(&name, subject)) {
        return gh_fail(err, GH_IDENTITY_REFERENCE_MISMATCH,
                       "the signature was made for %.*s, and not for this very tag or digest",
                       CLAIMS_SHOWN(named));
    }
    return true;
}

static bool claims_check_annotations(const json_t *found, const struct claims_wanted *wanted,
                                     struct gh_error *err)
{
    for (size_t i = 0; wanted != NULL && i < wanted->annotation_count; i++) {
        const struct evidence_annotation *pair = &wanted->annotations[i];
        const json_t *value = json_object_get(found, pair->name);

        if (!json_is_string(value)) {
            return gh_fail(err, GH_ANNOTATION_MISMATCH,
                           "the signature has no annotation %.60s, wanted is %.60s", pair->name,
                           pair->value);
        }
        if (!bytes_equal_cstr(sjson_string(value), pair->value)) {
            return gh_fail(err, GH_ANNOTATION_MISMATCH,
                           "annotation %.60s is %.60s, wanted is %.60s", pair->name,
                           json_string_value(value), pair->value);
        }
    }
    return true;
}

static bool claims_check_parsed(const struct simple_signing *payload,
                                const struct evidence_subject *subject, enum signer_reference rule,
                                const struct claims_wanted *wanted, enum evidence_step *reached,
                                struct gh_error *err)
{
    char digest[DIGEST_MAX_TEXT];

    if (!bytes_equal_cstr(payload->type, SIMPLE_SIGNING_COSIGN)) {
        return gh_fail(err, GH_SIMPLE_TYPE_MISMATCH, "the payload's type is %.*s, wanted is %s",
                       CLAIMS_SHOWN(payload->type), SIMPLE_SIGNING_COSIGN);
    }
    *reached = EVIDENCE_STEP_SUBJECT;
    digest_format(&subject->digest, digest);
    if (!bytes_equal_cstr(payload->digest, digest)) {
        return gh_fail(err, GH_PAYLOAD_DIGEST_MISMATCH,
                       "the signature was made for %.*s, the image is %s",
                       CLAIMS_SHOWN(payload->digest), digest);
    }
    *reached = EVIDENCE_STEP_REFERENCE;
    GH_TRY(claims_check_reference(rule, payload->reference, subject, err));
    return claims_check_annotations(payload->optional, wanted, err);
}

bool claims_check_payload(struct bytes payload, const struct evidence_subject *subject,
                          enum signer_reference rule, const struct claims_wanted *wanted,
                          enum evidence_step *reached, struct gh_error *err)
{
    struct simple_signing parsed;
    bool ok;

    *reached = EVIDENCE_STEP_PAYLOAD;
    GH_TRY(simple_signing_parse(payload, &parsed, err));
    ok = claims_check_parsed(&parsed, subject, rule, wanted, reached, err);
    simple_signing_done(&parsed);
    return ok;
}

bool claims_check_type(const struct statement *statement, const struct claims_wanted *wanted,
                       struct gh_error *err)
{
    bool is_sign = bytes_equal_cstr(statement->predicate_type, STATEMENT_COSIGN_SIGN);

    if (wanted == NULL) {
        return true;
    }
    if (!wanted->is_attestation) {
        return is_sign || gh_fail(err, GH_PREDICATE_TYPE_MISMATCH,
                                  "an attestation of type %.*s is no image signature",
                                  CLAIMS_SHOWN(statement->predicate_type));
    }
    for (size_t i = 0; i < wanted->type_count; i++) {
        if (bytes_equal_cstr(statement->predicate_type, wanted->types[i])) {
            return true;
        }
    }
    return gh_fail(err, GH_PREDICATE_TYPE_MISMATCH, "the attestation's type is %.*s",
                   CLAIMS_SHOWN(statement->predicate_type));
}

bool claims_check_statement(const struct statement *statement,
                            const struct evidence_subject *subject, enum signer_reference rule,
                            const struct claims_wanted *wanted, enum evidence_step *reached,
                            struct gh_error *err)
{
    const json_t *found = NULL;
    const json_t *name;

    *reached = EVIDENCE_STEP_PAYLOAD;
    GH_TRY(claims_check_type(statement, wanted, err));
    *reached = EVIDENCE_STEP_SUBJECT;
    GH_TRY(statement_find_subject(statement, &subject->digest, &found, err));
    *reached = EVIDENCE_STEP_REFERENCE;
    name = json_object_get(found, "name");
    GH_TRY(claims_check_reference(
        rule, json_is_string(name) ? sjson_string(name) : (struct bytes){0}, subject, err));
    return claims_check_annotations(json_object_get(found, "annotations"), wanted, err);
}
