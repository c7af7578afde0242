/*
 * Properties of decisions over random policy sets, each beside a model of a few lines that says
 * what interface.md says. GATEHOUSE_SEED: another run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/text.h"
#include "policy/decide.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200) /* 2026-11-21 */
#define ROUNDS 1200
#define MAX_POLICIES 6
#define MAX_ITEMS 3
#define MAX_DEPTH 3
#define SIGNERS 4
#define CHILDREN 2
#define IMAGE "ghcr.io/acme/app"
#define SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER_SHA "sha256:0000000000000000000000000000000000000000000000000000000000000001"

enum state { DENIED, UNDECIDED, SATISFIED }; /* of a requirement; the worse is the smaller */
enum shape { LEAF, ANY, ALL, AT_LEAST };

struct tree {
    enum shape shape;
    unsigned signer;
    unsigned threshold;
    unsigned count;
    struct tree *items[MAX_ITEMS];
};

struct pattern {
    const char *text;
    bool matches; /* IMAGE with SHA */
};

static const struct pattern patterns[] = {
    {"**", true},
    {"ghcr.io/**", true},
    {"ghcr.io/acme/*", true},
    {IMAGE, true},
    {"*/acme/**", true},
    {IMAGE "@" SHA, true},
    {IMAGE "@" OTHER_SHA, false},
    {"ghcr.io/other/**", false},
    {"ghcr.io/*", false},
    {"quay.io/acme/app", false},
};

static const struct {
    const char *text;
    enum policy_mode now;
} modes[] = {
    {"mode: deny", POLICY_DENY},
    {"mode: warn", POLICY_WARN},
    {"mode: audit", POLICY_AUDIT},
    {"rollout: [{mode: audit, until: 2026-12-15}, {mode: deny}]", POLICY_AUDIT},
    {"rollout: [{mode: audit, until: 2026-11-01}, {mode: warn, until: 2026-12-01}, {mode: deny}]",
     POLICY_WARN},
    {"rollout: [{mode: warn, until: 2026-11-20}, {mode: deny}]", POLICY_DENY},
};

struct model_policy {
    unsigned number;
    const struct pattern *images[2];
    unsigned image_count;
    const struct pattern *excepts[2];
    unsigned except_count;
    unsigned mode; /* of modes */
    bool is_baseline, is_each, is_digest_required, denies_tag;
    struct tree *require[2]; /* all of them */
    unsigned require_count;
};

struct scene {
    uint64_t random;
    struct tree trees[512];
    unsigned tree_count;
    struct model_policy policies[MAX_POLICIES];
    unsigned policy_count;
    enum state known[1 + CHILDREN][SIGNERS]; /* of the subject and its children */
    unsigned authority[SIGNERS];             /* who stands behind a signer: two may be one */
    const char *tag;                         /* NULL: asked for by digest */
};

static unsigned below(struct scene *scene, unsigned limit)
{
    scene->random = scene->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(scene->random >> 33) % limit;
}

/* ---- making one up ---- */

static struct tree *make_tree(struct scene *scene, unsigned depth)
{
    struct tree *tree = &scene->trees[scene->tree_count++];

    assert_true(scene->tree_count < GH_COUNT(scene->trees));
    *tree = (struct tree){.shape = depth == MAX_DEPTH ? LEAF : (enum shape)below(scene, 4)};
    if (tree->shape == LEAF) {
        tree->signer = below(scene, SIGNERS);
        return tree;
    }
    tree->count = 1 + below(scene, MAX_ITEMS);
    tree->threshold = 1 + below(scene, tree->count);
    for (unsigned i = 0; i < tree->count; i++) {
        tree->items[i] = make_tree(scene, depth + 1);
    }
    return tree;
}

static void make_policy(struct scene *scene, unsigned number, bool is_deny_only)
{
    struct model_policy *policy = &scene->policies[number];

    *policy = (struct model_policy){.number = number,
                                    .image_count = 1 + below(scene, 2),
                                    .except_count = below(scene, 4) == 0 ? 1 + below(scene, 2) : 0,
                                    .mode = is_deny_only ? 0 : below(scene, GH_COUNT(modes)),
                                    .is_baseline = below(scene, 4) == 0,
                                    .is_each = below(scene, 4) == 0,
                                    .is_digest_required = below(scene, 12) == 0,
                                    .denies_tag = below(scene, 12) == 0,
                                    .require_count = 1 + below(scene, 2)};
    for (unsigned i = 0; i < 2; i++) {
        policy->images[i] = &patterns[below(scene, GH_COUNT(patterns))];
        policy->excepts[i] = &patterns[below(scene, GH_COUNT(patterns))];
        policy->require[i] = make_tree(scene, 0);
    }
}

