/*
 * The `verifyImages` rules of Kyverno's ClusterPolicy and Policy: which images, in which mode, by
 * whom. Who signs is import_kyverno_attestor.c's.
 *
 * Spec: kyverno.io/v1 and v2beta1
 */
#include <string.h>

#include "policy/import_kyverno.h"

const char *import_kyverno_text(struct import_work *work, struct import_at at)
{
    const char *text = import_text(work, at);

    if (text != NULL && strstr(text, "{{") != NULL) {
        (void)import_refuse(work, at, "a variable of the cluster; write its value");
        return NULL;
    }
    return text;
}

const char *import_kyverno_need(struct import_work *work, struct import_at at)
{
    const char *text = import_kyverno_text(work, at);

    if (at.node == NULL || (text != NULL && text[0] == '\0')) {
        (void)import_refuse(work, at, "it is missing or empty, and must be there");
        return NULL;
    }
    return text;
}

static void import_kyverno_patterns(struct import_work *work, struct import_at list,
                                    struct import_strings *out)
{
    if (!import_list(work, list, 1)) {
        return;
    }
    for (size_t i = 0; i < import_count(list); i++) {
        struct import_at at = import_item(work, list, i);
        const char *text = import_kyverno_need(work, at);

        if (text != NULL) {
            (void)import_pattern(work, at, text, IMPORT_STAR_CROSSES, IMPORT_A, out);
        }
    }
}

/* --- conditions --------------------------------------------------------------------------- */

/* `{{ a.b.c }}` as /a/b/c; NULL where it is anything else. */
static const char *import_kyverno_pointer(struct import_work *work, const char *key)
{
    const char *begin = strncmp(key, "{{", 2) == 0 ? key + 2 : NULL;
    size_t len;
    char *out;

    if (begin == NULL) {
        return NULL;
    }
    begin += strspn(begin, " ");
    len = strspn(begin, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    if (len == 0 || strcmp(begin + len + strspn(begin + len, " "), "}}") != 0 || begin[0] == '.' ||
        begin[len - 1] == '.' || strstr(begin, "..") != NULL) {
        return NULL;
    }
    out = import_printf(work, "/%.*s", (int)len, begin);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '.' ? '/' : *c;
    }
    return out;
}

static const char *import_kyverno_value(struct import_work *work, struct import_at at)
{
    if (at.node == NULL || at.node->kind != YAML_SCALAR) {
        (void)import_refuse(work, at, "expected one value");
        return NULL;
    }
    if (at.node->type != YAML_TEXT) {
        return at.node->text;
    }
    if (strpbrk(at.node->text, "*?") != NULL || strstr(at.node->text, "{{") != NULL) {
        (void)import_refuse(work, at, "wildcards and variables have no equivalent in a value");
        return NULL;
    }
    return import_quote(work, at.node->text);
}

/* One condition as an item of `where`; NULL and refused. */
static const char *import_kyverno_condition(struct import_work *work, struct import_at at)
{
    static const struct import_field fields[] = {{"key", IMPORT_T, NULL},
                                                 {"operator", IMPORT_T, NULL},
                                                 {"value", IMPORT_T, NULL},
                                                 {"message", IMPORT_N, "the gateway has its own"}};
    static const char *const tests[] = {"equals", "equals", "not_equals", "not_equals", "in",
                                        "in",     "not_in", "not_in",     "min",        "max"};
    struct import_at value = import_get(work, at, "value");
    const char *pointer;
    const char *key;
    const char *list = "";
    int word;

    if (!IMPORT_MAP(work, at, fields)) {
        return NULL;
    }
    key = import_need(work, import_get(work, at, "key"));
    word = import_word(work, import_get(work, at, "operator"),
                       "Equals|Equal|NotEquals|NotEqual|AnyIn|In|AnyNotIn|NotIn|"
                       "GreaterThanOrEquals|LessThanOrEquals");
    pointer = key == NULL ? NULL : import_kyverno_pointer(work, key);
    if (key != NULL && pointer == NULL) {
        (void)import_refuse(work, import_get(work, at, "key"),
                            "expected a plain path, {{ a.b.c }}; write what it computes as "
                            "`where:` by hand");
    }
    if (pointer == NULL || word < 0) {
        return NULL;
    }
    if (word < 4 || word > 7) {
        const char *text = import_kyverno_value(work, value);

        return text == NULL ? NULL
                            : import_printf(work, "{path: %s, %s: %s}", import_quote(work, pointer),
                                            tests[word], text);
    }
    if (!import_list(work, value, 1)) {
        return NULL;
    }
    for (size_t i = 0; i < import_count(value); i++) {
        const char *text = import_kyverno_value(work, import_item(work, value, i));

        if (text == NULL) {
            return NULL;
        }
        list = import_printf(work, "%s%s%s", list, i > 0 ? ", " : "", text);
    }
    return import_printf(work, "{path: %s, %s: [%s]}", import_quote(work, pointer), tests[word],
                         list);
}

