/* The search for evidence against a registry that does as the case says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "crypto/manifest.h"
#include "proxy/helper.h"
#include "proxy/referrers.h"
#include "tests/support/fake_upstream.h"

#define MAX_ROUTES 32
#define BUNDLE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define SIMPLE "application/vnd.dev.cosign.simplesigning.v1+json"
#define ALL_KINDS                                                                                  \
    (REFERRERS_KIND(EVIDENCE_BUNDLE) | REFERRERS_KIND(EVIDENCE_COSIGN_SIGNATURE) |                 \
     REFERRERS_KIND(EVIDENCE_NOTATION_JWS))

struct route {
    char target[512];
    int status;
    char headers[1024];
    char *body;
};

struct scene {
    struct worker *worker;
    struct helper_pool *helpers;
    struct event_base *base;
    struct upstream_client *client;
    struct upstream *upstream;
    struct fake_upstream *server;
    struct route routes[MAX_ROUTES];
    size_t route_count;
    struct digest subject;
    char subject_text[DIGEST_MAX_TEXT];
    struct referrers_ask ask;
    struct referrers_place place;
    struct referrers_result *result;
    struct referrers_list list;
    size_t lookups;
    size_t stored;
};

static bool answer_routes(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    for (size_t i = 0; i < scene->route_count; i++) {
        if (strcmp(call->target, scene->routes[i].target) == 0) {
            return fake_reply(call, scene->routes[i].status, scene->routes[i].headers,
                              scene->routes[i].body);
        }
    }
    return fake_reply(call, 404, "", "{}");
}

static void scene_start_as(struct scene *scene, enum upstream_referrers mode)
{
    struct upstream_config config = {
        .name = "registry.test", .referrers = mode, .retry_base_ms = 2, .breaker_failures = 100};
    struct gh_error err = {0};

    memset(scene, 0, sizeof(*scene));
    /* Its thread is never started: the cases turn its loop. */
    assert_true(worker_new(0, &scene->worker, &err));
    assert_true(helper_pool_new(2, &scene->helpers, &err));
    scene->base = worker_base(scene->worker);
    scene->server = fake_upstream_start(answer_routes, scene);
    config.url = fake_upstream_url(scene->server, "");
    assert_true(upstream_client_new(scene->base, NULL, &scene->client, &err));
    assert_true(upstream_new(&config, &scene->upstream, &err));
    assert_true(digest_compute(DIGEST_SHA256, BYTES_LITERAL("image"), &scene->subject, &err));
    digest_format(&scene->subject, scene->subject_text);
    scene->place = (struct referrers_place){.upstream = scene->upstream, .repository = "acme/app"};
    scene->ask = (struct referrers_ask){.places = &scene->place,
                                        .place_count = 1,
                                        .subject = scene->subject,
                                        .kinds = ALL_KINDS,
                                        .timeout_ms = 5000,
                                        .ctx = scene,
                                        .store_ctx = scene};
}

static void scene_start(struct scene *scene)
{
    scene_start_as(scene, UPSTREAM_REFERRERS_AUTO);
}

static void scene_stop(struct scene *scene)
{
    referrers_result_unref(scene->result);
    bytes_buf_done(&scene->list.body);
    upstream_client_free(scene->client);
    upstream_unref(scene->upstream);
    helper_pool_free(scene->helpers);
    worker_free(scene->worker);
    fake_upstream_stop(scene->server);
    for (size_t i = 0; i < scene->route_count; i++) {
        free(scene->routes[i].body);
    }
}

static struct route *scene_route(struct scene *scene, int status, const char *headers,
                                 const char *body, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static struct route *scene_route(struct scene *scene, int status, const char *headers,
                                 const char *body, const char *format, ...)
{
    struct route *route = &scene->routes[scene->route_count++];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(route->target, sizeof(route->target), format, args);
    va_end(args);
    route->status = status;
    (void)snprintf(route->headers, sizeof(route->headers), "%s", headers);
    route->body = strdup(body);
    return route;
}

static void digest_text(const char *body, char out[DIGEST_MAX_TEXT])
{
    struct gh_error err = {0};
    struct digest digest;

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(body), &digest, &err));
    digest_format(&digest, out);
}

