/*
 * A Binary Authorization policy. Keys and attestations live elsewhere there, so the caller says
 * where they are.
 *
 * Spec: cloud.google.com/binary-authorization/docs/policy-yaml-reference
 */
#include <string.h>

#include "policy/import_work.h"

#define BINAUTHZ_NO_CLUSTER                                                                        \
    "a pull has no namespace, account or service identity; remove it and write policies by images"

/* A pattern of the allow list: `*` at the end alone, in the folder; `**` below it, too. */
static void import_binauthz_allowed(struct import_work *work, struct import_at list,
                                    struct import_policy *policy)
{
    static const struct import_field fields[] = {{"namePattern", IMPORT_T, NULL}};

    for (size_t i = 0; i < import_count(list); i++) {
        struct import_at item = import_item(work, list, i);
        struct import_at at = import_get(work, item, "namePattern");
        const char *text = IMPORT_MAP(work, item, fields) ? import_need(work, at) : NULL;
        const char *star = text == NULL ? NULL : strchr(text, '*');

        if (text == NULL) {
            continue;
        }
        if (star != NULL && (star[strspn(star, "*")] != '\0' || strlen(star) > 2 ||
                             strchr(text, '/') == NULL || star < strchr(text, '/'))) {
            (void)import_refuse(work, at, "expected * or ** at the end, after the registry");
            continue;
        }
        (void)import_pattern(work, at, text, IMPORT_STAR_COMPONENT, IMPORT_X, &policy->images);
    }
}

/* An attestor as a signer; NULL and refused. */
static const char *import_binauthz_attestor(struct import_work *work, struct import_at at)
{
    const char *name = import_need(work, at);
    const char *occurrences = import_setting(work, "occurrences", NULL);
    const struct import_request *request = work->request;
    const char *slash;
    const char *want;
    const char *keys = "";

    if (name == NULL) {
        return NULL;
    }
    slash = strstr(name, "/attestors/");
    if (strncmp(name, "projects/", 9) != 0 || slash == NULL || slash[11] == '\0') {
        (void)import_refuse(work, at, "found \"%.100s\", expected projects/P/attestors/A", name);
        return NULL;
    }
    want = import_printf(work, "attestor:%s", name);
    for (size_t i = 0; i < request->setting_count; i++) {
        if (strcmp(request->settings[i].name, want) == 0) {
            keys = import_printf(work, "%s%s{file: %s}", keys, keys[0] == '\0' ? "" : ", ",
                                 import_quote(work, request->settings[i].value));
        }
    }
    if (keys[0] == '\0' || occurrences == NULL) {
        (void)import_refuse(work, at,
                            "keys and attestations are not in the policy; give --set %.150s=KEY "
                            "for each key, and --set occurrences=URL",
                            want);
        return NULL;
    }
    return import_signer_add(
        work, slash + 11,
        import_printf(work, "{binauthz: {attestor: %s, keys: [%s], occurrences: %s}}",
                      import_quote(work, name), keys, import_quote(work, occurrences)));
}

static void import_binauthz_rule(struct import_work *work, struct import_at rule,
                                 struct import_policy *policy)
{
    static const struct import_field fields[] = {{"evaluationMode", IMPORT_T, NULL},
                                                 {"requireAttestationsBy", IMPORT_T, NULL},
                                                 {"enforcementMode", IMPORT_T, NULL}};
    struct import_at by = import_get(work, rule, "requireAttestationsBy");
    int mode;
    int enforcement;

    if (!IMPORT_MAP(work, rule, fields)) {
        return;
    }
    mode = import_word(work, import_get(work, rule, "evaluationMode"),
                       "ALWAYS_ALLOW|ALWAYS_DENY|REQUIRE_ATTESTATION");
    enforcement = import_word(work, import_get(work, rule, "enforcementMode"),
                              "ENFORCED_BLOCK_AND_AUDIT_LOG|DRYRUN_AUDIT_LOG_ONLY");
    if ((mode == 2) != (import_count(by) > 0)) {
        (void)import_refuse(work, rule,
                            "requireAttestationsBy belongs to REQUIRE_ATTESTATION, which needs "
                            "it");
        return;
    }
    policy->mode = enforcement == 1 ? "audit" : "deny";
    if (mode == 0 || (mode == 1 && enforcement == 1)) {
        policy->decision = IMPORT_UNVERIFIED;
    } else if (mode == 1) {
        policy->decision = IMPORT_REJECT;
    }
    for (size_t i = 0; import_list(work, by, 0) && i < import_count(by); i++) {
        const char *signer = import_binauthz_attestor(work, import_item(work, by, i));

        if (signer != NULL) {
            policy->require = import_printf(
                work, "%s%s{signature: %s}", policy->require == NULL ? "" : policy->require,
                policy->require == NULL ? "" : ", ", import_quote(work, signer));
        }
    }
}

