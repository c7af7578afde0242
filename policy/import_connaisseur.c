/*
 * Connaisseur's `application` values. One rule counts for an image, the most specific; here wider
 * rules get the narrower ones as exceptions.
 *
 * Spec: sse-secure-systems/connaisseur, docs/basics.md and docs/validators
 */
#include <string.h>

#include "policy/import_work.h"

#define CONNAISSEUR_NO_CREDENTIALS                                                                 \
    "credentials belong to the upstream; remove it and write `credentials` there"

/* A rule under way. */
struct import_connaisseur {
    struct import_at validator;
    struct import_at with;
    const char *name;
    bool is_notation;
};

/* --- trust roots -------------------------------------------------------------------------- */

/* "public", or "custom" where the validator brings material of its own; NULL and refused. */
static const char *import_connaisseur_host(struct import_work *work, struct import_at validator)
{
    static const struct import_field fields[] = {{"rekor", IMPORT_T, NULL},
                                                 {"rekorPubkey", IMPORT_T, NULL},
                                                 {"fulcioCert", IMPORT_T, NULL},
                                                 {"ctLogPubkey", IMPORT_T, NULL}};
    struct import_at host = import_get(work, validator, "host");

    if (host.node == NULL) {
        return "public";
    }
    if (!IMPORT_MAP(work, host, fields)) {
        return NULL;
    }
    return "custom";
}

static const char *import_connaisseur_cosign(struct import_work *work,
                                             const struct import_connaisseur *rule,
                                             struct import_at root)
{
    static const struct import_field fields[] = {{"issuer", IMPORT_T, NULL},
                                                 {"issuerRegex", IMPORT_T, NULL},
                                                 {"subject", IMPORT_T, NULL},
                                                 {"subjectRegex", IMPORT_T, NULL}};
    struct import_at keyless = import_get(work, root, "keyless");
    struct import_at key = import_get(work, root, "key");
    bool is_logged =
        import_bool(work, import_get(work, rule->with, "verifyInTransparencyLog"), true);
    bool has_sct = import_bool(work, import_get(work, rule->with, "verifySCT"), true);
    const char *material = import_connaisseur_host(work, rule->validator);
    struct import_strings paths = {0};
    const char *sigstore;
    const char *subject;
    const char *issuer;
    const char *text;

    if (material == NULL) {
        return NULL;
    }
    if ((keyless.node == NULL) == (key.node == NULL)) {
        (void)import_refuse(work, root, "expected exactly one of key and keyless");
        return NULL;
    }
    sigstore = is_logged || keyless.node != NULL
                   ? import_sigstore_root(work, rule->validator, material)
                   : "";
    if (sigstore == NULL) {
        return NULL;
    }
    if (key.node != NULL) {
        text = import_need(work, key);
        if (text == NULL) {
            return NULL;
        }
        if (strstr(text, "://") != NULL) {
            import_append(work, &paths, import_printf(work, "{kms: %s}", import_quote(work, text)));
        } else if (import_keys(work, key, rule->name, text, &paths)) {
            paths.items[0] = import_printf(work, "{file: %s}", import_quote(work, paths.items[0]));
        } else {
            return NULL;
        }
        if (paths.count != 1) {
            (void)import_refuse(work, key, "expected one key");
            return NULL;
        }
        return import_printf(work, "{keys: [%s], tlog: %s%s%s}", paths.items[0],
                             is_logged ? "required" : "off", is_logged ? ", root: " : "",
                             is_logged ? import_quote(work, sigstore) : "");
    }
    if (!IMPORT_MAP(work, keyless, fields)) {
        return NULL;
    }
    issuer = import_either(work, keyless, "issuer", "Regex");
    subject = import_either(work, keyless, "subject", "Regex");
    if (issuer == NULL || subject == NULL) {
        return NULL;
    }
    if (!is_logged) {
        (void)import_say(work, IMPORT_A, keyless,
                         "without log or time stamp nothing proves when it was signed; the log "
                         "is asked for");
    }
    return import_printf(work, "{keyless: {root: %s, %s, %s, sct: %s}}",
                         import_quote(work, sigstore), issuer, subject,
                         has_sct ? "required" : "off");
}

