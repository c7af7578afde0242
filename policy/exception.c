/*
 * The exceptions register: dated waivers with an owner and an approver, checked here once and
 * evaluated at every decision.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/compile.h"

#define EXCEPTION_MAX_LIFE_S (INT64_C(400) * 86400) /* whatever the configuration says */

/* A pattern must say whose images it is about: registry and first component literal. */
static bool exception_is_narrow(const struct image_pattern *pattern)
{
    size_t upstream = strcspn(pattern->text, "/");
    const char *first = pattern->text + upstream + (pattern->text[upstream] == '/' ? 1 : 0);
    size_t component = strcspn(first, "/");

    return memchr(pattern->text, '*', upstream) == NULL && component > 0 &&
           memchr(first, '*', component) == NULL;
}

static void exception_images(struct compile *compile, const struct config_raw_exception *raw,
                             struct exception *exception)
{
    struct image_pattern *patterns = compile_alloc(compile, raw->images.count, sizeof(*patterns));
    const struct yaml_node *node = yaml_at(yaml_get(raw->at.node, "images"), 0);

    for (size_t i = 0; patterns != NULL && i < raw->images.count; i++, node = node->next) {
        struct image_pattern *pattern = &patterns[exception->image_count];
        struct gh_error err = {0};

        if (!image_pattern_parse(bytes_of(raw->images.items[i]), compile->reader.arena, pattern,
                                 &err)) {
            config_error(&compile->reader, node, "images: \"%.150s\": %s", raw->images.items[i],
                         err.text);
            continue;
        }
        exception->image_count++;
        if (pattern->digest.alg != DIGEST_NONE && !pattern->is_literal) {
            config_error(&compile->reader, node,
                         "images: \"%.150s\": a digest belongs to one repository, without `*`",
                         raw->images.items[i]);
        } else if (pattern->digest.alg == DIGEST_NONE && !exception_is_narrow(pattern)) {
            config_error(&compile->reader, node,
                         "images: \"%.150s\" is too wide for an exception; expected a digest, or "
                         "a pattern whose registry and first component are literal",
                         raw->images.items[i]);
        } else if (pattern->digest.alg == DIGEST_NONE && exception->is_for_uncovered) {
            config_error(&compile->reader, node,
                         "images: \"%.150s\": an exception for what no policy covers needs a "
                         "digest",
                         raw->images.items[i]);
        }
    }
    exception->images = patterns;
}

static int exception_compare_index(const void *a, const void *b)
{
    const uint32_t *left = a;
    const uint32_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

static void exception_policies(struct compile *compile, const struct config_raw_exception *raw,
                               struct exception *exception)
{
    uint32_t *indexes = compile_alloc(compile, raw->policies.count, sizeof(*indexes));

    for (size_t i = 0; indexes != NULL && i < raw->policies.count; i++) {
        const char *name = raw->policies.items[i];
        const struct policy *policy;

        if (strcmp(name, "not_covered") == 0) {
            exception->is_for_uncovered = true;
            continue;
        }
        policy = compile_policy_find(compile, name);
        if (policy == NULL) {
            char words[4096] = "";
            size_t used = 0;

            for (size_t j = 0; j < compile->tenant->snapshot.policy_count && used < sizeof(words);
                 j++) {
                used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
                                         used == 0 ? "" : "|",
                                         compile->tenant->snapshot.policies[j].name);
            }
            config_error_found(&compile->reader, compile_item(&raw->at, "policies", i),
                               "the name of a policy, or not_covered", words, "policies");
            continue;
        }
        indexes[exception->policy_count++] = (uint32_t)policy->index;
    }
    exception->policies = indexes;
    if (exception->policy_count > 1 && indexes != NULL) {
        qsort(indexes, exception->policy_count, sizeof(*indexes), exception_compare_index);
    }
}

static bool exception_expr_has(const struct policy_expr *expr, const char *label)
{
    if (expr->kind == POLICY_LEAF) {
        return expr->leaf != NULL && strcmp(expr->leaf->label, label) == 0;
    }
    for (size_t i = 0; i < expr->count; i++) {
        if (exception_expr_has(&expr->items[i], label)) {
            return true;
        }
    }
    return false;
}

static bool exception_waives_something(const struct compile *compile,
                                       const struct exception *exception, const char *label)
{
    for (size_t i = 0; i < exception->policy_count; i++) {
        const struct policy *policy = &compile->tenant->snapshot.policies[exception->policies[i]];

        if (exception_expr_has(&policy->expr, label) ||
            (policy->deny_tag_count > 0 && strcmp(label, "deny_tags") == 0) ||
            (policy->is_digest_required && strcmp(label, "require_digest") == 0)) {
            return true;
        }
    }
    return false;
}

