/*
 * Attestors of Kyverno: sets of entries, of which all or `count` must have signed.
 */
#include <string.h>

#include "crypto/x509_fulcio.h"
#include "policy/import_kyverno.h"

#define KYVERNO_MAX_DEPTH 6

/* What logs and certificates an entry asks for. */
struct import_kyverno_log {
    const char *root; /* name of the material: "public" or "custom" */
    bool is_tlog_off;
    bool is_sct_off;
    bool is_time_required;
};

static bool import_kyverno_log(struct import_work *work, struct import_at at,
                               struct import_kyverno_log *out)
{
    static const struct import_field rekor_fields[] = {
        {"url", IMPORT_T, NULL}, {"pubkey", IMPORT_T, NULL}, {"ignoreTlog", IMPORT_T, NULL}};
    static const struct import_field ct_fields[] = {{"ignoreSCT", IMPORT_T, NULL},
                                                    {"pubkey", IMPORT_T, NULL},
                                                    {"tsaCertChain", IMPORT_T, NULL}};
    struct import_at rekor = import_get(work, at, "rekor");
    struct import_at ct = import_get(work, at, "ctlog");
    const char *url;

    *out = (struct import_kyverno_log){.root = "public"};
    if ((rekor.node != NULL && !IMPORT_MAP(work, rekor, rekor_fields)) ||
        (ct.node != NULL && !IMPORT_MAP(work, ct, ct_fields))) {
        return false;
    }
    url = import_kyverno_text(work, import_get(work, rekor, "url"));
    out->is_tlog_off = import_bool(work, import_get(work, rekor, "ignoreTlog"), false);
    out->is_sct_off = import_bool(work, import_get(work, ct, "ignoreSCT"), false);
    out->is_time_required = import_get(work, ct, "tsaCertChain").node != NULL;
    if ((url != NULL && url[0] != '\0' && strcmp(url, "https://rekor.sigstore.dev") != 0) ||
        import_get(work, rekor, "pubkey").node != NULL ||
        import_get(work, ct, "pubkey").node != NULL || out->is_time_required ||
        import_get(work, at, "roots").node != NULL) {
        out->root = "custom";
    }
    return true;
}

/* `, signature_repository: …` of the entry or the item; NULL and refused. */
static const char *import_kyverno_repository(struct import_work *work, struct import_at entry,
                                             const struct import_kyverno *rule)
{
    struct import_at at = import_get(work, entry, "repository");
    struct import_strings ignored = {0};
    const char *text;

    at = at.node == NULL ? import_get(work, rule->item, "repository") : at;
    if (at.node == NULL) {
        return "";
    }
    text = import_kyverno_need(work, at);
    if (text == NULL || !import_pattern_add(work, at, text, &ignored)) {
        return NULL;
    }
    return import_printf(work, ", signature_repository: %s", import_quote(work, text));
}

static void import_kyverno_leaf(struct import_work *work, const struct import_kyverno *rule,
                                struct import_at annotations, const char *body,
                                struct import_strings *out)
{
    const char *signer = import_quote(work, import_signer_add(work, rule->name, body));
    const char *pairs = "";

    if (annotations.node != NULL && annotations.node->kind != YAML_MAP) {
        (void)import_refuse(work, annotations, "expected a mapping");
        return;
    }
    for (const struct yaml_node *child = annotations.node == NULL ? NULL : annotations.node->child;
         child != NULL; child = child->next) {
        struct import_at at = import_get(work, annotations, child->key);
        const char *value = import_kyverno_need(work, at);

        if (value == NULL) {
            return;
        }
        if (strpbrk(value, "*?") != NULL) {
            (void)import_refuse(work, at, "annotations are compared whole; write the value");
            return;
        }
        pairs = import_printf(work, "%s%s%s: %s", pairs, pairs[0] == '\0' ? "" : ", ",
                              import_quote(work, child->key), import_quote(work, value));
    }
    if (pairs[0] != '\0' && strncmp(rule->before, "{signature", 10) != 0) {
        (void)import_refuse(work, annotations, "annotations are of signatures, not attestations");
        return;
    }
    import_append(work, out,
                  import_printf(work, "%s%s%s%s%s%s", rule->before, signer,
                                pairs[0] == '\0' ? "" : ", annotations: {", pairs,
                                pairs[0] == '\0' ? "" : "}", rule->after));
}

