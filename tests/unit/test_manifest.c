#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/manifest.h"
#include "metrics/error.h"

#define D0 "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define DESC(type) "{\"mediaType\":\"" type "\",\"digest\":\"" D0 "\",\"size\":2}"
#define CONFIG DESC("application/vnd.oci.image.config.v1+json")
#define LAYER DESC("application/vnd.oci.image.layer.v1.tar+gzip")
#define IMAGE_WITH(config, layers)                                                                 \
    "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_IMAGE "\",\"config\":" config             \
    ",\"layers\":[" layers "]}"

static void manifest_parse_image_read(void **state)
{
    GH_OWN(manifest_freep) struct manifest *m = NULL;
    struct gh_error err = {0};

    assert_true(manifest_parse(bytes_of(IMAGE_WITH(CONFIG, LAYER "," LAYER)),
                               MANIFEST_OCI_IMAGE "; charset=utf-8", &m, &err));
    assert_int_equal(m->kind, MANIFEST_IMAGE);
    assert_int_equal(m->item_count, 2);
    assert_true(m->has_config);
    assert_false(m->has_subject);
    assert_false(manifest_is_evidence(m));
}

static void manifest_parse_faults_named(void **state)
{
    static const struct {
        const char *body;
        const char *type;
        enum gh_cause cause;
    } rows[] = {
        {"", MANIFEST_OCI_IMAGE, GH_MALFORMED_JSON},
        {"{\"schemaVersion\":2", MANIFEST_OCI_IMAGE, GH_MALFORMED_JSON},
        {IMAGE_WITH(CONFIG, LAYER) "x", MANIFEST_OCI_IMAGE, GH_MALFORMED_JSON},
        {"{\"schemaVersion\":2,\"schemaVersion\":2}", MANIFEST_OCI_IMAGE, GH_DUPLICATE_JSON_KEY},
        {"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", MANIFEST_OCI_INDEX,
         GH_AMBIGUOUS_MANIFEST},
        {"{\"schemaVersion\":2,\"manifests\":[],\"config\":" CONFIG "}", MANIFEST_OCI_INDEX,
         GH_AMBIGUOUS_MANIFEST},
        {IMAGE_WITH(CONFIG, LAYER), MANIFEST_OCI_INDEX, GH_MEDIA_TYPE_MISMATCH},
        {"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", MANIFEST_OCI_INDEX,
         GH_MEDIA_TYPE_MISMATCH},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}",
         "application/vnd.docker.distribution.manifest.v1+prettyjws", GH_MANIFEST_TYPE_UNSUPPORTED},
        {"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", NULL,
         GH_MANIFEST_TYPE_UNSUPPORTED},
        {"{\"schemaVersion\":2,\"layers\":[]}", MANIFEST_OCI_IMAGE, GH_MALFORMED_MANIFEST},
        {"{\"schemaVersion\":2,\"config\":" CONFIG "}", MANIFEST_OCI_IMAGE, GH_MALFORMED_MANIFEST},
        {IMAGE_WITH("{\"mediaType\":\"a\",\"digest\":\"sha256:00\",\"size\":1}", LAYER),
         MANIFEST_OCI_IMAGE, GH_DIGEST_ALG_UNSUPPORTED},
        {IMAGE_WITH("{\"mediaType\":\"a\",\"digest\":\"" D0 "\",\"size\":-1}", LAYER),
         MANIFEST_OCI_IMAGE, GH_MALFORMED_MANIFEST},
        {IMAGE_WITH("{\"mediaType\":\"a\",\"digest\":\"" D0 "\",\"size\":1.5}", LAYER),
         MANIFEST_OCI_IMAGE, GH_MALFORMED_MANIFEST},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct manifest *m = NULL;
        struct gh_error err = {0};

        assert_false(manifest_parse(bytes_of(rows[i].body), rows[i].type, &m, &err));
        assert_null(m);
        assert_string_equal(gh_cause_label(err.cause), gh_cause_label(rows[i].cause));
    }
}

static void manifest_parse_items_over_limit_refused(void **state)
{
    for (size_t count = MANIFEST_MAX_ITEMS; count <= MANIFEST_MAX_ITEMS + 1; count++) {
        size_t size = 400 + count * (sizeof(LAYER) + 1);
        GH_OWN(manifest_freep) struct manifest *m = NULL;
        struct gh_error err = {0};
        char *body = test_malloc(size);
        size_t used =
            (size_t)snprintf(body, size, "{\"schemaVersion\":2,\"config\":%s,\"layers\":[", CONFIG);

        for (size_t i = 0; i < count; i++) {
            used += (size_t)snprintf(body + used, size - used, "%s%s", i > 0 ? "," : "", LAYER);
        }
        (void)snprintf(body + used, size - used, "]}");
        assert_int_equal(manifest_parse(bytes_of(body), MANIFEST_OCI_IMAGE, &m, &err),
                         count == MANIFEST_MAX_ITEMS);
        assert_int_equal(err.cause,
                         count == MANIFEST_MAX_ITEMS ? GH_CAUSE_NONE : GH_COUNT_LIMIT_EXCEEDED);
        test_free(body);
    }
}

static void manifest_is_evidence_runnable_refused(void **state)
{
    static const struct {
        const char *body;
        bool is_evidence;
    } rows[] = {
        {IMAGE_WITH(CONFIG, DESC("application/vnd.dev.cosign.simplesigning.v1+json")), true},
        {IMAGE_WITH(CONFIG, DESC("application/vnd.dev.cosign.simplesigning.v1+json") "," LAYER),
         false},
        {IMAGE_WITH(DESC("application/vnd.oci.empty.v1+json"),
                    DESC("application/vnd.dev.sigstore.bundle.v0.3+json")),
         true},
        {IMAGE_WITH(DESC("application/vnd.cncf.notary.signature"), DESC("application/cose")), true},
        {IMAGE_WITH(DESC("application/vnd.wasm.config.v0+json"), DESC("application/cose")), false},
        {IMAGE_WITH(CONFIG, ""), false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        GH_OWN(manifest_freep) struct manifest *m = NULL;
        struct gh_error err = {0};

        assert_true(manifest_parse(bytes_of(rows[i].body), MANIFEST_OCI_IMAGE, &m, &err));
        assert_int_equal(manifest_is_evidence(m), rows[i].is_evidence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_parse_image_read),
        cmocka_unit_test(manifest_parse_faults_named),
        cmocka_unit_test(manifest_parse_items_over_limit_refused),
        cmocka_unit_test(manifest_is_evidence_runnable_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
