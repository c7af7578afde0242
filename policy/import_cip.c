/*
 * ClusterImagePolicy of Sigstore's policy-controller. Authorities of a policy are alternatives,
 * policies that match an image must all hold, as here.
 *
 * Spec: policy.sigstore.dev/v1alpha1 and v1beta1, which have the same fields
 */
#include <string.h>

#include "policy/import_work.h"

#define CIP_PUBLIC_REKOR "https://rekor.sigstore.dev"
#define CIP_NO_RULES                                                                               \
    "the gateway evaluates no CUE or Rego; write it as `where:` conditions or a typed `check:` "   \
    "of "                                                                                          \
    "an attestation, or keep this policy in the cluster"

/* An authority under way. */
struct import_cip {
    struct import_at at;
    const char *name;
    const char *tlog;                   /* "off" or "required" */
    const char *timestamp;              /* "optional" or "required" */
    const char *root;                   /* NULL: none is needed */
    const char *repository;             /* "" or ", signature_repository: …" */
    struct import_strings attestations; /* predicate types, quoted */
    struct import_strings requires;     /* alternatives of the policy */
    bool has_ctlog;
    bool has_timestamp;
};

/* --- trust material ----------------------------------------------------------------------- */

/* One signer has one root: what an authority names in several places must be the same. */
static bool import_cip_root(struct import_work *work, struct import_at at, struct import_cip *cip,
                            const char *name)
{
    const char *root = import_sigstore_root(work, at, name);

    if (root == NULL) {
        return false;
    }
    if (cip->root != NULL && strcmp(cip->root, root) != 0) {
        return import_refuse(work, at,
                             "certificates, log and time stamps of one authority come from "
                             "different places; put all into one trusted_root.json and give it "
                             "for \"%s\", too",
                             name);
    }
    cip->root = root;
    return true;
}

static bool import_cip_log(struct import_work *work, struct import_at authority,
                           struct import_cip *cip)
{
    static const struct import_field log_fields[] = {{"url", IMPORT_T, NULL},
                                                     {"trustRootRef", IMPORT_T, NULL}};
    static const struct import_field time_fields[] = {{"trustRootRef", IMPORT_T, NULL}};
    struct import_at log = import_get(work, authority, "ctlog");
    struct import_at time = import_get(work, authority, "rfc3161timestamp");
    const char *name;

    cip->has_ctlog = log.node != NULL;
    cip->has_timestamp = time.node != NULL;
    if (cip->has_timestamp) {
        /* The time stamp replaces the log there. */
        name = IMPORT_MAP(work, time, time_fields)
                   ? import_need(work, import_get(work, time, "trustRootRef"))
                   : NULL;
        cip->timestamp = "required";
        if (name == NULL || !import_cip_root(work, time, cip, name)) {
            return false;
        }
        if (cip->has_ctlog) {
            (void)import_say(work, IMPORT_N, log, "the time stamp replaces the log");
        }
        return true;
    }
    if (!cip->has_ctlog) {
        return true;
    }
    if (log.node->kind == YAML_MAP && log.node->count == 0) {
        (void)import_say(work, IMPORT_A, log, "an empty ctlog: the public log is asked for");
    } else if (!IMPORT_MAP(work, log, log_fields)) {
        return false;
    }
    cip->tlog = "required";
    name = import_text(work, import_get(work, log, "trustRootRef"));
    if (name == NULL) {
        const char *url = import_text(work, import_get(work, log, "url"));

        name = url == NULL || strcmp(url, CIP_PUBLIC_REKOR) == 0 ? "public" : "custom";
    }
    return import_cip_root(work, log, cip, name);
}

static bool import_cip_source(struct import_work *work, struct import_at list,
                              struct import_cip *cip)
{
    static const struct import_field fields[] = {
        {"oci", IMPORT_T, NULL},
        {"signaturePullSecrets", IMPORT_X,
         "credentials belong to the upstream; remove it and write `credentials` there"},
        {"tagPrefix", IMPORT_X,
         "signatures are looked for under their usual tags and as referrers alone"}};
    struct import_at at;
    const char *oci;

