/*
 * A gateway without its listeners, for cmocka cases: stores in a scratch folder, threads, and one
 * registry on loopback that answers from a table. Include cmocka.h first.
 *
 * Policies: closed/ needs a signature, open/ is in audit mode, each/ and watched/ (audit mode) want
 * every child signed.
 */
#ifndef TESTS_SUPPORT_GATEWAY_SCENE_H
#define TESTS_SUPPORT_GATEWAY_SCENE_H

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <event2/thread.h>

#include "cache/decision_store.h"
#include "cache/edges.h"
#include "cache/store.h"
#include "cache/verdict_cache.h"
#include "crypto/manifest.h"
#include "metrics/audit.h"
#include "metrics/prom.h"
#include "proxy/content.h"
#include "proxy/flight.h"
#include "proxy/gate.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/known.h"
#include "proxy/pull.h"
#include "proxy/reach.h"
#include "proxy/recorder.h"
#include "proxy/target.h"
#include "proxy/upstream.h"
#include "proxy/verdicts.h"
#include "proxy/verification.h"
#include "proxy/worker.h"
#include "tests/support/fake_upstream.h"
#include "tests/support/memory_loader.h"
#include "tests/support/scratch.h"

#define SCENE_WORKERS 2
#define SCENE_MAX_ROUTES 64

struct scene_route {
    char target[512];
    int status;
    char headers[512];
    char *body;
    unsigned delay_ms;
};

struct scene {
    struct scratch scratch;
    struct gateway gateway;
    struct audit *audit;
    struct fake_upstream *server;
    struct generation *generation;
    pthread_mutex_t lock; /* of the routes */
    struct scene_route routes[SCENE_MAX_ROUTES];
    size_t route_count;
    int default_status;
};

/* ---- the registry ---- */

static bool scene_answer(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    struct scene_route route = {.status = 404};

    (void)pthread_mutex_lock(&scene->lock);
    route.status = scene->default_status;
    for (size_t i = scene->route_count; i-- > 0;) {
        if (strcmp(call->target, scene->routes[i].target) == 0) {
            route = scene->routes[i];
            break;
        }
    }
    (void)pthread_mutex_unlock(&scene->lock);
    if (route.delay_ms > 0) {
        (void)usleep(route.delay_ms * 1000);
    }
    return fake_reply(call, route.status, route.headers, route.body != NULL ? route.body : "{}");
}

/* The last route of a target counts. */
GH_UNUSED static struct scene_route *scene_route(struct scene *scene, const char *target,
                                                 int status, const char *headers, const char *body)
{
    struct scene_route *route;

    (void)pthread_mutex_lock(&scene->lock);
    assert_true(scene->route_count < SCENE_MAX_ROUTES);
    route = &scene->routes[scene->route_count++];
    (void)snprintf(route->target, sizeof(route->target), "%s", target);
    (void)snprintf(route->headers, sizeof(route->headers), "%s", headers);
    route->status = status;
    route->body = strdup(body);
    (void)pthread_mutex_unlock(&scene->lock);
    return route;
}

GH_UNUSED static void scene_default(struct scene *scene, int status)
{
    (void)pthread_mutex_lock(&scene->lock);
    scene->default_status = status;
    (void)pthread_mutex_unlock(&scene->lock);
}

/* ---- start and end ---- */

static void scene_free_client(void *client)
{
    upstream_client_free(client);
}

static struct generation *scene_generation(struct scene *scene, uint64_t number)
{
    static const char form[] =
        "upstreams: {registry.test: {url: \"%s\"}}\n"
        "signers: {release: {keys: [{file: a.pub}]}}\n"
        "cache: {tag_ttl: %ds, tag_stale: 1h, verdict_ttl: 1h, denial_ttl: 1m}\n"
        "limits: {verification_time: 5s}\n"
        "policies:\n"
        "  - {name: closed, images: [\"registry.test/closed/**\"], require: [{signature: "
        "release}]}\n"
        "  - {name: open, images: [\"registry.test/open/**\"], mode: audit,\n"
        "     require: [{signature: release}]}\n"
        "  - {name: each, images: [\"registry.test/each/**\"], platforms: each,\n"
        "     require: [{signature: release}]}\n"
        "  - {name: watched, images: [\"registry.test/watched/**\"], platforms: each, mode: "
        "audit,\n"
        "     require: [{signature: release}]}\n";
    char text[4096];
    struct memory_file files[2] = {{"gatehouse.yaml", text, 0}, {"a.pub", MEMORY_KEY_A, 0}};
    struct memory_loader loader = {.files = files, .count = 2};
    struct config_problems problems = {0};
    struct generation *generation = NULL;
    struct gh_error err = {0};
    struct config *config;

