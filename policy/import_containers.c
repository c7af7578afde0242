/*
 * policy.json of containers/image (podman, skopeo, buildah, CRI-O). The most specific scope alone
 * counts there; here wider scopes get the narrower ones as exceptions.
 *
 * Spec: containers-policy.json(5)
 */
#include <stdlib.h>
#include <string.h>

#include "policy/arena.h"
#include "policy/import_work.h"

enum import_identity {
    IMPORT_MATCH_EXACT,
    IMPORT_MATCH_DIGEST_OR_EXACT,
    IMPORT_MATCH_REPOSITORY,
    IMPORT_EXACT_REFERENCE,
    IMPORT_EXACT_REPOSITORY,
    IMPORT_REMAP
};

struct import_containers_identity {
    enum import_identity kind;
    const char *first;
    const char *second;
};

/* One of the members of a "exactly one of" group that is there; NULL and refused otherwise. */
static const char *import_containers_one(struct import_work *work, struct import_at at,
                                         const char *const *names, bool is_needed)
{
    const char *found = NULL;

    for (; *names != NULL; names++) {
        if (import_get(work, at, *names).node == NULL) {
            continue;
        }
        if (found != NULL) {
            (void)import_refuse(work, at, "\"%s\" and \"%s\" exclude each other", found, *names);
            return NULL;
        }
        found = *names;
    }
    if (found == NULL && is_needed) {
        (void)import_refuse(work, at, "no key material; expected one of its key fields");
    }
    return found;
}

static bool import_containers_identity(struct import_work *work, struct import_at at,
                                       struct import_containers_identity *out)
{
    static const struct import_field fields[] = {{"type", IMPORT_T, NULL},
                                                 {"dockerReference", IMPORT_T, NULL},
                                                 {"dockerRepository", IMPORT_T, NULL},
                                                 {"prefix", IMPORT_T, NULL},
                                                 {"signedPrefix", IMPORT_T, NULL}};
    /* By kind, the members beside `type`. */
    static const char *const members[][2] = {{NULL, NULL},
                                             {NULL, NULL},
                                             {NULL, NULL},
                                             {"dockerReference", NULL},
                                             {"dockerRepository", NULL},
                                             {"prefix", "signedPrefix"}};
    size_t wanted = 1;
    int kind;

    *out = (struct import_containers_identity){.kind = IMPORT_MATCH_DIGEST_OR_EXACT};
    if (at.node == NULL) {
        return true;
    }
    if (!IMPORT_MAP(work, at, fields)) {
        return false;
    }
    kind = import_word(work, import_get(work, at, "type"),
                       "matchExact|matchRepoDigestOrExact|matchRepository|exactReference|"
                       "exactRepository|remapIdentity");
    if (kind < 0) {
        return false;
    }
    out->kind = (enum import_identity)kind;
    if (members[kind][0] != NULL) {
        out->first = import_need(work, import_get(work, at, members[kind][0]));
        wanted++;
    }
    if (members[kind][1] != NULL) {
        out->second = import_need(work, import_get(work, at, members[kind][1]));
        wanted++;
    }
    if ((members[kind][0] != NULL && out->first == NULL) ||
        (members[kind][1] != NULL && out->second == NULL)) {
        return false; /* refused where it was read */
    }
    return import_count(at) == wanted ||
           import_refuse(work, at, "members that do not belong to this type, or too few");
}

static const char *import_containers_decode(struct import_work *work, struct import_at at,
                                            struct bytes *out)
{
    const char *text = import_need(work, at);
    struct bytes_buf decoded = {0};
    struct gh_error err = {0};
    char *copy;

    if (text == NULL) {
        return NULL;
    }
    if (!bytes_base64_decode(bytes_of(text), BYTES_BASE64_STANDARD, &decoded, &err)) {
        (void)import_refuse(work, at, "expected base64: %s", err.text);
        return NULL;
    }
    copy = arena_copy(work->arena, decoded.data, decoded.len);
    *out = bytes_make(copy, copy == NULL ? 0 : decoded.len);
    bytes_buf_done(&decoded);
    return copy == NULL ? work->nothing : copy;
}