    cip->repository = "";
    if (list.node == NULL) {
        return true;
    }
    if (!import_list(work, list, 1)) {
        return false;
    }
    if (list.node->count > 1) {
        return import_refuse(work, list, "expected one source");
    }
    at = import_item(work, list, 0);
    if (!IMPORT_MAP(work, at, fields)) {
        return false;
    }
    oci = import_text(work, import_get(work, at, "oci"));
    if (oci != NULL) {
        struct import_strings ignored = {0};

        if (!import_pattern_add(work, import_get(work, at, "oci"), oci, &ignored)) {
            return false;
        }
        cip->repository =
            import_printf(work, ", signature_repository: %s", import_quote(work, oci));
    }
    return true;
}

static bool import_cip_attestations(struct import_work *work, struct import_at list,
                                    struct import_cip *cip)
{
    static const struct import_field fields[] = {{"name", IMPORT_T, NULL},
                                                 {"predicateType", IMPORT_T, NULL},
                                                 {"policy", IMPORT_X, CIP_NO_RULES}};
    static const char *const shorts[][2] = {
        {"custom", "https://cosign.sigstore.dev/attestation/v1"},
        {"slsaprovenance", "https://slsa.dev/provenance/v0.2"},
        {"spdx", "https://spdx.dev/Document"},
        {"spdxjson", "https://spdx.dev/Document"},
        {"cyclonedx", "https://cyclonedx.org/bom"},
        {"link", "https://in-toto.io/Link/v1"},
        {"vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"}};
    bool is_good = import_list(work, list, 0);

    for (size_t i = 0; is_good && i < import_count(list); i++) {
        struct import_at at = import_item(work, list, i);
        const char *type;

        if (!IMPORT_MAP(work, at, fields)) {
            return false;
        }
        type = import_need(work, import_get(work, at, "predicateType"));
        is_good = import_need(work, import_get(work, at, "name")) != NULL && type != NULL;
        for (size_t k = 0; is_good && k < GH_COUNT(shorts); k++) {
            type = strcmp(type, shorts[k][0]) == 0 ? shorts[k][1] : type;
        }
        if (is_good && strchr(type, ':') == NULL) {
            return import_refuse(work, at, "\"%.100s\" is no predicate type; write its URI", type);
        }
        if (is_good) {
            import_append(work, &cip->attestations, import_quote(work, type));
        }
    }
    return is_good;
}

/* --- requirements ------------------------------------------------------------------------- */

/* SIGNERS are alternatives, unless IS_EACH and attestations are asked for. */
static void import_cip_require(struct import_work *work, struct import_cip *cip,
                               const struct import_strings *signers, bool is_each)
{
    struct import_strings all = {0};
    struct import_strings any = {0};

    if (cip->attestations.count == 0) {
        for (size_t i = 0; i < signers->count; i++) {
            import_append(work, &any, import_printf(work, "{signature: %s}", signers->items[i]));
        }
        import_append(work, &cip->requires, import_combine(work, "any", &any));
        return;
    }
    for (size_t i = 0; i < cip->attestations.count; i++) {
        struct import_strings each = {0};

        for (size_t k = 0; k < signers->count; k++) {
            import_append(work, &each,
                          import_printf(work, "{attestation: %s, signer: %s}",
                                        cip->attestations.items[i], signers->items[k]));
        }
        import_append(work, &all, import_combine(work, is_each ? "all" : "any", &each));
    }
    import_append(work, &cip->requires, import_combine(work, "all", &all));
}

static bool import_cip_is_kms(const char *kms)
{
    static const char *const schemes[] = {"gcpkms://", "azurekms://", "hashivault://"};
    const char *aws = "awskms://";
    const char *rest;

    for (size_t i = 0; i < GH_COUNT(schemes); i++) {
        if (strncmp(kms, schemes[i], strlen(schemes[i])) == 0) {
            return kms[strlen(schemes[i])] != '\0';
        }
    }
    if (strncmp(kms, aws, strlen(aws)) != 0) {
        return false;
    }
    rest = strchr(kms + strlen(aws), '/');
    return rest != NULL && strncmp(rest, "/arn:aws", 8) == 0;
}