    (void)snprintf(text, sizeof(text), form, fake_upstream_url(scene->server, ""), 60);
    config = memory_load(&loader, gateway_now(), &problems);
    if (config == NULL) {
        memory_print(&problems);
    }
    config_problems_done(&problems);
    assert_non_null(config);
    assert_true(generation_new(config, number, NULL, &generation, &err));
    return generation;
}

GH_UNUSED static int scene_setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct gateway *gateway = &scene->gateway;
    struct store_config store = {.map_bytes = 64u * 1024 * 1024};
    const struct verdict_cache_config verdicts = {.hooks = verdicts_hooks};
    char path[512];
    struct audit_config audit = {0};
    struct gh_error err = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    (void)evthread_use_pthreads();
    assert_true(scratch_make(&scene->scratch));
    (void)pthread_mutex_init(&scene->lock, NULL);
    scene->default_status = 404;
    scene->server = fake_upstream_start(scene_answer, scene);
    lock_init(&gateway->lock, GH_RANK_CONFIG);
    store.path = scene->scratch.path;
    assert_true(store_open(&store, &gateway->store, &err));
    assert_true(verdict_cache_new(gateway->store, &verdicts, &gateway->verdicts, &err));
    assert_true(edges_new(gateway->store, &gateway->edges, &err));
    assert_true(decision_store_new(gateway->store, 0, &gateway->decisions, &err));
    assert_true(prom_new(&gateway->prom, &err));
    assert_true(flights_new(&gateway->flights, &err));
    assert_true(helper_pool_new(2, &gateway->helpers, &err));
    assert_true(helper_pool_new(2, &gateway->verifiers, &err));
    audit.path = scratch_path(&scene->scratch, "audit.jsonl", path);
    assert_true(audit_open(&audit, gateway_now() * 1000, &scene->audit, &err));
    assert_true(recorder_new(gateway, scene->audit, &gateway->recorder, &err));
    gateway_adopt(gateway, scene_generation(scene, 1));
    scene->generation = gateway_generation(gateway);
    for (unsigned i = 0; i < SCENE_WORKERS; i++) {
        struct upstream_client *client;

        assert_true(worker_new(i, &gateway->workers[i], &err));
        gateway->worker_count = i + 1;
        assert_true(
            upstream_client_new(worker_base(gateway->workers[i]), gateway->prom, &client, &err));
        worker_attach(gateway->workers[i], WORKER_SLOT_UPSTREAM,
                      &(struct worker_member){.self = client, .on_stop = scene_free_client});
        assert_true(verification_attach(gateway->workers[i], &err));
        assert_true(worker_start(gateway->workers[i], &err));
    }
    *state = scene;
    return 0;
}

/* As the process ends. */
GH_UNUSED static int scene_teardown(void **state)
{
    struct scene *scene = *state;
    struct gateway *gateway = &scene->gateway;

    for (size_t i = 0; i < gateway->worker_count; i++) {
        worker_join(gateway->workers[i]);
    }
    helper_pool_free(gateway->verifiers);
    helper_pool_free(gateway->helpers);
    for (size_t i = 0; i < gateway->worker_count; i++) {
        worker_free(gateway->workers[i]);
    }
    fake_upstream_stop(scene->server);
    generation_unref(scene->generation);
    generation_unref(gateway->generation);
    recorder_free(gateway->recorder);
    audit_close(scene->audit, gateway_now() * 1000);
    flights_free(gateway->flights);
    decision_store_free(gateway->decisions);
    edges_free(gateway->edges);
    verdict_cache_free(gateway->verdicts);
    store_close(gateway->store);
    prom_free(gateway->prom);
    lock_done(&gateway->lock);
    for (size_t i = 0; i < scene->route_count; i++) {
        free(scene->routes[i].body);
    }
    (void)pthread_mutex_destroy(&scene->lock);
    scratch_remove(&scene->scratch);
    free(scene);
    return 0;
}

#define SCENE_CASE(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

/* ---- running on workers ---- */

/* Wait until *FLAG (written atomically) reaches WANTED; false after ten seconds. */
GH_UNUSED static bool scene_wait(const int *flag, int wanted)
{
    for (int i = 0; i < 10000; i++) {
        if (__atomic_load_n(flag, __ATOMIC_ACQUIRE) >= wanted) {
            return true;
        }
        (void)usleep(1000);
    }
    return false;
}

struct scene_task {
    struct worker_mail mail; /* first */
    void (*fn)(struct worker *worker, void *arg);
    void *arg;
    int done;
};

