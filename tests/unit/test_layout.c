/* An OCI image layout in a registry's place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "crypto/manifest.h"
#include "metrics/error.h"
#include "policy/image.h"
#include "proxy/layout.h"
#include "tests/support/scratch.h"

#define IMAGE_BODY "{\"schemaVersion\":2,\"config\":{},\"layers\":[]}"
#define OTHER_BODY "{\"schemaVersion\":2,\"config\":{},\"layers\":[],\"annotations\":{\"a\":\"b\"}}"
#define MARKER "{\"imageLayoutVersion\":\"1.0.0\"}"
#define LIMIT 65536

struct place {
    struct scratch scratch;
    char index[8192]; /* the entries of index.json */
};

static void place_write(const struct place *place, const char *name, const char *text)
{
    char path[512];
    FILE *file = fopen(scratch_path(&place->scratch, name, path), "wb");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    char path[512];

    assert_non_null(place);
    assert_true(scratch_make(&place->scratch));
    assert_int_equal(mkdir(scratch_path(&place->scratch, "blobs", path), 0700), 0);
    assert_int_equal(mkdir(scratch_path(&place->scratch, "blobs/sha256", path), 0700), 0);
    place_write(place, "oci-layout", MARKER);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;

    scratch_remove(&place->scratch);
    free(place);
    return 0;
}

static void digest_text(const char *body, char out[DIGEST_MAX_TEXT])
{
    struct digest digest;

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(body), &digest, NULL));
    digest_format(&digest, out);
}

/* Store a manifest; with ANNOTATIONS ("" for none) it is an entry of index.json, too. */
static void place_put(struct place *place, const char *body, const char *annotations,
                      char out[DIGEST_MAX_TEXT])
{
    char name[DIGEST_MAX_TEXT + 16];
    size_t used = strlen(place->index);

    digest_text(body, out);
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", out + 7);
    place_write(place, name, body);
    if (annotations != NULL) {
        (void)snprintf(place->index + used, sizeof(place->index) - used,
                       "%s{\"mediaType\":\"" MANIFEST_OCI_IMAGE "\",\"digest\":\"%s\",\"size\":%zu,"
                       "\"annotations\":{%s}}",
                       used > 0 ? "," : "", out, strlen(body), annotations);
    }
}

static bool place_open(struct place *place, const char *name, struct layout **out,
                       struct gh_error *err)
{
    char index[9000];
    struct image_ref as;

    (void)snprintf(index, sizeof(index), "{\"schemaVersion\":2,\"manifests\":[%s]}", place->index);
    place_write(place, "index.json", index);
    assert_true(image_ref_parse(bytes_of(name), NULL, &as, NULL));
    return layout_open(place->scratch.path, &as, out, err);
}

/* What comes for PATH; the body as text, to be freed. */
static enum upstream_outcome ask(struct layout *layout, const char *path, char **body)
{
    struct upstream_result result;
    enum upstream_outcome outcome;

    layout_answer(layout, path, LIMIT, &result);
    outcome = result.outcome;
    if (outcome != UPSTREAM_OK) {
        assert_int_not_equal(result.error.cause, GH_CAUSE_NONE);
    }
    if (body != NULL) {
        *body = outcome == UPSTREAM_OK ? strndup((const char *)result.body.data, result.body.len)
                                       : NULL;
    }
    upstream_result_done(&result);
    return outcome;
}

static void assert_body(struct layout *layout, const char *path, const char *wanted)
{
    char *body = NULL;

    assert_int_equal(ask(layout, path, &body), UPSTREAM_OK);
    assert_string_equal(body, wanted);
    free(body);
}

/* ---- which image ---- */

static void layout_open_one_image_has_any_name(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    char digest[DIGEST_MAX_TEXT];

    place_put(place, IMAGE_BODY, "\"org.opencontainers.image.ref.name\":\"v1\"", digest);
    assert_true(place_open(place, "registry.test/team/app:v2", &layout, NULL));
    assert_body(layout, "/v2/team/app/manifests/v2", IMAGE_BODY);
    assert_int_equal(ask(layout, "/v2/team/app/manifests/v3", NULL), UPSTREAM_ABSENT);
    layout_free(layout);
}

