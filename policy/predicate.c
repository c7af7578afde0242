#include "policy/predicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rfc3339.h"
#include "crypto/sjson.h"
#include "policy/predicate_provenance.h"
#include "policy/predicate_sbom.h"
#include "policy/predicate_scan.h"
#include "policy/predicate_setting.h"
#include "policy/predicate_vex.h"
#include "policy/predicate_where.h"

#define PREDICATE_FUTURE_S 300

static const char *const predicate_provenance_types[] = {PREDICATE_TYPE_SLSA_V02,
                                                         PREDICATE_TYPE_SLSA_V1, NULL};
static const char *const predicate_spdx_types[] = {"https://spdx.dev/Document",
                                                   "https://spdx.dev/Document/v2.3",
                                                   "https://spdx.dev/Document/v3", NULL};
static const char *const predicate_cyclonedx_types[] = {"https://cyclonedx.org/bom",
                                                        "https://cyclonedx.org/bom/v1.4",
                                                        "https://cyclonedx.org/schema", NULL};
static const char *const predicate_vex_types[] = {"https://openvex.dev/ns",
                                                  "https://openvex.dev/ns/v0.2.0", NULL};
static const char *const predicate_scan_types[] = {
    "https://cosign.sigstore.dev/attestation/vuln/v1", "https://in-toto.io/attestation/vulns",
    "https://in-toto.io/attestation/vulns/v0.1", "https://in-toto.io/attestation/vulns/v0.2", NULL};

enum predicate_index {
    PREDICATE_PROVENANCE,
    PREDICATE_SPDX,
    PREDICATE_CYCLONEDX,
    PREDICATE_VEX,
    PREDICATE_SCAN,
    PREDICATE_ALIASES
};

/* A table of another file has no constant size here: a test compares the counts. */
const struct predicate_alias predicate_aliases[] = {
    [PREDICATE_PROVENANCE] = {"slsa-provenance", predicate_provenance_types,
                              predicate_provenance_keys, GH_COUNT(predicate_provenance_keys)},
    [PREDICATE_SPDX] = {"spdx", predicate_spdx_types, predicate_sbom_keys, 6},
    [PREDICATE_CYCLONEDX] = {"cyclonedx", predicate_cyclonedx_types, predicate_sbom_keys, 6},
    [PREDICATE_VEX] = {"openvex", predicate_vex_types, predicate_vex_keys, 2},
    [PREDICATE_SCAN] = {"vulnerability-scan", predicate_scan_types, predicate_scan_keys, 7},
};
const size_t predicate_alias_count = GH_COUNT(predicate_aliases);

const struct predicate_alias *predicate_alias_find(const char *name)
{
    for (size_t i = 0; i < GH_COUNT(predicate_aliases); i++) {
        if (strcmp(predicate_aliases[i].name, name) == 0) {
            return &predicate_aliases[i];
        }
    }
    return NULL;
}

/* RFC 3986: a scheme, a colon, something behind it, no white space. */
static bool predicate_is_uri(const char *name)
{
    size_t scheme = strcspn(name, ":");

    if (name[scheme] != ':' || scheme == 0 || name[scheme + 1] == '\0' || strlen(name) > 512) {
        return false;
    }
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (name[i] <= ' ' || name[i] == 0x7f) {
            return false;
        }
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.") ==
           scheme;
}

bool predicate_name_check(const char *name, struct gh_error *err)
{
    if (predicate_alias_find(name) != NULL || predicate_is_uri(name)) {
        return true;
    }
    return gh_fail(err, GH_POLICY_DENIED,
                   "'%.60s' is no predicate: wanted slsa-provenance, spdx, cyclonedx, openvex, "
                   "vulnerability-scan or the URI of a predicate type",
                   name);
}

bool predicate_name_accepts(const char *name, struct bytes type)
{
    const struct predicate_alias *alias = predicate_alias_find(name);

    if (alias == NULL) {
        return bytes_equal_cstr(type, name);
    }
    for (size_t i = 0; alias->types[i] != NULL; i++) {
        if (bytes_equal_cstr(type, alias->types[i])) {
            return true;
        }
    }
    return false;
}

static bool predicate_unknown_key(const struct predicate_alias *alias, const char *name,
                                  struct gh_error *err)
{
    char known[160] = "";
    size_t used = 0;

    for (size_t i = 0; i < alias->key_count && used < sizeof(known); i++) {
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 alias->keys[i].name);
    }
    return gh_fail(err, GH_POLICY_DENIED, "%s has no check '%.40s'; it has %s", alias->name, name,
                   known);
}

static bool predicate_read_option(struct predicate_check *check,
                                  const struct predicate_option *option, struct gh_error *err)
{
    for (size_t i = 0; i < check->alias->key_count; i++) {
        const struct predicate_key *key = &check->alias->keys[i];

        if (strcmp(key->name, option->name) != 0) {
            continue;
        }
        if (check->settings[i].is_set) {
            return gh_fail(err, GH_POLICY_DENIED, "'%s' is given twice", key->name);
        }
        return predicate_setting_read(key, option, &check->settings[i], err);
    }
    return predicate_unknown_key(check->alias, option->name, err);
}

bool predicate_check_new(const char *name, const struct predicate_option *options, size_t count,
                         struct predicate_check **out, size_t *at, struct gh_error *err)
{
    GH_OWN(predicate_check_freep) struct predicate_check *check = NULL;
    const struct predicate_alias *alias = predicate_alias_find(name);

