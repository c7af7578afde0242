/* Decisions with a registry that does as the case says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/gateway_scene.h"

#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"

struct outcome {
    struct scene *scene;
    const struct target *target;
    struct content *subject;
    struct gate_run *run;
    int done;
    bool is_stored;
    enum decide_outcome decision;
    enum gh_cause cause;
    bool is_broken;
    size_t failures;
};

static void outcome_on_decision(void *ctx, const struct decision *decision,
                                const struct decide_plan *plan)
{
    struct outcome *outcome = ctx;

    outcome->decision = decision->outcome;
    outcome->cause =
        decision->failure_count > 0 ? decision->failures[0].error.cause : decision->error.cause;
    outcome->is_broken = decision->is_subject_broken;
    outcome->failures = decision->failure_count;
    outcome->run = NULL;
    (void)__atomic_add_fetch(&outcome->done, 1, __ATOMIC_ACQ_REL);
}

static void outcome_ask(struct worker *worker, void *arg)
{
    struct outcome *outcome = arg;
    const struct gate_ask ask = {.generation = outcome->scene->generation,
                                 .target = outcome->target,
                                 .subject = outcome->subject,
                                 .principal = ""};

    outcome->is_stored =
        gate_decide_stored(&outcome->scene->gateway, &ask, outcome_on_decision, outcome);
    if (!outcome->is_stored) {
        outcome->run =
            gate_decide(&outcome->scene->gateway, worker, &ask, outcome_on_decision, outcome);
    }
}

static void outcome_leave(struct worker *worker, void *arg)
{
    struct outcome *outcome = arg;

    gate_leave(outcome->run);
}

static void nothing(struct worker *worker, void *arg)
{
}

static struct outcome ask_about(struct scene *scene, const struct target *target,
                                struct content *subject)
{
    struct outcome outcome = {.scene = scene, .target = target, .subject = subject};

    scene_run(scene, 0, outcome_ask, &outcome);
    assert_true(scene_wait(&outcome.done, 1));
    scene_run(scene, 0, nothing, NULL);
    assert_int_equal(outcome.done, 1);
    return outcome;
}

static void gate_decide_unsigned_is_denied_and_kept(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome outcome = ask_about(scene, &target, image);
    size_t calls = fake_upstream_calls(scene->server);

    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_int_equal(outcome.cause, GH_NO_SIGNATURE_FOUND);
    assert_false(outcome.is_stored);
    outcome = ask_about(scene, &target, image);
    assert_true(outcome.is_stored);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_int_equal(fake_upstream_calls(scene->server), calls);
    content_unref(image);
}

static void gate_decide_signed_is_allowed_from_the_store(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome outcome;

    scene_sign(scene, &target, image);
    outcome = ask_about(scene, &target, image);
    assert_true(outcome.is_stored);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_int_equal(fake_upstream_calls(scene->server), 0);
    content_unref(image);
}

/* The same bytes under another type are another subject. */
static void gate_decide_other_media_type_shares_no_verdict(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    static const char body[] = "{\"schemaVersion\":2}";
    struct content *one = scene_content(MANIFEST_OCI_IMAGE, body);
    struct content *other = scene_content(MANIFEST_DOCKER_IMAGE, body);
    struct outcome outcome;

    scene_sign(scene, &target, one);
    outcome = ask_about(scene, &target, one);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    outcome = ask_about(scene, &target, other);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    content_unref(one);
    content_unref(other);
}

static void gate_decide_trouble_is_undecided_and_never_kept(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome outcome;

    scene_default(scene, 403);
    outcome = ask_about(scene, &target, image);
    assert_int_equal(outcome.decision, DECIDE_UNDECIDED);
    assert_int_equal(outcome.cause, GH_DISCOVERY_AUTH_FAILED);
    outcome = ask_about(scene, &target, image);
    assert_false(outcome.is_stored);
    assert_int_equal(outcome.decision, DECIDE_UNDECIDED);
    scene_default(scene, 404);
    outcome = ask_about(scene, &target, image);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    content_unref(image);
}