static const char *import_connaisseur_notation(struct import_work *work,
                                               const struct import_connaisseur *rule,
                                               struct import_at root)
{
    static const char *const levels[] = {"strict", "permissive", "audit"};
    struct import_at level = import_get(work, rule->with, "verificationLevel");
    struct import_at time = import_get(work, rule->with, "verifyTimestamp");
    struct import_at stamp = import_get(work, root, "tsCert");
    int when = time.node == NULL ? 0 : import_word(work, time, "always|afterCertExpiry");
    int word = level.node == NULL ? 0 : import_word(work, level, "strict|permissive|audit");
    const char *cert = import_need(work, import_get(work, root, "cert"));
    const char *tsa = import_text(work, stamp);
    const char *path;
    const char *name;

    if (cert == NULL || word < 0 || when < 0) {
        return NULL;
    }
    if (strstr(cert, "-----BEGIN CERTIFICATE-----") == NULL) {
        (void)import_refuse(work, import_get(work, root, "cert"), "expected certificates as PEM");
        return NULL;
    }
    path = import_file_add(work, root, rule->name, ".pem",
                           bytes_of(import_printf(work, "%s\n", cert)));
    tsa = tsa == NULL ? ""
                      : import_file_add(work, stamp, import_printf(work, "%s-tsa", rule->name),
                                        ".pem", bytes_of(import_printf(work, "%s\n", tsa)));
    if (path == NULL || tsa == NULL) {
        return NULL;
    }
    name = import_root_add(work, rule->name,
                           import_printf(work, "{ca: [%s]%s%s%s}", import_quote(work, path),
                                         tsa[0] == '\0' ? "" : ", tsa: [",
                                         tsa[0] == '\0' ? "" : import_quote(work, tsa),
                                         tsa[0] == '\0' ? "" : "]"));
    return import_printf(work,
                         "{notation: {root: %s, identities: [\"*\"], level: %s, "
                         "verify_timestamp: %s}}",
                         import_quote(work, name), levels[word],
                         when == 1 ? "after_cert_expiry" : "always");
}

/* The requirement of one trust root; NULL and refused. */
static const char *import_connaisseur_root(struct import_work *work,
                                           const struct import_connaisseur *rule,
                                           struct import_at root)
{
    static const struct import_field fields[] = {{"name", IMPORT_T, NULL},
                                                 {"key", IMPORT_T, NULL},
                                                 {"keyless", IMPORT_T, NULL},
                                                 {"cert", IMPORT_T, NULL},
                                                 {"tsCert", IMPORT_T, NULL}};
    struct import_connaisseur inner = *rule;
    const char *name;
    const char *body;

    if (!IMPORT_MAP(work, root, fields)) {
        return NULL;
    }
    name = import_need(work, import_get(work, root, "name"));
    if (name == NULL) {
        return NULL;
    }
    inner.name = import_printf(work, "%s-%s", rule->name, name);
    if (rule->is_notation != (import_get(work, root, "cert").node != NULL)) {
        (void)import_refuse(work, root,
                            rule->is_notation ? "notation needs a cert"
                                              : "a cert is for type notation");
        return NULL;
    }
    body = rule->is_notation ? import_connaisseur_notation(work, &inner, root)
                             : import_connaisseur_cosign(work, &inner, root);
    return body == NULL
               ? NULL
               : import_printf(work, "{signature: %s}",
                               import_quote(work, import_signer_add(work, inner.name, body)));
}

/* --- rules -------------------------------------------------------------------------------- */

static struct import_at import_connaisseur_find(struct import_work *work, struct import_at list,
                                                const char *name)
{
    for (size_t i = 0; i < import_count(list); i++) {
        struct import_at at = import_item(work, list, i);
        const char *known = import_text(work, import_get(work, at, "name"));

        if (known != NULL && strcmp(known, name) == 0) {
            return at;
        }
    }
    return (struct import_at){.path = list.path, .tree = list.tree};
}

/* "*": all roots, or `threshold` of them, and the `required` ones in any case. */
static const char *import_connaisseur_all(struct import_work *work,
                                          const struct import_connaisseur *rule,
                                          struct import_at roots)
{
    struct import_at required = import_get(work, rule->with, "required");
    struct import_at threshold = import_get(work, rule->with, "threshold");
    struct import_strings all = {0};
    const char *list = "";
    const char *out = "";
    int64_t wanted = import_int(work, threshold, 0);

