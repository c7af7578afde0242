#include "policy/import_notation.h"

#include <string.h>

#include "crypto/notation.h"
#include "crypto/sjson.h"
#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/image.h"

/* The document under way. */
struct import_notation_work {
    const struct import_notation_file *files;
    size_t file_count;
    json_t *statements;
    struct text *out;
};

static const char *import_notation_name(const json_t *statement)
{
    const char *name = json_string_value(json_object_get(statement, "name"));

    return name != NULL ? name : "";
}

static const char *import_notation_level(const json_t *statement)
{
    const char *level = json_string_value(
        json_object_get(json_object_get(statement, "signatureVerification"), "level"));

    return level != NULL ? level : "";
}

static bool import_notation_is_skip(const json_t *statement)
{
    return strcmp(import_notation_level(statement), "skip") == 0;
}

static bool import_notation_is_wildcard(const json_t *scopes)
{
    const char *scope = json_string_value(json_array_get(scopes, 0));

    return scope != NULL && strcmp(scope, "*") == 0;
}

/* --- reading ------------------------------------------------------------------------------ */

static bool import_notation_fail(const json_t *statement, const char *what, const char *value,
                                 struct gh_error *err)
{
    return gh_fail(err, GH_NOTATION_POLICY_INVALID, "statement \"%.60s\": %s \"%.80s\"",
                   import_notation_name(statement), what, value != NULL ? value : "");
}

/* HOST/PATH, of which the host may be written in capitals. */
static bool import_notation_is_scope(const char *scope)
{
    struct bytes rest = bytes_of(scope);
    struct bytes host;

    return bytes_split(&rest, '/', &host) && image_is_upstream(host) && image_is_repository(rest);
}

static bool import_notation_check_scopes(const struct import_notation_work *work,
                                         const json_t *statement, struct gh_error *err)
{
    json_t *scopes;

    GH_TRY(sjson_get_array(statement, "registryScopes", &scopes, err));
    if (json_array_size(scopes) == 0) {
        return import_notation_fail(statement, "no registryScopes", NULL, err);
    }
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const char *scope = json_string_value(json_array_get(scopes, i));
        bool is_wildcard = scope != NULL && strcmp(scope, "*") == 0;
        size_t uses = 0;

        if (scope == NULL || (is_wildcard && json_array_size(scopes) > 1) ||
            (!is_wildcard && !import_notation_is_scope(scope))) {
            return import_notation_fail(statement, "registryScopes has", scope, err);
        }
        for (size_t k = 0; k < json_array_size(work->statements); k++) {
            const json_t *others =
                json_object_get(json_array_get(work->statements, k), "registryScopes");

            for (size_t m = 0; m < json_array_size(others); m++) {
                const char *other = json_string_value(json_array_get(others, m));

                uses += other != NULL && strcmp(other, scope) == 0;
            }
        }
        if (uses > 1) {
            return import_notation_fail(statement, "another place has the scope, too:", scope, err);
        }
    }
    return true;
}