static void scene_run_mail(struct worker_mail *mail, struct worker *worker)
{
    struct scene_task *task = (struct scene_task *)mail;

    task->fn(worker, task->arg);
    __atomic_store_n(&task->done, 1, __ATOMIC_RELEASE);
}

/* Run FN on that worker and wait until it returned. */
GH_UNUSED static void scene_run(struct scene *scene, unsigned worker,
                                void (*fn)(struct worker *worker, void *arg), void *arg)
{
    struct scene_task task = {.mail.run = scene_run_mail, .fn = fn, .arg = arg};

    worker_post(scene->gateway.workers[worker], &task.mail);
    assert_true(scene_wait(&task.done, 1));
}

/* ---- content ---- */

GH_UNUSED static struct target scene_target(struct scene *scene, const char *name)
{
    struct target target;
    struct gh_error err = {0};

    assert_true(target_of_text(scene->generation, 0, name, &target, &err));
    return target;
}

GH_UNUSED static struct content *scene_content(const char *media_type, const char *body)
{
    struct digest digest;
    struct content *content;

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(body), &digest, NULL));
    content = content_new(&digest, media_type, bytes_of(body));
    assert_non_null(content);
    return content;
}

GH_UNUSED static struct digest scene_digest(const char *body)
{
    struct digest digest;

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(body), &digest, NULL));
    return digest;
}

/* An image with one layer that holds LAYER; TYPE of the layer. */
GH_UNUSED static struct content *scene_image(const char *layer, const char *type)
{
    struct digest digest = scene_digest(layer);
    struct digest config = scene_digest("{}");
    char layer_text[DIGEST_MAX_TEXT];
    char config_text[DIGEST_MAX_TEXT];
    char body[2048];

    digest_format(&digest, layer_text);
    digest_format(&config, config_text);
    (void)snprintf(
        body, sizeof(body),
        "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_IMAGE "\",\"config\":{"
        "\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\","
        "\"size\":2},\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
        config_text, type, layer_text, strlen(layer));
    return scene_content(MANIFEST_OCI_IMAGE, body);
}

/* An index of one manifest, which is said to be of TYPE. */
GH_UNUSED static struct content *scene_index(const struct content *child, const char *type)
{
    char body[1024];

    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_INDEX "\",\"manifests\":[{"
                   "\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":"
                   "\"linux\",\"architecture\":\"amd64\"}}]}",
                   type, child->digest_text, child->bytes.len);
    return scene_content(MANIFEST_OCI_INDEX, body);
}

/* The registry has it: by digest, and by TAG unless NULL. */
GH_UNUSED static void scene_serve(struct scene *scene, const char *repository, const char *tag,
                                  const struct content *content)
{
    char target[512];
    char headers[512];
    char *body = strndup((const char *)content->bytes.data, content->bytes.len);

    (void)snprintf(headers, sizeof(headers), "Content-Type: %s\r\nDocker-Content-Digest: %s\r\n",
                   content->media_type, content->digest_text);
    (void)snprintf(target, sizeof(target), "/v2/%s/manifests/%s", repository, content->digest_text);
    (void)scene_route(scene, target, 200, headers, body);
    if (tag != NULL) {
        (void)snprintf(target, sizeof(target), "/v2/%s/manifests/%s", repository, tag);
        (void)scene_route(scene, target, 200, headers, body);
    }
    free(body);
}

/* The store has it, as served from that repository. */
GH_UNUSED static void scene_store(struct scene *scene, const struct target *target,
                                  const struct content *content)
{
    known_blob_put(&scene->gateway, &content->digest, content->media_type, content->bytes);
    known_manifest_put(&scene->gateway, target, &content->digest, gateway_now());
}

/* Every requirement for it has been found to hold. */
GH_UNUSED static void scene_sign(struct scene *scene, const struct target *target,
                                 const struct content *content)
{
    const struct decide_image image = {.name = target->ref.name, .digest = content->digest};
    struct decide_plan plan;
    struct gh_error err = {0};

    assert_true(decide_plan(&scene->generation->config->tenants[0].snapshot, &image, gateway_now(),
                            &plan, &err));
    for (size_t i = 0; i < plan.leaf_count; i++) {
        struct verdict *verdict = verdict_new();
        const struct verdicts_key key = {.target = target,
                                         .digest = &content->digest,
                                         .media_type = content->media_type,
                                         .require = plan.leaves[i].require,
                                         .is_all_authorities = plan.leaves[i].is_all_authorities};

        verdict->outcome = VERDICT_SATISFIED;
        verdict->made_unix_s = gateway_now();
        verdict->until_unix_s = INT64_MAX;
        verdicts_put(&scene->gateway, scene->generation, &key, verdict, gateway_now());
        verdict_unref(verdict);
    }
    decide_plan_done(&plan);
}

#endif