/* --- keys --------------------------------------------------------------------------------- */

/* Key material as items of `keys`; every PEM block is an entry of its own. */
static bool import_kyverno_material(struct import_work *work, struct import_at keys,
                                    const struct import_kyverno *rule, struct import_strings *out)
{
    static const struct import_field secret[] = {{"name", IMPORT_T, NULL},
                                                 {"namespace", IMPORT_T, NULL}};
    struct import_at inline_keys = import_get(work, keys, "publicKeys");
    struct import_at kms = import_get(work, keys, "kms");
    struct import_at ref = import_get(work, keys, "secret");
    struct import_at at = inline_keys.node != NULL ? inline_keys : ref;
    struct import_strings paths = {0};
    const char *text = NULL;

    if ((inline_keys.node != NULL) + (kms.node != NULL) + (ref.node != NULL) != 1) {
        return import_refuse(work, keys, "expected exactly one of publicKeys, kms and secret");
    }
    if (kms.node != NULL) {
        text = import_kyverno_need(work, kms);
        if (text != NULL) {
            import_append(work, out, import_printf(work, "{kms: %s}", import_quote(work, text)));
        }
        return text != NULL;
    }
    if (ref.node != NULL) {
        const char *name;
        const char *space;

        if (!IMPORT_MAP(work, ref, secret)) {
            return false;
        }
        name = import_kyverno_need(work, import_get(work, ref, "name"));
        space = import_kyverno_need(work, import_get(work, ref, "namespace"));
        text =
            name == NULL || space == NULL ? NULL : import_printf(work, "k8s://%s/%s", space, name);
    } else {
        text = import_kyverno_need(work, inline_keys);
    }
    if (text == NULL) {
        return false;
    }
    if (strncmp(text, "k8s://", 6) == 0) {
        const char *path = import_setting(work, "secret", text + 6);

        if (path == NULL) {
            return import_refuse(work, at, "a Secret; give --set secret:%.100s=FILE", text + 6);
        }
        import_append(work, &paths, path);
    } else if (!import_keys(work, at, rule->name, text, &paths)) {
        return false;
    }
    for (size_t i = 0; i < paths.count; i++) {
        import_append(work, out,
                      import_printf(work, "{file: %s}", import_quote(work, paths.items[i])));
    }
    return true;
}

static void import_kyverno_hash(struct import_work *work, struct import_at at)
{
    struct import_at hash = import_get(work, at, "signatureAlgorithm");

    if (hash.node != NULL && import_word(work, hash, "sha256|sha224|sha384|sha512") > 0) {
        (void)import_say(work, IMPORT_A, hash,
                         "SHA-256 and the hash of the key's curve are tried alone");
    }
}

static void import_kyverno_keys(struct import_work *work, struct import_at entry,
                                struct import_at keys, const struct import_kyverno *rule,
                                struct import_strings *out)
{
    static const struct import_field fields[] = {
        {"publicKeys", IMPORT_T, NULL}, {"kms", IMPORT_T, NULL},
        {"secret", IMPORT_T, NULL},     {"rekor", IMPORT_T, NULL},
        {"ctlog", IMPORT_T, NULL},      {"signatureAlgorithm", IMPORT_T, NULL}};
    struct import_strings items = {0};
    struct import_kyverno_log log;
    const char *repository;
    const char *root = NULL;

    if (!IMPORT_MAP(work, keys, fields) || !import_kyverno_log(work, keys, &log) ||
        !import_kyverno_material(work, keys, rule, &items)) {
        return;
    }
    import_kyverno_hash(work, keys);
    if (!log.is_tlog_off || log.is_time_required) {
        root = import_sigstore_root(work, keys, log.root);
        if (root == NULL) {
            return;
        }
    }
    repository = import_kyverno_repository(work, entry, rule);
    for (size_t i = 0; repository != NULL && i < items.count; i++) {
        import_kyverno_leaf(work, rule, import_get(work, entry, "annotations"),
                            import_printf(work, "{keys: [%s], tlog: %s, timestamp: %s%s%s%s}",
                                          items.items[i], log.is_tlog_off ? "off" : "required",
                                          log.is_time_required ? "required" : "optional",
                                          root == NULL ? "" : ", root: ",
                                          root == NULL ? "" : import_quote(work, root), repository),
                            out);
    }
}

