/*
 * The configuration as text. What rejects becomes `except` of everything else, because an image
 * that no policy covers is denied; what admits without verification becomes what the caller chose.
 */
#include <stdio.h>
#include <string.h>

#include "policy/arena.h"
#include "policy/import_work.h"

static void import_put_list(struct text *out, const struct import_strings *list)
{
    text_put(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        text_put(out, i > 0 ? ", " : "");
        text_put_json(out, list->items[i]);
    }
    text_put(out, "]");
}

static void import_put_blocks(struct text *out, const char *title,
                              const struct import_blocks *blocks)
{
    if (blocks->count == 0) {
        return;
    }
    text_printf(out, "%s:\n", title);
    for (size_t i = 0; i < blocks->count; i++) {
        text_put(out, "  ");
        text_put_json(out, blocks->items[i].name);
        text_printf(out, ": %s\n", blocks->items[i].body);
    }
}

static void import_put_upstreams(struct import_work *work, struct text *out)
{
    text_put(out, "upstreams:\n");
    if (work->upstreams.count == 0) {
        /* Something must stand here; nothing else is known of where images come from. */
        import_append(work, &work->upstreams, "docker.io");
        text_put(out, "  # The documents name no registry: list yours.\n");
    }
    for (size_t i = 0; i < work->upstreams.count; i++) {
        const char *name = work->upstreams.items[i];

        text_put(out, "  ");
        text_put_json(out, name);
        if (strcmp(name, "docker.io") == 0) {
            text_put(out, ": {url: \"https://registry-1.docker.io\", auth_hosts: "
                          "[\"auth.docker.io\"]}\n");
        } else {
            text_printf(out, ": {url: \"https://%s\"}\n", name);
        }
    }
}

/* A signer that an unverified image's policy may ask for, so that its absence is seen. */
static const char *import_observed(struct import_work *work)
{
    const char *path = import_setting(work, "observe", NULL);

    if (path != NULL) {
        return import_signer_add(
            work, "observed",
            import_printf(work, "{keys: [{file: %s}]}", import_quote(work, path)));
    }
    return work->signers.count > 0 ? work->signers.items[0].name : NULL;
}

static bool import_is_exceptable(const char *pattern)
{
    const char *slash = strchr(pattern, '/');
    const char *star = strchr(pattern, '*');

    /* The registry and the first component of the repository are literal. */
    return slash != NULL &&
           (star == NULL || (strchr(slash + 1, '/') != NULL && star > strchr(slash + 1, '/')));
}

static void import_settle(struct import_work *work, struct import_policy *policy)
{
    const char *observed = import_observed(work);

    if (work->request->unverified == IMPORT_UNVERIFIED_REFUSED) {
        (void)import_refuse(work, policy->at,
                            "it admits images without verification, which a configuration cannot; "
                            "give --as-audit or --as-warn to serve and count them, or "
                            "--as-exception owner=…,approved_by=…,expires=…");
        return;
    }
    if (observed == NULL) {
        (void)import_refuse(work, policy->at,
                            "it admits images without verification, and no signer is known whose "
                            "signature could be looked for; give --set observe=KEYFILE");
        return;
    }
    policy->require = import_printf(work, "{signature: %s}", import_quote(work, observed));
    if (work->request->unverified != IMPORT_UNVERIFIED_EXCEPTION) {
        bool is_warn = work->request->unverified == IMPORT_UNVERIFIED_WARN;

        policy->mode = is_warn ? "warn" : "audit";
        (void)import_say(work, IMPORT_A, policy->at,
                         "admitted without verification: served in mode %s, counted and listed",
                         policy->mode);
        return;
    }
    for (size_t i = 0; i < policy->images.count; i++) {
        if (!import_is_exceptable(policy->images.items[i])) {
            (void)import_refuse(work, policy->at,
                                "\"%.100s\" is too wide for an exception, which names a registry "
                                "and the first component; give --as-audit or --as-warn",
                                policy->images.items[i]);
        }
    }
    (void)import_say(work, IMPORT_A, policy->at,
                     "admitted without verification: by an exception until %s",
                     work->request->expires);
}