/* The paths of the keys, quoted as list items of `keys`. */
static bool import_cip_material(struct import_work *work, struct import_at key,
                                struct import_cip *cip, struct import_strings *out)
{
    static const struct import_field secret[] = {{"name", IMPORT_T, NULL},
                                                 {"namespace", IMPORT_T, NULL}};
    struct import_at data = import_get(work, key, "data");
    struct import_at kms = import_get(work, key, "kms");
    struct import_at ref = import_get(work, key, "secretRef");
    struct import_strings paths = {0};

    if ((data.node != NULL) + (kms.node != NULL) + (ref.node != NULL) != 1) {
        return import_refuse(work, key, "expected exactly one of data, kms and secretRef");
    }
    if (kms.node != NULL) {
        const char *text = import_need(work, kms);

        if (text == NULL || !import_cip_is_kms(text)) {
            return text != NULL &&
                   import_refuse(work, kms,
                                 "found \"%.100s\", expected awskms://[HOST]/ARN, gcpkms://, "
                                 "azurekms:// or hashivault://",
                                 text);
        }
        import_append(work, out, import_printf(work, "{kms: %s}", import_quote(work, text)));
        return true;
    }
    if (data.node != NULL) {
        const char *text = import_need(work, data);

        if (text == NULL || !import_keys(work, data, cip->name, text, &paths)) {
            return false;
        }
    } else {
        const char *name;
        const char *space;
        const char *path;

        if (!IMPORT_MAP(work, ref, secret)) {
            return false;
        }
        name = import_need(work, import_get(work, ref, "name"));
        space = import_text(work, import_get(work, ref, "namespace"));
        if (name == NULL) {
            return false;
        }
        name = space == NULL ? name : import_printf(work, "%s/%s", space, name);
        path = import_setting(work, "secret", name);
        if (path == NULL) {
            return import_refuse(work, ref, "a Secret; give --set secret:%.100s=FILE", name);
        }
        import_append(work, &paths, path);
    }
    for (size_t i = 0; i < paths.count; i++) {
        import_append(work, out,
                      import_printf(work, "{file: %s}", import_quote(work, paths.items[i])));
    }
    return true;
}

static bool import_cip_key(struct import_work *work, struct import_at key, struct import_cip *cip)
{
    static const struct import_field fields[] = {{"data", IMPORT_T, NULL},
                                                 {"kms", IMPORT_T, NULL},
                                                 {"secretRef", IMPORT_T, NULL},
                                                 {"hashAlgorithm", IMPORT_T, NULL}};
    struct import_at hash = import_get(work, key, "hashAlgorithm");
    struct import_strings keys = {0};
    struct import_strings signers = {0};
    const char *tail;
    bool is_each;

    if (!IMPORT_MAP(work, key, fields) || !import_cip_material(work, key, cip, &keys)) {
        return false;
    }
    if (keys.count == 0) { /* memory was out */
        return import_refuse(work, key, "no key was found");
    }
    if (hash.node != NULL) {
        int word = import_word(work, hash, "sha256|sha224|sha384|sha512");

        if (word < 0) {
            return false;
        }
        if (word > 0) {
            (void)import_say(work, IMPORT_A, hash,
                             "SHA-256 and the hash of the key's curve are tried alone");
        }
    }
    tail = import_printf(work, ", tlog: %s, timestamp: %s%s%s%s", cip->tlog, cip->timestamp,
                         cip->root == NULL ? "" : ", root: ",
                         cip->root == NULL ? "" : import_quote(work, cip->root), cip->repository);
    is_each = cip->attestations.count > 0 && keys.count > 1;
    if (is_each) {
        (void)import_say(work, IMPORT_A, key,
                         "of several keys each must have signed the attestations, as there");
    }
    for (size_t i = 0; i < (is_each ? keys.count : 1); i++) {
        const char *list = keys.items[i];

        for (size_t k = 1; !is_each && k < keys.count; k++) {
            list = import_printf(work, "%s, %s", list, keys.items[k]);
        }
        import_append(work, &signers,
                      import_quote(work, import_signer_add(
                                             work, cip->name,
                                             import_printf(work, "{keys: [%s]%s}", list, tail))));
    }
    import_cip_require(work, cip, &signers, is_each);
    return true;
}