/* --- keyless ------------------------------------------------------------------------------ */

/* githubWorkflowRef is github_workflow_ref here; NULL and refused where there is none such. */
static const char *import_kyverno_claims(struct import_work *work, struct import_at map)
{
    const char *out = "";

    if (map.node != NULL && map.node->kind != YAML_MAP) {
        (void)import_refuse(work, map, "expected a mapping");
        return NULL;
    }
    for (const struct yaml_node *child = map.node == NULL ? NULL : map.node->child; child != NULL;
         child = child->next) {
        struct import_at at = import_get(work, map, child->key);
        const char *value = import_kyverno_need(work, at);
        struct text name;
        const char *glob = "";

        if (value == NULL) {
            return NULL;
        }
        text_init(&name, 1024);
        for (const char *c = child->key; *c != '\0'; c++) {
            bool is_upper = *c >= 'A' && *c <= 'Z';

            text_put(&name, is_upper ? "_" : "");
            text_put_char(&name, (char)(is_upper ? *c - 'A' + 'a' : *c));
        }
        for (const char *c = value; *c != '\0'; c++) {
            glob = import_printf(work, "%s%s%c", glob, *c == '*' ? "*" : "", *c);
        }
        if (x509_fulcio_claim_arc(text_cstr(&name)) == 0 || strchr(value, '?') != NULL) {
            text_done(&name);
            (void)import_refuse(work, at, "\"%.60s\" is none of Fulcio's extensions, or has a ?",
                                child->key);
            return NULL;
        }
        work->is_exhausted = work->is_exhausted || !text_ok(&name);
        out = import_printf(work, "%s%s%s: %s", out, out[0] == '\0' ? "" : ", ", text_cstr(&name),
                            import_quote(work, glob));
        text_done(&name);
    }
    return out[0] == '\0' ? "" : import_printf(work, ", claims: {%s}", out);
}

static const char *import_kyverno_either(struct import_work *work, struct import_at keyless,
                                         const char *key)
{
    struct import_at plain = import_get(work, keyless, key);
    struct import_at regex = import_get(work, keyless, import_printf(work, "%sRegExp", key));
    const char *text;

    if (regex.node != NULL && plain.node == NULL) {
        text = import_kyverno_need(work, regex);
        text = text == NULL ? NULL : import_regex(work, regex, text);
        return text == NULL ? NULL
                            : import_printf(work, "%s_regex: %s", key, import_quote(work, text));
    }
    if (regex.node != NULL || plain.node == NULL) {
        (void)import_refuse(work, keyless,
                            "expected exactly one of %s and %sRegExp; without one anybody's "
                            "signature would do",
                            key, key);
        return NULL;
    }
    text = import_kyverno_need(work, plain);
    return text == NULL ? NULL : import_wildcard(work, plain, key, text);
}

static void import_kyverno_keyless(struct import_work *work, struct import_at entry,
                                   struct import_at keyless, const struct import_kyverno *rule,
                                   struct import_strings *out)
{
    static const struct import_field fields[] = {
        {"issuer", IMPORT_T, NULL},  {"issuerRegExp", IMPORT_T, NULL},
        {"subject", IMPORT_T, NULL}, {"subjectRegExp", IMPORT_T, NULL},
        {"roots", IMPORT_T, NULL},   {"additionalExtensions", IMPORT_T, NULL},
        {"rekor", IMPORT_T, NULL},   {"ctlog", IMPORT_T, NULL}};
    struct import_kyverno_log log;
    const char *repository;
    const char *subject;
    const char *issuer;
    const char *claims;
    const char *root;

    if (!IMPORT_MAP(work, keyless, fields) || !import_kyverno_log(work, keyless, &log)) {
        return;
    }
    issuer = import_kyverno_either(work, keyless, "issuer");
    subject = import_kyverno_either(work, keyless, "subject");
    claims = import_kyverno_claims(work, import_get(work, keyless, "additionalExtensions"));
    root = import_sigstore_root(work, keyless, log.root);
    repository = import_kyverno_repository(work, entry, rule);
    if (issuer == NULL || subject == NULL || claims == NULL || root == NULL || repository == NULL) {
        return;
    }
    if (log.is_tlog_off && !log.is_time_required) {
        (void)import_say(work, IMPORT_A, keyless,
                         "without log or time stamp nothing proves when it was signed; the log "
                         "is asked for");
    }
    import_kyverno_leaf(
        work, rule, import_get(work, entry, "annotations"),
        import_printf(work, "{keyless: {root: %s, %s, %s%s, tlog: %s, timestamp: %s, sct: %s}%s}",
                      import_quote(work, root), issuer, subject, claims,
                      log.is_tlog_off && log.is_time_required ? "off" : "required",
                      log.is_time_required ? "required" : "optional",
                      log.is_sct_off ? "off" : "required", repository),
        out);
}