static void exception_waive(struct compile *compile, const struct config_raw_exception *raw,
                            struct exception *exception)
{
    exception->waive = raw->waive.items;
    exception->waive_count = raw->waive.count;
    for (size_t i = 0; i < raw->waive.count; i++) {
        if (!exception_waives_something(compile, exception, raw->waive.items[i])) {
            config_error(&compile->reader, compile_item(&raw->at, "waive", i),
                         "waive: \"%.100s\" is no requirement of these policies; expected a label "
                         "such as signature:NAME or attestation:TYPE:SIGNER",
                         raw->waive.items[i]);
        }
    }
}

static bool exception_is_approver(const struct compile *compile, const char *who)
{
    const struct config_strings *approvers = &compile->raw.exceptions_approvers;

    for (size_t i = 0; i < approvers->count; i++) {
        if (strcmp(approvers->items[i], who) == 0) {
            return true;
        }
    }
    return false;
}

static void exception_approval(struct compile *compile, const char *who, const char *owner,
                               const char *key, const struct yaml_node *node)
{
    if (strcmp(who, owner) == 0) {
        config_error(&compile->reader, node, "%s: found the owner, expected somebody else", key);
    } else if (!exception_is_approver(compile, who)) {
        config_error(&compile->reader, node, "%s: \"%.100s\" is not one of exceptions_approvers",
                     key, who);
    }
}

static void exception_life(struct compile *compile, int64_t from, int64_t to, const char *what,
                           const struct yaml_node *node)
{
    int64_t longest = GH_MIN(compile->raw.exceptions_max_s, EXCEPTION_MAX_LIFE_S);

    if (to <= from) {
        config_error(&compile->reader, node, "expires: expected a moment after %s", what);
    } else if (from == INT64_MIN || to == INT64_MAX || to - from > longest + 86400) {
        /* Dates are whole days: from the start of one to the end of another is a day more. */
        config_error(&compile->reader, node,
                     "expires: more than %lld days after %s; exceptions_max allows no more",
                     (long long)(longest / 86400), what);
    }
}

static void exception_renewals(struct compile *compile, const struct config_raw_exception *raw,
                               struct exception *exception)
{
    int64_t last_at = exception->created_unix_s;

    exception->renewal_count = raw->renewals.count;
    for (size_t i = 0; i < raw->renewals.count; i++) {
        const struct config_raw_renewal *renewal = &raw->renewals.items[i];

        if (renewal->by == NULL) {
            continue; /* recorded */
        }
        exception_approval(compile, renewal->by, exception->owner, "by",
                           compile_node(&renewal->at, "by"));
        exception_life(compile, renewal->at_unix_s, renewal->expires_unix_s, "the renewal",
                       compile_node(&renewal->at, "expires"));
        if (renewal->at_unix_s < last_at) {
            config_error(&compile->reader, compile_node(&renewal->at, "at"),
                         "renewals: expected them in order; they are appended, never changed");
        }
        if (renewal->at_unix_s > compile->reader.now_unix_s) {
            config_error(&compile->reader, compile_node(&renewal->at, "at"),
                         "renewals: a renewal lies in the future");
        }
        last_at = renewal->at_unix_s;
        exception->expires_unix_s = renewal->expires_unix_s;
    }
}

/* A member that is there and says nothing is as good as missing. */
static void exception_told(struct compile *compile, const struct config_raw_exception *raw,
                           const char *member, const char *text)
{
    if (text[strspn(text, " \t\r\n")] == '\0') {
        config_error(&compile->reader, compile_node(&raw->at, member),
                     "%s: found nothing in it, expected a text", member);
    }
}

static bool exception_compile(struct compile *compile, const struct config_raw_exception *raw,
                              struct exception *exception)
{
    if (raw->id == NULL || raw->owner == NULL || raw->approved_by == NULL ||
        raw->justification == NULL || raw->at.node->kind != YAML_MAP) {
        return false; /* recorded as missing */
    }
    exception->id = raw->id;
    exception->owner = raw->owner;
    exception->approved_by = raw->approved_by;
    exception->justification = raw->justification;
    exception->compensating_control = raw->compensating_control;
    exception->created_unix_s = raw->created_unix_s;
    exception->expires_unix_s = raw->expires_unix_s;
    exception->line = raw->at.node->line;
    exception_policies(compile, raw, exception);
    exception_images(compile, raw, exception);
    exception_waive(compile, raw, exception);
    exception_told(compile, raw, "owner", raw->owner);
    exception_told(compile, raw, "approved_by", raw->approved_by);
    exception_told(compile, raw, "justification", raw->justification);
    exception_approval(compile, raw->approved_by, raw->owner, "approved_by",
                       compile_node(&raw->at, "approved_by"));
    exception_life(compile, raw->created_unix_s, raw->expires_unix_s, "\"created\"",
                   compile_node(&raw->at, "expires"));
    exception_renewals(compile, raw, exception);
    return true;
}

