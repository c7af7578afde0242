/* What leads to what: only edges of one repository, from allowed images, and evidence to evidence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/gateway_scene.h"

#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define SIMPLE "application/vnd.dev.cosign.simplesigning.v1+json"

struct outcome {
    struct scene *scene;
    const struct target *target;
    struct digest digest;
    struct content *self;
    struct reach *reach;
    int done;
    bool is_memory_out;
    bool has_decision;
    enum decide_outcome decision;
    enum gh_cause cause;
    struct digest subject;
    bool is_undecided;
    enum gh_cause undecided;
    bool is_evidence;
    bool has_size;
    uint64_t size_bytes;
};

static void outcome_on_answer(void *ctx, const struct reach_answer *answer)
{
    struct outcome *outcome = ctx;

    outcome->has_decision = answer->decision != NULL;
    if (answer->decision != NULL) {
        outcome->decision = answer->decision->outcome;
        outcome->cause = answer->decision->error.cause;
        outcome->subject = answer->subject->digest;
    }
    outcome->is_undecided = answer->undecided != NULL;
    outcome->undecided = answer->undecided != NULL ? answer->undecided->cause : GH_CAUSE_NONE;
    outcome->is_evidence = answer->is_evidence;
    outcome->has_size = answer->has_size;
    outcome->size_bytes = answer->size_bytes;
    outcome->reach = NULL;
    (void)__atomic_add_fetch(&outcome->done, 1, __ATOMIC_ACQ_REL);
}

static void outcome_ask(struct worker *worker, void *arg)
{
    struct outcome *outcome = arg;
    const struct reach_ask ask = {.generation = outcome->scene->generation,
                                  .target = outcome->target,
                                  .digest = outcome->digest,
                                  .self = outcome->self};
    bool is_over;
    struct reach *reach =
        reach_start(&outcome->scene->gateway, worker, &ask, outcome_on_answer, outcome, &is_over);

    outcome->reach = reach;
    outcome->is_memory_out = reach == NULL && !is_over;
}

static void outcome_leave(struct worker *worker, void *arg)
{
    struct outcome *outcome = arg;

    reach_leave(outcome->reach);
}

static void nothing(struct worker *worker, void *arg)
{
}

static struct outcome ask_about(struct scene *scene, const struct target *target,
                                const struct digest *digest, struct content *self)
{
    struct outcome outcome = {.scene = scene, .target = target, .digest = *digest, .self = self};

    scene_run(scene, 0, outcome_ask, &outcome);
    assert_false(outcome.is_memory_out);
    assert_true(scene_wait(&outcome.done, 1));
    scene_run(scene, 0, nothing, NULL);
    assert_int_equal(outcome.done, 1);
    return outcome;
}

static void reach_start_layer_of_a_signed_image_allows(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct target other = scene_target(scene, "registry.test/closed/other");
    struct content *image = scene_image("layer", LAYER);
    struct digest layer = scene_digest("layer");
    struct outcome outcome;

    scene_store(scene, &target, image);
    scene_sign(scene, &target, image);
    known_edges_put(&scene->gateway, &target, image, false, gateway_now());
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_true(digest_equal(&outcome.subject, &image->digest));
    assert_true(outcome.has_size);
    assert_int_equal(outcome.size_bytes, strlen("layer"));
    /* What one repository knows opens nothing in another. */
    outcome = ask_about(scene, &other, &layer, NULL);
    assert_false(outcome.has_decision);
    assert_false(outcome.is_evidence);
    content_unref(image);
}

static void reach_start_layer_of_an_unsigned_image_denies(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct digest layer = scene_digest("layer");
    struct outcome outcome;

    scene_store(scene, &target, image);
    known_edges_put(&scene->gateway, &target, image, false, gateway_now());
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_int_equal(outcome.cause, GH_NO_SIGNATURE_FOUND);
    assert_false(outcome.is_undecided);
    content_unref(image);
}

static void reach_start_child_of_a_signed_index_allows(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *index = scene_index(image, MANIFEST_OCI_IMAGE);
    struct digest layer = scene_digest("layer");
    struct outcome outcome;

    scene_store(scene, &target, image);
    scene_store(scene, &target, index);
    scene_sign(scene, &target, index);
    known_edges_put(&scene->gateway, &target, index, false, gateway_now());
    known_edges_put(&scene->gateway, &target, image, false, gateway_now());
    outcome = ask_about(scene, &target, &image->digest, image);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_true(digest_equal(&outcome.subject, &index->digest));
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_int_equal(outcome.size_bytes, strlen("layer"));
    content_unref(image);
    content_unref(index);
}