    for (size_t i = 0; i < import_count(roots); i++) {
        const char *item = import_connaisseur_root(work, rule, import_item(work, roots, i));

        if (item == NULL) {
            return NULL;
        }
        import_append(work, &all, item);
        list = import_printf(work, "%s%s%s", list, i > 0 ? ", " : "", item);
    }
    for (size_t i = 0; import_list(work, required, 0) && i < import_count(required); i++) {
        const char *name = import_need(work, import_item(work, required, i));
        struct import_at root = import_connaisseur_find(work, roots, name == NULL ? "" : name);
        const char *item = root.node == NULL ? NULL : import_connaisseur_root(work, rule, root);

        if (item == NULL) {
            (void)import_refuse(work, required, "required names no trust root of the validator");
            return NULL;
        }
        out = import_printf(work, "%s%s%s", out, i > 0 ? ", " : "", item);
    }
    if (threshold.node == NULL) {
        return required.node == NULL ? list : out;
    }
    if (wanted < 1 || wanted > (int64_t)all.count) {
        (void)import_refuse(work, threshold, "expected 1 to %zu, the number of trust roots",
                            all.count);
        return NULL;
    }
    return import_printf(work, "%s%s{at_least: %lld, of: [%s]}", out, out[0] == '\0' ? "" : ", ",
                         (long long)wanted, list);
}

static void import_connaisseur_verify(struct import_work *work, struct import_policy *policy,
                                      struct import_connaisseur *rule)
{
    struct import_at roots = import_get(work, rule->validator, "trustRoots");
    struct import_at chosen = import_get(work, rule->with, "trustRoot");
    const char *name = chosen.node == NULL ? "default" : import_need(work, chosen);
    struct import_at root;

    if (name == NULL || !import_list(work, roots, 1)) {
        return;
    }
    if (strcmp(name, "*") == 0) {
        policy->require = import_connaisseur_all(work, rule, roots);
        return;
    }
    if (import_get(work, rule->with, "threshold").node != NULL ||
        import_get(work, rule->with, "required").node != NULL) {
        (void)import_refuse(work, rule->with, "threshold and required need trustRoot: \"*\"");
        return;
    }
    root = import_connaisseur_find(work, roots, name);
    if (root.node == NULL) {
        (void)import_refuse(work, roots, "no trust root \"%.100s\"", name);
        return;
    }
    policy->require = import_connaisseur_root(work, rule, root);
}

/* The patterns of a rule. Those that deny stay unanchored, as there: a narrower denial would be
 * looser; those that verify begin at the registry, which is stricter. */
static void import_connaisseur_pattern(struct import_work *work, struct import_at at,
                                       bool is_denying, struct import_strings *out)
{
    const char *pattern = import_need(work, at);
    const char *slash;

    if (pattern == NULL) {
        return;
    }
    slash = strrchr(pattern, '/');
    if (slash == NULL && strchr(pattern, ':') != NULL) {
        pattern = import_printf(work, "%.*s", (int)strcspn(pattern, ":"), pattern);
    } else if (strchr(slash == NULL ? pattern : slash, ':') == NULL &&
               pattern[strlen(pattern) - 1] != '*') {
        pattern = import_printf(work, "%s*", pattern); /* it appends one */
    }
    if (pattern[0] != '*') {
        (void)import_say(work, is_denying ? IMPORT_T : IMPORT_A, at,
                         is_denying ? "as there it denies wherever the pattern stands in a name"
                                    : "it begins at the registry; there text may stand in front");
    }
    (void)import_pattern(work, at, pattern, IMPORT_STAR_CROSSES, IMPORT_X, out);
    if (is_denying && pattern[0] != '*') {
        (void)import_pattern(work, at, import_printf(work, "*%s", pattern), IMPORT_STAR_CROSSES,
                             IMPORT_X, out);
    }
}