/* `, where: [...]`, or "" without conditions. */
static const char *import_kyverno_where(struct import_work *work, struct import_at blocks)
{
    static const struct import_field fields[] = {{"any", IMPORT_T, NULL}, {"all", IMPORT_T, NULL}};
    const char *out = "";

    if (!import_list(work, blocks, 0)) {
        return "";
    }
    for (size_t i = 0; i < import_count(blocks); i++) {
        struct import_at block = import_item(work, blocks, i);

        if (!IMPORT_MAP(work, block, fields)) {
            continue;
        }
        for (size_t k = 0; k < GH_COUNT(fields); k++) {
            struct import_at list = import_get(work, block, fields[k].name);

            if (k == 0 && import_count(list) > 1) {
                (void)import_refuse(work, list, "conditions must all hold; write several rules");
                continue;
            }
            for (size_t m = 0; import_list(work, list, 0) && m < import_count(list); m++) {
                const char *text = import_kyverno_condition(work, import_item(work, list, m));

                out = text == NULL
                          ? out
                          : import_printf(work, "%s%s%s", out, out[0] == '\0' ? "" : ", ", text);
            }
        }
    }
    return out[0] == '\0' ? "" : import_printf(work, ", where: [%s]", out);
}

/* --- rules -------------------------------------------------------------------------------- */

static void import_kyverno_attestations(struct import_work *work, struct import_at list,
                                        const struct import_kyverno *rule,
                                        struct import_strings *out)
{
    static const struct import_field fields[] = {{"name", IMPORT_N, "for messages"},
                                                 {"type", IMPORT_T, NULL},
                                                 {"predicateType", IMPORT_T, NULL},
                                                 {"attestors", IMPORT_T, NULL},
                                                 {"conditions", IMPORT_T, NULL}};

    for (size_t i = 0; import_list(work, list, 0) && i < import_count(list); i++) {
        struct import_at at = import_item(work, list, i);
        struct import_at attestors = import_get(work, at, "attestors");
        struct import_kyverno inner = *rule;
        struct import_at name;
        const char *type;

        if (!IMPORT_MAP(work, at, fields)) {
            continue;
        }
        name = import_get(work, at, "type");
        name = name.node == NULL ? import_get(work, at, "predicateType") : name;
        type = import_kyverno_need(work, name);
        if (rule->type == KYVERNO_NOTARY) {
            (void)import_refuse(work, at,
                                "attestations that notation signed as artifacts have no "
                                "equivalent; attest with cosign");
            continue;
        }
        if (type != NULL && strchr(type, ':') == NULL) {
            (void)import_refuse(work, name, "\"%.100s\" is no predicate type; write its URI", type);
            continue;
        }
        if (import_count(attestors) == 0) {
            (void)import_refuse(work, at,
                                "without attestors it takes statements of anybody; name who "
                                "signs them");
            continue;
        }
        if (type != NULL) {
            inner.before =
                import_printf(work, "{attestation: %s, signer: ", import_quote(work, type));
            /* There every statement of the type must satisfy. */
            inner.after =
                import_printf(work, ", every: true%s}",
                              import_kyverno_where(work, import_get(work, at, "conditions")));
            import_kyverno_attestors(work, attestors, &inner, 0, out);
        }
    }
}

static void import_kyverno_credentials(struct import_work *work, struct import_at at)
{
    static const struct import_field fields[] = {
        {"allowInsecureRegistry", IMPORT_T, NULL},
        {"providers", IMPORT_N, "credentials belong to the upstream"},
        {"secrets", IMPORT_X,
         "credentials belong to the upstream; remove it and write "
         "`credentials` there"}};

    if (at.node != NULL && IMPORT_MAP(work, at, fields) &&
        import_bool(work, import_get(work, at, "allowInsecureRegistry"), false)) {
        (void)import_refuse(work, import_get(work, at, "allowInsecureRegistry"),
                            "remove it and give the upstream an http:// url or its `ca`");
    }
}

static void import_kyverno_mode(struct import_work *work, struct import_at spec,
                                struct import_at item, struct import_policy *policy)
{
    struct import_at action = import_get(work, item, "failureAction");