/* Paths of the keys of `FIELD`: a path, a list of paths, or data in base64. */
static bool import_containers_keys(struct import_work *work, struct import_at at, const char *field,
                                   bool is_pgp, struct import_strings *out)
{
    struct import_at value = import_get(work, at, field);
    bool is_list = field[strlen(field) - 1] == 's';
    bool is_data = strstr(field, "Data") != NULL;
    size_t count = is_list ? import_count(value) : 1;

    if (is_list && !import_list(work, value, 1)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct import_at item = is_list ? import_item(work, value, i) : value;
        struct bytes data = {0};
        const char *text =
            is_data ? import_containers_decode(work, item, &data) : import_need(work, item);

        if (text == NULL) {
            return false;
        }
        if (!is_data) {
            import_append(work, out, text);
        } else if (is_pgp) {
            const char *path = import_file_add(work, item, "keyring", ".gpg", data);

            if (path == NULL) {
                return false;
            }
            import_append(work, out, path);
        } else if (strlen(text) != data.len || !import_keys(work, item, "key", text, out)) {
            return strlen(text) == data.len ||
                   import_refuse(work, item, "expected a public key as PEM");
        }
    }
    return true;
}

static const char *import_containers_pgp(struct import_work *work, struct import_at at)
{
    static const struct import_field fields[] = {
        {"type", IMPORT_T, NULL},    {"keyType", IMPORT_T, NULL},
        {"keyPath", IMPORT_T, NULL}, {"keyPaths", IMPORT_T, NULL},
        {"keyData", IMPORT_T, NULL}, {"signedIdentity", IMPORT_T, NULL}};
    static const char *const keys[] = {"keyPath", "keyPaths", "keyData", NULL};
    static const char *const words[] = {"exact", "repository_digest_or_exact", "repository"};
    const char *lookaside = import_setting(work, "lookaside", NULL);
    struct import_containers_identity identity;
    struct import_strings paths = {0};
    struct import_strings signers = {0};
    const char *match;
    const char *key;

    if (!IMPORT_MAP(work, at, fields) ||
        import_word(work, import_get(work, at, "keyType"), "GPGKeys") < 0 ||
        !import_containers_identity(work, import_get(work, at, "signedIdentity"), &identity)) {
        return NULL;
    }
    key = import_containers_one(work, at, keys, true);
    if (key == NULL || !import_containers_keys(work, at, key, true, &paths)) {
        return NULL;
    }
    switch (identity.kind) {
    case IMPORT_MATCH_EXACT:
    case IMPORT_MATCH_DIGEST_OR_EXACT:
    case IMPORT_MATCH_REPOSITORY:
        match = words[identity.kind];
        break;
    case IMPORT_EXACT_REFERENCE:
    case IMPORT_EXACT_REPOSITORY:
        match = import_printf(work, "{%s: %s}",
                              identity.kind == IMPORT_EXACT_REFERENCE ? "exact" : "repository",
                              import_quote(work, identity.first));
        break;
    case IMPORT_REMAP:
        match = import_printf(work, "{remap: [%s, %s]}", import_quote(work, identity.first),
                              import_quote(work, identity.second));
        break;
    default:
        return NULL;
    }
    /* A key of any of the rings will do; a signer has one ring. */
    for (size_t i = 0; i < paths.count; i++) {
        const char *body = import_printf(
            work, "{openpgp: {keyring: %s%s%s, match_reference: %s}}",
            import_quote(work, paths.items[i]), lookaside == NULL ? "" : ", lookaside: ",
            lookaside == NULL ? "" : import_quote(work, lookaside), match);

        import_append(work, &signers,
                      import_printf(work, "{signature: %s}",
                                    import_quote(work, import_signer_add(work, "openpgp", body))));
    }
    return import_combine(work, "any", &signers);
}