static void import_connaisseur_rule(struct import_work *work, struct import_at rule,
                                    struct import_at validators, bool is_detecting)
{
    static const struct import_field fields[] = {
        {"pattern", IMPORT_T, NULL}, {"validator", IMPORT_T, NULL}, {"with", IMPORT_T, NULL}};
    static const struct import_field inner[] = {
        {"trustRoot", IMPORT_T, NULL},
        {"threshold", IMPORT_T, NULL},
        {"required", IMPORT_T, NULL},
        {"delegations", IMPORT_X, "Docker Content Trust is at its end; sign with cosign"},
        {"verifyInTransparencyLog", IMPORT_T, NULL},
        {"verifySCT", IMPORT_T, NULL},
        {"verificationLevel", IMPORT_T, NULL},
        {"verifyTimestamp", IMPORT_T, NULL},
        {"mode", IMPORT_N, "pulls are served by the digest that was verified"}};
    static const struct import_field validator[] = {
        {"name", IMPORT_T, NULL},
        {"type", IMPORT_T, NULL},
        {"approve", IMPORT_T, NULL},
        {"trustRoots", IMPORT_T, NULL},
        {"host", IMPORT_T, NULL},
        {"auth", IMPORT_X, CONNAISSEUR_NO_CREDENTIALS},
        {"cert", IMPORT_X, "a registry's authority belongs to the upstream; write its `ca`"}};
    struct import_connaisseur state = {.with = import_get(work, rule, "with")};
    struct import_at chosen = import_get(work, rule, "validator");
    struct import_policy *policy;
    const char *name = chosen.node == NULL ? "default" : import_need(work, chosen);
    int type;

    if (!IMPORT_MAP(work, rule, fields) || name == NULL ||
        (state.with.node != NULL && !IMPORT_MAP(work, state.with, inner))) {
        return;
    }
    state.validator = import_connaisseur_find(work, validators, name);
    state.name = name;
    if (state.validator.node == NULL) {
        (void)import_refuse(work, rule, "no validator \"%.100s\"", name);
        return;
    }
    if (!IMPORT_MAP(work, state.validator, validator)) {
        return;
    }
    type = import_word(work, import_get(work, state.validator, "type"), "static|cosign|notation");
    policy = import_policy_add(work, rule,
                               import_printf(work, "rule-%zu-%s", work->policy_count + 1, name));
    policy->mode = is_detecting ? "warn" : "deny";
    if (type == 0) {
        struct import_at approve = import_get(work, state.validator, "approve");

        if (approve.node == NULL) {
            (void)import_refuse(work, state.validator, "approve is missing");
        }
        policy->decision = import_bool(work, approve, false) ? IMPORT_UNVERIFIED : IMPORT_REJECT;
        if (policy->decision == IMPORT_REJECT && is_detecting) {
            policy->decision = IMPORT_UNVERIFIED;
        }
    } else if (type > 0) {
        state.is_notation = type == 2;
        import_connaisseur_verify(work, policy, &state);
    }
    import_connaisseur_pattern(work, import_get(work, rule, "pattern"),
                               policy->decision == IMPORT_REJECT, &policy->images);
}

/* --- the most specific rule --------------------------------------------------------------- */

static size_t import_connaisseur_literal(const char *text)
{
    return strcspn(text, "*");
}

/* Over 0 where A is more specific than B, as it compares patterns. */
static int import_connaisseur_compare(const char *a, const char *b)
{
    size_t parts[2] = {1, 1};
    const char *texts[2] = {a, b};

    for (size_t i = 0; i < 2; i++) {
        for (const char *c = texts[i]; *c != '\0'; c++) {
            parts[i] += *c == '/' ? 1 : 0;
        }
    }
    if (parts[0] != parts[1]) {
        return parts[0] > parts[1] ? 1 : -1;
    }
    while (*a != '\0' || *b != '\0') {
        size_t len[2] = {strcspn(a, "/"), strcspn(b, "/")};
        size_t literal[2] = {import_connaisseur_literal(a), import_connaisseur_literal(b)};

        literal[0] = literal[0] < len[0] ? literal[0] : len[0];
        literal[1] = literal[1] < len[1] ? literal[1] : len[1];
        if (literal[0] != literal[1]) {
            return literal[0] > literal[1] ? 1 : -1;
        }
        if (len[0] != len[1]) {
            return len[0] > len[1] ? 1 : -1;
        }
        a += len[0] + (a[len[0]] == '/' ? 1 : 0);
        b += len[1] + (b[len[1]] == '/' ? 1 : 0);
    }
    return 0;
}