/* The index was evicted; its edges were not. */
static void reach_start_evicted_parent_is_fetched_again(void **state)
{
    static const struct {
        int status;
        bool is_signed;
        bool is_undecided;
        bool is_allowed;
    } rows[] = {{200, true, false, true},
                {200, false, false, false},
                {404, true, false, false},
                {503, true, true, false}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct scene *scene = *state;
        struct target target = scene_target(scene, "registry.test/closed/app");
        char text[16];
        struct content *image;
        struct content *index;
        struct outcome outcome;
        char path[512];
        char *body;

        (void)snprintf(text, sizeof(text), "layer %zu", i);
        image = scene_image(text, LAYER);
        index = scene_index(image, MANIFEST_OCI_IMAGE);
        scene_store(scene, &target, image);
        if (rows[i].is_signed) {
            scene_sign(scene, &target, index);
        }
        known_edges_put(&scene->gateway, &target, index, false, gateway_now());
        (void)snprintf(path, sizeof(path), "/v2/closed/app/manifests/%s", index->digest_text);
        body = strndup((const char *)index->bytes.data, index->bytes.len);
        (void)scene_route(scene, path, rows[i].status, "Content-Type: " MANIFEST_OCI_INDEX "\r\n",
                          body);
        free(body);
        outcome = ask_about(scene, &target, &image->digest, image);
        assert_int_equal(fake_upstream_calls_with(scene->server, path) > 0, 1);
        assert_int_equal(outcome.is_undecided, rows[i].is_undecided);
        assert_int_equal(outcome.has_decision && outcome.decision == DECIDE_ALLOW,
                         rows[i].is_allowed);
        if (rows[i].is_allowed) {
            assert_true(digest_equal(&outcome.subject, &index->digest));
        } else if (!rows[i].is_undecided) {
            assert_int_equal(outcome.decision, DECIDE_DENY);
            assert_int_equal(outcome.cause, GH_NO_SIGNATURE_FOUND);
        }
        content_unref(image);
        content_unref(index);
    }
}

/* Anybody who may push can write a manifest that calls any digest a signature. */
static void reach_start_manifest_named_by_evidence_is_still_judged(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    char body[4096];
    char *text = strndup((const char *)image->bytes.data, image->bytes.len);
    struct content *evidence;
    struct outcome outcome;

    (void)snprintf(body, sizeof(body), "%s", text);
    evidence = scene_image(body, SIMPLE);
    scene_store(scene, &target, image);
    scene_store(scene, &target, evidence);
    known_edges_put(&scene->gateway, &target, evidence, true, gateway_now());
    outcome = ask_about(scene, &target, &image->digest, image);
    assert_true(outcome.has_decision);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_int_equal(outcome.cause, GH_NO_SIGNATURE_FOUND);
    assert_false(outcome.is_evidence);
    free(text);
    content_unref(image);
    content_unref(evidence);
}

static void reach_start_manifest_named_as_a_layer_is_still_judged(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    char *text = strndup((const char *)image->bytes.data, image->bytes.len);
    struct content *holder = scene_image(text, "application/json");
    struct outcome outcome;

    scene_store(scene, &target, image);
    scene_store(scene, &target, holder);
    scene_sign(scene, &target, holder);
    known_edges_put(&scene->gateway, &target, holder, false, gateway_now());
    outcome = ask_about(scene, &target, &image->digest, image);
    assert_int_equal(outcome.decision, DECIDE_DENY);
    assert_int_equal(outcome.cause, GH_NO_SIGNATURE_FOUND);
    free(text);
    content_unref(image);
    content_unref(holder);
}

static void reach_start_blob_of_evidence_is_evidence(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *evidence = scene_image("{\"critical\":{}}", SIMPLE);
    struct digest layer = scene_digest("{\"critical\":{}}");
    struct outcome outcome;

    scene_store(scene, &target, evidence);
    known_edges_put(&scene->gateway, &target, evidence, true, gateway_now());
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_true(outcome.is_evidence);
    assert_false(outcome.has_decision);
    content_unref(evidence);
}

/* The descriptor on the way to the allowed image says the size, not the last one written. */
static void reach_start_size_comes_from_the_allowed_image(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct digest layer = scene_digest("layer");
    char text[DIGEST_MAX_TEXT];
    char body[1024];
    struct content *evidence;
    struct outcome outcome;

    digest_format(&layer, text);
    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"config\":{\"mediaType\":"
                   "\"application/vnd.oci.empty.v1+json\",\"digest\":\"%s\",\"size\":7000},"
                   "\"layers\":[{\"mediaType\":\"" SIMPLE "\",\"digest\":\"%s\",\"size\":7000}]}",
                   text, text);
    evidence = scene_content(MANIFEST_OCI_IMAGE, body);
    scene_store(scene, &target, image);
    scene_sign(scene, &target, image);
    known_edges_put(&scene->gateway, &target, image, false, gateway_now());
    known_edges_put(&scene->gateway, &target, evidence, true, gateway_now());
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_false(outcome.is_evidence);
    assert_int_equal(outcome.size_bytes, strlen("layer"));
    content_unref(image);
    content_unref(evidence);
}