    action = action.node == NULL ? import_get(work, spec, "validationFailureAction") : action;
    policy->mode = "audit"; /* its default */
    if (action.node != NULL && import_word(work, action, "Audit|audit|Enforce|enforce") >= 2) {
        policy->mode = "deny";
    }
    /* Who changes no tag into a digest, and asks for one, refuses tags. */
    policy->is_digest_required = !import_bool(work, import_get(work, item, "mutateDigest"), true) &&
                                 import_bool(work, import_get(work, item, "verifyDigest"), true);
}

static void import_kyverno_item(struct import_work *work, struct import_at spec,
                                struct import_at item, const char *name)
{
    static const struct import_field fields[] = {
        {"type", IMPORT_T, NULL},
        {"image", IMPORT_T, NULL},
        {"imageReferences", IMPORT_T, NULL},
        {"skipImageReferences", IMPORT_A, "except; what no policy covers is denied here"},
        {"attestors", IMPORT_T, NULL},
        {"attestations", IMPORT_T, NULL},
        {"key", IMPORT_T, NULL},
        {"roots", IMPORT_T, NULL},
        {"subject", IMPORT_T, NULL},
        {"issuer", IMPORT_T, NULL},
        {"additionalExtensions", IMPORT_T, NULL},
        {"annotations", IMPORT_T, NULL},
        {"repository", IMPORT_T, NULL},
        {"mutateDigest", IMPORT_T, NULL},
        {"verifyDigest", IMPORT_T, NULL},
        {"required", IMPORT_A, "what no policy covers is denied here"},
        {"useCache", IMPORT_N, "verdicts are cached by what they rest on"},
        {"failureAction", IMPORT_T, NULL},
        {"cosignOCI11", IMPORT_N, "referrers and tags are both looked at"},
        {"imageRegistryCredentials", IMPORT_T, NULL},
        {"validate", IMPORT_X,
         "conditions across attestations have no equivalent; write them per attestation"}};
    struct import_kyverno rule = {.before = "{signature: ", .after = "}"};
    struct import_at image = import_get(work, item, "image");
    struct import_at type = import_get(work, item, "type");
    struct import_at skipped = import_get(work, item, "skipImageReferences");
    struct import_strings requires = {0};
    struct import_policy *policy;

    if (!IMPORT_MAP(work, item, fields)) {
        return;
    }
    policy = import_policy_add(work, item, name);
    rule.name = policy->name;
    rule.item = item;
    if (type.node != NULL) {
        int word = import_word(work, type, "Cosign|SigstoreBundle|Notary");

        rule.type = word < 0 ? KYVERNO_COSIGN : (enum import_kyverno_type)word;
    }
    import_kyverno_mode(work, spec, item, policy);
    import_kyverno_credentials(work, import_get(work, item, "imageRegistryCredentials"));
    if (image.node != NULL) {
        const char *text = import_kyverno_need(work, image);

        if (text != NULL) {
            (void)import_pattern(work, image, text, IMPORT_STAR_CROSSES, IMPORT_A, &policy->images);
        }
    } else {
        import_kyverno_patterns(work, import_get(work, item, "imageReferences"), &policy->images);
    }
    if (skipped.node != NULL) {
        import_kyverno_patterns(work, skipped, &policy->except);
    }
    import_kyverno_legacy(work, &rule, &requires);
    import_kyverno_attestors(work, import_get(work, item, "attestors"), &rule, 0, &requires);
    import_kyverno_attestations(work, import_get(work, item, "attestations"), &rule, &requires);
    for (size_t i = 0; i < requires.count; i++) {
        policy->require = i == 0
                              ? requires.items[0]
                              : import_printf(work, "%s, %s", policy->require, requires.items[i]);
    }
    if (requires.count == 0 && work->result->refused_count == 0) {
        (void)import_refuse(work, item, "neither attestors nor attestations; name who signs");
    }
}

static size_t import_kyverno_rule(struct import_work *work, struct import_at spec,
                                  struct import_at rule, const char *policy)
{
    static const char *const narrower =
        "asked of every pull; objects of the cluster mean nothing to one";
    static const char *const not_ours = "rules other than verifyImages are not for a gateway";
    const struct import_field fields[] = {
        {"name", IMPORT_T, NULL},
        {"match", IMPORT_A, narrower},
        {"exclude", IMPORT_A, narrower},
        {"context", IMPORT_N, "data of the cluster; variables that use it are refused"},
        {"preconditions", IMPORT_X,
         "a pull has no admission request; remove them to ask it of "
         "every pull"},
        {"celPreconditions", IMPORT_X,
         "a pull has no admission request; remove them to ask it "
         "of every pull"},
        {"imageExtractors", IMPORT_A, narrower},
        {"skipBackgroundRequests", IMPORT_N, "no background scans here"},
        {"verifyImages", IMPORT_T, NULL},
        {"validate", IMPORT_N, not_ours},
        {"mutate", IMPORT_N, not_ours},
        {"generate", IMPORT_N, not_ours}};
    struct import_at list = import_get(work, rule, "verifyImages");
    const char *name;