static void make_scene(struct scene *scene, bool is_deny_only)
{
    scene->tree_count = 0;
    scene->policy_count = 1 + below(scene, MAX_POLICIES);
    for (unsigned i = 0; i < scene->policy_count; i++) {
        make_policy(scene, i, is_deny_only);
    }
    for (unsigned i = 0; i < SIGNERS; i++) {
        scene->authority[i] = i > 0 && below(scene, 4) == 0 ? i - 1 : i;
        for (unsigned c = 0; c <= CHILDREN; c++) {
            /* mostly good, or nothing would ever be allowed */
            scene->known[c][i] = below(scene, 3) > 0 ? SATISFIED : (enum state)below(scene, 3);
        }
    }
    scene->tag = below(scene, 3) == 0 ? NULL : below(scene, 2) == 0 ? "v1" : "latest";
}

/* ---- the model ---- */

static enum state worse(enum state a, enum state b)
{
    return a < b ? a : b;
}

static enum state model_tree(const struct scene *scene, const struct tree *tree, unsigned child);

/* A bit by authority that vouches in a tree that holds. */
static unsigned model_hands(const struct scene *scene, const struct tree *tree, unsigned child)
{
    unsigned hands = 0;

    if (model_tree(scene, tree, child) != SATISFIED) {
        return 0;
    }
    if (tree->shape == LEAF) {
        return 1u << scene->authority[tree->signer];
    }
    for (unsigned i = 0; i < tree->count; i++) {
        hands |= model_hands(scene, tree->items[i], child);
    }
    return hands;
}

/* The most items that can have an authority each of their own; tried in full. */
static unsigned model_most(const unsigned *hands, unsigned count, unsigned taken)
{
    unsigned best;

    if (count == 0) {
        return 0;
    }
    best = model_most(hands + 1, count - 1, taken);
    for (unsigned a = 0; a < SIGNERS; a++) {
        if ((hands[0] & ~taken & 1u << a) != 0) {
            unsigned with = 1 + model_most(hands + 1, count - 1, taken | 1u << a);

            best = with > best ? with : best;
        }
    }
    return best;
}

static enum state model_tree(const struct scene *scene, const struct tree *tree, unsigned child)
{
    unsigned hands[MAX_ITEMS] = {0};
    unsigned undecided = 0;
    unsigned most;
    enum state worst = SATISFIED;
    enum state best = DENIED;

    if (tree->shape == LEAF) {
        return scene->known[child][tree->signer];
    }
    for (unsigned i = 0; i < tree->count; i++) {
        enum state state = model_tree(scene, tree->items[i], child);

        worst = worse(worst, state);
        best = state > best ? state : best;
        undecided += state == UNDECIDED;
        hands[i] = model_hands(scene, tree->items[i], child);
    }
    most = model_most(hands, tree->count, 0);
    switch (tree->shape) {
    case ANY:
        return best;
    case ALL:
        return worst;
    case AT_LEAST:
        return most >= tree->threshold               ? SATISFIED
               : most + undecided >= tree->threshold ? UNDECIDED
                                                     : DENIED;
    case LEAF:
        break;
    }
    return DENIED;
}

static bool model_concerns(const struct model_policy *policy)
{
    bool concerns = false;

    for (unsigned i = 0; i < policy->image_count; i++) {
        concerns = concerns || policy->images[i]->matches;
    }
    for (unsigned i = 0; i < policy->except_count; i++) {
        concerns = concerns && !policy->excepts[i]->matches;
    }
    return concerns;
}

static enum state model_policy(const struct scene *scene, const struct model_policy *policy)
{
    bool is_latest = scene->tag != NULL && strcmp(scene->tag, "latest") == 0;
    enum state state = SATISFIED;

    if (scene->tag != NULL && (policy->is_digest_required || (policy->denies_tag && is_latest))) {
        return DENIED;
    }
    for (unsigned c = 0; c <= (policy->is_each ? CHILDREN : 0); c++) {
        for (unsigned i = 0; i < policy->require_count; i++) {
            state = worse(state, model_tree(scene, policy->require[i], c));
        }
    }
    return state;
}

/* FIRST policies are left out. */
static enum decide_outcome model_decide(const struct scene *scene, unsigned first, bool *covered)
{
    enum state state = SATISFIED;

    *covered = false;
    for (unsigned i = first; i < scene->policy_count; i++) {
        const struct model_policy *policy = &scene->policies[i];

        if (!model_concerns(policy)) {
            continue;
        }
        *covered = *covered || !policy->is_baseline;
        if (modes[policy->mode].now == POLICY_DENY) {
            state = worse(state, model_policy(scene, policy));
        }
    }
    if (!*covered || state == DENIED) {
        return DECIDE_DENY;
    }
    return state == UNDECIDED ? DECIDE_UNDECIDED : DECIDE_ALLOW;
}

