/* Manifests by digest and tag: what is hashed is what is given out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/gateway_scene.h"

#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"

struct got {
    struct scene *scene;
    const struct target *target;
    const struct digest *digest;
    const char *tag;
    const char *accept;
    struct pull *pull;
    int done;
    enum pull_outcome outcome;
    enum gh_cause cause;
    bool is_stale;
    struct digest is;
};

static void got_on_pulled(void *ctx, const struct pull_result *result)
{
    struct got *got = ctx;

    got->outcome = result->outcome;
    got->cause = result->error.cause;
    got->is_stale = result->is_stale;
    if (result->content != NULL) {
        got->is = result->content->digest;
    }
    got->pull = NULL;
    (void)__atomic_add_fetch(&got->done, 1, __ATOMIC_ACQ_REL);
}

static void got_ask(struct worker *worker, void *arg)
{
    struct got *got = arg;

    got->pull = pull_manifest(&got->scene->gateway, worker, got->scene->generation, got->target,
                              got->digest, got->tag, got->accept, got_on_pulled, got);
}

static void got_leave(struct worker *worker, void *arg)
{
    struct got *got = arg;

    pull_leave(got->pull);
}

static void nothing(struct worker *worker, void *arg)
{
}

static struct got pull_now(struct scene *scene, const struct target *target,
                           const struct digest *digest, const char *tag)
{
    struct got got = {.scene = scene, .target = target, .digest = digest, .tag = tag};

    scene_run(scene, 0, got_ask, &got);
    assert_true(scene_wait(&got.done, 1));
    scene_run(scene, 0, nothing, NULL);
    return got;
}

static void pull_manifest_by_digest_of_other_bytes_is_broken(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *other = scene_image("other", LAYER);
    char path[512];
    char *body = strndup((const char *)other->bytes.data, other->bytes.len);
    struct got got;

    (void)snprintf(path, sizeof(path), "/v2/closed/app/manifests/%s", image->digest_text);
    (void)scene_route(scene, path, 200, "Content-Type: " MANIFEST_OCI_IMAGE "\r\n", body);
    got = pull_now(scene, &target, &image->digest, NULL);
    assert_int_equal(got.outcome, PULL_BROKEN);
    assert_int_equal(got.cause, GH_DIGEST_MISMATCH);
    assert_null(pull_stored(&scene->gateway, &target, &image->digest));
    free(body);
    content_unref(image);
    content_unref(other);
}

static void pull_manifest_with_another_type_is_broken(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    char *body = strndup((const char *)image->bytes.data, image->bytes.len);
    struct got got;

    (void)scene_route(scene, "/v2/closed/app/manifests/v1", 200,
                      "Content-Type: " MANIFEST_DOCKER_IMAGE "\r\n", body);
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_BROKEN);
    assert_int_equal(got.cause, GH_MEDIA_TYPE_MISMATCH);
    free(body);
    content_unref(image);
}

static void pull_manifest_claimed_digest_that_is_wrong_is_broken(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    char *body = strndup((const char *)image->bytes.data, image->bytes.len);
    struct got got;

    (void)scene_route(scene, "/v2/closed/app/manifests/v1", 200,
                      "Content-Type: " MANIFEST_OCI_IMAGE "\r\nDocker-Content-Digest: "
                      "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                      body);
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_BROKEN);
    assert_int_equal(got.cause, GH_DIGEST_MISMATCH);
    free(body);
    content_unref(image);
}

static void pull_manifest_many_waiters_ask_once(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct got gots[32];

    scene_serve(scene, "closed/app", "v1", image);
    scene->routes[scene->route_count - 1].delay_ms = 100;
    for (unsigned i = 0; i < GH_COUNT(gots); i++) {
        gots[i] = (struct got){.scene = scene, .target = &target, .tag = "v1"};
        scene_run(scene, i % SCENE_WORKERS, got_ask, &gots[i]);
    }
    for (unsigned i = 0; i < GH_COUNT(gots); i++) {
        assert_true(scene_wait(&gots[i].done, 1));
        assert_int_equal(gots[i].outcome, PULL_OK);
        assert_true(digest_equal(&gots[i].is, &image->digest));
    }
    assert_int_equal(fake_upstream_calls(scene->server), 1);
    content_unref(image);
}

static void pull_manifest_known_tag_is_confirmed_by_head(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *moved = scene_image("moved", LAYER);
    struct got got;

    scene_serve(scene, "closed/app", "v1", image);
    (void)pull_now(scene, &target, NULL, "v1");
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_OK);
    assert_int_equal(fake_upstream_calls_with(scene->server, "GET "), 1);
    assert_int_equal(fake_upstream_calls_with(scene->server, "HEAD "), 1);
    /* A tag that moved is fetched and hashed. */
    scene_serve(scene, "closed/app", "v1", moved);
    got = pull_now(scene, &target, NULL, "v1");
    assert_true(digest_equal(&got.is, &moved->digest));
    assert_int_equal(fake_upstream_calls_with(scene->server, "GET "), 2);
    content_unref(image);
    content_unref(moved);
}