/* The rule of the cluster the gateway stands for, or the default. */
static struct import_at import_binauthz_choose(struct import_work *work, struct import_at root)
{
    struct import_at clusters = import_get(work, root, "clusterAdmissionRules");
    const char *cluster = import_setting(work, "cluster", NULL);
    struct import_at rule = import_get(work, root, "defaultAdmissionRule");

    if (import_count(clusters) == 0) {
        return rule;
    }
    if (clusters.node->kind != YAML_MAP || cluster == NULL) {
        (void)import_refuse(work, clusters,
                            "rules by cluster; give --set cluster=LOCATION.NAME, or "
                            "cluster=default for the others");
        return rule;
    }
    for (const struct yaml_node *child = clusters.node->child; child != NULL; child = child->next) {
        struct import_at at = import_get(work, clusters, child->key);

        if (strcmp(child->key, cluster) == 0) {
            rule = at;
        } else {
            (void)import_say(work, IMPORT_N, at, "of another cluster than the one chosen");
        }
    }
    return rule;
}

void import_binauthz(struct import_work *work)
{
    static const struct import_field fields[] = {
        {"name", IMPORT_N, "the policy's own name"},
        {"description", IMPORT_N, "for people"},
        {"updateTime", IMPORT_N, "written by the service"},
        {"etag", IMPORT_N, "written by the service"},
        {"globalPolicyEvaluationMode", IMPORT_T, NULL},
        {"admissionWhitelistPatterns", IMPORT_T, NULL},
        {"defaultAdmissionRule", IMPORT_T, NULL},
        {"clusterAdmissionRules", IMPORT_T, NULL},
        {"kubernetesNamespaceAdmissionRules", IMPORT_X, BINAUTHZ_NO_CLUSTER},
        {"kubernetesServiceAccountAdmissionRules", IMPORT_X, BINAUTHZ_NO_CLUSTER},
        {"istioServiceIdentityAdmissionRules", IMPORT_X, BINAUTHZ_NO_CLUSTER}};
    struct import_at root;
    struct import_at global;
    struct import_at allowed;
    struct import_at rule;
    struct import_policy *policy;

    if (work->tree_count != 1) {
        (void)import_refuse(work, ((struct import_at){.path = ""}), "expected one policy");
        return;
    }
    root = import_root(&work->trees[0]);
    if (!IMPORT_MAP(work, root, fields)) {
        return;
    }
    global = import_get(work, root, "globalPolicyEvaluationMode");
    allowed = import_get(work, root, "admissionWhitelistPatterns");
    if (global.node != NULL && import_word(work, global, "DISABLE|ENABLE") == 1) {
        (void)import_refuse(work, global,
                            "the service's own list is not public; write DISABLE, and the system "
                            "images among the patterns");
    }
    if (import_list(work, allowed, 0) && import_count(allowed) > 0) {
        policy = import_policy_add(work, allowed, "allowed");
        policy->decision = IMPORT_UNVERIFIED;
        import_binauthz_allowed(work, allowed, policy);
    }
    rule = import_binauthz_choose(work, root);
    if (rule.node == NULL) {
        (void)import_refuse(work, root, "defaultAdmissionRule is missing");
        return;
    }
    policy = import_policy_add(work, rule, "default");
    import_append(work, &policy->images, "**");
    import_binauthz_rule(work, rule, policy);
    for (size_t i = 0; work->policy_count == 2 && i < work->policies[0].images.count; i++) {
        import_append(work, &policy->except, work->policies[0].images.items[i]);
    }
    if (policy->decision == IMPORT_REJECT) {
        work->policy_count--; /* what no policy covers is denied */
    }
}
