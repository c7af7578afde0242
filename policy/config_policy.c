/*
 * Policies: what they cover, what they ask, and the index that finds them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/compile.h"

#define COMPILE_MAX_WORDS 4096

/* Patterns of a list of texts under KEY; *count is how many were good. */
static struct image_pattern *compile_patterns(struct compile *compile, const struct config_at *at,
                                              const char *key, const struct config_strings *raw,
                                              size_t *count)
{
    struct image_pattern *patterns = compile_alloc(compile, raw->count, sizeof(*patterns));
    const struct yaml_node *node = yaml_at(yaml_get(at->node, key), 0);

    *count = 0;
    for (size_t i = 0; patterns != NULL && i < raw->count; i++) {
        struct gh_error err = {0};

        if (image_pattern_parse(bytes_of(raw->items[i]), compile->reader.arena, &patterns[*count],
                                &err)) {
            ++*count;
        } else {
            config_error(&compile->reader, node, "%s: \"%.150s\": %s", key, raw->items[i],
                         err.text);
        }
        node = node == NULL ? NULL : node->next;
    }
    return patterns;
}

/* A pattern whose registry is literal and not configured covers nothing. */
static void compile_warn_upstreams(struct compile *compile, const struct config_raw_policy *raw,
                                   const struct policy *policy)
{
    for (size_t i = 0; i < policy->image_count; i++) {
        const char *text = policy->images[i].text;
        size_t len = strcspn(text, "/");
        char upstream[IMAGE_MAX_UPSTREAM_BYTES + 1];

        if (len >= sizeof(upstream) || memchr(text, '*', len) != NULL) {
            continue;
        }
        memcpy(upstream, text, len);
        upstream[len] = '\0';
        if (config_tenant_upstream(compile->tenant, upstream) == NULL) {
            config_warning(&compile->reader, compile_item(&raw->at, "images", i),
                           "\"%s\" is not one of the upstreams: the pattern covers nothing",
                           upstream);
        }
    }
}

static bool compile_stages(struct compile *compile, const struct config_raw_policy *raw,
                           struct policy *policy)
{
    bool is_rollout = raw->rollout.count > 0;
    size_t count = is_rollout ? raw->rollout.count : 1;
    struct policy_stage *stages = compile_alloc(compile, count, sizeof(*stages));

    if (stages == NULL) {
        return false;
    }
    policy->stages = stages;
    policy->stage_count = count;
    if (!is_rollout) {
        stages[0] = (struct policy_stage){(enum policy_mode)raw->mode, INT64_MAX};
        return true;
    }
    if (yaml_get(raw->at.node, "mode") != NULL) {
        config_error_at_key(&compile->reader, yaml_get(raw->at.node, "mode"),
                            "\"mode\" beside \"rollout\"; expected only one of them");
    }
    for (size_t i = 0; i < count; i++) {
        const struct config_raw_stage *stage = &raw->rollout.items[i];
        bool is_last = i + 1 == count;

        stages[i] = (struct policy_stage){(enum policy_mode)stage->mode, stage->until_unix_s};
        if (i > 0 && stages[i].mode > stages[i - 1].mode) {
            config_error(&compile->reader, stage->at.node,
                         "rollout: found %s after %s; stages only tighten",
                         policy_mode_label(stages[i].mode), policy_mode_label(stages[i - 1].mode));
        }
        if (!is_last && stage->at.node->kind == YAML_MAP &&
            yaml_get(stage->at.node, "until") == NULL) {
            config_error(&compile->reader, stage->at.node,
                         "rollout: \"until\" is missing in a stage that is not the last");
        }
        if (i > 0 && !is_last && stages[i].until_unix_s != INT64_MAX &&
            stages[i].until_unix_s <= stages[i - 1].until_unix_s) {
            config_error(&compile->reader, compile_node(&stage->at, "until"),
                         "rollout: expected a later date than the stage before has");
        }
        if (is_last && (stages[i].mode != POLICY_DENY || stage->until_unix_s != INT64_MAX)) {
            config_error(&compile->reader, stage->at.node,
                         "rollout: the last stage must be deny, without \"until\"");
        }
    }
    return true;
}

static void compile_tags(struct compile *compile, const struct config_raw_policy *raw,
                         struct policy *policy)
{
    for (size_t i = 0; i < raw->deny_tags.count; i++) {
        if (!image_is_tag(bytes_of(raw->deny_tags.items[i]))) {
            config_error(&compile->reader, compile_item(&raw->at, "deny_tags", i),
                         "deny_tags: found \"%.100s\", expected a tag", raw->deny_tags.items[i]);
        }
    }
    policy->deny_tags = raw->deny_tags.items;
    policy->deny_tag_count = raw->deny_tags.count;
}

static void compile_policy(struct compile *compile, const struct config_raw_policy *raw,
                           struct policy *policy)
{
    policy->name = raw->policy_name == NULL ? "" : raw->policy_name;
    policy->owner = raw->owner == NULL ? "" : raw->owner;
    policy->is_baseline = raw->is_baseline;
    policy->is_each = raw->platforms == 1;
    policy->is_digest_required = raw->is_digest_required;
    policy->file = raw->at.file;
    policy->line = raw->at.node->line;
    policy->images =
        compile_patterns(compile, &raw->at, "images", &raw->images, &policy->image_count);
    policy->excepts =
        compile_patterns(compile, &raw->at, "except", &raw->except, &policy->except_count);
    compile_tags(compile, raw, policy);
    (void)compile_stages(compile, raw, policy);
    policy->expr.kind = POLICY_ALL;
    (void)compile_require_list(compile, &raw->require, &policy->expr);
    compile_warn_upstreams(compile, raw, policy);
}