static void pull_manifest_upstream_away_serves_the_last_digest(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct got got;

    scene_serve(scene, "closed/app", "v1", image);
    (void)pull_now(scene, &target, NULL, "v1");
    (void)scene_route(scene, "/v2/closed/app/manifests/v1", 500, "", "{}");
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_OK);
    assert_true(got.is_stale);
    got = pull_now(scene, &target, NULL, "v2");
    assert_int_not_equal(got.outcome, PULL_OK);
    content_unref(image);
}

static void pull_manifest_gone_tag_is_forgotten(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct got got;

    scene_serve(scene, "closed/app", "v1", image);
    (void)pull_now(scene, &target, NULL, "v1");
    (void)scene_route(scene, "/v2/closed/app/manifests/v1", 404, "", "{}");
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_ABSENT);
    assert_int_equal(got.cause, GH_MANIFEST_UNKNOWN);
    (void)scene_route(scene, "/v2/closed/app/manifests/v1", 500, "", "{}");
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_UNDECIDED);
    content_unref(image);
}

static void pull_manifest_refused_credentials_end_a_tag(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct got got;

    scene_serve(scene, "closed/app", "v1", image);
    (void)pull_now(scene, &target, NULL, "v1");
    (void)scene_route(scene, "/v2/closed/app/manifests/v1", 403, "", "{}");
    got = pull_now(scene, &target, NULL, "v1");
    assert_int_equal(got.outcome, PULL_DENIED);
    assert_null(
        pull_stored_tag(&scene->gateway, scene->generation, &target, "v1", NULL, gateway_now()));
    content_unref(image);
}

/* What a client writes makes no record of its own; what it takes does. */
static void pull_stored_tag_tells_clients_by_known_types_alone(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct got got = {.scene = scene,
                      .target = &target,
                      .tag = "v1",
                      .accept = "text/x-noise-1, " MANIFEST_OCI_IMAGE ";q=0.5"};
    struct content *stored;

    scene_serve(scene, "closed/app", "v1", image);
    scene_run(scene, 0, got_ask, &got);
    assert_true(scene_wait(&got.done, 1));
    stored = pull_stored_tag(&scene->gateway, scene->generation, &target, "v1",
                             MANIFEST_OCI_IMAGE ", application/x-noise-2", gateway_now());
    assert_non_null(stored);
    content_unref(stored);
    assert_null(pull_stored_tag(&scene->gateway, scene->generation, &target, "v1",
                                MANIFEST_DOCKER_IMAGE, gateway_now()));
    assert_null(
        pull_stored_tag(&scene->gateway, scene->generation, &target, "v1", NULL, gateway_now()));
    content_unref(image);
}

static void pull_stored_is_of_one_repository(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct target other = scene_target(scene, "registry.test/open/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *stored;

    scene_serve(scene, "closed/app", "v1", image);
    (void)pull_now(scene, &target, NULL, "v1");
    stored = pull_stored(&scene->gateway, &target, &image->digest);
    assert_non_null(stored);
    content_unref(stored);
    assert_null(pull_stored(&scene->gateway, &other, &image->digest));
    content_unref(image);
}

static void pull_leave_lets_the_work_go_on(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *stored = NULL;
    struct got got = {.scene = scene, .target = &target, .tag = "v1"};

    scene_serve(scene, "closed/app", "v1", image);
    scene->routes[scene->route_count - 1].delay_ms = 50;
    scene_run(scene, 0, got_ask, &got);
    scene_run(scene, 0, got_leave, &got);
    for (int i = 0; i < 500 && stored == NULL; i++) {
        (void)usleep(10000);
        stored = pull_stored(&scene->gateway, &target, &image->digest);
    }
    assert_non_null(stored);
    scene_run(scene, 0, nothing, NULL);
    assert_int_equal(got.done, 0);
    content_unref(stored);
    content_unref(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(pull_manifest_by_digest_of_other_bytes_is_broken),
        SCENE_CASE(pull_manifest_with_another_type_is_broken),
        SCENE_CASE(pull_manifest_claimed_digest_that_is_wrong_is_broken),
        SCENE_CASE(pull_manifest_many_waiters_ask_once),
        SCENE_CASE(pull_manifest_known_tag_is_confirmed_by_head),
        SCENE_CASE(pull_manifest_upstream_away_serves_the_last_digest),
        SCENE_CASE(pull_manifest_gone_tag_is_forgotten),
        SCENE_CASE(pull_manifest_refused_credentials_end_a_tag),
        SCENE_CASE(pull_stored_tag_tells_clients_by_known_types_alone),
        SCENE_CASE(pull_stored_is_of_one_repository),
        SCENE_CASE(pull_leave_lets_the_work_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