static void layout_open_several_the_name_decides(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    struct gh_error err = {0};
    char digest[DIGEST_MAX_TEXT], other[DIGEST_MAX_TEXT], name[256];

    place_put(place, IMAGE_BODY, "\"org.opencontainers.image.ref.name\":\"v1\"", digest);
    place_put(place, OTHER_BODY, "\"io.containerd.image.name\":\"registry.test/team/app:v2\"",
              other);
    assert_true(place_open(place, "registry.test/team/app:v1", &layout, NULL));
    assert_body(layout, "/v2/team/app/manifests/v1", IMAGE_BODY);
    layout_free(layout);
    assert_true(place_open(place, "registry.test/team/app:v2", &layout, NULL));
    assert_body(layout, "/v2/team/app/manifests/v2", OTHER_BODY);
    layout_free(layout);
    (void)snprintf(name, sizeof(name), "registry.test/team/app@%s", other);
    assert_true(place_open(place, name, &layout, NULL));
    (void)snprintf(name, sizeof(name), "/v2/team/app/manifests/%s", other);
    assert_body(layout, name, OTHER_BODY);
    layout_free(layout);
    assert_false(place_open(place, "registry.test/team/app:v3", &layout, &err));
    assert_int_equal(err.cause, GH_NAME_UNKNOWN);
}

static void layout_open_same_name_twice_refused(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    struct gh_error err = {0};
    char digest[DIGEST_MAX_TEXT];

    place_put(place, IMAGE_BODY, "\"org.opencontainers.image.ref.name\":\"v1\"", digest);
    place_put(place, OTHER_BODY, "\"org.opencontainers.image.ref.name\":\"v1\"", digest);
    assert_false(place_open(place, "registry.test/team/app:v1", &layout, &err));
    assert_int_equal(err.cause, GH_NAME_UNKNOWN);
}

static void layout_open_nothing_in_it_is_absent(void **state)
{
    struct layout *layout = NULL;

    assert_true(place_open(*state, "registry.test/team/app:v1", &layout, NULL));
    assert_int_equal(ask(layout, "/v2/team/app/manifests/v1", NULL), UPSTREAM_ABSENT);
    layout_free(layout);
}

static void layout_open_evidence_is_not_the_image(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    char digest[DIGEST_MAX_TEXT], other[DIGEST_MAX_TEXT], body[1024], name[256];

    place_put(place, IMAGE_BODY, "", digest);
    (void)snprintf(body, sizeof(body),
                   "{\"schemaVersion\":2,\"artifactType\":\"a/b\",\"config\":{},\"layers\":[],"
                   "\"subject\":{\"digest\":\"%s\"}}",
                   digest);
    place_put(place, body, "", other);
    (void)snprintf(name, sizeof(name), "\"org.opencontainers.image.ref.name\":\"sha256-%s.sig\"",
                   digest + 7);
    place_put(place, OTHER_BODY, name, other);
    place_put(place, "{\"layers\":[1]}", "\"kind\":\"dev.cosignproject.cosign/sigs\"", other);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    assert_body(layout, "/v2/team/app/manifests/latest", IMAGE_BODY);
    layout_free(layout);
}

/* ---- broken layouts ---- */

static void layout_open_broken_refused(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *marker;
        const char *index;
        enum gh_cause cause;
    } rows[] = {
        {"", "{\"manifests\":[]}", GH_MALFORMED_MANIFEST},
        {"[]", "{\"manifests\":[]}", GH_MALFORMED_MANIFEST},
        {"{}", "{\"manifests\":[]}", GH_MALFORMED_MANIFEST},
        {"{\"imageLayoutVersion\":\"2.0.0\"}", "{\"manifests\":[]}", GH_MALFORMED_MANIFEST},
        {MARKER, "", GH_MALFORMED_MANIFEST},
        {MARKER, "{}", GH_MALFORMED_MANIFEST},
        {MARKER, "{\"manifests\":{}}", GH_MALFORMED_MANIFEST},
        {MARKER, "{\"manifests\":[1]}", GH_MALFORMED_MANIFEST},
        {MARKER, "{\"manifests\":[{\"mediaType\":\"a/b\"}]}", GH_MALFORMED_MANIFEST},
        {MARKER, "{\"manifests\":[{\"mediaType\":\"a/b\",\"digest\":\"sha256:../../x\"}]}",
         GH_MALFORMED_MANIFEST},
    };
    struct image_ref as;

    assert_true(image_ref_parse(bytes_of("registry.test/app"), NULL, &as, NULL));
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct layout *layout = NULL;
        struct gh_error err = {0};

        place_write(place, "oci-layout", rows[i].marker);
        place_write(place, "index.json", rows[i].index);
        assert_false(layout_open(place->scratch.path, &as, &layout, &err));
        assert_int_equal(err.cause, rows[i].cause);
    }
}

static void layout_open_no_layout_named(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    struct gh_error err = {0};
    struct image_ref as;
    char path[512];

    assert_true(image_ref_parse(bytes_of("registry.test/app"), NULL, &as, NULL));
    assert_false(layout_open(scratch_path(&place->scratch, "blobs", path), &as, &layout, &err));
    assert_int_equal(err.cause, GH_NAME_UNKNOWN);
    assert_non_null(strstr(err.text, "no OCI image layout"));
}