/* A referrer manifest with one layer of TYPE that holds CONTENT; gives its descriptor. */
static void scene_referrer(struct scene *scene, const char *type, const char *content,
                           const char *subject, char descriptor[1024])
{
    char blob[DIGEST_MAX_TEXT];
    char digest[DIGEST_MAX_TEXT];
    char body[2048];

    digest_text(content, blob);
    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",\"artifactType\":\"%s\",\"config\":{\"mediaType\":\"application/"
                   "vnd.oci.empty.v1+json\",\"digest\":\"sha256:"
                   "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2},"
                   "\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}],"
                   "\"subject\":{\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",\"digest\":\"%s\",\"size\":5}}",
                   type, type, blob, strlen(content), subject);
    digest_text(body, digest);
    (void)scene_route(scene, 200, "Content-Type: " MANIFEST_OCI_IMAGE "\r\n", body,
                      "/v2/acme/app/manifests/%s", digest);
    (void)scene_route(scene, 200, "", content, "/v2/acme/app/blobs/%s", blob);
    (void)snprintf(descriptor, 1024,
                   "{\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",\"digest\":\"%s\",\"size\":%zu,\"artifactType\":\"%s\"}",
                   digest, strlen(body), type);
}

static struct route *scene_page(struct scene *scene, const char *query, const char *link,
                                const char *descriptors)
{
    char headers[1024];
    char body[8192];

    (void)snprintf(headers, sizeof(headers), "Content-Type: " MANIFEST_OCI_INDEX "\r\n%s", link);
    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_INDEX
                   "\",\"manifests\":[%s]}",
                   descriptors);
    return scene_route(scene, 200, headers, body, "/v2/acme/app/referrers/%s%s",
                       scene->subject_text, query);
}

static void scene_on_done(void *ctx, struct referrers_result *result)
{
    struct scene *scene = ctx;

    scene->result = result;
    event_base_loopbreak(scene->base);
}

static const struct evidence_set *scene_find(struct scene *scene)
{
    assert_non_null(referrers_find(scene->client, &scene->ask, scene_on_done));
    (void)event_base_dispatch(scene->base);
    assert_non_null(scene->result);
    return &scene->result->set;
}

static void find_nothing_anywhere_complete(void **state)
{
    struct scene scene;
    const struct evidence_set *set;

    scene_start(&scene);
    set = scene_find(&scene);
    assert_int_equal(set->count, 0);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    assert_int_equal(fake_upstream_calls(scene.server), 3); /* list, fallback tag, .sig */
    scene_stop(&scene);
}

static void find_pages_in_registry_order(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char first[1024];
    char second[1024];
    char sbom[1024];
    char both[4096];
    char link[512];

    scene_start(&scene);
    scene_referrer(&scene, BUNDLE, "bundle one", scene.subject_text, first);
    scene_referrer(&scene, BUNDLE, "bundle two", scene.subject_text, second);
    scene_referrer(&scene, "application/spdx+json", "sbom", scene.subject_text, sbom);
    (void)snprintf(both, sizeof(both), "%s,%s,{\"junk\":1}", sbom, first);
    (void)snprintf(link, sizeof(link), "Link: <./%s?next=2>; rel=\"next\"\r\n", scene.subject_text);
    (void)scene_page(&scene, "", link, both);
    (void)scene_page(&scene, "?next=2", "", second);
    set = scene_find(&scene);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    assert_int_equal(set->count, 3);
    assert_int_equal(set->items[0].kind, EVIDENCE_BUNDLE);
    assert_true(bytes_equal_cstr(set->items[0].blob, "bundle one"));
    assert_int_equal(set->items[1].kind, EVIDENCE_BROKEN);
    assert_int_equal(set->items[1].failure.cause, GH_MALFORMED_MANIFEST);
    assert_true(bytes_equal_cstr(set->items[2].blob, "bundle two"));
    assert_int_equal(fake_upstream_calls_with(scene.server, "GET /v2/acme/app/manifests/"),
                     3); /* two bundles and .sig: no fallback tag, no SBOM */
    scene_stop(&scene);
}