/* --- certificates ------------------------------------------------------------------------- */

static void import_kyverno_certificates(struct import_work *work, struct import_at at,
                                        const struct import_kyverno *rule,
                                        struct import_strings *out)
{
    static const struct import_field fields[] = {
        {"cert", IMPORT_T, NULL},
        {"certChain", IMPORT_T, NULL},
        {"rekor", IMPORT_N, "notation signatures are in no log"},
        {"ctlog", IMPORT_N, "notation signatures are in no log"}};
    struct import_at cert = import_get(work, at, "cert");
    struct import_at chain = import_get(work, at, "certChain");
    const char *path;
    const char *text;
    const char *root;

    if (rule->type != KYVERNO_NOTARY) {
        (void)import_refuse(work, at,
                            "cosign signatures by a certificate's key: write the public key "
                            "under keys");
        return;
    }
    if (!IMPORT_MAP(work, at, fields)) {
        return;
    }
    cert = chain.node != NULL ? chain : cert;
    text = import_kyverno_need(work, cert);
    if (text == NULL) {
        return;
    }
    if (strstr(text, "-----BEGIN CERTIFICATE-----") == NULL) {
        (void)import_refuse(work, cert, "expected certificates as PEM");
        return;
    }
    path = import_file_add(work, cert, rule->name, ".pem",
                           bytes_of(import_printf(work, "%s\n", text)));
    if (path == NULL) {
        return;
    }
    root = import_root_add(work, rule->name,
                           import_printf(work, "{ca: [%s]}", import_quote(work, path)));
    import_kyverno_leaf(work, rule, (struct import_at){.path = ""},
                        import_printf(work, "{notation: {root: %s, identities: [\"*\"]}}",
                                      import_quote(work, root)),
                        out);
}

/* --- sets --------------------------------------------------------------------------------- */

static void import_kyverno_entry(struct import_work *work, struct import_at entry,
                                 const struct import_kyverno *rule, unsigned depth,
                                 struct import_strings *out)
{
    static const struct import_field fields[] = {{"keys", IMPORT_T, NULL},
                                                 {"certificates", IMPORT_T, NULL},
                                                 {"keyless", IMPORT_T, NULL},
                                                 {"attestor", IMPORT_T, NULL},
                                                 {"annotations", IMPORT_T, NULL},
                                                 {"repository", IMPORT_T, NULL},
                                                 {"signatureAlgorithm", IMPORT_T, NULL}};
    struct import_at found = {.path = ""};
    size_t which = 0;
    size_t count = 0;

    if (!IMPORT_MAP(work, entry, fields)) {
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        struct import_at at = import_get(work, entry, fields[i].name);

        if (at.node != NULL) {
            found = at;
            which = i;
            count++;
        }
    }
    if (count != 1) {
        (void)import_refuse(work, entry,
                            "expected exactly one of keys, certificates, keyless and attestor");
        return;
    }
    import_kyverno_hash(work, entry);
    switch (which) {
    case 0:
        import_kyverno_keys(work, entry, found, rule, out);
        break;
    case 1:
        import_kyverno_certificates(work, found, rule, out);
        break;
    case 2:
        import_kyverno_keyless(work, entry, found, rule, out);
        break;
    default: {
        /* A set inside a set: the one list of sets with one item. */
        struct yaml_node item = *found.node;
        struct yaml_node list = {.kind = YAML_LIST, .line = item.line, .count = 1, .child = &item};

        item.next = NULL;
        import_kyverno_attestors(work, (struct import_at){&list, found.path, found.tree}, rule,
                                 depth + 1, out);
    }
    }
}