static bool import_notation_is_one_of(const char *value, const char *const *words)
{
    for (; value != NULL && *words != NULL; words++) {
        if (strcmp(value, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool import_notation_check_override(const json_t *statement, const json_t *override,
                                           struct gh_error *err)
{
    static const char *const checks[] = {"authenticity", "authenticTimestamp", "expiry",
                                         "revocation", NULL};
    static const char *const actions[] = {"enforce", "log", NULL};
    const char *check;
    json_t *action;

    if (override != NULL && import_notation_is_skip(statement)) {
        return import_notation_fail(statement, "override beside level", "skip", err);
    }
    json_object_foreach ((json_t *) override, check, action) {
        const char *word = json_string_value(action);
        bool is_skip =
            word != NULL && strcmp(word, "skip") == 0 && strcmp(check, "revocation") == 0;

        if (!import_notation_is_one_of(check, checks) ||
            (!import_notation_is_one_of(word, actions) && !is_skip)) {
            return import_notation_fail(statement, "override cannot be imported:", check, err);
        }
    }
    return true;
}

static bool import_notation_check_verification(const json_t *statement, struct gh_error *err)
{
    static const char *const keys[] = {"level", "override", "verifyTimestamp", NULL};
    static const char *const levels[] = {"strict", "permissive", "audit", "skip", NULL};
    static const char *const times[] = {"", "always", "afterCertExpiry", NULL};
    json_t *verification;
    json_t *override;
    struct bytes time;
    const char *text;

    GH_TRY(sjson_get_object(statement, "signatureVerification", &verification, err));
    GH_TRY(sjson_only_keys(verification, keys, err));
    GH_TRY(sjson_opt_object(verification, "override", &override, err));
    GH_TRY(sjson_opt_string(verification, "verifyTimestamp", &time, err));
    text = json_string_value(json_object_get(verification, "verifyTimestamp"));
    if (!import_notation_is_one_of(import_notation_level(statement), levels)) {
        return import_notation_fail(statement, "unknown level", import_notation_level(statement),
                                    err);
    }
    if (text != NULL && !import_notation_is_one_of(text, times)) {
        return import_notation_fail(statement, "unknown verifyTimestamp", text, err);
    }
    return import_notation_check_override(statement, override, err);
}

static bool import_notation_check_identities(const json_t *statement, const json_t *identities,
                                             struct gh_error *err)
{
    struct notation_dn *dns[NOTATION_MAX_IDENTITIES] = {NULL};
    size_t count = json_array_size(identities);
    bool is_good = count > 0 && count <= NOTATION_MAX_IDENTITIES;
    const char *first = json_string_value(json_array_get(identities, 0));

    if (count == 1 && first != NULL && strcmp(first, "*") == 0) {
        return true;
    }
    for (size_t i = 0; i < count && is_good; i++) {
        const char *text = json_string_value(json_array_get(identities, i));

        is_good = text != NULL && notation_dn_parse(bytes_of(text), &dns[i], err);
    }
    is_good = is_good && notation_dn_check_overlap(dns, count, err);
    for (size_t i = 0; i < GH_COUNT(dns); i++) {
        notation_dn_free(dns[i]);
    }
    /* A failure that has its own words keeps them. */
    return is_good || import_notation_fail(statement, "trustedIdentities", NULL, err);
}

/* KIND:NAME; NAME NULL where the form is wrong. */
static const char *import_notation_store_name(const char *store, size_t *kind_len)
{
    const char *colon = strchr(store, ':');

    *kind_len = colon != NULL ? (size_t)(colon - store) : 0;
    return colon != NULL && colon[1] != '\0' ? colon + 1 : NULL;
}

static bool import_notation_is_file_of(const struct import_notation_file *file, const char *store)
{
    size_t kind_len;
    const char *name = import_notation_store_name(store, &kind_len);

    return name != NULL && strlen(file->kind) == kind_len &&
           strncmp(file->kind, store, kind_len) == 0 && strcmp(file->name, name) == 0;
}

static bool import_notation_check_stores(const struct import_notation_work *work,
                                         const json_t *statement, const json_t *stores,
                                         struct gh_error *err)
{
    for (size_t i = 0; i < json_array_size(stores); i++) {
        const char *store = json_string_value(json_array_get(stores, i));
        bool is_there = false;

        for (size_t k = 0; k < work->file_count && store != NULL; k++) {
            is_there = is_there || import_notation_is_file_of(&work->files[k], store);
        }
        if (!is_there) {
            return import_notation_fail(statement, "no files for trust store", store, err);
        }
    }
    return json_array_size(stores) > 0 ||
           import_notation_fail(statement, "no trustStores", NULL, err);
}

static bool import_notation_check_statement(const struct import_notation_work *work,
                                            const json_t *statement, struct gh_error *err)
{
    static const char *const keys[] = {"name",        "registryScopes",    "signatureVerification",
                                       "trustStores", "trustedIdentities", NULL};
    json_t *stores;
    json_t *identities;
    size_t uses = 0;

    if (!json_is_object(statement) || import_notation_name(statement)[0] == '\0') {
        return import_notation_fail(statement, "it has no name", NULL, err);
    }
    GH_TRY(sjson_only_keys(statement, keys, err));
    for (size_t i = 0; i < json_array_size(work->statements); i++) {
        uses += strcmp(import_notation_name(json_array_get(work->statements, i)),
                       import_notation_name(statement)) == 0;
    }
    if (uses > 1) {
        return import_notation_fail(statement, "the name is used twice", NULL, err);
    }
    GH_TRY(import_notation_check_scopes(work, statement, err));
    GH_TRY(import_notation_check_verification(statement, err));
    GH_TRY(sjson_opt_array(statement, "trustStores", &stores, err));
    GH_TRY(sjson_opt_array(statement, "trustedIdentities", &identities, err));
    if (import_notation_is_skip(statement)) {
        return (json_array_size(stores) == 0 && json_array_size(identities) == 0) ||
               import_notation_fail(statement, "level skip beside trust stores", NULL, err);
    }
    GH_TRY(import_notation_check_stores(work, statement, stores, err));
    return import_notation_check_identities(statement, identities, err);
}

/* --- writing ------------------------------------------------------------------------------ */

static void import_notation_put_root(const struct import_notation_work *work,
                                     const json_t *statement)
{
    static const char *const kinds[][2] = {
        {"ca", "ca"}, {"signingAuthority", "signing_authority"}, {"tsa", "tsa"}};
    const json_t *stores = json_object_get(statement, "trustStores");

    text_put(work->out, "  ");
    text_put_json(work->out, import_notation_name(statement));
    text_put(work->out, ": {");
    for (size_t kind = 0; kind < GH_COUNT(kinds); kind++) {
        bool is_first = true;

        text_printf(work->out, "%s%s: [", kind > 0 ? ", " : "", kinds[kind][1]);
        for (size_t i = 0; i < work->file_count; i++) {
            const struct import_notation_file *file = &work->files[i];
            bool is_named = false;

            for (size_t k = 0; k < json_array_size(stores); k++) {
                is_named = is_named || import_notation_is_file_of(
                                           file, json_string_value(json_array_get(stores, k)));
            }
            if (is_named && strcmp(file->kind, kinds[kind][0]) == 0) {
                text_put(work->out, is_first ? "" : ", ");
                text_put_json(work->out, file->path);
                is_first = false;
            }
        }
        text_put(work->out, "]");
    }
    text_put(work->out, "}\n");
}

static void import_notation_put_list(struct text *out, const json_t *list)
{
    text_put(out, "[");
    for (size_t i = 0; i < json_array_size(list); i++) {
        text_put(out, i > 0 ? ", " : "");
        text_put_json(out, json_string_value(json_array_get(list, i)));
    }
    text_put(out, "]");
}

static void import_notation_put_signer(const struct import_notation_work *work,
                                       const json_t *statement)
{
    const json_t *verification = json_object_get(statement, "signatureVerification");
    json_t *override = json_object_get(verification, "override");
    const char *time = json_string_value(json_object_get(verification, "verifyTimestamp"));
    const char *check;
    json_t *action;
    bool is_first = true;

    text_put(work->out, "  ");
    text_put_json(work->out, import_notation_name(statement));
    text_put(work->out, ":\n    notation: {root: ");
    text_put_json(work->out, import_notation_name(statement));
    text_put(work->out, ", identities: ");
    import_notation_put_list(work->out, json_object_get(statement, "trustedIdentities"));
    text_printf(work->out, ", level: %s", import_notation_level(statement));
    if (json_object_size(override) > 0) {
        text_put(work->out, ", override: {");
        json_object_foreach (override, check, action) {
            bool is_time = strcmp(check, "authenticTimestamp") == 0;

            text_printf(work->out, "%s%s: %s", is_first ? "" : ", ",
                        is_time ? "authentic_timestamp" : check, json_string_value(action));
            is_first = false;
        }
        text_put(work->out, "}");
    }
    if (time != NULL && time[0] != '\0') {
        text_printf(work->out, ", verify_timestamp: %s",
                    strcmp(time, "always") == 0 ? "always" : "after_cert_expiry");
    }
    text_put(work->out, "}\n");
}

/* Scopes are exact there and `*` stands for the rest; here every policy that covers an image must
 * hold, so the rest is said by exceptions. */
static void import_notation_put_rest(const struct import_notation_work *work)
{
    bool is_first = true;

    text_put(work->out, "[\"**\"]\n    except: [");
    for (size_t i = 0; i < json_array_size(work->statements); i++) {
        const json_t *scopes =
            json_object_get(json_array_get(work->statements, i), "registryScopes");

        for (size_t k = 0; k < json_array_size(scopes) && !import_notation_is_wildcard(scopes);
             k++) {
            text_put(work->out, is_first ? "" : ", ");
            text_put_json(work->out, json_string_value(json_array_get(scopes, k)));
            is_first = false;
        }
    }
    text_put(work->out, "]\n");
}

static bool import_notation_put_policy(const struct import_notation_work *work,
                                       const json_t *statement, struct gh_error *err)
{
    const json_t *scopes = json_object_get(statement, "registryScopes");
    const json_t *signer = import_notation_is_skip(statement) ? NULL : statement;

    for (size_t i = 0; i < json_array_size(work->statements) && signer == NULL; i++) {
        const json_t *other = json_array_get(work->statements, i);

        signer = import_notation_is_skip(other) ? NULL : other;
    }
    if (signer == NULL) {
        return import_notation_fail(statement,
                                    "level skip without another statement to observe: write a "
                                    "policy in mode audit by hand",
                                    NULL, err);
    }
    text_put(work->out, "  - name: ");
    text_put_json(work->out, import_notation_name(statement));
    text_put(work->out, "\n    images: ");
    if (import_notation_is_wildcard(scopes)) {
        import_notation_put_rest(work);
    } else {
        import_notation_put_list(work->out, scopes);
        text_put(work->out, "\n");
    }
    text_printf(work->out, "    mode: %s\n    require: [{signature: ",
                import_notation_is_skip(statement) ? "audit" : "deny");
    text_put_json(work->out, import_notation_name(signer));
    text_put(work->out, "}]\n");
    return true;
}

static bool import_notation_put(const struct import_notation_work *work, struct gh_error *err)
{
    const json_t *statements = work->statements;

    text_put(work->out, "roots:\n");
    for (size_t i = 0; i < json_array_size(statements); i++) {
        if (!import_notation_is_skip(json_array_get(statements, i))) {
            import_notation_put_root(work, json_array_get(statements, i));
        }
    }
    text_put(work->out, "signers:\n");
    for (size_t i = 0; i < json_array_size(statements); i++) {
        if (!import_notation_is_skip(json_array_get(statements, i))) {
            import_notation_put_signer(work, json_array_get(statements, i));
        }
    }
    text_put(work->out, "policies:\n");
    for (size_t i = 0; i < json_array_size(statements); i++) {
        GH_TRY(import_notation_put_policy(work, json_array_get(statements, i), err));
    }
    return text_ok(work->out) || gh_fail(err, GH_INTERNAL_ERROR, "no room for the configuration");
}

bool import_notation(struct bytes document, const struct import_notation_file *files,
                     size_t file_count, struct text *out, struct gh_error *err)
{
    static const char *const keys[] = {"version", "trustPolicies", NULL};
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct import_notation_work work = {.files = files, .file_count = file_count, .out = out};
    struct bytes version;

    GH_TRY(sjson_parse_object(document, IMPORT_NOTATION_MAX_BYTES, &doc, err));
    GH_TRY(sjson_only_keys(doc, keys, err));
    GH_TRY(sjson_get_string(doc, "version", &version, err));
    if (!bytes_equal_cstr(version, "1.0")) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "trust policy version is not 1.0");
    }
    GH_TRY(sjson_get_array(doc, "trustPolicies", &work.statements, err));
    if (json_array_size(work.statements) == 0) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "the trust policy has no statements");
    }
    if (json_array_size(work.statements) > IMPORT_NOTATION_MAX_STATEMENTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d statements",
                       IMPORT_NOTATION_MAX_STATEMENTS);
    }
    for (size_t i = 0; i < json_array_size(work.statements); i++) {
        GH_TRY(import_notation_check_statement(&work, json_array_get(work.statements, i), err));
    }
    return import_notation_put(&work, err);
}