/* cosign 2 writes fallback lists whose entries are typed by the manifest's empty configuration. */
static void find_fallback_typed_by_empty_configuration_finds_bundle(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char descriptor[1024];
    char body[2048];
    char *type;

    scene_start(&scene);
    scene_referrer(&scene, BUNDLE, "bundle one", scene.subject_text, descriptor);
    type = strstr(descriptor, ",\"artifactType\"");
    assert_non_null(type);
    (void)snprintf(type, sizeof(descriptor) - (size_t)(type - descriptor),
                   ",\"artifactType\":\"application/vnd.oci.empty.v1+json\"}");
    (void)snprintf(body, sizeof(body), "{\"schemaVersion\":2,\"manifests\":[%s]}", descriptor);
    (void)scene_route(&scene, 200, "Content-Type: " MANIFEST_OCI_INDEX "\r\n", body,
                      "/v2/acme/app/manifests/sha256-%s", scene.subject_text + 7);
    set = scene_find(&scene);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    assert_int_equal(set->count, 1);
    assert_int_equal(set->items[0].kind, EVIDENCE_BUNDLE);
    scene_stop(&scene);
}

static void find_fallback_after_404_and_cosign_tag(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char descriptor[1024];
    char payload[DIGEST_MAX_TEXT];
    char body[2048];

    scene_start(&scene);
    scene_referrer(&scene, BUNDLE, "bundle one", scene.subject_text, descriptor);
    (void)snprintf(body, sizeof(body), "{\"schemaVersion\":2,\"manifests\":[%s]}", descriptor);
    (void)scene_route(&scene, 200, "Content-Type: " MANIFEST_OCI_INDEX "\r\n", body,
                      "/v2/acme/app/manifests/sha256-%s", scene.subject_text + 7);
    digest_text("payload", payload);
    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
                   "\"digest\":\"%s\",\"size\":7},\"layers\":[{\"mediaType\":\"" SIMPLE
                   "\",\"digest\":\"%s\",\"size\":7,\"annotations\":{\"a\":\"1\"}},"
                   "{\"mediaType\":\"" SIMPLE
                   "\",\"digest\":\"%s\",\"size\":7,\"annotations\":{\"a\":\"2\"}},"
                   "{\"mediaType\":\"text/plain\",\"digest\":\"%s\",\"size\":7}]}",
                   payload, payload, payload, payload);
    (void)scene_route(&scene, 200, "Content-Type: " MANIFEST_OCI_IMAGE "\r\n", body,
                      "/v2/acme/app/manifests/sha256-%s.sig", scene.subject_text + 7);
    (void)scene_route(&scene, 200, "", "payload", "/v2/acme/app/blobs/%s", payload);
    set = scene_find(&scene);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    assert_int_equal(set->count, 4);
    assert_int_equal(set->items[0].kind, EVIDENCE_BUNDLE);
    assert_int_equal(set->items[1].kind, EVIDENCE_COSIGN_SIGNATURE);
    assert_true(bytes_equal_cstr(set->items[1].blob, "payload"));
    assert_string_equal(evidence_annotation_get(&set->items[1], "a"), "1");
    assert_string_equal(evidence_annotation_get(&set->items[2], "a"), "2");
    assert_int_equal(set->items[3].failure.cause, GH_MEDIA_TYPE_MISMATCH);
    assert_int_equal(fake_upstream_calls_with(scene.server, payload), 1); /* one blob, once */
    scene_stop(&scene);
}

static void find_trouble_is_not_absence(void **state)
{
    static const struct {
        int status;
        const char *headers;
        enum gh_cause cause;
    } rows[] = {
        {401, "", GH_DISCOVERY_AUTH_FAILED},
        {403, "", GH_DISCOVERY_AUTH_FAILED},
        {429, "", GH_DISCOVERY_UNAVAILABLE},
        {503, "", GH_DISCOVERY_UNAVAILABLE},
        {400, "", GH_DISCOVERY_UNAVAILABLE},
        {200, "Content-Type: application/json\r\n", GH_FALLBACK_INDEX_INVALID},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct scene scene;
        const struct evidence_set *set;

        scene_start(&scene);
        (void)scene_route(&scene, rows[i].status, rows[i].headers, "{}",
                          "/v2/acme/app/referrers/%s", scene.subject_text);
        set = scene_find(&scene);
        assert_int_equal(set->incomplete.cause, rows[i].cause);
        assert_int_equal(set->count, 0);
        scene_stop(&scene);
    }
}

