/*
 * A notation trust policy. A statement applies to the repositories it names, the one for `*` to
 * all others; here every policy that covers an image must hold, so the rest is said by exceptions.
 *
 * Spec: notaryproject/specifications, trust-store-trust-policy.md
 */
#include <string.h>

#include "crypto/notation.h"
#include "metrics/error.h"
#include "policy/image.h"
#include "policy/import_work.h"

#define IMPORT_NOTATION_MAX_STORES 64

/* HOST/PATH without tag. */
static bool import_notation_is_scope(const char *scope)
{
    struct bytes rest = bytes_of(scope);
    struct bytes host;

    return bytes_split(&rest, '/', &host) && image_is_upstream(host) && image_is_repository(rest);
}

static void import_notation_scopes(struct import_work *work, struct import_at statements,
                                   struct import_at scopes, struct import_policy *policy)
{
    if (!import_list(work, scopes, 1)) {
        return;
    }
    for (size_t i = 0; i < scopes.node->count; i++) {
        struct import_at at = import_item(work, scopes, i);
        const char *scope = import_need(work, at);
        size_t uses = 0;

        if (scope == NULL) {
            continue;
        }
        for (size_t k = 0; k < import_count(statements); k++) {
            const struct yaml_node *others =
                yaml_get(yaml_at(statements.node, k), "registryScopes");

            for (size_t m = 0; others != NULL && m < others->count; m++) {
                const char *other = yaml_at(others, m)->text;

                uses += other != NULL && strcmp(other, scope) == 0;
            }
        }
        if (uses > 1) {
            (void)import_refuse(work, at, "\"%.150s\" is a scope twice; keep one", scope);
        } else if (strcmp(scope, "*") == 0 && scopes.node->count == 1) {
            import_append(work, &policy->images, "**");
        } else if (!import_notation_is_scope(scope)) {
            (void)import_refuse(work, at,
                                "found \"%.150s\", expected registry/repository in lower case, "
                                "without tag or wildcard, or * alone",
                                scope);
        } else {
            (void)import_pattern_add(work, at, scope, &policy->images);
        }
    }
}

static const char *import_notation_override(struct import_work *work, struct import_at at)
{
    static const struct import_field fields[] = {{"authenticity", IMPORT_T, NULL},
                                                 {"authenticTimestamp", IMPORT_T, NULL},
                                                 {"expiry", IMPORT_T, NULL},
                                                 {"revocation", IMPORT_T, NULL}};
    static const char *const names[] = {"authenticity", "authentic_timestamp", "expiry",
                                        "revocation"};
    static const char *const words[] = {"enforce", "log", "skip"};
    const char *out = "";

    if (at.node == NULL || !IMPORT_MAP(work, at, fields)) {
        return "";
    }
    for (size_t i = 0; i < GH_COUNT(fields); i++) {
        struct import_at inner = import_get(work, at, fields[i].name);
        int word = inner.node == NULL
                       ? -1
                       : import_word(work, inner, i == 3 ? "enforce|log|skip" : "enforce|log");

        if (word >= 0) {
            out = import_printf(work, "%s%s%s: %s", out, out[0] == '\0' ? "" : ", ", names[i],
                                words[word]);
        }
    }
    return out[0] == '\0' ? "" : import_printf(work, ", override: {%s}", out);
}

/* KIND:NAME with the files the caller gave for it: store:KIND:NAME=FILE, as often as needed. */
static bool import_notation_store(struct import_work *work, struct import_at at,
                                  struct import_strings lists[3])
{
    static const char *const kinds[] = {"ca:", "signingAuthority:", "tsa:"};
    const struct import_request *request = work->request;
    const char *store = import_need(work, at);
    size_t found = 0;