static void gate_decide_trouble_in_audit_mode_allows(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/open/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome outcome;

    scene_default(scene, 403);
    outcome = ask_about(scene, &target, image);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_int_equal(outcome.failures, 1);
    assert_int_equal(outcome.cause, GH_DISCOVERY_AUTH_FAILED);
    content_unref(image);
}

static void gate_decide_each_wants_the_child_signed(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/each/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *index = scene_index(image, MANIFEST_OCI_IMAGE);
    struct outcome outcome;

    scene_serve(scene, "each/app", NULL, image);
    scene_sign(scene, &target, index);
    outcome = ask_about(scene, &target, index);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_false(outcome.is_broken);
    scene_sign(scene, &target, image);
    outcome = ask_about(scene, &target, index);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    content_unref(image);
    content_unref(index);
}

/* Both where the descriptor says what it is and where it lies. */
static void gate_decide_each_refuses_an_index_in_an_index(void **state)
{
    static const char *const types[] = {MANIFEST_OCI_INDEX, MANIFEST_OCI_IMAGE};
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/each/app");
    struct target watched = scene_target(scene, "registry.test/watched/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *inner = scene_index(image, MANIFEST_OCI_IMAGE);

    scene_serve(scene, "each/app", NULL, inner);
    scene_serve(scene, "watched/app", NULL, inner);
    for (size_t i = 0; i < GH_COUNT(types); i++) {
        struct content *outer = scene_index(inner, types[i]);
        struct outcome outcome;

        scene_sign(scene, &target, inner);
        scene_sign(scene, &target, outer);
        outcome = ask_about(scene, &target, outer);
        assert_int_equal(outcome.decision, DECIDE_DENY);
        assert_int_equal(outcome.cause, GH_INDEX_DEPTH_EXCEEDED);
        assert_false(outcome.is_broken);
        /* A policy that only watches stops nothing. */
        scene_sign(scene, &watched, outer);
        outcome = ask_about(scene, &watched, outer);
        assert_int_equal(outcome.decision, DECIDE_ALLOW);
        assert_int_equal(outcome.cause, GH_INDEX_DEPTH_EXCEEDED);
        content_unref(outer);
    }
    content_unref(image);
    content_unref(inner);
}

static void gate_decide_each_too_many_children_is_policys_matter(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/each/app");
    struct target watched = scene_target(scene, "registry.test/watched/app");
    char *body = malloc(300 * 256);
    size_t used = (size_t)sprintf(body, "{\"schemaVersion\":2,\"manifests\":[");
    struct content *index;
    struct outcome outcome;

    for (int i = 0; i < 257; i++) {
        used += (size_t)sprintf(body + used,
                                "%s{\"mediaType\":\"" MANIFEST_OCI_IMAGE
                                "\",\"size\":2,\"digest\":\"sha256:%064x\"}",
                                i > 0 ? "," : "", i + 1);
    }
    (void)sprintf(body + used, "]}");
    index = scene_content(MANIFEST_OCI_INDEX, body);
    scene_sign(scene, &target, index);
    outcome = ask_about(scene, &target, index);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_int_equal(outcome.cause, GH_COUNT_LIMIT_EXCEEDED);
    assert_false(outcome.is_broken);
    outcome = ask_about(scene, &watched, index);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    content_unref(index);
    free(body);
}

static void gate_leave_at_every_wait_is_not_called(void **state)
{
    static const unsigned waits_ms[] = {0, 5, 20, 60};
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/each/app");

    for (size_t i = 0; i < GH_COUNT(waits_ms); i++) {
        char layer[32];
        char path[512];
        struct content *image;
        struct content *index;
        struct outcome outcome;

        (void)snprintf(layer, sizeof(layer), "layer %zu", i);
        image = scene_image(layer, LAYER);
        index = scene_index(image, MANIFEST_OCI_IMAGE);
        scene_serve(scene, "each/app", NULL, image);
        (void)snprintf(path, sizeof(path), "/v2/each/app/referrers/%s", index->digest_text);
        scene_route(scene, path, 404, "", "{}")->delay_ms = 30;
        (void)snprintf(path, sizeof(path), "/v2/each/app/referrers/%s", image->digest_text);
        scene_route(scene, path, 404, "", "{}")->delay_ms = 80;
        outcome = (struct outcome){.scene = scene, .target = &target, .subject = index};
        scene_run(scene, 0, outcome_ask, &outcome);
        (void)usleep(waits_ms[i] * 1000);
        scene_run(scene, 0, outcome_leave, &outcome);
        (void)usleep(150 * 1000);
        scene_run(scene, 0, nothing, NULL);
        assert_int_equal(outcome.done, 0);
        content_unref(image);
        content_unref(index);
    }
}

/* Two workers ask at once: one verification, two answers. */
static void gate_decide_together_is_verified_once(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome outcomes[8];
    char path[512];

    (void)snprintf(path, sizeof(path), "/v2/closed/app/referrers/%s", image->digest_text);
    scene_route(scene, path, 404, "", "{}")->delay_ms = 100;
    for (unsigned i = 0; i < GH_COUNT(outcomes); i++) {
        outcomes[i] = (struct outcome){.scene = scene, .target = &target, .subject = image};
        scene_run(scene, i % SCENE_WORKERS, outcome_ask, &outcomes[i]);
    }
    for (unsigned i = 0; i < GH_COUNT(outcomes); i++) {
        assert_true(scene_wait(&outcomes[i].done, 1));
        assert_int_equal(outcomes[i].decision, DECIDE_DENY);
    }
    assert_int_equal(fake_upstream_calls_with(scene->server, "/referrers/"), 1);
    content_unref(image);
}

static void gate_worker_ends_while_waiting_for_another(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome leads = {.scene = scene, .target = &target, .subject = image};
    struct outcome waits = leads;
    char path[512];

    (void)snprintf(path, sizeof(path), "/v2/closed/app/referrers/%s", image->digest_text);
    scene_route(scene, path, 404, "", "{}")->delay_ms = 100;
    scene_run(scene, 0, outcome_ask, &leads);
    scene_run(scene, 1, outcome_ask, &waits);
    scene_run(scene, 1, outcome_leave, &waits); /* as its connection does when the worker stops */
    worker_join(scene->gateway.workers[1]);
    assert_true(scene_wait(&leads.done, 1));
    assert_int_equal(leads.decision, DECIDE_DENY);
    assert_int_equal(waits.done, 0);
    content_unref(image);
}

/* The registry is silent: at every wait of the one that leads, whoever waits is answered. */
static void gate_worker_ends_while_verifying_waiters_are_told(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome leads = {.scene = scene, .target = &target, .subject = image};
    struct outcome waits = leads;
    char path[512];

    (void)snprintf(path, sizeof(path), "/v2/closed/app/referrers/%s", image->digest_text);
    scene_route(scene, path, 404, "", "{}")->delay_ms = 300;
    scene_run(scene, 0, outcome_ask, &leads);
    scene_run(scene, 1, outcome_ask, &waits);
    scene_run(scene, 0, outcome_leave, &leads);
    worker_join(scene->gateway.workers[0]);
    assert_true(scene_wait(&waits.done, 1));
    assert_int_equal(waits.decision, DECIDE_UNDECIDED);
    assert_int_equal(waits.cause, GH_UPSTREAM_UNAVAILABLE);
    assert_int_equal(leads.done, 0);
    content_unref(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(gate_decide_unsigned_is_denied_and_kept),
        SCENE_CASE(gate_decide_signed_is_allowed_from_the_store),
        SCENE_CASE(gate_decide_other_media_type_shares_no_verdict),
        SCENE_CASE(gate_decide_trouble_is_undecided_and_never_kept),
        SCENE_CASE(gate_decide_trouble_in_audit_mode_allows),
        SCENE_CASE(gate_decide_each_wants_the_child_signed),
        SCENE_CASE(gate_decide_each_refuses_an_index_in_an_index),
        SCENE_CASE(gate_decide_each_too_many_children_is_policys_matter),
        SCENE_CASE(gate_leave_at_every_wait_is_not_called),
        SCENE_CASE(gate_decide_together_is_verified_once),
        SCENE_CASE(gate_worker_ends_while_waiting_for_another),
        SCENE_CASE(gate_worker_ends_while_verifying_waiters_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