static void find_pages_not_acceptable_incomplete(void **state)
{
    static const char *const links[] = {
        "Link: <https://evil.example/v2/acme/app/referrers/x>; rel=\"next\"\r\n",
        "Link: </v2/other/referrers/x>; rel=\"next\"\r\n",
        "Link: </v2/acme/app/referrers/../../../token>; rel=\"next\"\r\n",
        "Link: <?>; rel=\"next\"\r\n",
        "Link: <broken; rel=\"next\"\r\n",
        "CIRCLE",
    };

    for (size_t i = 0; i < GH_COUNT(links); i++) {
        struct scene scene;
        const struct evidence_set *set;
        char circle[512];

        scene_start(&scene);
        (void)snprintf(circle, sizeof(circle),
                       "Link: </v2/acme/app/referrers/%s?a>; rel=\"next\"\r\n", scene.subject_text);
        if (strcmp(links[i], "CIRCLE") == 0) {
            (void)scene_page(&scene, "", circle, "");
            (void)scene_page(&scene, "?a", circle, "");
        } else {
            (void)scene_page(&scene, "", links[i], "");
        }
        set = scene_find(&scene);
        assert_int_equal(set->incomplete.cause, GH_PAGINATION_INVALID);
        scene_stop(&scene);
    }
}

static void find_bad_candidates_broken(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char other[1024];
    char lying[1024];
    char missing[1024];
    char list[4096];
    char sized[DIGEST_MAX_TEXT];

    scene_start(&scene);
    digest_text("another image", sized);
    scene_referrer(&scene, BUNDLE, "bundle other", sized, other);
    scene_referrer(&scene, BUNDLE, "bundle lying", scene.subject_text, lying);
    (void)strcpy(scene.routes[scene.route_count - 1].body, "bundle LYING");
    scene_referrer(&scene, BUNDLE, "bundle missing", scene.subject_text, missing);
    scene.routes[scene.route_count - 1].status = 404;
    (void)snprintf(list, sizeof(list), "%s,%s,%s", other, lying, missing);
    (void)scene_page(&scene, "", "", list);
    set = scene_find(&scene);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    assert_int_equal(set->count, 3);
    for (size_t i = 0; i < set->count; i++) {
        assert_int_equal(set->items[i].kind, EVIDENCE_BROKEN);
    }
    assert_int_equal(set->items[0].failure.cause, GH_REFERRER_SUBJECT_MISMATCH);
    assert_int_equal(set->items[1].failure.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(set->items[2].failure.cause, GH_SIG_MALFORMED);
    scene_stop(&scene);
}

/* The layer has the type of the manifest, which is that of no envelope. */
static void find_notation_manifest_of_other_form_refused(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char descriptor[1024];

    scene_start(&scene);
    scene_referrer(&scene, "application/vnd.cncf.notary.signature", "content", scene.subject_text,
                   descriptor);
    (void)scene_page(&scene, "", "", descriptor);
    set = scene_find(&scene);
    assert_int_equal(set->count, 1);
    assert_int_equal(set->items[0].kind, EVIDENCE_BROKEN);
    assert_int_equal(set->items[0].failure.cause, GH_NOTATION_MANIFEST_INVALID);
    scene_stop(&scene);
}

#define NOTARY "application/vnd.cncf.notary.signature"
#define JOSE "application/jose+json"

/* A notation manifest with this artifactType, configuration and these layer types. */
static void scene_notation(struct scene *scene, const char *artifact, const char *config,
                           const char *layers, const char *content, char descriptor[1024])
{
    char blob[DIGEST_MAX_TEXT];
    char digest[DIGEST_MAX_TEXT];
    char text[512];
    char body[4096];

    digest_text(content, blob);
    (void)snprintf(text, sizeof(text), "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}",
                   layers, blob, strlen(content));
    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",%s\"config\":{\"mediaType\":\"%s\",\"digest\":\"sha256:"
                   "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2},"
                   "\"layers\":[%s%s%s],\"subject\":{\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",\"digest\":\"%s\",\"size\":5}}",
                   artifact, config, text, content[0] == '2' ? "," : "",
                   content[0] == '2' ? text : "", scene->subject_text);
    digest_text(body, digest);
    (void)scene_route(scene, 200, "Content-Type: " MANIFEST_OCI_IMAGE "\r\n", body,
                      "/v2/acme/app/manifests/%s", digest);
    (void)scene_route(scene, 200, "", content, "/v2/acme/app/blobs/%s", blob);
    (void)snprintf(descriptor, 1024,
                   "{\"mediaType\":\"" MANIFEST_OCI_IMAGE
                   "\",\"digest\":\"%s\",\"size\":%zu,\"artifactType\":\"" NOTARY "\"}",
                   digest, strlen(body));
}