static const char *import_containers_match(struct import_work *work, struct import_at at,
                                           const struct import_containers_identity *identity)
{
    switch (identity->kind) {
    case IMPORT_MATCH_EXACT:
        return "exact";
    case IMPORT_MATCH_DIGEST_OR_EXACT:
        (void)import_say(work, IMPORT_A, at,
                         "matchRepoDigestOrExact (the default) becomes match_reference: exact, "
                         "also for pulls by digest; write matchRepository for images that cosign "
                         "signed");
        return "exact";
    case IMPORT_MATCH_REPOSITORY:
        return "repository";
    case IMPORT_EXACT_REFERENCE:
    case IMPORT_EXACT_REPOSITORY:
    case IMPORT_REMAP:
        break;
    }
    (void)import_refuse(work, at,
                        "a sigstore signature for another name than the image's has no "
                        "equivalent; write matchRepository or matchExact");
    return NULL;
}

static const char *import_containers_fulcio(struct import_work *work, struct import_at at,
                                            const char *match)
{
    static const struct import_field fields[] = {{"caPath", IMPORT_T, NULL},
                                                 {"caData", IMPORT_T, NULL},
                                                 {"oidcIssuer", IMPORT_T, NULL},
                                                 {"subjectEmail", IMPORT_T, NULL}};
    static const char *const keys[] = {"caPath", "caData", NULL};
    const char *issuer;
    const char *subject;
    const char *root;

    if (!IMPORT_MAP(work, at, fields) || import_containers_one(work, at, keys, true) == NULL) {
        return NULL;
    }
    issuer = import_need(work, import_get(work, at, "oidcIssuer"));
    subject = import_need(work, import_get(work, at, "subjectEmail"));
    root = import_sigstore_root(work, at, "custom");
    if (issuer == NULL || subject == NULL || root == NULL) {
        return NULL;
    }
    if (strchr(subject, '*') != NULL) {
        (void)import_refuse(work, at, "a subject with * would be a pattern here");
        return NULL;
    }
    return import_printf(work,
                         "{keyless: {root: %s, issuer: %s, subject: %s, sct: off}, "
                         "match_reference: %s}",
                         import_quote(work, root), import_quote(work, issuer),
                         import_quote(work, subject), match);
}

static const char *import_containers_sigstore(struct import_work *work, struct import_at at)
{
    static const struct import_field fields[] = {
        {"type", IMPORT_T, NULL},
        {"keyPath", IMPORT_T, NULL},
        {"keyPaths", IMPORT_T, NULL},
        {"keyData", IMPORT_T, NULL},
        {"keyDatas", IMPORT_T, NULL},
        {"fulcio", IMPORT_T, NULL},
        {"pki", IMPORT_X,
         "certificates of an own authority have no equivalent in Sigstore signers; write the "
         "signing keys, or sign with notation"},
        {"rekorPublicKeyPath", IMPORT_T, NULL},
        {"rekorPublicKeyPaths", IMPORT_T, NULL},
        {"rekorPublicKeyData", IMPORT_T, NULL},
        {"rekorPublicKeyDatas", IMPORT_T, NULL},
        {"signedIdentity", IMPORT_T, NULL}};
    static const char *const keys[] = {"keyPath", "keyPaths", "keyData", "keyDatas",
                                       "fulcio",  "pki",      NULL};
    static const char *const logs[] = {"rekorPublicKeyPath", "rekorPublicKeyPaths",
                                       "rekorPublicKeyData", "rekorPublicKeyDatas", NULL};
    struct import_containers_identity identity;
    struct import_strings paths = {0};
    const char *list = "";
    const char *tail = "";
    const char *match;
    const char *key;
    const char *log;

    if (!IMPORT_MAP(work, at, fields) ||
        !import_containers_identity(work, import_get(work, at, "signedIdentity"), &identity)) {
        return NULL;
    }
    key = import_containers_one(work, at, keys, true);
    log = import_containers_one(work, at, logs, false);
    match = import_containers_match(work, at, &identity);
    if (key == NULL || match == NULL || strcmp(key, "pki") == 0) {
        return NULL;
    }
    if (strcmp(key, "fulcio") == 0) {
        if (log == NULL) {
            (void)import_refuse(work, at, "fulcio needs a Rekor public key");
            return NULL;
        }
        return import_containers_fulcio(work, import_get(work, at, "fulcio"), match);
    }
    if (!import_containers_keys(work, at, key, false, &paths)) {
        return NULL;
    }
    for (size_t i = 0; i < paths.count; i++) {
        list = import_printf(work, "%s%s{file: %s}", list, i > 0 ? ", " : "",
                             import_quote(work, paths.items[i]));
    }
    if (log != NULL) {
        const char *root = import_sigstore_root(work, import_get(work, at, log), "custom");

        tail = root == NULL
                   ? ""
                   : import_printf(work, ", tlog: required, root: %s", import_quote(work, root));
    }
    return import_printf(work, "{keys: [%s]%s, match_reference: %s}", list, tail, match);
}