static int compile_compare_policies(const void *a, const void *b)
{
    const struct policy *left = a;
    const struct policy *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : (left->line < right->line ? -1 : left->line > right->line);
}

static bool compile_index_policies(struct compile *compile, struct gh_error *err)
{
    struct snapshot *snapshot = &compile->tenant->snapshot;
    struct image_index *index = image_index_new(compile->reader.arena);

    if (index == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the index of policies");
    }
    for (size_t i = 0; i < snapshot->policy_count; i++) {
        const struct policy *policy = &snapshot->policies[i];

        for (size_t j = 0; j < policy->image_count; j++) {
            GH_TRY(image_index_add(index, &policy->images[j], (uint32_t)(i * 2), err));
        }
        for (size_t j = 0; j < policy->except_count; j++) {
            GH_TRY(image_index_add(index, &policy->excepts[j], (uint32_t)(i * 2 + 1), err));
        }
    }
    snapshot->images = index;
    return true;
}

void compile_policies(struct compile *compile)
{
    const struct config_raw_policies *raw = &compile->raw.policies;
    struct snapshot *snapshot = &compile->tenant->snapshot;
    struct gh_error err = {0};

    compile->policies = compile_alloc(compile, raw->count, sizeof(*compile->policies));
    if (compile->policies == NULL) {
        return;
    }
    for (size_t i = 0; i < raw->count; i++) {
        if (raw->items[i].at.node->kind == YAML_MAP) {
            compile_policy(compile, &raw->items[i], &compile->policies[snapshot->policy_count++]);
        }
    }
    if (snapshot->policy_count > 1) {
        qsort(compile->policies, snapshot->policy_count, sizeof(*compile->policies),
              compile_compare_policies);
    }
    for (size_t i = 0; i < snapshot->policy_count; i++) {
        struct policy *policy = &compile->policies[i];

        policy->index = i;
        if (i > 0 && strcmp(policy->name, policy[-1].name) == 0 && policy->name[0] != '\0') {
            char message[256];

            (void)snprintf(message, sizeof(message),
                           "two policies are named \"%.100s\" (the other on line %u)", policy->name,
                           policy[-1].line);
            config_problem_add(&compile->reader, CONFIG_ERROR, policy->line, 1, message, NULL, NULL,
                               NULL);
        }
    }
    snapshot->policies = compile->policies;
    snapshot->leaves = compile->leaves;
    snapshot->leaf_count = compile->leaf_count;
    if (!compile_index_policies(compile, &err)) {
        config_error(&compile->reader, NULL, "%s", err.text);
    }
}

const struct policy *compile_policy_find(const struct compile *compile, const char *name)
{
    const struct snapshot *snapshot = &compile->tenant->snapshot;
    size_t low = 0;
    size_t high = snapshot->policy_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(snapshot->policies[middle].name, name);

        if (order == 0) {
            return &snapshot->policies[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* ---- tests ---- */

/* Names of the covering policies, baselines aside, "a, b". */
static bool compile_covering(const struct snapshot *snapshot, const struct image_ref *ref,
                             char *out, size_t size, const struct config_strings *wanted)
{
    size_t covering = 0;
    size_t wanted_found = 0;
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < snapshot->policy_count; i++) {
        const struct policy *policy = &snapshot->policies[i];
        const struct digest *digest = ref->digest.alg == DIGEST_NONE ? NULL : &ref->digest;
        bool is_covering = false;

        for (size_t j = 0; j < policy->image_count && !is_covering; j++) {
            is_covering = image_pattern_match(&policy->images[j], ref->name, digest);
        }
        for (size_t j = 0; j < policy->except_count && is_covering; j++) {
            is_covering = !image_pattern_match(&policy->excepts[j], ref->name, digest);
        }
        if (!is_covering || policy->is_baseline) {
            continue;
        }
        covering++;
        if (used < size) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                     policy->name);
        }
        for (size_t j = 0; j < wanted->count; j++) {
            wanted_found += strcmp(wanted->items[j], policy->name) == 0 ? 1 : 0;
        }
    }
    return covering == wanted_found && wanted_found == wanted->count;
}

void compile_tests(struct compile *compile)
{
    for (size_t i = 0; i < compile->raw.tests.count; i++) {
        const struct config_raw_test *test = &compile->raw.tests.items[i];
        const struct yaml_node *node = compile_node(&test->at, "image");
        struct image_ref ref;
        struct gh_error err = {0};
        char found[512];
        bool is_known = true;

        if (test->image == NULL) {
            continue;
        }
        if (!image_ref_parse(bytes_of(test->image), compile->tenant->default_upstream, &ref,
                             &err)) {
            config_error(&compile->reader, node, "tests: \"%.150s\": %s", test->image, err.text);
            continue;
        }
        for (size_t j = 0; j < test->covered_by.count; j++) {
            if (compile_policy_find(compile, test->covered_by.items[j]) == NULL) {
                is_known = false;
                config_error(&compile->reader, compile_item(&test->at, "covered_by", j),
                             "tests: there is no policy \"%.100s\"", test->covered_by.items[j]);
            }
        }
        if (is_known && !compile_covering(&compile->tenant->snapshot, &ref, found, sizeof(found),
                                          &test->covered_by)) {
            config_error(&compile->reader, compile_node(&test->at, "covered_by"),
                         "the test of \"%.150s\" fails: it is covered by [%s]", test->image, found);
        }
    }
}
