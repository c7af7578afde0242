#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/route.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D "sha256:" HEX

static enum route_fault parse(const char *target, struct route *out)
{
    struct bytes query = bytes_of(target);
    struct bytes path;

    return bytes_split(&query, '?', &path) ? route_parse(path, query, out)
                                           : route_parse(query, bytes_make(NULL, 0), out);
}

static void route_parse_paths_recognised(void **state)
{
    static const struct {
        const char *target;
        enum route_kind kind;
        const char *name;
        const char *tag;
    } rows[] = {
        {"/v2/", ROUTE_VERSION, "", ""},
        {"/v2", ROUTE_VERSION, "", ""},
        {"/v2/_catalog?n=5", ROUTE_CATALOG, "", ""},
        {"/v2/app/manifests/latest", ROUTE_MANIFEST, "app", "latest"},
        {"/v2/app/manifests/" D, ROUTE_MANIFEST, "app", ""},
        {"/v2/app/manifests/sha256%3A" HEX, ROUTE_MANIFEST, "app", ""},
        {"/v2/ghcr.io/acme/app/manifests/v1.0_2-x", ROUTE_MANIFEST, "ghcr.io/acme/app", "v1.0_2-x"},
        {"/v2/localhost:5000/a/manifests/v1", ROUTE_MANIFEST, "localhost:5000/a", "v1"},
        {"/v2/a/b/c/d/blobs/" D, ROUTE_BLOB, "a/b/c/d", ""},
        {"/v2/tags/list/tags/list", ROUTE_TAGS, "tags/list", ""},
        {"/v2/a/tags/list?n=10&last=v1", ROUTE_TAGS, "a", ""},
        {"/v2/manifests/manifests/manifests/manifests", ROUTE_MANIFEST, "manifests/manifests",
         "manifests"},
        {"/v2/a/referrers/" D "?artifactType=application/x", ROUTE_REFERRERS, "a", ""},
        {"/v2/a/blobs/uploads/", ROUTE_UPLOAD, "a", ""},
        {"/v2/a/blobs/uploads/123?digest=" D, ROUTE_UPLOAD, "a", ""},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct route route;

        assert_int_equal(parse(rows[i].target, &route), ROUTE_OK);
        assert_int_equal(route.kind, rows[i].kind);
        assert_string_equal(route.name, rows[i].name);
        assert_string_equal(route.tag, rows[i].tag);
    }
}

static void route_parse_query_read(void **state)
{
    struct route route;

    assert_int_equal(parse("/v2/a/tags/list?ns=docker.io&n=7&last=v%2F1&zzz=1", &route), ROUTE_OK);
    assert_string_equal(route.ns, "docker.io");
    assert_true(route.has_limit);
    assert_int_equal(route.limit, 7);
    assert_string_equal(route.last, "v/1");
}

static void route_parse_faults_named(void **state)
{
    static const struct {
        const char *target;
        enum route_fault fault;
    } rows[] = {
        {"", ROUTE_NOT_FOUND},
        {"/", ROUTE_NOT_FOUND},
        {"/v1/app", ROUTE_NOT_FOUND},
        {"/v2/app", ROUTE_NOT_FOUND},
        {"/v2/app/tags/listing", ROUTE_NOT_FOUND},
        {"/v2/App/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/../manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a//b/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a%2Fb/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a%00b/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a%zzb/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a..b/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a___b/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a..b:5/c/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/-a/manifests/v1", ROUTE_NAME_INVALID},
        {"/v2/a/manifests/", ROUTE_TAG_INVALID},
        {"/v2/a/manifests/.x", ROUTE_TAG_INVALID},
        {"/v2/a/manifests/a%2fb", ROUTE_TAG_INVALID},
        {"/v2/a/manifests/sha256:../../x", ROUTE_DIGEST_INVALID},
        {"/v2/a/manifests/sha256:xyz", ROUTE_DIGEST_INVALID},
        {"/v2/a/manifests/sha256:"
         "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
         ROUTE_DIGEST_INVALID},
        {"/v2/a/manifests/md5:0123456789abcdef", ROUTE_DIGEST_INVALID},
        {"/v2/a/blobs/latest", ROUTE_DIGEST_INVALID},
        {"/v2/a/referrers/latest", ROUTE_DIGEST_INVALID},
        {"/v2/a/tags/list?n=x", ROUTE_QUERY_INVALID},
        {"/v2/a/tags/list?n=-1", ROUTE_QUERY_INVALID},
        {"/v2/a/manifests/v1?ns=a&ns=b", ROUTE_QUERY_INVALID},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct route route = {.kind = ROUTE_CATALOG};
        enum route_fault fault = parse(rows[i].target, &route);

        assert_int_equal(fault, rows[i].fault);
        assert_int_equal(route.kind, ROUTE_CATALOG);
    }
}

static void route_parse_long_name_refused(void **state)
{
    char target[600] = "/v2/";
    struct route route;

    memset(target + 4, 'a', ROUTE_MAX_NAME);
    memcpy(target + 4 + ROUTE_MAX_NAME, "/tags/list", sizeof("/tags/list"));
    assert_int_equal(parse(target, &route), ROUTE_OK);
    memset(target + 4, 'a', ROUTE_MAX_NAME + 1);
    memcpy(target + 5 + ROUTE_MAX_NAME, "/tags/list", sizeof("/tags/list"));
    assert_int_equal(parse(target, &route), ROUTE_NAME_INVALID);
}

static void route_evidence_tag_schemes_recognised(void **state)
{
    struct digest digest;

    assert_true(route_evidence_tag(bytes_of("sha256-" HEX), &digest));
    assert_true(route_evidence_tag(bytes_of("sha256-" HEX ".sig"), &digest));
    assert_true(route_evidence_tag(bytes_of("sha256-" HEX ".att"), &digest));
    assert_true(route_evidence_tag(bytes_of("sha256-" HEX ".sbom"), &digest));
    assert_int_equal(digest.alg, DIGEST_SHA256);
    assert_int_equal(digest.value[0], 0x01);
    assert_false(route_evidence_tag(bytes_of("sha256-" HEX ".exe"), &digest));
    assert_false(route_evidence_tag(bytes_of("sha256-" HEX "0"), &digest));
    assert_false(route_evidence_tag(bytes_of("latest"), &digest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_parse_paths_recognised),
        cmocka_unit_test(route_parse_query_read),
        cmocka_unit_test(route_parse_faults_named),
        cmocka_unit_test(route_parse_long_name_refused),
        cmocka_unit_test(route_evidence_tag_schemes_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