/* One requirement; its effect on the whole array in POLICY. */
static void import_containers_requirement(struct import_work *work, struct import_at at,
                                          struct import_policy *policy, bool *is_open)
{
    static const struct import_field bare[] = {{"type", IMPORT_T, NULL}};
    const char *item = NULL;
    const char *body;

    switch (import_word(work, import_get(work, at, "type"),
                        "insecureAcceptAnything|reject|signedBy|sigstoreSigned")) {
    case 0:
        (void)IMPORT_MAP(work, at, bare);
        return;
    case 1:
        (void)IMPORT_MAP(work, at, bare);
        policy->decision = IMPORT_REJECT;
        break;
    case 2:
        item = import_containers_pgp(work, at);
        break;
    case 3:
        body = import_containers_sigstore(work, at);
        item = body == NULL
                   ? NULL
                   : import_printf(work, "{signature: %s}",
                                   import_quote(work, import_signer_add(work, "sigstore", body)));
        break;
    default:
        break;
    }
    *is_open = false;
    if (item != NULL) {
        policy->require =
            policy->require == NULL ? item : import_printf(work, "%s, %s", policy->require, item);
    }
}

static void import_containers_requirements(struct import_work *work, struct import_at at,
                                           struct import_policy *policy)
{
    bool is_open = true;

    if (!import_list(work, at, 1)) {
        return;
    }
    for (size_t i = 0; i < import_count(at); i++) {
        import_containers_requirement(work, import_item(work, at, i), policy, &is_open);
    }
    if (is_open) {
        policy->decision = IMPORT_UNVERIFIED;
    }
}

/* The patterns of a docker scope. */
static void import_containers_scope(struct import_work *work, struct import_at at,
                                    const char *scope, struct import_strings *out)
{
    const char *slash = strrchr(scope, '/');
    const char *hub = "docker.io/";

    if (scope[0] == '\0') {
        import_append(work, out, "**");
    } else if (slash != NULL && strchr(slash, '@') != NULL) {
        (void)import_pattern_add(work, at, scope, out);
    } else if (slash != NULL && strchr(slash, ':') != NULL) {
        (void)import_refuse(work, at,
                            "\"%.150s\" is about a tag, and tags move; write the repository, or "
                            "NAME@sha256:…",
                            scope);
    } else if (slash == NULL ? strchr(scope, '*') != NULL && strncmp(scope, "*.", 2) != 0
                             : strchr(scope, '*') != NULL) {
        (void)import_refuse(work, at, "\"%.150s\": a * stands in front of a domain alone", scope);
    } else {
        /* docker.io/NAME is a namespace there, and library/NAME as a pattern here. */
        if (slash != NULL &&
            (strncmp(scope, hub, strlen(hub)) != 0 || strchr(scope + strlen(hub), '/') != NULL)) {
            (void)import_pattern_add(work, at, scope, out);
        }
        (void)import_pattern_add(work, at, import_printf(work, "%s/**", scope), out);
    }
}

/* Whether INNER is a more specific scope than OUTER and lies in it. */
static bool import_containers_contains(const char *outer, const char *inner)
{
    size_t len = strlen(outer);
    size_t host = strcspn(inner, "/");

    if (strcmp(outer, inner) == 0 || outer[0] == '\0') {
        return outer[0] == '\0' && inner[0] != '\0';
    }
    if (strncmp(outer, "*.", 2) == 0) {
        return host >= len && strncmp(inner + host - (len - 1), outer + 1, len - 1) == 0;
    }
    return strncmp(inner, outer, len) == 0 &&
           (inner[len] == '/' ||
            (strchr(outer, '/') != NULL && (inner[len] == '@' || inner[len] == ':')));
}