static void layout_open_too_many_entries_refused(void **state)
{
    struct place *place = *state;
    size_t size = (LAYOUT_MAX_ENTRIES + 2) * 128;
    char *index = malloc(size);
    struct layout *layout = NULL;
    struct gh_error err = {0};
    struct image_ref as;
    size_t used;
    char digest[DIGEST_MAX_TEXT];

    digest_text("", digest);
    assert_non_null(index);
    used = (size_t)snprintf(index, size, "{\"manifests\":[");
    for (int i = 0; i <= LAYOUT_MAX_ENTRIES; i++) {
        used += (size_t)snprintf(index + used, size - used,
                                 "%s{\"mediaType\":\"a/b\",\"digest\":\"%s\"}", i > 0 ? "," : "",
                                 digest);
    }
    (void)snprintf(index + used, size - used, "]}");
    place_write(place, "index.json", index);
    free(index);
    assert_true(image_ref_parse(bytes_of("registry.test/app"), NULL, &as, NULL));
    assert_false(layout_open(place->scratch.path, &as, &layout, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
}

/* ---- answers ---- */

static void layout_answer_referrers_from_subjects_and_fallback(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    char digest[DIGEST_MAX_TEXT], by_subject[DIGEST_MAX_TEXT], index[DIGEST_MAX_TEXT];
    char hidden[DIGEST_MAX_TEXT], body[1024], name[256], path[256];
    char *list = NULL;

    place_put(place, IMAGE_BODY, "", digest);
    (void)snprintf(
        body, sizeof(body),
        "{\"config\":{\"mediaType\":\"c/d\"},\"layers\":[],\"annotations\":{\"k\":\"v\"},"
        "\"subject\":{\"digest\":\"%s\"}}",
        digest);
    place_put(place, body, "", by_subject);
    digest_text("hidden", hidden);
    (void)snprintf(body, sizeof(body),
                   "{\"manifests\":[{\"digest\":\"%s\"},{\"digest\":\"%s\"},{\"odd\":1},2]}",
                   by_subject, hidden);
    (void)snprintf(name, sizeof(name), "\"org.opencontainers.image.ref.name\":\"sha256-%s\"",
                   digest + 7);
    place_put(place, body, name, index);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    (void)snprintf(path, sizeof(path), "/v2/team/app/referrers/%s?artifactType=x", digest);
    assert_int_equal(ask(layout, path, &list), UPSTREAM_OK);
    assert_non_null(strstr(list, "\"artifactType\":\"c/d\""));
    assert_non_null(strstr(list, "\"annotations\":{\"k\":\"v\"}"));
    assert_non_null(strstr(list, by_subject));
    assert_null(strstr(strstr(list, by_subject) + 1, by_subject)); /* once */
    assert_non_null(strstr(list, hidden));
    free(list);
    (void)snprintf(path, sizeof(path), "/v2/team/app/referrers/%s", hidden);
    assert_body(layout, path,
                "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_INDEX "\",\"manifests\":[]}");
    layout_free(layout);
}

static void layout_answer_unlisted_referrer_found(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    char digest[DIGEST_MAX_TEXT], other[DIGEST_MAX_TEXT], body[1024], path[256];
    char *list = NULL;

    place_put(place, IMAGE_BODY, "", digest);
    (void)snprintf(body, sizeof(body),
                   "{\"artifactType\":\"a/b\",\"layers\":[],\"subject\":{\"digest\":\"%s\"}}",
                   digest);
    place_put(place, body, NULL, other);
    place_put(place, "{\"subject\":{\"digest\":7}}", NULL, path);
    place_put(place, "{\"subject\":", NULL, path);
    place_put(place, "no manifest", NULL, path);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    (void)snprintf(path, sizeof(path), "/v2/team/app/referrers/%s", digest);
    assert_int_equal(ask(layout, path, &list), UPSTREAM_OK);
    assert_non_null(strstr(list, other));
    assert_non_null(strstr(list, "\"artifactType\":\"a/b\""));
    free(list);
    assert_body(layout, "/v2/team/app/manifests/latest", IMAGE_BODY); /* still the only image */
    layout_free(layout);
}

static void layout_answer_saved_signatures_under_cosigns_tags(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    char digest[DIGEST_MAX_TEXT], other[DIGEST_MAX_TEXT], path[256];

    place_put(place, IMAGE_BODY, "\"kind\":\"dev.cosignproject.cosign/image\"", digest);
    place_put(place, "{\"s\":1}", "\"kind\":\"dev.cosignproject.cosign/sigs\"", other);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    (void)snprintf(path, sizeof(path), "/v2/team/app/manifests/sha256-%s.sig", digest + 7);
    assert_body(layout, path, "{\"s\":1}");
    (void)snprintf(path, sizeof(path), "/v2/team/app/manifests/sha256-%s.att", digest + 7);
    assert_int_equal(ask(layout, path, NULL), UPSTREAM_ABSENT);
    (void)snprintf(path, sizeof(path), "/v2/team/app/manifests/sha256-%s.sig", other + 7);
    assert_int_equal(ask(layout, path, NULL), UPSTREAM_ABSENT); /* of another image */
    layout_free(layout);
}

static void layout_answer_types_and_digests_told(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    struct upstream_result result;
    char digest[DIGEST_MAX_TEXT], child[DIGEST_MAX_TEXT], path[256];

    place_put(place, IMAGE_BODY, "", digest);
    place_put(place, "{\"manifests\":[]}", NULL, child);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    layout_answer(layout, "/v2/team/app/manifests/latest", LIMIT, &result);
    assert_int_equal(result.head.status, 200);
    assert_string_equal(result.head.headers[UPSTREAM_CONTENT_TYPE], MANIFEST_OCI_IMAGE);
    assert_string_equal(result.head.headers[UPSTREAM_DOCKER_CONTENT_DIGEST], digest);
    upstream_result_done(&result);
    (void)snprintf(path, sizeof(path), "/v2/team/app/manifests/%s", child);
    layout_answer(layout, path, LIMIT, &result); /* not listed: told by its shape */
    assert_string_equal(result.head.headers[UPSTREAM_CONTENT_TYPE], MANIFEST_OCI_INDEX);
    upstream_result_done(&result);
    layout_free(layout);
}

static void layout_answer_absent_large_and_unreadable_told_apart(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    struct upstream_result result;
    char digest[DIGEST_MAX_TEXT], folder[DIGEST_MAX_TEXT], path[512], name[256];

    place_put(place, IMAGE_BODY, "", digest);
    digest_text("a folder", folder);
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", folder + 7);
    assert_int_equal(mkdir(scratch_path(&place->scratch, name, path), 0700), 0);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    (void)snprintf(name, sizeof(name), "/v2/team/app/blobs/%s", digest);
    assert_body(layout, name, IMAGE_BODY);
    layout_answer(layout, name, 8, &result);
    assert_int_equal(result.outcome, UPSTREAM_TOO_LARGE);
    assert_int_equal(result.error.cause, GH_SIZE_LIMIT_EXCEEDED);
    upstream_result_done(&result);
    (void)snprintf(name, sizeof(name), "/v2/team/app/blobs/%s", folder);
    assert_int_equal(ask(layout, name, NULL), UPSTREAM_UNAVAILABLE);
    digest_text("nowhere", folder);
    (void)snprintf(name, sizeof(name), "/v2/team/app/blobs/%s", folder);
    assert_int_equal(ask(layout, name, NULL), UPSTREAM_ABSENT);
    layout_free(layout);
}

static void layout_answer_odd_paths_absent(void **state)
{
    struct place *place = *state;
    struct layout *layout = NULL;
    char digest[DIGEST_MAX_TEXT];
    char *deep = malloc(8192);
    static const char *const paths[] = {"",
                                        "/",
                                        "/v2/",
                                        "nothing",
                                        "/v2/app/tags/list",
                                        "/v2/app/blobs/../../../etc/passwd",
                                        "/v2/app/blobs/sha256:../../../etc/passwd",
                                        "/v2/app/referrers/v1",
                                        "/v2/app/manifests/"};

    assert_non_null(deep);
    place_put(place, IMAGE_BODY, "", digest);
    assert_true(place_open(place, "registry.test/team/app", &layout, NULL));
    for (size_t i = 0; i < GH_COUNT(paths); i++) {
        assert_int_equal(ask(layout, paths[i], NULL), UPSTREAM_ABSENT);
    }
    memset(deep, 'a', 8191);
    deep[8191] = '\0';
    memcpy(deep, "/v2/app/manifests/", 18);
    assert_int_equal(ask(layout, deep, NULL), UPSTREAM_ABSENT);
    free(deep);
    layout_free(layout);
}

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(layout_open_one_image_has_any_name),
        PLACE_TEST(layout_open_several_the_name_decides),
        PLACE_TEST(layout_open_same_name_twice_refused),
        PLACE_TEST(layout_open_nothing_in_it_is_absent),
        PLACE_TEST(layout_open_evidence_is_not_the_image),
        PLACE_TEST(layout_open_broken_refused),
        PLACE_TEST(layout_open_no_layout_named),
        PLACE_TEST(layout_open_too_many_entries_refused),
        PLACE_TEST(layout_answer_referrers_from_subjects_and_fallback),
        PLACE_TEST(layout_answer_unlisted_referrer_found),
        PLACE_TEST(layout_answer_saved_signatures_under_cosigns_tags),
        PLACE_TEST(layout_answer_types_and_digests_told),
        PLACE_TEST(layout_answer_absent_large_and_unreadable_told_apart),
        PLACE_TEST(layout_answer_odd_paths_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