static bool import_cip_keyless_root(struct import_work *work, struct import_at keyless,
                                    struct import_cip *cip)
{
    struct import_at authority = import_get(work, keyless, "ca-cert");
    const char *url = import_text(work, import_get(work, keyless, "url"));
    const char *ref = import_text(work, import_get(work, keyless, "trustRootRef"));
    const char *host = url == NULL ? NULL : strstr(url, "://");

    if (authority.node != NULL) {
        if (url != NULL) {
            return import_refuse(work, keyless, "expected url or ca-cert, not both");
        }
        if (cip->attestations.count == 0) {
            return import_refuse(work, authority,
                                 "policy-controller itself fails for signatures with ca-cert; "
                                 "write url, or trustRootRef");
        }
        return import_cip_root(work, authority, cip, "custom");
    }
    if (url != NULL && (host == NULL || host[3] == '\0')) {
        return import_refuse(work, keyless, "url: expected an address");
    }
    if (ref == NULL) {
        ref = url == NULL || strcmp(host, "://fulcio.sigstore.dev") == 0 ? "public" : "custom";
    }
    return import_cip_root(work, keyless, cip, ref);
}

static bool import_cip_keyless(struct import_work *work, struct import_at keyless,
                               struct import_cip *cip)
{
    static const struct import_field fields[] = {{"url", IMPORT_T, NULL},
                                                 {"ca-cert", IMPORT_T, NULL},
                                                 {"identities", IMPORT_T, NULL},
                                                 {"trustRootRef", IMPORT_T, NULL},
                                                 {"insecureIgnoreSCT", IMPORT_T, NULL}};
    static const struct import_field inner[] = {{"issuer", IMPORT_T, NULL},
                                                {"issuerRegExp", IMPORT_T, NULL},
                                                {"subject", IMPORT_T, NULL},
                                                {"subjectRegExp", IMPORT_T, NULL}};
    struct import_at identities = import_get(work, keyless, "identities");
    struct import_strings signers = {0};
    bool has_ref = import_get(work, keyless, "trustRootRef").node != NULL;
    bool is_good;
    bool is_sct_off;

    if (!IMPORT_MAP(work, keyless, fields) || !import_list(work, identities, 1) ||
        !import_cip_keyless_root(work, keyless, cip)) {
        return false;
    }
    is_sct_off = import_bool(work, import_get(work, keyless, "insecureIgnoreSCT"), false);
    is_good = true;
    if (!cip->has_timestamp) {
        cip->tlog = "required";
        if (has_ref && !cip->has_ctlog) {
            (void)import_say(work, IMPORT_A, keyless,
                             "trustRootRef without ctlog checks no log there; here it is asked "
                             "for");
        }
    }
    for (size_t i = 0; i < import_count(identities); i++) {
        struct import_at at = import_item(work, identities, i);
        const char *issuer;
        const char *subject;

        if (!IMPORT_MAP(work, at, inner)) {
            return false;
        }
        issuer = import_either(work, at, "issuer", "RegExp");
        subject = import_either(work, at, "subject", "RegExp");
        is_good = is_good && issuer != NULL && subject != NULL;
        if (issuer != NULL && subject != NULL) {
            const char *body = import_printf(
                work, "{keyless: {root: %s, %s, %s, tlog: %s, timestamp: %s, sct: %s}%s}",
                import_quote(work, cip->root), issuer, subject, cip->tlog, cip->timestamp,
                is_sct_off ? "off" : "required", cip->repository);

            import_append(work, &signers,
                          import_quote(work, import_signer_add(work, cip->name, body)));
        }
    }
    if (is_good) {
        import_cip_require(work, cip, &signers, false);
    }
    return is_good;
}

