#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/decide.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200) /* 2026-11-21 */
#define UP "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
#define SIGNERS                                                                                    \
    "signers: {a: {keys: [{file: a.pub}]}, b: {keys: [{file: b.pub}]}, c: {keys: [{file: "         \
    "c.pub}], "                                                                                    \
    "emergency: true}}\n"
#define ALL_USED                                                                                   \
    "- {name: z, baseline: true, mode: audit, images: [\"ghcr.io/unused/**\"], require: [{any: "   \
    "[{signature: a}, {signature: b}, {signature: c}]}]}\n"
#define HEAD UP SIGNERS "exceptions: x.yaml\nexceptions_approvers: [sec]\npolicies:\n" ALL_USED
#define SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define X(images, policies, rest)                                                                  \
    "exceptions:\n- {id: E1, images: [\"" images "\"], policies: [" policies                       \
    "], owner: jane, approved_by: sec, justification: j, created: 2026-11-01, expires: "           \
    "2026-11-25T12:00:00Z" rest "}\n"

/* The world of one case: a configuration, and by signer what is known. */
struct world {
    struct config *config;
    struct config_problems problems;
    struct decide_plan plan;
    struct decision decision;
    struct verdict *verdicts[4]; /* satisfied by key a, b, c; and the answer of the case */
};

enum known { NONE, GOOD, BAD, UNSURE, OLD /* good until a second ago */, LOGGED };

static struct config *load(const char *text, const char *exceptions,
                           struct config_problems *problems)
{
    struct memory_file files[] = {
        {"/g/g.yaml", text, 0},
        {"/g/a.pub", MEMORY_KEY_A, 0},
        {"/g/b.pub", MEMORY_KEY_B, 0},
        {"/g/c.pub", MEMORY_KEY_C, 0},
        {"/g/x.yaml", exceptions == NULL ? "exceptions: []\n" : exceptions, 0},
    };
    struct memory_loader loader = {.files = files, .count = GH_COUNT(files)};

    return memory_load(&loader, NOW, problems);
}

static struct verdict *verdict_of(enum known known, const struct require *leaf)
{
    struct verdict *verdict = verdict_new();

    assert_non_null(verdict);
    verdict->until_unix_s = INT64_MAX;
    if (known == GOOD || known == OLD || known == LOGGED) {
        verdict->until_unix_s = known == OLD ? NOW - 1 : INT64_MAX;
        verdict->outcome = VERDICT_SATISFIED;
        verdict->authorities[0] = leaf->signer->fingerprint;
        verdict->authority_count = 1;
        if (known == LOGGED) {
            struct gh_error logged = {.cause = GH_REVOCATION_UNAVAILABLE, .text = "nobody there"};

            assert_true(verdict_add_logged(verdict, &logged, NULL));
        }
    } else {
        verdict->outcome = known == BAD ? VERDICT_DENIED : VERDICT_UNDECIDED;
        (void)gh_fail(&verdict->error,
                      known == BAD ? GH_NO_SIGNATURE_FOUND : GH_DISCOVERY_UNAVAILABLE,
                      "nothing good");
    }
    return verdict;
}

struct ask {
    const char *policies;
    const char *exceptions;
    const char *name;
    const char *tag;
    int64_t now;
    enum known a, b, c;
    enum known child; /* of one child, for every signer; NONE: no child */
    bool is_broken;
};

static void decide_world(struct world *world, const struct ask *ask)
{
    struct decide_image image = {.name = ask->name == NULL ? "ghcr.io/acme/app" : ask->name,
                                 .tag = ask->tag};
    const struct verdict *verdicts[8] = {0};
    const struct verdict *children[8] = {0};
    struct verdict *owned[16] = {0};
    size_t owned_count = 0;
    struct gh_error broken = {0};
    struct gh_error err = {0};
    char text[4096];

    memset(world, 0, sizeof(*world));
    (void)snprintf(text, sizeof(text), "%s%s", HEAD, ask->policies);
    world->config = load(text, ask->exceptions, &world->problems);
    if (world->config == NULL) {
        memory_print(&world->problems);
    }
    assert_non_null(world->config);
    assert_true(digest_parse(bytes_of(SHA), &image.digest, &err));
    assert_true(decide_plan(&world->config->tenants[0].snapshot, &image,
                            ask->now == 0 ? NOW : ask->now, &world->plan, &err));
    for (size_t i = 0; i < world->plan.leaf_count; i++) {
        const struct require *leaf = world->plan.leaves[i].require;
        enum known known = leaf->signer->name[0] == 'a'   ? ask->a
                           : leaf->signer->name[0] == 'b' ? ask->b
                                                          : ask->c;

        verdicts[i] = known == NONE ? NULL : (owned[owned_count++] = verdict_of(known, leaf));
        children[i] =
            ask->child == NONE ? NULL : (owned[owned_count++] = verdict_of(ask->child, leaf));
    }
    struct decide_child child = {.digest = image.digest, .verdicts = children};
    struct decide_input input = {.verdicts = verdicts,
                                 .children = &child,
                                 .child_count = ask->child == NONE ? 0 : 1,
                                 .integrity = &broken,
                                 .is_explaining = true};

    if (ask->is_broken) {
        (void)gh_fail(&broken, GH_DIGEST_MISMATCH, "other bytes");
    }
    assert_true(
        decide(&world->plan, &input, ask->now == 0 ? NOW : ask->now, &world->decision, &err));
    for (size_t i = 0; i < owned_count; i++) {
        verdict_unref(owned[i]);
    }
}