    for (size_t kind = 0; store != NULL && kind < GH_COUNT(kinds); kind++) {
        const char *want = import_printf(work, "store:%s", store);

        if (strncmp(store, kinds[kind], strlen(kinds[kind])) != 0) {
            continue;
        }
        for (size_t i = 0; i < request->setting_count; i++) {
            if (strcmp(request->settings[i].name, want) == 0) {
                import_append(work, &lists[kind], request->settings[i].value);
                found++;
            }
        }
        if (found == 0 &&
            strspn(store + strlen(kinds[kind]),
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                   "._-") == strlen(store) - strlen(kinds[kind]) &&
            store[strlen(kinds[kind])] != '\0') {
            return import_refuse(
                work, at,
                "no certificate of it was given; give the trust store's folder, or --set "
                "%.80s=FILE for each",
                want);
        }
    }
    return found > 0 || store == NULL ||
           import_refuse(work, at,
                         "found \"%.80s\", expected ca:, signingAuthority: or tsa: and a name",
                         store);
}

static const char *import_notation_root(struct import_work *work, struct import_at stores,
                                        const char *name)
{
    static const char *const keys[] = {"ca", "signing_authority", "tsa"};
    struct import_strings lists[3] = {0};
    const char *body = "";
    bool is_good = import_list(work, stores, 1);

    for (size_t i = 0; is_good && i < import_count(stores); i++) {
        is_good = import_notation_store(work, import_item(work, stores, i), lists);
    }
    for (size_t kind = 0; is_good && kind < GH_COUNT(keys); kind++) {
        for (size_t i = 0; i < lists[kind].count; i++) {
            body = import_printf(work, "%s%s%s%s", body,
                                 i > 0             ? ", "
                                 : body[0] == '\0' ? ""
                                                   : ", ",
                                 i > 0 ? "" : import_printf(work, "%s: [", keys[kind]),
                                 import_quote(work, lists[kind].items[i]));
        }
        body = lists[kind].count == 0 ? body : import_printf(work, "%s]", body);
    }
    if (is_good && lists[0].count + lists[1].count == 0) {
        (void)import_refuse(work, stores,
                            "time-stamp authorities alone verify no signature; name a ca: or "
                            "signingAuthority: store");
        return NULL;
    }
    return is_good ? import_root_add(work, name, import_printf(work, "{%s}", body)) : NULL;
}

static const char *import_notation_identities(struct import_work *work, struct import_at list)
{
    struct notation_dn *dns[NOTATION_MAX_IDENTITIES] = {NULL};
    struct gh_error err = {0};
    const char *out = "";
    size_t count = import_count(list);
    bool is_good = import_list(work, list, 1);

    if (is_good && count > NOTATION_MAX_IDENTITIES) {
        (void)import_refuse(work, list, "more than %d identities", NOTATION_MAX_IDENTITIES);
        return NULL;
    }
    for (size_t i = 0; is_good && i < count; i++) {
        struct import_at at = import_item(work, list, i);
        const char *text = import_need(work, at);

        is_good = text != NULL;
        if (is_good && !(count == 1 && strcmp(text, "*") == 0) &&
            !notation_dn_parse(bytes_of(text), &dns[i], &err)) {
            is_good = import_refuse(work, at, "\"%.100s\": %s", text, err.text);
        }
        if (is_good) {
            out = import_printf(work, "%s%s%s", out, i > 0 ? ", " : "", import_quote(work, text));
        }
    }
    if (is_good && dns[0] != NULL && !notation_dn_check_overlap(dns, count, &err)) {
        is_good = import_refuse(work, list, "%s", err.text);
    }
    for (size_t i = 0; i < GH_COUNT(dns); i++) {
        notation_dn_free(dns[i]);
    }
    return is_good ? out : NULL;
}

static void import_notation_verify(struct import_work *work, struct import_at statement,
                                   struct import_at verification, const char *level,
                                   struct import_policy *policy)
{
    static const char *const times[] = {"", ", verify_timestamp: always",
                                        ", verify_timestamp: after_cert_expiry"};
    struct import_at time = import_get(work, verification, "verifyTimestamp");
    const char *when = import_text(work, time);
    const char *root =
        import_notation_root(work, import_get(work, statement, "trustStores"), policy->name);
    const char *identities =
        import_notation_identities(work, import_get(work, statement, "trustedIdentities"));
    const char *override =
        import_notation_override(work, import_get(work, verification, "override"));
    int word =
        when == NULL || when[0] == '\0' ? 0 : import_word(work, time, "always|afterCertExpiry") + 1;