/* "pass" or "fail"; NULL and refused. */
static const char *import_cip_static(struct import_work *work, struct import_at authority)
{
    static const struct import_field fields[] = {{"action", IMPORT_T, NULL},
                                                 {"message", IMPORT_N, "the gateway has its own"}};
    static const char *const excluded[] = {"attestations", "source", "ctlog", "rfc3161timestamp"};
    static const char *const words[] = {"pass", "fail"};
    struct import_at at = import_get(work, authority, "static");
    int word;

    if (!IMPORT_MAP(work, at, fields)) {
        return NULL;
    }
    word = import_word(work, import_get(work, at, "action"), "pass|fail");
    for (size_t i = 0; i < GH_COUNT(excluded); i++) {
        if (import_get(work, authority, excluded[i]).node != NULL) {
            (void)import_refuse(work, authority, "static excludes %s", excluded[i]);
            return NULL;
        }
    }
    return word < 0 ? NULL : words[word];
}

/* --- policies ----------------------------------------------------------------------------- */

static void import_cip_authority(struct import_work *work, struct import_at at, const char *policy,
                                 size_t index, struct import_cip *cip, bool *is_passing)
{
    static const struct import_field fields[] = {
        {"name", IMPORT_T, NULL},
        {"key", IMPORT_T, NULL},
        {"keyless", IMPORT_T, NULL},
        {"static", IMPORT_T, NULL},
        {"attestations", IMPORT_T, NULL},
        {"ctlog", IMPORT_T, NULL},
        {"source", IMPORT_T, NULL},
        {"rfc3161timestamp", IMPORT_T, NULL},
        {"signatureFormat", IMPORT_N, "both formats are found"}};
    struct import_at key = import_get(work, at, "key");
    struct import_at keyless = import_get(work, at, "keyless");
    struct import_at fixed = import_get(work, at, "static");
    struct import_at format = import_get(work, at, "signatureFormat");
    const char *name;

    if (!IMPORT_MAP(work, at, fields)) {
        return;
    }
    if ((key.node != NULL) + (keyless.node != NULL) + (fixed.node != NULL) != 1) {
        (void)import_refuse(work, at, "expected exactly one of key, keyless and static");
        return;
    }
    if (format.node != NULL) {
        (void)import_word(work, format, "legacy|bundle");
    }
    if (fixed.node != NULL) {
        const char *action = import_cip_static(work, at);

        *is_passing = *is_passing || (action != NULL && strcmp(action, "pass") == 0);
        return;
    }
    name = import_text(work, import_get(work, at, "name"));
    cip->at = at;
    cip->name = name != NULL ? import_printf(work, "%s-%s", policy, name)
                             : import_printf(work, "%s-authority-%zu", policy, index);
    cip->tlog = "off";
    cip->timestamp = "optional";
    cip->root = NULL;
    cip->attestations = (struct import_strings){0};
    if (import_cip_log(work, at, cip) &&
        import_cip_source(work, import_get(work, at, "source"), cip) &&
        import_cip_attestations(work, import_get(work, at, "attestations"), cip)) {
        (void)(key.node != NULL ? import_cip_key(work, key, cip)
                                : import_cip_keyless(work, keyless, cip));
    }
}

static void import_cip_images(struct import_work *work, struct import_at list,
                              struct import_strings *out)
{
    static const struct import_field fields[] = {{"glob", IMPORT_T, NULL}};
    static const char *const allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:/*.@";

    if (!import_list(work, list, 1)) {
        return;
    }
    for (size_t i = 0; i < import_count(list); i++) {
        struct import_at item = import_item(work, list, i);
        struct import_at at = import_get(work, item, "glob");
        const char *glob = IMPORT_MAP(work, item, fields) ? import_need(work, at) : NULL;
        size_t first;

        if (glob == NULL) {
            continue;
        }
        if (strspn(glob, allowed) != strlen(glob)) {
            (void)import_refuse(work, at, "\"%.100s\" is no glob", glob);
            continue;
        }
        first = strcspn(glob, "/");
        if (strcmp(glob, "*") == 0) {
            glob = "docker.io/library/*";
        } else if (strcmp(glob, "*/*") == 0) {
            glob = "docker.io/*/*";
        } else if (glob[first] == '\0' && strstr(glob, "**") == NULL) {
            (void)import_say(work, IMPORT_A, at, "short names are Docker Hub's library");
            glob = import_printf(work, "docker.io/library/%s", glob);
        } else if (glob[first] == '/' && strcspn(glob, ".:*") > first &&
                   strncmp(glob, "localhost/", 10) != 0) {
            (void)import_say(work, IMPORT_A, at, "names without a registry are Docker Hub's");
            glob = import_printf(work, "docker.io/%s", glob);
        }
        (void)import_pattern(work, at, glob, IMPORT_STAR_COMPONENT, IMPORT_X, out);
    }
}