/* ---- as a configuration ---- */

static void put_tree(struct text *out, const struct tree *tree, bool is_backward)
{
    static const char *const names[] = {[ANY] = "any", [ALL] = "all"};

    if (tree->shape == LEAF) {
        text_printf(out, "{signature: s%u}", tree->signer);
        return;
    }
    if (tree->shape == AT_LEAST) {
        text_printf(out, "{at_least: %u, of: [", tree->threshold);
    } else {
        text_printf(out, "{%s: [", names[tree->shape]);
    }
    for (unsigned i = 0; i < tree->count; i++) {
        text_put(out, i > 0 ? ", " : "");
        put_tree(out, tree->items[is_backward ? tree->count - 1 - i : i], is_backward);
    }
    text_put(out, "]}");
}

static void put_patterns(struct text *out, const char *key, const struct pattern *const *items,
                         unsigned count, bool is_backward)
{
    text_printf(out, ", %s: [", key);
    for (unsigned i = 0; i < count; i++) {
        text_printf(out, "%s\"%s\"", i > 0 ? ", " : "",
                    items[is_backward ? count - 1 - i : i]->text);
    }
    text_put(out, "]");
}

static void put_policy(struct text *out, const struct model_policy *policy, bool is_backward)
{
    text_printf(out, "- {name: p%u, %s", policy->number, modes[policy->mode].text);
    put_patterns(out, "images", policy->images, policy->image_count, is_backward);
    if (policy->except_count > 0) {
        put_patterns(out, "except", policy->excepts, policy->except_count, is_backward);
    }
    text_put(out, policy->is_baseline ? ", baseline: true" : "");
    text_put(out, policy->is_each ? ", platforms: each" : "");
    text_put(out, policy->is_digest_required ? ", require_digest: true" : "");
    text_put(out, policy->denies_tag ? ", deny_tags: [latest]" : "");
    text_put(out, ", require: [");
    for (unsigned i = 0; i < policy->require_count; i++) {
        text_put(out, i > 0 ? ", " : "");
        put_tree(out, policy->require[is_backward ? policy->require_count - 1 - i : i],
                 is_backward);
    }
    text_put(out, "]}\n");
}

struct way {
    unsigned first;   /* policies before it are left out */
    bool is_backward; /* policies in the other order */
    bool is_shuffled; /* and every list in them */
};

static struct config *load(const struct scene *scene, const struct way *way)
{
    GH_OWN(text_done) struct text text;
    struct config_problems problems;
    struct config *config;

    text_init(&text, 1u << 20);
    text_put(&text, "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
                    "signers: {s0: {keys: [{file: a.pub}]}, s1: {keys: [{file: b.pub}]}, s2: "
                    "{keys: [{file: c.pub}]}, s3: {tlog: off, keys: [{file: a.pub, not_after: "
                    "2029-01-01}]}}\npolicies:\n- {name: z, baseline: true, mode: audit, images: "
                    "[\"quay.io/unused\"], require: [{signature: s0}]}\n");
    for (unsigned i = way->first; i < scene->policy_count; i++) {
        put_policy(
            &text,
            &scene->policies[way->is_backward ? scene->policy_count - 1 - (i - way->first) : i],
            way->is_shuffled);
    }
    const struct memory_file files[] = {{"/g/g.yaml", text_cstr(&text), 0},
                                        {"/g/a.pub", MEMORY_KEY_A, 0},
                                        {"/g/b.pub", MEMORY_KEY_B, 0},
                                        {"/g/c.pub", MEMORY_KEY_C, 0}};
    struct memory_loader loader = {.files = files, .count = GH_COUNT(files)};

    config = memory_load(&loader, NOW, &problems);
    if (config == NULL) {
        print_message("%s\n", text_cstr(&text));
        memory_print(&problems);
    }
    config_problems_done(&problems);
    assert_non_null(config);
    return config;
}

/* ---- deciding ---- */

struct outcome {
    enum decide_outcome outcome;
    enum gh_cause cause;
    char id[DECIDE_ID_BYTES + 1];
    bool is_covered;
};