/* What other transports say must be harmless: a gateway serves registries alone. */
static void import_containers_transport(struct import_work *work, struct import_at at)
{
    static const struct import_field bare[] = {
        {"type", IMPORT_N, "a gateway serves no such transport"}};

    if (at.node == NULL || at.node->kind != YAML_MAP) {
        (void)import_refuse(work, at, "expected a mapping");
        return;
    }
    for (const struct yaml_node *child = at.node->child; child != NULL; child = child->next) {
        struct import_at list = import_get(work, at, child->key);

        for (size_t i = 0; import_list(work, list, 1) && i < list.node->count; i++) {
            struct import_at item = import_item(work, list, i);

            if (import_word(work, import_get(work, item, "type"),
                            "insecureAcceptAnything|reject") >= 0) {
                (void)IMPORT_MAP(work, item, bare);
            }
        }
    }
}

static void import_containers_narrow(struct import_work *work, const char *const *scopes)
{
    for (size_t i = 0; i < work->policy_count; i++) {
        for (size_t k = 0; k < work->policy_count; k++) {
            const struct import_policy *inner = &work->policies[k];

            if (!import_containers_contains(scopes[i], scopes[k])) {
                continue;
            }
            for (size_t m = 0; m < inner->images.count; m++) {
                import_append(work, &work->policies[i].except, inner->images.items[m]);
            }
        }
    }
    /* Rejected scopes are exceptions of what contains them already, and must not become
     * exceptions of what they contain. */
    for (size_t i = 0, kept = 0, count = work->policy_count; i < count; i++) {
        if (work->policies[i].decision != IMPORT_REJECT) {
            work->policies[kept++] = work->policies[i];
        }
        work->policy_count = i + 1 == count ? kept : work->policy_count;
    }
}

void import_containers(struct import_work *work)
{
    static const struct import_field fields[] = {{"default", IMPORT_T, NULL},
                                                 {"transports", IMPORT_T, NULL}};
    struct import_at root;
    struct import_at docker;
    struct import_at transports;
    struct import_at rest;
    const char **scopes = arena_alloc(work->arena, IMPORT_MAX_POLICIES, sizeof(*scopes));
    struct import_policy *policy;

    if (work->tree_count != 1 || scopes == NULL) {
        (void)import_refuse(work, ((struct import_at){.path = ""}),
                            "expected one policy, found %zu", work->tree_count);
        return;
    }
    root = import_root(&work->trees[0]);
    transports = import_get(work, root, "transports");
    docker = import_get(work, transports, "docker");
    if (!IMPORT_MAP(work, root, fields) ||
        !import_list(work, import_get(work, root, "default"), 1) ||
        (transports.node != NULL && transports.node->kind != YAML_MAP) ||
        (docker.node != NULL && docker.node->kind != YAML_MAP)) {
        (void)import_refuse(work, root, "expected `default`, a list, and `transports`, a mapping");
        return;
    }
    for (const struct yaml_node *child = transports.node == NULL ? NULL : transports.node->child;
         child != NULL; child = child->next) {
        if (strcmp(child->key, "docker") != 0) {
            import_containers_transport(work, import_get(work, transports, child->key));
        }
    }
    for (const struct yaml_node *child = docker.node == NULL ? NULL : docker.node->child;
         child != NULL && work->policy_count < IMPORT_MAX_POLICIES - 1; child = child->next) {
        struct import_at at = import_get(work, docker, child->key);

        if (child->key[0] == '\0') {
            continue;
        }
        scopes[work->policy_count] = child->key;
        policy = import_policy_add(work, at, child->key);
        import_containers_scope(work, at, child->key, &policy->images);
        import_containers_requirements(work, at, policy);
    }
    rest = import_get(work, docker, "");
    rest = rest.node == NULL ? import_get(work, root, "default") : rest;
    scopes[work->policy_count] = "";
    policy = import_policy_add(work, rest, "default");
    import_append(work, &policy->images, "**");
    import_containers_requirements(work, rest, policy);
    import_containers_narrow(work, scopes);
}