static void import_kyverno_set(struct import_work *work, struct import_at set,
                               const struct import_kyverno *rule, unsigned depth,
                               struct import_strings *out)
{
    static const struct import_field fields[] = {{"count", IMPORT_T, NULL},
                                                 {"entries", IMPORT_T, NULL}};
    struct import_at entries = import_get(work, set, "entries");
    struct import_at count = import_get(work, set, "count");
    struct import_strings items = {0};
    size_t refused = work->result->refused_count;
    const char *list = "";
    int64_t wanted;

    if (!IMPORT_MAP(work, set, fields) || !import_list(work, entries, 1)) {
        return;
    }
    for (size_t i = 0; i < import_count(entries); i++) {
        import_kyverno_entry(work, import_item(work, entries, i), rule, depth, &items);
    }
    wanted = import_int(work, count, 0);
    if (work->result->refused_count > refused) {
        return;
    }
    if ((count.node != NULL && wanted < 1) || wanted > (int64_t)items.count) {
        (void)import_refuse(work, count.node == NULL ? set : count,
                            "found %lld, expected 1 to %zu, as many as there are entries",
                            (long long)wanted, items.count);
        return;
    }
    if (wanted == 0 || wanted == (int64_t)items.count || wanted == 1) {
        bool is_any = wanted == 1 && items.count > 1;

        import_append(work, out, import_combine(work, is_any ? "any" : "all", &items));
        return;
    }
    for (size_t i = 0; i < items.count; i++) {
        list = import_printf(work, "%s%s%s", list, i > 0 ? ", " : "", items.items[i]);
    }
    (void)import_say(work, IMPORT_A, count, "counted by distinct keys and identities");
    import_append(work, out,
                  import_printf(work, "{at_least: %lld, of: [%s]}", (long long)wanted, list));
}

void import_kyverno_attestors(struct import_work *work, struct import_at list,
                              const struct import_kyverno *rule, unsigned depth,
                              struct import_strings *out)
{
    if (depth > KYVERNO_MAX_DEPTH) {
        (void)import_refuse(work, list, "sets nest deeper than %d", KYVERNO_MAX_DEPTH);
        return;
    }
    for (size_t i = 0; import_list(work, list, 0) && i < import_count(list); i++) {
        import_kyverno_set(work, import_item(work, list, i), rule, depth, out);
    }
}

void import_kyverno_legacy(struct import_work *work, const struct import_kyverno *rule,
                           struct import_strings *out)
{
    static const char *const names[] = {"key",   "issuer",      "subject",
                                        "roots", "annotations", "additionalExtensions"};
    struct import_at key = import_get(work, rule->item, "key");
    struct import_at found = {.path = ""};
    struct yaml_node *parts = NULL;
    struct yaml_node map = {.kind = YAML_MAP};
    struct yaml_node copies[4];
    size_t count = 0;

    for (size_t i = GH_COUNT(names); i-- > 0;) {
        struct import_at at = import_get(work, rule->item, names[i]);

        found = at.node != NULL ? at : found;
    }
    if (found.node == NULL) {
        return;
    }
    if (import_get(work, rule->item, "attestations").node != NULL ||
        import_get(work, rule->item, "attestors").node != NULL) {
        (void)import_refuse(work, found,
                            "the old fields key, issuer, subject and annotations beside attestors "
                            "or attestations lose their meaning there; write attestors");
        return;
    }
    /* As the old fields are read there: an entry of keys or keyless with these members. */
    for (const struct yaml_node *child = rule->item.node->child; child != NULL && count < 4;
         child = child->next) {
        bool is_key = strcmp(child->key, "key") == 0;

        if (is_key || (key.node == NULL &&
                       (strcmp(child->key, "issuer") == 0 || strcmp(child->key, "subject") == 0 ||
                        strcmp(child->key, "roots") == 0 ||
                        strcmp(child->key, "additionalExtensions") == 0))) {
            copies[count] = *child;
            copies[count].key = is_key ? "publicKeys" : child->key;
            copies[count].next = parts;
            parts = &copies[count++];
        }
    }
    map.line = found.node->line;
    map.child = parts;
    map.count = (uint32_t)count;
    if (key.node != NULL) {
        import_kyverno_keys(work, rule->item,
                            (struct import_at){&map, rule->item.path, rule->item.tree}, rule, out);
    } else {
        import_kyverno_keyless(work, rule->item,
                               (struct import_at){&map, rule->item.path, rule->item.tree}, rule,
                               out);
    }
}