static void import_connaisseur_narrow(struct import_work *work)
{
    size_t kept = 0;

    for (size_t i = 0; i < work->policy_count; i++) {
        struct import_policy *outer = &work->policies[i];
        const struct yaml_node *mine = yaml_get(outer->at.node, "pattern");

        if (mine == NULL || mine->text == NULL) {
            continue; /* refused where it was read */
        }
        for (size_t k = 0; k < work->policy_count; k++) {
            const struct import_policy *inner = &work->policies[k];
            const struct yaml_node *other = yaml_get(inner->at.node, "pattern");
            int order = other == NULL || other->text == NULL || k == i
                            ? -1
                            : import_connaisseur_compare(other->text, mine->text);
            size_t common = 0;

            while (order == 0 && mine->text[common] == other->text[common] &&
                   mine->text[common] != '\0' && mine->text[common] != '*') {
                common++;
            }
            if (order == 0 && (mine->text[common] == other->text[common] ||
                               mine->text[common] == '*' || other->text[common] == '*')) {
                (void)import_refuse(work, outer->at,
                                    "\"%.80s\" and \"%.80s\" are equally specific; write one of "
                                    "them narrower",
                                    mine->text, other->text);
            }
            for (size_t m = 0; order > 0 && m < inner->images.count; m++) {
                import_append(work, &outer->except, inner->images.items[m]);
            }
        }
    }
    for (size_t i = 0; i < work->policy_count; i++) {
        if (work->policies[i].decision != IMPORT_REJECT) {
            work->policies[kept++] = work->policies[i];
        }
    }
    work->policy_count = kept;
}

static bool import_connaisseur_features(struct import_work *work, struct import_at at)
{
    static const struct import_field fields[] = {
        {"detectionMode", IMPORT_T, NULL},
        {"namespacedValidation", IMPORT_A, "asked of every pull"},
        {"automaticChildApproval", IMPORT_A, "every pull is decided"},
        {"automaticUnchangedApproval", IMPORT_A, "every pull is decided"},
        {"cache", IMPORT_N, "verdicts are cached by what they rest on"},
        {"resourceValidationMode", IMPORT_X, "a pull has no kind of object; remove it"}};

    return at.node != NULL && IMPORT_MAP(work, at, fields) &&
           import_bool(work, import_get(work, at, "detectionMode"), false);
}

void import_connaisseur(struct import_work *work)
{
    static const struct import_field fields[] = {
        {"validators", IMPORT_T, NULL},
        {"policy", IMPORT_T, NULL},
        {"features", IMPORT_T, NULL},
        {"alerting", IMPORT_N, "the gateway has metrics, log and audit records"}};
    struct import_at root;
    struct import_at application;
    struct import_at validators;
    struct import_at policy;
    bool is_detecting;

    if (work->tree_count != 1) {
        (void)import_refuse(work, ((struct import_at){.path = ""}), "expected one document");
        return;
    }
    root = import_root(&work->trees[0]);
    application = import_get(work, root, "application");
    for (const struct yaml_node *child = application.node == NULL ? NULL : root.node->child;
         child != NULL; child = child->next) {
        if (strcmp(child->key, "application") != 0) {
            (void)import_say(work, IMPORT_N, import_get(work, root, child->key),
                             "how Connaisseur itself is deployed");
        }
    }
    application = application.node == NULL ? root : application;
    if (!IMPORT_MAP(work, application, fields)) {
        return;
    }
    validators = import_get(work, application, "validators");
    policy = import_get(work, application, "policy");
    is_detecting = import_connaisseur_features(work, import_get(work, application, "features"));
    if (!import_list(work, validators, 1) || !import_list(work, policy, 1)) {
        return;
    }
    for (size_t i = 0; i < import_count(policy); i++) {
        import_connaisseur_rule(work, import_item(work, policy, i), validators, is_detecting);
    }
    import_connaisseur_narrow(work);
}
