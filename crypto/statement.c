#include "crypto/statement.h"

#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"

void statement_done(struct statement *statement)
{
    json_decref(statement->doc);
    memset(statement, 0, sizeof(*statement));
}

static bool statement_check_subject(const json_t *subject, struct gh_error *err)
{
    json_t *digests;
    struct bytes name;
    const char *alg;
    json_t *value;

    if (!json_is_object(subject)) {
        return gh_fail(err, GH_SUBJECT_MISSING, "a subject of the statement is no object");
    }
    GH_TRY(sjson_opt_string(subject, "name", &name, err));
    GH_TRY(sjson_opt_object(subject, "digest", &digests, err));
    if (json_object_size(digests) > STATEMENT_MAX_DIGESTS) {
        return gh_fail(err, GH_SUBJECT_LIMIT, "a subject has %zu digests, at most %d are read",
                       json_object_size(digests), STATEMENT_MAX_DIGESTS);
    }
    json_object_foreach (digests, alg, value) {
        if (!json_is_string(value)) {
            return gh_fail(err, GH_STATEMENT_MALFORMED, "digest '%.40s' of a subject is no string",
                           alg);
        }
    }
    return true;
}

static bool statement_check_subjects(const json_t *subjects, struct gh_error *err)
{
    size_t count = json_array_size(subjects);

    if (count == 0) {
        return gh_fail(err, GH_SUBJECT_MISSING, "the statement names no subject");
    }
    if (count > STATEMENT_MAX_SUBJECTS) {
        return gh_fail(err, GH_SUBJECT_LIMIT, "the statement names %zu subjects, at most %d", count,
                       STATEMENT_MAX_SUBJECTS);
    }
    for (size_t i = 0; i < count; i++) {
        if (!statement_check_subject(json_array_get(subjects, i), err)) {
            gh_error_at(err, "subject %zu", i);
            return false;
        }
    }
    return true;
}

static bool statement_read(struct statement *out, struct gh_error *err)
{
    struct bytes type;
    json_t *subjects;

    GH_TRY(sjson_get_string(out->doc, "_type", &type, err));
    if (!bytes_equal_cstr(type, STATEMENT_V01) && !bytes_equal_cstr(type, STATEMENT_V1)) {
        return gh_fail(err, GH_STATEMENT_TYPE_UNSUPPORTED,
                       "the statement's type is %.*s, known are v0.1 and v1",
                       (int)GH_MIN(type.len, (size_t)80), (const char *)type.data);
    }
    GH_TRY(sjson_opt_array(out->doc, "subject", &subjects, err));
    GH_TRY(statement_check_subjects(subjects, err));
    GH_TRY(sjson_get_string(out->doc, "predicateType", &out->predicate_type, err));
    if (out->predicate_type.len == 0) {
        return gh_fail(err, GH_STATEMENT_MALFORMED, "the statement's predicate type is empty");
    }
    out->subjects = subjects;
    out->predicate = json_object_get(out->doc, "predicate");
    return true;
}

bool statement_parse(struct bytes payload, struct statement *out, struct gh_error *err)
{
    struct statement statement = {0};

    if (!sjson_parse_object(payload, STATEMENT_MAX_BYTES, &statement.doc, err)) {
        return gh_recast(err, GH_STATEMENT_MALFORMED);
    }
    if (!statement_read(&statement, err)) {
        statement_done(&statement);
        return gh_recast(err, GH_STATEMENT_MALFORMED);
    }
    *out = statement;
    return true;
}

bool statement_find_subject(const struct statement *statement, const struct digest *digest,
                            const json_t **subject, struct gh_error *err)
{
    char wanted[DIGEST_MAX_TEXT];

    bytes_hex_encode(digest_bytes(digest), wanted);
    for (size_t i = 0; i < json_array_size(statement->subjects); i++) {
        const json_t *item = json_array_get(statement->subjects, i);
        const json_t *value =
            json_object_get(json_object_get(item, "digest"), digest_alg_name(digest->alg));

        /* The text is compared, and it is lower-case hex: one value has one spelling. */
        if (json_is_string(value) && bytes_equal_cstr(sjson_string(value), wanted)) {
            if (subject != NULL) {
                *subject = item;
            }
            return true;
        }
    }
    return gh_fail(err, GH_SUBJECT_MISMATCH, "no subject of the statement is %s:%.12s",
                   digest_alg_name(digest->alg), wanted);
}
