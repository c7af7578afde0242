/* What is known of a repository stays in it: tenant, upstream and repository are part of each key.
 */
#include "proxy/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/evidence.h"
#include "policy/evidence_record.h"
#include "tests/support/gateway_scene.h"

#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"

static struct digest digest_of(const char *text)
{
    struct digest digest;

    assert_true(digest_compute(DIGEST_SHA256, bytes_of(text), &digest, NULL));
    return digest;
}

/* The same repository elsewhere: of another repository, and of another tenant. */
static void others_of(struct scene *scene, const struct target *target, struct target others[2])
{
    others[0] = scene_target(scene, "registry.test/open/app");
    others[1] = *target;
    others[1].tenant_name = "payments";
}

static void known_tag_put_seen_there_alone_and_forgotten(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    const struct known_tag put = {.digest = digest_of("one"), .confirmed_unix_s = 1000};
    struct target others[2];
    struct known_tag got = {0};

    others_of(scene, &target, others);
    assert_false(known_tag_get(&scene->gateway, &target, "v1", "", &got));
    known_tag_put(&scene->gateway, &target, "v1", "", &put);
    assert_true(known_tag_get(&scene->gateway, &target, "v1", "", &got));
    assert_true(digest_equal(&got.digest, &put.digest));
    assert_int_equal(got.confirmed_unix_s, 1000);
    assert_false(known_tag_get(&scene->gateway, &target, "v2", "", &got));
    assert_false(known_tag_get(&scene->gateway, &target, "v1", "application/json", &got));
    for (size_t i = 0; i < GH_COUNT(others); i++) {
        assert_false(known_tag_get(&scene->gateway, &others[i], "v1", "", &got));
        known_tag_forget(&scene->gateway, &others[i], "v1", "");
    }
    assert_true(known_tag_get(&scene->gateway, &target, "v1", "", &got));
    known_tag_forget(&scene->gateway, &target, "v1", "");
    assert_false(known_tag_get(&scene->gateway, &target, "v1", "", &got));
}

static void known_manifest_put_known_there_alone(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    const struct digest digest = digest_of("one");
    const struct digest other = digest_of("other");
    struct edge_list parents = {0};
    struct target others[2];

    others_of(scene, &target, others);
    assert_false(known_manifest(&scene->gateway, &target, &digest));
    known_manifest_put(&scene->gateway, &target, &digest, gateway_now());
    assert_true(known_manifest(&scene->gateway, &target, &digest));
    assert_false(known_manifest(&scene->gateway, &target, &other));
    assert_false(known_manifest(&scene->gateway, &others[0], &digest));
    assert_false(known_manifest(&scene->gateway, &others[1], &digest));
    /* That it was served from here makes nothing lead to it. */
    assert_false(known_parents(&scene->gateway, &target, &digest, gateway_now(), &parents));
}

static void known_edges_put_children_have_the_parent_there_alone(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *image = scene_image("layer", LAYER);
    struct content *index = scene_index(image, MANIFEST_OCI_IMAGE);
    struct edge_list parents = {0};
    struct target others[2];

    others_of(scene, &target, others);
    assert_false(known_parents(&scene->gateway, &target, &image->digest, gateway_now(), &parents));
    known_edges_put(&scene->gateway, &target, index, false, gateway_now());
    assert_true(known_parents(&scene->gateway, &target, &image->digest, gateway_now(), &parents));
    assert_int_equal(parents.count, 1);
    assert_true(digest_equal(&parents.parents[0].digest, &index->digest));
    edge_list_done(&parents);
    assert_false(known_parents(&scene->gateway, &target, &index->digest, gateway_now(), &parents));
    for (size_t i = 0; i < GH_COUNT(others); i++) {
        assert_false(
            known_parents(&scene->gateway, &others[i], &image->digest, gateway_now(), &parents));
    }
    content_unref(image);
    content_unref(index);
}

static void known_edges_put_broken_manifest_leads_nowhere(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    struct content *broken = scene_content(MANIFEST_OCI_INDEX, "{\"schemaVersion\":2,");
    struct edge_list parents = {0};

    known_edges_put(&scene->gateway, &target, broken, false, gateway_now());
    assert_false(known_parents(&scene->gateway, &target, &broken->digest, gateway_now(), &parents));
    content_unref(broken);
}

static void known_evidence_put_given_with_blobs_or_not_at_all(void **state)
{
    struct scene *scene = *state;
    struct target target = scene_target(scene, "registry.test/closed/app");
    const struct digest subject = digest_of("subject");
    struct evidence_item items[2] = {{.kind = EVIDENCE_BUNDLE, .location = "one"},
                                     {.kind = EVIDENCE_DSSE, .location = "two"}};
    const struct evidence_set set = {.items = items, .count = 2};
    struct evidence_record *record;
    struct target others[2];
    int64_t made_unix_s = 0;

    others_of(scene, &target, others);
    items[0].blob = bytes_of("first");
    items[0].digest = digest_of("first");
    items[1].blob = bytes_of("second");
    items[1].digest = digest_of("second");
    assert_null(known_evidence_get(&scene->gateway, &target, &subject, &made_unix_s));
    known_evidence_put(&scene->gateway, &target, &subject, &set, gateway_now());
    known_blob_put(&scene->gateway, &items[0].digest, NULL, items[0].blob);
    /* One blob is gone: half of the evidence would prove absence wrongly. */
    assert_null(known_evidence_get(&scene->gateway, &target, &subject, &made_unix_s));
    known_blob_put(&scene->gateway, &items[1].digest, NULL, items[1].blob);
    record = known_evidence_get(&scene->gateway, &target, &subject, &made_unix_s);
    assert_non_null(record);
    assert_int_equal(record->set.count, 2);
    assert_true(bytes_equal(record->set.items[1].blob, items[1].blob));
    evidence_record_free(record);
    for (size_t i = 0; i < GH_COUNT(others); i++) {
        assert_null(known_evidence_get(&scene->gateway, &others[i], &subject, &made_unix_s));
    }
}

static void known_blob_get_unknown_gives_nothing(void **state)
{
    struct scene *scene = *state;
    const struct digest digest = digest_of("blob");
    struct bytes_buf out = {0};

    assert_false(known_blob_get(&scene->gateway, &digest, &out));
    assert_null(out.data);
    known_blob_put(&scene->gateway, &digest, "text/plain", bytes_of("blob"));
    assert_true(known_blob_get(&scene->gateway, &digest, &out));
    assert_true(bytes_equal_cstr(bytes_view(&out), "blob"));
    bytes_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(known_tag_put_seen_there_alone_and_forgotten),
        SCENE_CASE(known_manifest_put_known_there_alone),
        SCENE_CASE(known_edges_put_children_have_the_parent_there_alone),
        SCENE_CASE(known_edges_put_broken_manifest_leads_nowhere),
        SCENE_CASE(known_evidence_put_given_with_blobs_or_not_at_all),
        SCENE_CASE(known_blob_get_unknown_gives_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