static void import_cip_match(struct import_work *work, struct import_at list)
{
    static const struct import_field fields[] = {
        {"group", IMPORT_A, "asked of every pull, not of some kinds of objects"},
        {"version", IMPORT_A, "asked of every pull, not of some kinds of objects"},
        {"resource", IMPORT_A, "asked of every pull, not of some kinds of objects"},
        {"selector", IMPORT_X,
         "a pull has no labels; remove it to ask it of every pull, or keep the policy in the "
         "cluster"}};

    if (!import_list(work, list, 0)) {
        return;
    }
    for (size_t i = 0; i < import_count(list); i++) {
        struct import_at at = import_item(work, list, i);
        struct import_at resource = import_get(work, at, "resource");

        if (IMPORT_MAP(work, at, fields) && resource.node != NULL) {
            (void)import_word(work, resource,
                              "pods|replicasets|deployments|statefulsets|daemonsets|jobs|cronjobs");
        }
    }
}

static const char *import_cip_name(struct import_work *work, struct import_at document)
{
    struct import_at metadata = import_get(work, document, "metadata");

    if (metadata.node == NULL || metadata.node->kind != YAML_MAP) {
        (void)import_refuse(work, document, "metadata: expected a mapping with a name");
        return NULL;
    }
    for (const struct yaml_node *child = metadata.node->child; child != NULL; child = child->next) {
        struct import_at at = import_get(work, metadata, child->key);

        at.node = child;
        (void)import_say(work, strcmp(child->key, "name") == 0 ? IMPORT_T : IMPORT_N, at, "%s",
                         strcmp(child->key, "name") == 0 ? "the same here" : "for the cluster");
    }
    return import_need(work, import_get(work, metadata, "name"));
}

static void import_cip_policy(struct import_work *work, struct import_at document)
{
    static const struct import_field fields[] = {{"apiVersion", IMPORT_T, NULL},
                                                 {"kind", IMPORT_T, NULL},
                                                 {"metadata", IMPORT_T, NULL},
                                                 {"spec", IMPORT_T, NULL},
                                                 {"status", IMPORT_N, "written by the controller"}};
    static const struct import_field inner[] = {{"images", IMPORT_T, NULL},
                                                {"authorities", IMPORT_T, NULL},
                                                {"match", IMPORT_T, NULL},
                                                {"mode", IMPORT_T, NULL},
                                                {"policy", IMPORT_X, CIP_NO_RULES}};
    struct import_at spec = import_get(work, document, "spec");
    struct import_at authorities = import_get(work, spec, "authorities");
    struct import_at mode = import_get(work, spec, "mode");
    struct import_cip cip = {0};
    struct import_policy *policy;
    bool is_passing = false;
    const char *name;

    if (!IMPORT_MAP(work, document, fields) || !IMPORT_MAP(work, spec, inner)) {
        return;
    }
    name = import_cip_name(work, document);
    if (name == NULL) {
        return;
    }
    policy = import_policy_add(work, document, name);
    if (mode.node != NULL && import_word(work, mode, "enforce|warn") == 1) {
        policy->mode = "warn";
    }
    import_cip_images(work, import_get(work, spec, "images"), &policy->images);
    import_cip_match(work, import_get(work, spec, "match"));
    if (!import_list(work, authorities, 1)) {
        return;
    }
    for (size_t i = 0; i < import_count(authorities); i++) {
        import_cip_authority(work, import_item(work, authorities, i), policy->name, i, &cip,
                             &is_passing);
    }
    if (is_passing) {
        policy->decision = IMPORT_UNVERIFIED;
        if (import_count(import_get(work, spec, "match")) > 0) {
            (void)import_refuse(work, import_get(work, spec, "match"),
                                "admission of some kinds of objects cannot become admission of "
                                "every pull");
        }
    } else if (cip.requires.count > 0) {
        policy->require = import_combine(work, "any", &cip.requires);
    } else {
        policy->decision = strcmp(policy->mode, "warn") == 0 ? IMPORT_UNVERIFIED : IMPORT_REJECT;
    }
}