    if (root == NULL || identities == NULL) {
        return;
    }
    policy->require = import_printf(
        work, "{signature: %s}",
        import_quote(
            work, import_signer_add(work, policy->name,
                                    import_printf(work,
                                                  "{notation: {root: %s, identities: [%s], level: "
                                                  "%s%s%s}}",
                                                  import_quote(work, root), identities, level,
                                                  override, times[word]))));
}

static void import_notation_statement(struct import_work *work, struct import_at statements,
                                      struct import_at at)
{
    static const struct import_field fields[] = {{"name", IMPORT_T, NULL},
                                                 {"registryScopes", IMPORT_T, NULL},
                                                 {"signatureVerification", IMPORT_T, NULL},
                                                 {"trustStores", IMPORT_T, NULL},
                                                 {"trustedIdentities", IMPORT_T, NULL}};
    static const struct import_field inner[] = {{"level", IMPORT_T, NULL},
                                                {"override", IMPORT_T, NULL},
                                                {"verifyTimestamp", IMPORT_T, NULL}};
    static const char *const levels[] = {"strict", "permissive", "audit", "skip"};
    struct import_at verification = import_get(work, at, "signatureVerification");
    struct import_policy *policy;
    const char *name;
    int level;

    if (!IMPORT_MAP(work, at, fields) || !IMPORT_MAP(work, verification, inner)) {
        return;
    }
    name = import_need(work, import_get(work, at, "name"));
    level =
        import_word(work, import_get(work, verification, "level"), "strict|permissive|audit|skip");
    for (size_t i = 0; name != NULL && i < import_count(statements); i++) {
        const struct yaml_node *other = yaml_get(yaml_at(statements.node, i), "name");

        if (other != NULL && other->text != NULL && other != yaml_get(at.node, "name") &&
            strcmp(other->text, name) == 0) {
            (void)import_refuse(work, import_get(work, at, "name"), "the name is used twice");
        }
    }
    if (name == NULL || level < 0) {
        return;
    }
    policy = import_policy_add(work, at, name);
    import_notation_scopes(work, statements, import_get(work, at, "registryScopes"), policy);
    if (level < 3) {
        import_notation_verify(work, at, verification, levels[level], policy);
        return;
    }
    policy->decision = IMPORT_UNVERIFIED;
    if (import_count(import_get(work, at, "trustStores")) +
                import_count(import_get(work, at, "trustedIdentities")) >
            0 ||
        yaml_get(verification.node, "override") != NULL) {
        (void)import_refuse(work, at,
                            "level skip beside trust stores, identities or an override; remove "
                            "them, or verify");
    }
}

void import_notation(struct import_work *work)
{
    static const struct import_field fields[] = {{"version", IMPORT_T, NULL},
                                                 {"trustPolicies", IMPORT_T, NULL}};

    if (work->tree_count != 1) {
        (void)import_refuse(work, ((struct import_at){.path = ""}),
                            "expected one trust policy, found %zu", work->tree_count);
        return;
    }
    struct import_at root = import_root(&work->trees[0]);
    struct import_at statements = import_get(work, root, "trustPolicies");

    if (!IMPORT_MAP(work, root, fields) || !import_list(work, statements, 1)) {
        return;
    }
    (void)import_word(work, import_get(work, root, "version"), "1.0");
    for (size_t i = 0; i < import_count(statements); i++) {
        import_notation_statement(work, statements, import_item(work, statements, i));
    }
    for (size_t i = 0; i < work->policy_count; i++) {
        struct import_policy *rest = &work->policies[i];

        for (size_t k = 0; rest->images.count > 0 && strcmp(rest->images.items[0], "**") == 0 &&
                           k < work->policy_count;
             k++) {
            for (size_t m = 0; k != i && m < work->policies[k].images.count; m++) {
                import_append(work, &rest->except, work->policies[k].images.items[m]);
            }
        }
    }
}