    *at = 0;
    if (alias == NULL) {
        if (count > 0) {
            return gh_fail(err, GH_POLICY_DENIED,
                           "'check' is for the predicates known by name; use 'where' for '%.80s'",
                           name);
        }
        *out = NULL;
        return true;
    }
    check = calloc(1, sizeof(*check));
    if (check == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    check->alias = alias;
    for (size_t i = 0; i < count; i++) {
        *at = i;
        GH_TRY(predicate_read_option(check, &options[i], err));
    }
    *out = GH_TAKE(check);
    return true;
}

void predicate_check_free(struct predicate_check *check)
{
    if (check == NULL) {
        return;
    }
    for (size_t i = 0; i < PREDICATE_MAX_OPTIONS; i++) {
        predicate_setting_done(&check->settings[i]);
    }
    free(check);
}

/* ---- judging ---- */

/* Which alias knows the statement's type, or PREDICATE_ALIASES. */
static enum predicate_index predicate_index_of(struct bytes type)
{
    size_t i = 0;

    while (i < GH_COUNT(predicate_aliases) &&
           !predicate_name_accepts(predicate_aliases[i].name, type)) {
        i++;
    }
    return (enum predicate_index)i;
}

bool predicate_own_time(struct bytes type, const json_t *predicate, int64_t *out)
{
    static const char *const pointers[] = {
        [PREDICATE_PROVENANCE] = "/runDetails/metadata/finishedOn",
        [PREDICATE_SPDX] = "/creationInfo/created",
        [PREDICATE_CYCLONEDX] = "/metadata/timestamp",
        [PREDICATE_VEX] = "/timestamp",
        [PREDICATE_SCAN] = "/metadata/scanFinishedOn",
        [PREDICATE_ALIASES] = "/Timestamp",
    };
    enum predicate_index index = predicate_index_of(type);
    const char *pointer = pointers[index];

    if (bytes_equal_cstr(type, PREDICATE_TYPE_SLSA_V02)) {
        pointer = "/metadata/buildFinishedOn";
    }
    if (index == PREDICATE_ALIASES &&
        !bytes_equal_cstr(type, "https://cosign.sigstore.dev/attestation/v1")) {
        return false;
    }
    return predicate != NULL && rfc3339_parse(predicate_text_at(predicate, pointer), out);
}

/* The age counts from the older of the two times; without one, no age is young enough. */
static bool predicate_judge_age(const struct predicate_input *input, int64_t max_age_s,
                                int64_t *until_unix_s, struct gh_error *err)
{
    enum gh_cause cause = predicate_index_of(input->type) == PREDICATE_SCAN ? GH_VULN_SCAN_STALE
                                                                            : GH_ATTESTATION_STALE;
    int64_t oldest = INT64_MAX, own;

    if (max_age_s <= 0) {
        return true;
    }
    if (predicate_own_time(input->type, input->predicate, &own) &&
        own <= input->now_unix_s + PREDICATE_FUTURE_S) {
        oldest = own;
    }
    if (input->has_proved_time) {
        oldest = GH_MIN(oldest, input->proved_unix_s);
    }
    if (oldest == INT64_MAX) {
        return gh_fail(err, cause,
                       "nothing says how old the statement is; at most %lld s is wanted",
                       (long long)max_age_s);
    }
    if (oldest < input->now_unix_s - max_age_s) {
        return gh_fail(err, cause, "the statement is %lld s old, at most %lld s is wanted",
                       (long long)(input->now_unix_s - oldest), (long long)max_age_s);
    }
    *until_unix_s = GH_MIN(*until_unix_s, oldest + max_age_s);
    return true;
}

static bool predicate_judge_check(const struct predicate_check *check,
                                  const struct predicate_input *input, int64_t *until_unix_s,
                                  struct gh_error *err)
{
    if (!predicate_name_accepts(check->alias->name, input->type)) {
        return gh_fail(err, GH_PREDICATE_TYPE_MISMATCH, "'%.*s' is not of type %s",
                       (int)GH_MIN(input->type.len, (size_t)120), (const char *)input->type.data,
                       check->alias->name);
    }
    switch ((enum predicate_index)(check->alias - predicate_aliases)) {
    case PREDICATE_PROVENANCE:
        return predicate_provenance_judge(check, input, err);
    case PREDICATE_SPDX:
    case PREDICATE_CYCLONEDX:
        return predicate_sbom_judge(check, input, err);
    case PREDICATE_VEX:
        return predicate_vex_judge(check, input, err);
    case PREDICATE_SCAN:
        GH_TRY(predicate_scan_judge(check, input, until_unix_s, err));
        return predicate_judge_age(input, predicate_scan_max_age_s(check), until_unix_s, err);
    case PREDICATE_ALIASES:
        break;
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "a check of no known predicate");
}

bool predicate_evaluate(const struct predicate_check *check, const struct predicate_where *where,
                        const struct predicate_input *input, int64_t *until_unix_s,
                        struct gh_error *err)
{
    int64_t until = INT64_MAX;

    if (check != NULL && (input->predicate == NULL || json_is_null(input->predicate))) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the statement has no predicate");
    }
    if (check != NULL) {
        GH_TRY(predicate_judge_check(check, input, &until, err));
    }
    if (where != NULL) {
        GH_TRY(predicate_where_judge(where, input->predicate, err));
    }
    GH_TRY(predicate_judge_age(input, input->max_age_s, &until, err));
    *until_unix_s = until;
    return true;
}