static int exception_compare(const void *a, const void *b)
{
    const struct exception *left = a;
    const struct exception *right = b;
    int order = strcmp(left->id, right->id);

    return order != 0 ? order : (left->line < right->line ? -1 : left->line > right->line);
}

static void exception_warn(struct compile *compile, const struct exception *exception)
{
    char message[256];

    if (exception->expires_unix_s > compile->reader.now_unix_s) {
        return;
    }
    (void)snprintf(message, sizeof(message), "the exception %.100s has expired", exception->id);
    config_problem_add(&compile->reader, CONFIG_WARNING, exception->line, 1, message, NULL, NULL,
                       NULL);
}

static void exception_finish(struct compile *compile)
{
    struct snapshot *snapshot = &compile->tenant->snapshot;
    struct image_index *index = image_index_new(compile->reader.arena);
    struct gh_error err = {0};
    bool is_good = index != NULL;

    assert(snapshot->exception_count == 0 || compile->exceptions != NULL);
    if (snapshot->exception_count > 1) {
        qsort(compile->exceptions, snapshot->exception_count, sizeof(*compile->exceptions),
              exception_compare);
    }
    for (size_t i = 0; i < snapshot->exception_count; i++) {
        struct exception *exception = &compile->exceptions[i];

        exception->index = i;
        if (i > 0 && strcmp(exception->id, exception[-1].id) == 0) {
            char message[256];

            (void)snprintf(message, sizeof(message),
                           "two exceptions have the id \"%.100s\" (the other on line %u)",
                           exception->id, exception[-1].line);
            config_problem_add(&compile->reader, CONFIG_ERROR, exception->line, 1, message, NULL,
                               NULL, NULL);
        }
        exception_warn(compile, exception);
        for (size_t j = 0; is_good && j < exception->image_count; j++) {
            is_good = image_index_add(index, &exception->images[j], (uint32_t)i, &err);
        }
    }
    if (!is_good) {
        config_error(&compile->reader, NULL, "no memory for the index of exceptions");
    }
    snapshot->exceptions = compile->exceptions;
    snapshot->exception_index = index;
}

static void exception_read(struct compile *compile, const char *path,
                           struct config_raw_register *raw)
{
    struct bytes_buf file = {0};
    const struct yaml_node *root = NULL;
    struct gh_error err = {0};
    uint32_t line = 0;
    uint32_t column = 0;

    if (!compile_read(compile, compile_node(&compile->raw.at, "exceptions"), path,
                      CONFIG_MAX_FILE_BYTES, false, &file)) {
        return;
    }
    compile->reader.file = path;
    if (!yaml_read(bytes_view(&file), compile->reader.arena, &root, &line, &column, &err)) {
        config_problem_add(&compile->reader, CONFIG_ERROR, line, column, err.text, NULL, NULL,
                           NULL);
    } else if (root != NULL && (root->kind != YAML_SCALAR || root->type != YAML_NULL)) {
        config_read_object(&compile->reader, &config_object_register, root, raw);
    }
    bytes_buf_done(&file);
}

void compile_exceptions(struct compile *compile)
{
    struct snapshot *snapshot = &compile->tenant->snapshot;
    const char *file = compile->reader.file;
    struct config_raw_register raw = {0};

    compile->tenant->exceptions_file = compile->raw.exceptions;
    if (compile->raw.exceptions != NULL) {
        exception_read(compile, compile->raw.exceptions, &raw);
    }
    compile->exceptions =
        compile_alloc(compile, raw.exceptions.count, sizeof(*compile->exceptions));
    for (size_t i = 0; compile->exceptions != NULL && i < raw.exceptions.count; i++) {
        if (exception_compile(compile, &raw.exceptions.items[i],
                              &compile->exceptions[snapshot->exception_count])) {
            snapshot->exception_count++;
        }
    }
    exception_finish(compile);
    compile->reader.file = file;
}