static void import_put_policy(struct import_work *work, const struct import_policy *policy)
{
    struct text *out = &work->result->config;

    text_put(out, "  - name: ");
    text_put_json(out, policy->name);
    text_put(out, "\n    images: ");
    import_put_list(out, &policy->images);
    if (policy->except.count > 0) {
        text_put(out, "\n    except: ");
        import_put_list(out, &policy->except);
    }
    text_printf(out, "\n    mode: %s\n", policy->mode);
    if (policy->is_digest_required) {
        text_put(out, "    require_digest: true\n");
    }
    text_printf(out, "    require: [%s]\n", policy->require == NULL ? "" : policy->require);
}

static void import_put_exceptions(struct import_work *work)
{
    const struct import_request *request = work->request;
    struct text text;
    size_t count = 0;

    text_init(&text, IMPORT_MAX_OUTPUT_BYTES);
    text_put(&text, "exceptions:\n");
    for (size_t i = 0; i < work->policy_count; i++) {
        const struct import_policy *policy = &work->policies[i];

        if (policy->decision != IMPORT_UNVERIFIED) {
            continue;
        }
        text_printf(&text, "  - id: IMPORT-%zu\n    images: ", ++count);
        import_put_list(&text, &policy->images);
        text_put(&text, "\n    policies: [");
        text_put_json(&text, policy->name);
        text_put(&text, "]\n    owner: ");
        text_put_json(&text, request->owner);
        text_put(&text, "\n    approved_by: ");
        text_put_json(&text, request->approved_by);
        text_printf(&text,
                    "\n    justification: \"imported: admitted without verification\"\n"
                    "    created: %s\n    expires: %s\n",
                    request->created, request->expires);
    }
    work->is_exhausted = work->is_exhausted || !text_ok(&text);
    if (count > 0) {
        struct import_at at = work->policies[0].at;
        const char *name =
            import_file_add(work, at, "exceptions", ".yaml", bytes_of(text_cstr(&text)));

        if (name != NULL) {
            text_put(&work->result->config, "exceptions: ");
            text_put_json(&work->result->config, name);
            text_put(&work->result->config, "\nexceptions_approvers: [");
            text_put_json(&work->result->config, request->approved_by);
            text_put(&work->result->config, "]\n");
        }
    }
    text_done(&text);
}

static size_t import_settle_all(struct import_work *work)
{
    size_t written = 0;

    for (size_t i = 0; i < work->policy_count; i++) {
        struct import_policy *policy = &work->policies[i];

        if (policy->decision == IMPORT_REJECT) {
            for (size_t k = 0; k < work->policy_count; k++) {
                for (size_t m = 0; m < policy->images.count && k != i; m++) {
                    import_append(work, &work->policies[k].except, policy->images.items[m]);
                }
            }
            continue;
        }
        if (policy->decision == IMPORT_UNVERIFIED) {
            import_settle(work, policy);
        }
        written++;
    }
    return written;
}

void import_write(struct import_work *work)
{
    struct text *out = &work->result->config;
    size_t written;

    if (work->result->refused_count > 0 && work->policy_count == 0) {
        return;
    }
    written = import_settle_all(work);
    import_put_upstreams(work, out);
    import_put_blocks(out, "roots", &work->roots);
    import_put_blocks(out, "signers", &work->signers);
    text_put(out, written == 0 ? "policies: []\n" : "policies:\n");
    for (size_t i = 0; i < work->policy_count; i++) {
        if (work->policies[i].decision != IMPORT_REJECT) {
            import_put_policy(work, &work->policies[i]);
        }
    }
    if (work->request->unverified == IMPORT_UNVERIFIED_EXCEPTION) {
        import_put_exceptions(work);
    }
}