static void world_done(struct world *world)
{
    decision_done(&world->decision);
    decide_plan_done(&world->plan);
    config_unref(world->config);
    config_problems_done(&world->problems);
}

#define P(rest) "- {name: p, owner: ops, images: [\"ghcr.io/acme/**\"], " rest "}\n"
#define REQ_A "require: [{signature: a}]"

struct row {
    struct ask ask;
    enum decide_outcome outcome;
    enum gh_cause cause;
    const char *policy; /* shown; NULL: none */
    unsigned bypasses;
    size_t warnings;
    size_t missing;
};

static const struct row rows[] = {
    /* covering */
    {{P(REQ_A), .a = GOOD}, DECIDE_ALLOW, GH_CAUSE_NONE, NULL, 0, 0, 0},
    {{P(REQ_A), .a = BAD}, DECIDE_DENY, GH_NO_SIGNATURE_FOUND, "p", 0, 0, 0},
    {{P(REQ_A), .a = UNSURE}, DECIDE_UNDECIDED, GH_DISCOVERY_UNAVAILABLE, "p", 0, 0, 0},
    {{P(REQ_A), .a = NONE}, DECIDE_UNDECIDED, GH_VERDICT_STALE, "p", 0, 0, 1},
    {{P(REQ_A), .a = OLD}, DECIDE_UNDECIDED, GH_VERDICT_EXPIRED, "p", 0, 0, 1},
    /* a failed check that is only logged: told where the policy refuses */
    {{P(REQ_A), .a = LOGGED}, DECIDE_ALLOW, GH_CAUSE_NONE, NULL, 0, 1, 0},
    {{P("mode: audit, " REQ_A), .a = LOGGED}, DECIDE_ALLOW, GH_CAUSE_NONE, NULL, 0, 0, 0},
    {{P("require: [{signature: a}, {signature: b}]"), .a = LOGGED, .b = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P(REQ_A), .name = "ghcr.io/evil/app", .a = GOOD},
     DECIDE_DENY,
     GH_POLICY_NO_MATCH,
     NULL,
     0,
     0,
     0},
    {{P("except: [\"ghcr.io/acme/app\"], " REQ_A), .a = GOOD},
     DECIDE_DENY,
     GH_POLICY_NO_MATCH,
     NULL,
     0,
     0,
     0},
    {{P("baseline: true, " REQ_A), .a = GOOD}, DECIDE_DENY, GH_POLICY_NO_MATCH, NULL, 0, 0, 0},
    {{"- {name: q, images: [\"ghcr.io/acme/app@" SHA "\"], " REQ_A "}\n", .a = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    /* AND over policies; denied before undecided, then by name */
    {{P(REQ_A) "- {name: o, images: [\"**\"], require: [{signature: b}]}\n", .a = GOOD, .b = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "o",
     0,
     0,
     0},
    {{P(REQ_A) "- {name: o, images: [\"**\"], require: [{signature: b}]}\n", .a = BAD, .b = UNSURE},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P(REQ_A) "- {name: o, images: [\"**\"], require: [{signature: b}]}\n", .a = UNSURE,
      .b = UNSURE},
     DECIDE_UNDECIDED,
     GH_DISCOVERY_UNAVAILABLE,
     "o",
     0,
     0,
     0},
    {{P(REQ_A) "- {name: o, baseline: true, images: [\"**\"], require: [{signature: b}]}\n",
      .a = GOOD, .b = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "o",
     0,
     0,
     0},
    /* trees */
    {{P("require: [{any: [{signature: a}, {signature: b}]}]"), .a = BAD, .b = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    {{P("require: [{any: [{signature: a}, {signature: b}]}]"), .a = BAD, .b = UNSURE},
     DECIDE_UNDECIDED,
     GH_DISCOVERY_UNAVAILABLE,
     "p",
     0,
     0,
     0},
    {{P("require: [{any: [{signature: a}, {signature: b}]}]"), .a = GOOD, .b = NONE},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    {{P("require: [{all: [{signature: a}, {signature: b}]}]"), .a = UNSURE, .b = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P("require: [{at_least: 2, of: [{signature: a}, {signature: b}, {signature: c}]}]"),
      .a = GOOD, .b = GOOD, .c = BAD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    {{P("require: [{at_least: 2, of: [{signature: a}, {signature: b}, {signature: c}]}]"),
      .a = GOOD, .b = UNSURE, .c = BAD},
     DECIDE_UNDECIDED,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P("require: [{at_least: 2, of: [{signature: a}, {signature: b}, {signature: c}]}]"),
      .a = GOOD, .b = BAD, .c = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P("require: [{at_least: 2, of: [{signature: a}, {signature: a, annotations: {x: y}}]}]"),
      .a = GOOD},
     DECIDE_DENY,
     GH_POLICY_DENIED,
     "p",
     0,
     0,
     0},
    /* modes */
    {{P("mode: warn, " REQ_A), .a = BAD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_WARN,
     1,
     0},
    {{P("mode: audit, " REQ_A), .a = UNSURE},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_AUDIT,
     0,
     0},
    {{P("mode: warn, " REQ_A), .a = GOOD}, DECIDE_ALLOW, GH_CAUSE_NONE, NULL, 0, 0, 0},
    {{P("rollout: [{mode: warn, until: 2026-11-20}, {mode: deny}], " REQ_A), .a = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P("rollout: [{mode: warn, until: 2026-11-21}, {mode: deny}], " REQ_A), .a = BAD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_WARN,
     1,
     0},
    {{P("rollout: [{mode: warn, until: 2026-11-21}, {mode: deny}], " REQ_A), .now = NOW + 86400,
      .a = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    /* integrity refuses in every mode */
    {{P("mode: audit, " REQ_A), .a = GOOD, .is_broken = true},
     DECIDE_DENY,
     GH_DIGEST_MISMATCH,
     NULL,
     0,
     0,
     0},
    /* names */
    {{P("deny_tags: [latest], " REQ_A), .tag = "latest", .a = GOOD},
     DECIDE_DENY,
     GH_TAG_DENIED,
     "p",
     0,
     0,
     0},
    {{P("deny_tags: [latest], " REQ_A), .tag = "v1", .a = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    {{P("require_digest: true, " REQ_A), .tag = "v1", .a = GOOD},
     DECIDE_DENY,
     GH_DIGEST_REQUIRED,
     "p",
     0,
     0,
     0},
    {{P("require_digest: true, " REQ_A), .a = GOOD}, DECIDE_ALLOW, GH_CAUSE_NONE, NULL, 0, 0, 0},
    /* children */
    {{P("platforms: each, " REQ_A), .a = GOOD, .child = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    {{P("platforms: each, " REQ_A), .a = GOOD, .child = BAD},
     DECIDE_DENY,
     GH_CHILD_UNVERIFIED,
     "p",
     0,
     0,
     0},
    {{P("platforms: each, " REQ_A), .a = GOOD, .child = UNSURE},
     DECIDE_UNDECIDED,
     GH_DISCOVERY_UNAVAILABLE,
     "p",
     0,
     0,
     0},
    {{P("platforms: index, " REQ_A), .a = GOOD, .child = BAD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    /* exceptions */
    {{P(REQ_A), X("ghcr.io/acme/app@" SHA, "p", ""), .a = BAD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    {{P(REQ_A), X("ghcr.io/acme/**", "p", ""), .a = UNSURE},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    {{P(REQ_A), X("ghcr.io/acme/**", "p", ""), .a = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
    {{P(REQ_A), X("ghcr.io/acme/other", "p", ""), .a = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    {{P(REQ_A), X("ghcr.io/acme/**", "p", ""), .a = BAD, .is_broken = true},
     DECIDE_DENY,
     GH_DIGEST_MISMATCH,
     NULL,
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    {{P("require: [{signature: a}, {signature: b}]"),
      X("ghcr.io/acme/**", "p", ", waive: [\"signature:a\"]"), .a = BAD, .b = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    {{P("require: [{signature: a}, {signature: b}]"),
      X("ghcr.io/acme/**", "p", ", waive: [\"signature:a\"]"), .a = BAD, .b = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "p",
     0,
     0,
     0},
    /* 12:00:00 and the second before */
    {{P(REQ_A), X("ghcr.io/acme/**", "p", ""), .now = INT64_C(1795607999), .a = BAD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    {{P(REQ_A), X("ghcr.io/acme/**", "p", ""), .now = INT64_C(1795608000), .a = BAD},
     DECIDE_DENY,
     GH_EXCEPTION_EXPIRED,
     "p",
     0,
     0,
     0},
    {{P(REQ_A), X("ghcr.io/evil/app@" SHA, "not_covered", ""), .name = "ghcr.io/evil/app"},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    /* a baseline holds for what an exception covers, too */
    {{"- {name: o, baseline: true, images: [\"**\"], require: [{signature: b}]}\n",
      X("ghcr.io/evil/app@" SHA, "not_covered", ""), .name = "ghcr.io/evil/app", .b = BAD},
     DECIDE_DENY,
     GH_NO_SIGNATURE_FOUND,
     "o",
     DECIDE_BYPASS_EXCEPTION,
     1,
     0},
    /* emergency signers are counted only where they were needed */
    {{P("require: [{any: [{signature: c}, {signature: a}]}]"), .a = BAD, .c = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     DECIDE_BYPASS_EMERGENCY,
     0,
     0},
    {{P("require: [{any: [{signature: c}, {signature: a}]}]"), .a = GOOD, .c = GOOD},
     DECIDE_ALLOW,
     GH_CAUSE_NONE,
     NULL,
     0,
     0,
     0},
};

static void decide_table_gives_outcome_cause_and_policy(void **state)
{
    size_t bad = 0;

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct world world;
        const char *shown;

        decide_world(&world, &row->ask);
        shown = world.decision.policy == NULL ? NULL : world.decision.policy->name;
        if (world.decision.outcome != row->outcome || world.decision.error.cause != row->cause ||
            (shown == NULL) != (row->policy == NULL) ||
            (shown != NULL && strcmp(shown, row->policy) != 0) ||
            world.decision.bypasses != row->bypasses ||
            world.decision.warning_count != row->warnings ||
            world.decision.missing_count != row->missing) {
            (void)fprintf(
                stderr, "row %zu: %s\n  %s %s, shown %s, bypasses %u, warnings %zu, missing %zu\n",
                i, row->ask.policies, decide_outcome_label(world.decision.outcome),
                gh_cause_label(world.decision.error.cause), shown == NULL ? "(none)" : shown,
                world.decision.bypasses, world.decision.warning_count,
                world.decision.missing_count);
            bad++;
        }
        assert_int_equal(strlen(world.decision.id), DECIDE_ID_BYTES);
        assert_true((world.decision.message == NULL) == (world.decision.outcome == DECIDE_ALLOW));
        world_done(&world);
    }
    assert_int_equal(bad, 0);
}

static void decide_message_has_all_a_person_needs(void **state)
{
    struct ask ask = {P(REQ_A), .tag = "v1", .a = BAD};
    struct world world;

    (void)state;
    decide_world(&world, &ask);
    assert_non_null(strstr(world.decision.message, "ghcr.io/acme/app:v1@" SHA));
    assert_non_null(strstr(world.decision.message, "policy p (owner ops)"));
    assert_non_null(strstr(world.decision.message, "signature:a"));
    assert_non_null(strstr(world.decision.message, "[unsigned]"));
    assert_non_null(strstr(world.decision.message, world.decision.id));
    assert_true(strlen(world.decision.message) <= DECIDE_MAX_MESSAGE);
    world_done(&world);
}

static void decide_equal_decisions_share_one_id(void **state)
{
    struct ask ask = {P(REQ_A), .a = BAD};
    struct world one;
    struct world two;

    (void)state;
    decide_world(&one, &ask);
    ask.now = NOW + 3600;
    decide_world(&two, &ask);
    assert_string_equal(one.decision.id, two.decision.id);
    world_done(&two);
    ask.a = GOOD;
    decide_world(&two, &ask);
    assert_string_not_equal(one.decision.id, two.decision.id);
    world_done(&two);
    world_done(&one);
}

static void decide_requirements_are_listed_when_asked(void **state)
{
    struct ask ask = {P("require: [{signature: a}, {any: [{signature: b}, {signature: c}]}]"),
                      .a = GOOD, .b = BAD, .c = BAD};
    struct world world;

    (void)state;
    decide_world(&world, &ask);
    assert_int_equal(world.decision.requirement_count, 3);
    assert_string_equal(world.decision.requirements[0].require->label, "signature:a");
    assert_int_equal(world.plan.leaf_count, 3);
    world_done(&world);
}

/* ---- properties over random policy sets ---- */

struct random_state {
    uint64_t value;
};

static unsigned random_below(struct random_state *random, unsigned limit)
{
    random->value = random->value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random->value >> 33) % limit;
}

static void random_require(struct random_state *random, char *out, size_t size, int depth)
{
    static const char *const leaves[] = {"{signature: a}", "{signature: b}", "{signature: c}"};
    unsigned kind = depth > 2 ? 0 : random_below(random, 5);
    char left[512];
    char right[512];

    if (kind <= 1) {
        (void)snprintf(out, size, "%s", leaves[random_below(random, 3)]);
        return;
    }
    random_require(random, left, sizeof(left), depth + 1);
    random_require(random, right, sizeof(right), depth + 1);
    if (kind == 4) {
        (void)snprintf(out, size, "{at_least: %u, of: [%.480s, %.480s]}",
                       1 + random_below(random, 2), left, right);
    } else {
        (void)snprintf(out, size, "{%s: [%.480s, %.480s]}", kind == 2 ? "any" : "all", left, right);
    }
}

static void random_policy(struct random_state *random, unsigned number, bool is_deny_only,
                          char *out, size_t size)
{
    static const char *const images[] = {
        "**", "ghcr.io/**", "ghcr.io/acme/*", "ghcr.io/acme/app", "ghcr.io/other/**", "*/acme/**"};
    static const char *const modes[] = {"deny", "deny", "warn", "audit"};
    char require[1100];

    random_require(random, require, sizeof(require), 0);
    (void)snprintf(out, size,
                   "- {name: p%u, images: [\"%s\"], mode: %s, baseline: %s, require: [%s]}\n",
                   number, images[random_below(random, 6)],
                   is_deny_only ? "deny" : modes[random_below(random, 4)],
                   random_below(random, 4) == 0 ? "true" : "false", require);
}

static void decide_properties_hold_for_random_policies(void **state)
{
    struct random_state random = {42};

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        char policies[6][1400];
        char forward[9000] = "";
        char backward[9000] = "";
        char fewer[9000] = "";
        unsigned count = 1 + random_below(&random, 5);
        bool is_deny_only = random_below(&random, 2) == 0;
        struct ask ask = {.a = (enum known)(1 + random_below(&random, 3)),
                          .b = (enum known)(1 + random_below(&random, 3)),
                          .c = (enum known)(1 + random_below(&random, 3))};
        struct world all;
        struct world reversed;
        struct world less;

        for (unsigned i = 0; i < count; i++) {
            random_policy(&random, i, is_deny_only, policies[i], sizeof(policies[i]));
        }
        for (unsigned i = 0; i < count; i++) {
            (void)strncat(forward, policies[i], sizeof(forward) - strlen(forward) - 1);
            (void)strncat(backward, policies[count - 1 - i],
                          sizeof(backward) - strlen(backward) - 1);
            if (i > 0) {
                (void)strncat(fewer, policies[i], sizeof(fewer) - strlen(fewer) - 1);
            }
        }
        if (strlen(forward) > 3000) {
            continue;
        }
        ask.policies = forward;
        decide_world(&all, &ask);
        ask.policies = backward;
        decide_world(&reversed, &ask);
        ask.policies = fewer;
        decide_world(&less, &ask);
        /* Order means nothing. */
        assert_int_equal(all.decision.outcome, reversed.decision.outcome);
        assert_int_equal(all.decision.error.cause, reversed.decision.error.cause);
        assert_string_equal(all.decision.id, reversed.decision.id);
        /* Adding a policy never turns a denial into an allow for what is covered. */
        if (less.plan.is_covered && less.decision.outcome != DECIDE_ALLOW) {
            assert_int_not_equal(all.decision.outcome, DECIDE_ALLOW);
        }
        /* Under deny alone, nothing that lacks every signature is served. */
        if (is_deny_only && ask.a != GOOD && ask.b != GOOD && ask.c != GOOD) {
            assert_int_not_equal(all.decision.outcome, DECIDE_ALLOW);
        }
        world_done(&all);
        world_done(&reversed);
        world_done(&less);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide_table_gives_outcome_cause_and_policy),
        cmocka_unit_test(decide_message_has_all_a_person_needs),
        cmocka_unit_test(decide_equal_decisions_share_one_id),
        cmocka_unit_test(decide_requirements_are_listed_when_asked),
        cmocka_unit_test(decide_properties_hold_for_random_policies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