/* A base layer of many images: the one that was signed is found behind all that were not. */
static void reach_start_hundred_parents_finds_the_allowed_one(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct digest layer = scene_digest("layer");
    struct outcome outcome;

    scene_store(scene, &target, image);
    scene_sign(scene, &target, image);
    known_edges_put(&scene->gateway, &target, image, false, gateway_now());
    for (int i = 0; i < 100; i++) {
        char type[64];
        struct content *other;

        (void)snprintf(type, sizeof(type), "application/x-%d", i);
        other = scene_image("layer", type);
        scene_store(scene, &target, other);
        known_edges_put(&scene->gateway, &target, other, false, gateway_now());
        content_unref(other);
    }
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_int_equal(outcome.decision, DECIDE_ALLOW);
    assert_true(digest_equal(&outcome.subject, &image->digest));
    content_unref(image);
}

static void reach_start_more_than_can_be_verified_is_undecided(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct digest layer = scene_digest("layer");
    struct outcome outcome;

    for (int i = 0; i < REACH_MAX_VERIFIED + 2; i++) {
        char type[64];
        struct content *other;

        (void)snprintf(type, sizeof(type), "application/x-%d", i);
        other = scene_image("layer", type);
        scene_store(scene, &target, other);
        known_edges_put(&scene->gateway, &target, other, false, gateway_now());
        content_unref(other);
    }
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_true(outcome.is_undecided);
    assert_int_equal(outcome.undecided, GH_COUNT_LIMIT_EXCEEDED);
    /* The denials are known by now: the rest is judged. */
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_false(outcome.is_undecided);
    assert_int_equal(outcome.decision, DECIDE_DENY);
}

/* One parent is denied, of the other nobody can say: that is no denial. */
static void reach_start_denied_and_undecided_is_undecided(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *denied = scene_image("layer", LAYER);
    struct content *unknown = scene_image("layer", "application/x-other");
    struct digest layer = scene_digest("layer");
    char path[512];
    struct outcome outcome;

    scene_store(scene, &target, denied);
    scene_store(scene, &target, unknown);
    known_edges_put(&scene->gateway, &target, denied, false, gateway_now());
    known_edges_put(&scene->gateway, &target, unknown, false, gateway_now());
    (void)snprintf(path, sizeof(path), "/v2/closed/app/referrers/%s", unknown->digest_text);
    (void)scene_route(scene, path, 403, "", "{}");
    outcome = ask_about(scene, &target, &layer, NULL);
    assert_true(outcome.is_undecided || outcome.decision == DECIDE_UNDECIDED);
    content_unref(denied);
    content_unref(unknown);
}

static void reach_leave_while_verifying_is_not_called(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct outcome outcome = {.scene = scene, .target = &target, .digest = scene_digest("layer")};
    char path[512];

    scene_store(scene, &target, image);
    known_edges_put(&scene->gateway, &target, image, false, gateway_now());
    (void)snprintf(path, sizeof(path), "/v2/closed/app/referrers/%s", image->digest_text);
    scene_route(scene, path, 404, "", "{}")->delay_ms = 100;
    scene_run(scene, 0, outcome_ask, &outcome);
    assert_non_null(outcome.reach);
    scene_run(scene, 0, outcome_leave, &outcome);
    (void)usleep(300 * 1000);
    scene_run(scene, 0, nothing, NULL);
    assert_int_equal(outcome.done, 0);
    content_unref(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(reach_start_layer_of_a_signed_image_allows),
        SCENE_CASE(reach_start_layer_of_an_unsigned_image_denies),
        SCENE_CASE(reach_start_child_of_a_signed_index_allows),
        SCENE_CASE(reach_start_evicted_parent_is_fetched_again),
        SCENE_CASE(reach_start_manifest_named_by_evidence_is_still_judged),
        SCENE_CASE(reach_start_manifest_named_as_a_layer_is_still_judged),
        SCENE_CASE(reach_start_blob_of_evidence_is_evidence),
        SCENE_CASE(reach_start_size_comes_from_the_allowed_image),
        SCENE_CASE(reach_start_hundred_parents_finds_the_allowed_one),
        SCENE_CASE(reach_start_more_than_can_be_verified_is_undecided),
        SCENE_CASE(reach_start_denied_and_undecided_is_undecided),
        SCENE_CASE(reach_leave_while_verifying_is_not_called),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