static struct verdict *verdict_of(const struct scene *scene, const struct require *leaf,
                                  unsigned child)
{
    unsigned signer = (unsigned)(leaf->signer->name[1] - '0');
    struct verdict *verdict = verdict_new();

    assert_non_null(verdict);
    verdict->until_unix_s = INT64_MAX;
    switch (scene->known[child][signer]) {
    case SATISFIED:
        verdict->outcome = VERDICT_SATISFIED;
        verdict->authority_count = 1;
        verdict->authorities[0].alg = DIGEST_SHA256;
        verdict->authorities[0].value[0] = (uint8_t)(1 + scene->authority[signer]);
        break;
    case UNDECIDED:
        verdict->outcome = VERDICT_UNDECIDED;
        (void)gh_fail(&verdict->error, GH_DISCOVERY_UNAVAILABLE, "the registry was away");
        break;
    case DENIED:
        (void)gh_fail(&verdict->error, GH_NO_SIGNATURE_FOUND, "nothing was found");
        break;
    }
    return verdict;
}

static void run(const struct scene *scene, const struct way *way, struct outcome *out)
{
    struct config *config = load(scene, way);
    struct decide_image image = {.name = IMAGE, .tag = scene->tag};
    const struct verdict *verdicts[1 + CHILDREN][SIGNERS] = {0};
    struct decide_child children[CHILDREN] = {0};
    struct decide_input input = {
        .verdicts = verdicts[0], .children = children, .child_count = CHILDREN};
    struct decide_plan plan;
    struct decision decision;
    struct gh_error err = {0};

    assert_true(digest_parse(bytes_of(SHA), &image.digest, &err));
    assert_true(decide_plan(&config->tenants[0].snapshot, &image, NOW, &plan, &err));
    assert_true(plan.leaf_count <= SIGNERS);
    for (unsigned c = 0; c <= CHILDREN; c++) {
        for (size_t i = 0; i < plan.leaf_count; i++) {
            verdicts[c][i] = verdict_of(scene, plan.leaves[i].require, c);
        }
        if (c > 0) {
            children[c - 1] = (struct decide_child){
                .digest = {.alg = DIGEST_SHA256, .value = {(uint8_t)c}}, .verdicts = verdicts[c]};
        }
    }
    assert_true(decide(&plan, &input, NOW, &decision, &err));
    *out = (struct outcome){
        .outcome = decision.outcome, .cause = decision.error.cause, .is_covered = plan.is_covered};
    memcpy(out->id, decision.id, sizeof(out->id));
    decision_done(&decision);
    for (unsigned c = 0; c <= CHILDREN; c++) {
        for (size_t i = 0; i < plan.leaf_count; i++) {
            verdict_unref((struct verdict *)verdicts[c][i]);
        }
    }
    decide_plan_done(&plan);
    config_unref(config);
}

static uint64_t seed(void)
{
    const char *text = getenv("GATEHOUSE_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : 20261121;
}

static void check_scene(const struct scene *scene, bool is_deny_only, unsigned seen[3])
{
    struct outcome all;
    struct outcome backward;
    struct outcome shuffled;
    struct outcome fewer;
    bool is_covered;
    enum decide_outcome expected = model_decide(scene, 0, &is_covered);

    run(scene, &(struct way){0}, &all);
    seen[all.outcome]++;
    assert_int_equal(all.outcome, expected);
    assert_int_equal(all.is_covered, is_covered);

    /* Order means nothing: of policies not even for what is told, of lists not for the outcome. */
    run(scene, &(struct way){.is_backward = true}, &backward);
    assert_int_equal(all.outcome, backward.outcome);
    assert_int_equal(all.cause, backward.cause);
    assert_string_equal(all.id, backward.id);
    run(scene, &(struct way){.is_backward = true, .is_shuffled = true}, &shuffled);
    assert_int_equal(all.outcome, shuffled.outcome);

    /* For what is covered, adding a policy turns no refusal into an allow. */
    run(scene, &(struct way){.first = 1}, &fewer);
    if (fewer.is_covered && fewer.outcome != DECIDE_ALLOW) {
        assert_int_not_equal(all.outcome, DECIDE_ALLOW);
    }

    /* Under deny alone, what is served has all that every policy on it asks for. */
    for (unsigned i = 0; is_deny_only && all.outcome == DECIDE_ALLOW && i < scene->policy_count;
         i++) {
        assert_true(!model_concerns(&scene->policies[i]) ||
                    model_policy(scene, &scene->policies[i]) == SATISFIED);
    }
}

static void decide_random_policies_agree_with_the_model(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    unsigned seen[3] = {0};

    (void)state;
    assert_non_null(scene);
    scene->random = seed();
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool is_deny_only = round % 2 == 0;

        make_scene(scene, is_deny_only);
        check_scene(scene, is_deny_only, seen);
    }
    /* what never comes up is not tested */
    assert_true(seen[DECIDE_ALLOW] > ROUNDS / 10);
    assert_true(seen[DECIDE_DENY] > ROUNDS / 10);
    assert_true(seen[DECIDE_UNDECIDED] > ROUNDS / 50);
    free(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide_random_policies_agree_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