static void find_notation_manifest_form_judged(void **state)
{
    static const struct {
        const char *artifact;
        const char *config;
        const char *layer;
        const char *content; /* "2…": the layer stands there twice */
        bool is_good;
    } rows[] = {
        {"\"artifactType\":\"" NOTARY "\",", "application/vnd.oci.empty.v1+json", JOSE, "a", true},
        {"", NOTARY, JOSE, "b", true},
        {"\"artifactType\":\"" NOTARY "\",", "application/vnd.oci.empty.v1+json", JOSE, "2c",
         false},
        {"\"artifactType\":\"" NOTARY "\",", "application/vnd.oci.image.config.v1+json", JOSE, "d",
         false},
        {"\"artifactType\":\"" NOTARY "\",", NOTARY, JOSE, "e", false},
        {"", NOTARY, "application/octet-stream", "f", false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct scene scene;
        const struct evidence_set *set;
        char descriptor[1024];

        scene_start(&scene);
        scene_notation(&scene, rows[i].artifact, rows[i].config, rows[i].layer, rows[i].content,
                       descriptor);
        (void)scene_page(&scene, "", "", descriptor);
        set = scene_find(&scene);
        assert_int_equal(set->count, 1);
        assert_int_equal(set->items[0].kind,
                         rows[i].is_good ? EVIDENCE_NOTATION_JWS : EVIDENCE_BROKEN);
        assert_int_equal(set->items[0].failure.cause,
                         rows[i].is_good ? GH_CAUSE_NONE : GH_NOTATION_MANIFEST_INVALID);
        scene_stop(&scene);
    }
}

static void find_over_limits_refused(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char one[1024];
    char two[1024];
    char list[4096];

    scene_start(&scene);
    scene_referrer(&scene, BUNDLE, "0123456789", scene.subject_text, one);
    scene_referrer(&scene, BUNDLE, "0123456789a", scene.subject_text, two);
    (void)snprintf(list, sizeof(list), "%s,%s", one, two);
    (void)scene_page(&scene, "", "", list);
    scene.ask.max_blob_bytes = 10;
    set = scene_find(&scene);
    assert_int_equal(set->count, 2);
    assert_int_equal(set->items[0].kind, EVIDENCE_BUNDLE);
    assert_int_equal(set->items[1].failure.cause, GH_SIZE_LIMIT_EXCEEDED);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    referrers_result_unref(GH_TAKE(scene.result));
    scene.ask.max_blob_bytes = 100;
    scene.ask.max_total_bytes = 600;
    set = scene_find(&scene);
    assert_int_equal(set->incomplete.cause, GH_SIZE_LIMIT_EXCEEDED);
    scene_stop(&scene);
}

static bool scene_lookup(void *ctx, enum referrers_part part, const struct digest *digest,
                         struct bytes_buf *out)
{
    struct scene *scene = ctx;
    struct gh_error err = {0};
    struct digest known;

    assert_true(digest_compute(DIGEST_SHA256, BYTES_LITERAL("bundle one"), &known, &err));
    if (part != REFERRERS_BLOB || !digest_equal(&known, digest)) {
        return false;
    }
    (void)__atomic_add_fetch(&scene->lookups, 1, __ATOMIC_RELAXED);
    return bytes_dup(BYTES_LITERAL("bundle one"), out, &err);
}

static void scene_store(void *ctx, enum referrers_part part, const struct digest *digest,
                        const char *media_type, struct bytes content)
{
    struct scene *scene = ctx;
    struct gh_error err = {0};

    assert_true(digest_check(digest, content, &err));
    assert_int_equal(media_type != NULL, part == REFERRERS_MANIFEST);
    (void)__atomic_add_fetch(&scene->stored, 1, __ATOMIC_RELAXED);
}

static void find_stored_content_not_fetched(void **state)
{
    struct scene scene;
    const struct evidence_set *set;
    char one[1024];

    scene_start(&scene);
    scene_referrer(&scene, BUNDLE, "bundle one", scene.subject_text, one);
    (void)scene_page(&scene, "", "", one);
    scene.ask.lookup = scene_lookup;
    scene.ask.store = scene_store;
    set = scene_find(&scene);
    assert_int_equal(set->count, 1);
    assert_true(bytes_equal_cstr(set->items[0].blob, "bundle one"));
    assert_int_equal(scene.lookups, 1);
    assert_int_equal(scene.stored, 1); /* the manifest */
    assert_int_equal(fake_upstream_calls_with(scene.server, "/blobs/"), 0);
    scene_stop(&scene);
}

#define LARGE_BYTES (2 * REFERRERS_INLINE_BYTES)

/* Two bundles that helpers look at, one of them other bytes than its manifest says. */
static void scene_large(struct scene *scene, char *good)
{
    char *bad = malloc(LARGE_BYTES + 1);
    char list[2048];
    char one[1024];
    char two[1024];

    memset(good, 'g', LARGE_BYTES);
    memset(bad, 'b', LARGE_BYTES);
    good[LARGE_BYTES] = '\0';
    bad[LARGE_BYTES] = '\0';
    scene_referrer(scene, BUNDLE, good, scene->subject_text, one);
    scene_referrer(scene, BUNDLE, bad, scene->subject_text, two);
    scene->routes[scene->route_count - 1].body[0] = 'x';
    (void)snprintf(list, sizeof(list), "%s,%s", one, two);
    (void)scene_page(scene, "", "", list);
    scene->ask.helpers = scene->helpers;
    scene->ask.worker = scene->worker;
    scene->ask.lookup = scene_lookup;
    scene->ask.store = scene_store;
    free(bad);
}

static void find_large_content_judged_by_helpers(void **state)
{
    char *good = malloc(LARGE_BYTES + 1);
    const struct evidence_set *set;
    struct scene scene;

    scene_start(&scene);
    scene_large(&scene, good);
    set = scene_find(&scene);
    assert_int_equal(set->count, 2);
    assert_int_equal(set->incomplete.cause, GH_CAUSE_NONE);
    assert_int_equal(set->items[0].kind, EVIDENCE_BUNDLE);
    assert_true(bytes_equal_cstr(set->items[0].blob, good));
    assert_int_equal(set->items[1].kind, EVIDENCE_BROKEN);
    assert_int_equal(set->items[1].failure.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(scene.stored, 3); /* two manifests, the good blob */
    scene_stop(&scene);
    free(good);
}

static void cancel_while_helpers_judge_never_called(void **state)
{
    char *good = malloc(LARGE_BYTES + 1);

    for (int turns = 0; turns < 40; turns++) {
        struct referrers_search *search;
        struct scene scene;

        scene_start(&scene);
        scene_large(&scene, good);
        search = referrers_find(scene.client, &scene.ask, scene_on_done);
        assert_non_null(search);
        for (int i = 0; i < turns && scene.result == NULL; i++) {
            (void)event_base_loop(scene.base, EVLOOP_ONCE);
        }
        if (scene.result == NULL) {
            referrers_cancel(search);
            (void)event_base_loop(scene.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
            assert_null(scene.result);
        }
        scene_stop(&scene);
    }
    free(good);
}

static void find_modes_ask_as_configured(void **state)
{
    static const struct {
        enum upstream_referrers mode;
        size_t api;
        size_t tags; /* .sig among them */
    } rows[] = {
        {UPSTREAM_REFERRERS_AUTO, 1, 2},
        {UPSTREAM_REFERRERS_API, 1, 1},
        {UPSTREAM_REFERRERS_TAG, 0, 2},
        {UPSTREAM_REFERRERS_BOTH, 1, 2},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct scene scene;

        scene_start_as(&scene, rows[i].mode);
        (void)scene_find(&scene);
        assert_int_equal(fake_upstream_calls_with(scene.server, "/referrers/"), rows[i].api);
        assert_int_equal(fake_upstream_calls_with(scene.server, "/manifests/sha256-"),
                         rows[i].tags);
        scene_stop(&scene);
    }
}

static void find_time_budget_incomplete(void **state)
{
    struct scene scene;
    const struct evidence_set *set;

    scene_start(&scene);
    (void)scene_route(&scene, 429, "Retry-After: 3\r\n", "{}", "/v2/acme/app/referrers/%s",
                      scene.subject_text);
    scene.ask.timeout_ms = 100;
    set = scene_find(&scene);
    assert_int_not_equal(set->incomplete.cause, GH_CAUSE_NONE);
    scene_stop(&scene);
}

static void scene_on_list(void *ctx, struct referrers_list *list)
{
    struct scene *scene = ctx;

    scene->list = *list;
    list->body = (struct bytes_buf){0};
    event_base_loopbreak(scene->base);
}

static void list_filtered_here(void **state)
{
    struct scene scene;
    char one[1024];
    char two[1024];
    char list[4096];

    scene_start(&scene);
    scene_referrer(&scene, BUNDLE, "b", scene.subject_text, one);
    scene_referrer(&scene, "application/spdx+json", "s", scene.subject_text, two);
    (void)snprintf(list, sizeof(list), "%s,%s,%s", one, two, one);
    (void)scene_page(&scene, "", "", list);
    assert_non_null(referrers_list(scene.client, &scene.place, &scene.subject,
                                   "application/spdx+json", scene_on_list, &scene));
    (void)event_base_dispatch(scene.base);
    assert_int_equal(scene.list.outcome, UPSTREAM_OK);
    assert_true(bytes_find(bytes_view(&scene.list.body), BYTES_LITERAL("spdx")) != SIZE_MAX);
    assert_true(bytes_find(bytes_view(&scene.list.body), BYTES_LITERAL("sigstore")) == SIZE_MAX);
    scene_stop(&scene);
}

static void list_absent_is_empty_and_trouble_is_not(void **state)
{
    struct scene scene;

    scene_start(&scene);
    assert_non_null(
        referrers_list(scene.client, &scene.place, &scene.subject, NULL, scene_on_list, &scene));
    (void)event_base_dispatch(scene.base);
    assert_int_equal(scene.list.outcome, UPSTREAM_OK);
    assert_true(bytes_find(bytes_view(&scene.list.body), BYTES_LITERAL("\"manifests\":[]")) !=
                SIZE_MAX);
    bytes_buf_done(&scene.list.body);
    (void)scene_route(&scene, 503, "", "{}", "/v2/acme/app/referrers/%s", scene.subject_text);
    assert_non_null(
        referrers_list(scene.client, &scene.place, &scene.subject, NULL, scene_on_list, &scene));
    (void)event_base_dispatch(scene.base);
    assert_int_equal(scene.list.outcome, UPSTREAM_UNAVAILABLE);
    assert_true(scene.list.is_retryable);
    assert_int_equal(scene.list.error.cause, GH_DISCOVERY_UNAVAILABLE);
    scene_stop(&scene);
}

static void cancel_under_way_never_called(void **state)
{
    struct scene scene;

    scene_start(&scene);
    for (int turns = 0; turns < 4; turns++) {
        struct referrers_search *search = referrers_find(scene.client, &scene.ask, scene_on_done);

        for (int i = 0; i < turns; i++) {
            (void)event_base_loop(scene.base, EVLOOP_ONCE);
        }
        assert_null(scene.result);
        referrers_cancel(search);
    }
    (void)event_base_loop(scene.base, EVLOOP_NONBLOCK);
    assert_null(scene.result);
    scene_stop(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find_nothing_anywhere_complete),
        cmocka_unit_test(find_pages_in_registry_order),
        cmocka_unit_test(find_fallback_after_404_and_cosign_tag),
        cmocka_unit_test(find_fallback_typed_by_empty_configuration_finds_bundle),
        cmocka_unit_test(find_trouble_is_not_absence),
        cmocka_unit_test(find_pages_not_acceptable_incomplete),
        cmocka_unit_test(find_bad_candidates_broken),
        cmocka_unit_test(find_notation_manifest_of_other_form_refused),
        cmocka_unit_test(find_notation_manifest_form_judged),
        cmocka_unit_test(find_over_limits_refused),
        cmocka_unit_test(find_stored_content_not_fetched),
        cmocka_unit_test(find_large_content_judged_by_helpers),
        cmocka_unit_test(cancel_while_helpers_judge_never_called),
        cmocka_unit_test(find_modes_ask_as_configured),
        cmocka_unit_test(find_time_budget_incomplete),
        cmocka_unit_test(list_filtered_here),
        cmocka_unit_test(list_absent_is_empty_and_trouble_is_not),
        cmocka_unit_test(cancel_under_way_never_called),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