/* config-policy-controller: what happens to images that no policy matches. */
static void import_cip_settings(struct import_work *work, struct import_at document)
{
    static const struct import_field fields[] = {
        {"_example", IMPORT_N, "an example"},
        {"no-match-policy", IMPORT_T, NULL},
        {"fail-on-empty-authorities", IMPORT_T, NULL},
        {"enable-oci11", IMPORT_N, "referrers and tags are both looked at"}};
    struct import_at data = import_get(work, document, "data");
    struct import_at otherwise = import_get(work, data, "no-match-policy");
    struct import_at empty = import_get(work, data, "fail-on-empty-authorities");
    struct import_policy *policy;

    if (data.node == NULL || !IMPORT_MAP(work, data, fields)) {
        return;
    }
    if (empty.node != NULL && import_word(work, empty, "true|false") == 1) {
        (void)import_refuse(work, empty, "a policy without requirements has no equivalent");
    }
    if (otherwise.node == NULL || import_word(work, otherwise, "deny|allow|warn") <= 0) {
        return;
    }
    policy = import_policy_add(work, otherwise, "no-match-policy");
    policy->decision = IMPORT_UNVERIFIED;
    policy->rank = 1;
    import_append(work, &policy->images, "**");
}

void import_cluster_image_policy(struct import_work *work)
{
    size_t found = 0;

    for (size_t i = 0; i < work->tree_count; i++) {
        struct import_at document = import_root(&work->trees[i]);
        const char *version = import_need(work, import_get(work, document, "apiVersion"));
        const char *kind = import_need(work, import_get(work, document, "kind"));
        const char *name =
            import_text(work, import_get(work, import_get(work, document, "metadata"), "name"));

        if (version == NULL || kind == NULL) {
            continue;
        }
        if (strcmp(kind, "ClusterImagePolicy") == 0) {
            (void)import_word(work, import_get(work, document, "apiVersion"),
                              "policy.sigstore.dev/v1alpha1|policy.sigstore.dev/v1beta1");
            import_cip_policy(work, document);
            found++;
        } else if (strcmp(kind, "ConfigMap") == 0 && name != NULL &&
                   strcmp(name, "config-policy-controller") == 0) {
            import_cip_settings(work, document);
            found++;
        } else if (strcmp(kind, "ConfigMap") == 0 && name != NULL &&
                   (strcmp(name, "config-image-policies") == 0 ||
                    strcmp(name, "config-sigstore-keys") == 0)) {
            (void)import_refuse(work, document,
                                "written by the controller for itself; import the "
                                "ClusterImagePolicy and TrustRoot documents it comes from");
        } else if (strcmp(kind, "TrustRoot") == 0) {
            (void)import_say(work, IMPORT_N, document,
                             "its material comes from --set root:%s=trusted_root.json",
                             name == NULL ? "NAME" : name);
            found++;
        } else {
            (void)import_say(work, IMPORT_N, document, "%.100s: no policy", kind);
        }
    }
    if (found == 0 && work->result->refused_count == 0) {
        (void)import_refuse(work, ((struct import_at){.path = ""}), "no ClusterImagePolicy in it");
    }
    for (size_t i = 0; i < work->policy_count; i++) {
        for (size_t k = 0; work->policies[i].rank == 1 && k < work->policy_count; k++) {
            for (size_t m = 0; k != i && m < work->policies[k].images.count; m++) {
                import_append(work, &work->policies[i].except, work->policies[k].images.items[m]);
            }
        }
    }
}