    if (list.node == NULL) {
        (void)import_say(work, IMPORT_N, rule, "%s", not_ours);
        return 0;
    }
    if (!import_map(work, rule, fields, GH_COUNT(fields)) || !import_list(work, list, 1)) {
        return 1;
    }
    name = import_need(work, import_get(work, rule, "name"));
    for (size_t i = 0; name != NULL && i < import_count(list); i++) {
        import_kyverno_item(work, spec, import_item(work, list, i),
                            import_count(list) == 1
                                ? import_printf(work, "%s-%s", policy, name)
                                : import_printf(work, "%s-%s-%zu", policy, name, i + 1));
    }
    return 1;
}

static size_t import_kyverno_policy(struct import_work *work, struct import_at document)
{
    static const struct import_field fields[] = {{"apiVersion", IMPORT_T, NULL},
                                                 {"kind", IMPORT_T, NULL},
                                                 {"metadata", IMPORT_T, NULL},
                                                 {"spec", IMPORT_T, NULL},
                                                 {"status", IMPORT_N, "written by the controller"}};
    static const struct import_field inner[] = {
        {"validationFailureAction", IMPORT_T, NULL},
        {"validationFailureActionOverrides", IMPORT_X,
         "a pull has no namespace; write two "
         "policies for different images"},
        {"rules", IMPORT_T, NULL},
        {"background", IMPORT_N, "no background scans here"},
        {"admission", IMPORT_N, "every pull is decided"},
        {"emitWarning", IMPORT_N, "modes have their own warnings"},
        {"failurePolicy", IMPORT_A, "what cannot be decided is refused in mode deny"},
        {"webhookTimeoutSeconds", IMPORT_N, "of the webhook"},
        {"webhookConfiguration", IMPORT_T, NULL}};
    static const struct import_field webhook[] = {
        {"failurePolicy", IMPORT_A, "what cannot be decided is refused in mode deny"},
        {"timeoutSeconds", IMPORT_N, "of the webhook"},
        {"matchConditions", IMPORT_A, "asked of every pull"}};
    struct import_at spec = import_get(work, document, "spec");
    struct import_at hook = import_get(work, spec, "webhookConfiguration");
    struct import_at rules = import_get(work, spec, "rules");
    const char *name =
        import_need(work, import_get(work, import_get(work, document, "metadata"), "name"));
    size_t found = 0;

    if (!IMPORT_MAP(work, document, fields) || !IMPORT_MAP(work, spec, inner) ||
        (hook.node != NULL && !IMPORT_MAP(work, hook, webhook)) || !import_list(work, rules, 1)) {
        return 1;
    }
    for (size_t i = 0; name != NULL && i < import_count(rules); i++) {
        found += import_kyverno_rule(work, spec, import_item(work, rules, i), name);
    }
    return found;
}

void import_kyverno(struct import_work *work)
{
    size_t found = 0;

    for (size_t i = 0; i < work->tree_count; i++) {
        struct import_at document = import_root(&work->trees[i]);
        const char *version = import_need(work, import_get(work, document, "apiVersion"));
        const char *kind = import_need(work, import_get(work, document, "kind"));

        if (version == NULL || kind == NULL) {
            continue;
        }
        if (strcmp(kind, "ClusterPolicy") == 0 || strcmp(kind, "Policy") == 0) {
            (void)import_word(work, import_get(work, document, "apiVersion"),
                              "kyverno.io/v1|kyverno.io/v2beta1");
            found += import_kyverno_policy(work, document);
        } else if (strstr(version, "kyverno.io/") != NULL) {
            (void)import_refuse(work, document,
                                "%.60s is not supported yet; write ClusterPolicy documents, and "
                                "exceptions by `gatehouse exceptions add`",
                                kind);
        } else {
            (void)import_say(work, IMPORT_N, document, "%.100s: no policy", kind);
        }
    }
    if (found == 0 && work->result->refused_count == 0) {
        (void)import_refuse(work, ((struct import_at){.path = ""}), "no verifyImages rule in it");
    }
}
