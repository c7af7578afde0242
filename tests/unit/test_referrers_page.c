/* The pure part of finding evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/evidence.h"
#include "metrics/error.h"
#include "proxy/referrers_page.h"

#define INDEX "application/vnd.oci.image.index.v1+json"
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void next_table(void **state)
{
    static const struct {
        const char *link;
        const char *next; /* NULL: none */
        bool is_good;
    } rows[] = {
        {"</v2/a/referrers/x?n=2>; rel=\"next\"", "/v2/a/referrers/x?n=2", true},
        {"<a>;rel=next", "a", true},
        {"<a>; rel=prev, <b>; title=\"x, y; z\"; REL=\"first NEXT\"", "b", true},
        {"<a>; rel=nextish", NULL, true},
        {"<a>; rel", NULL, true},
        {"<a>", NULL, true},
        {"", NULL, true},
        {" , ", NULL, true},
        {"<a", NULL, false},
        {"a; rel=next", NULL, false},
        {"<a>; rel=\"next", NULL, false},
        {"<a> rel=next", NULL, false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        char *next = NULL;

        assert_int_equal(referrers_page_next(rows[i].link, &next, &err), rows[i].is_good);
        assert_true(rows[i].is_good || err.cause == GH_PAGINATION_INVALID);
        if (rows[i].next != NULL) {
            assert_string_equal(next, rows[i].next);
        } else {
            assert_null(next);
        }
        free(next);
    }
}

static void parse_table(void **state)
{
    static const struct {
        const char *type;
        const char *body;
        bool is_good;
    } rows[] = {
        {INDEX, "{\"manifests\":[]}", true},
        {INDEX "; charset=utf-8", "{\"manifests\":[],\"mediaType\":\"" INDEX "\"}", true},
        {"application/vnd.OCI.image.index.v1+json", "{\"manifests\":[]}", true},
        {"application/json", "{\"manifests\":[]}", false},
        {NULL, "{\"manifests\":[]}", false},
        {INDEX, "{\"manifests\":{}}", false},
        {INDEX, "{}", false},
        {INDEX, "[]", false},
        {INDEX, "", false},
        {INDEX, "{\"manifests\":[],\"manifests\":[]}", false},
        {INDEX, "{\"manifests\":[],\"mediaType\":\"text/plain\"}", false},
        {INDEX, "{\"manifests\":[]} x", false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        json_t *doc = NULL;
        json_t *list = NULL;

        assert_int_equal(
            referrers_page_parse(bytes_of(rows[i].body), rows[i].type, &doc, &list, &err),
            rows[i].is_good);
        assert_int_equal(err.cause, rows[i].is_good ? GH_CAUSE_NONE : GH_FALLBACK_INDEX_INVALID);
        json_decref(doc);
    }
}

static void descriptor_table(void **state)
{
    static const struct {
        const char *json;
        enum gh_cause cause;
    } rows[] = {
        {"{\"digest\":\"sha256:" HEX "\",\"mediaType\":\"m\",\"size\":3}", GH_CAUSE_NONE},
        {"{\"digest\":\"sha256:" HEX "0\",\"mediaType\":\"m\",\"size\":3}",
         GH_DIGEST_ALG_UNSUPPORTED},
        {"{\"digest\":\"md5:" HEX "\",\"mediaType\":\"m\",\"size\":3}", GH_DIGEST_ALG_UNSUPPORTED},
        {"{\"digest\":\"sha256:../../..\",\"mediaType\":\"m\",\"size\":3}",
         GH_DIGEST_ALG_UNSUPPORTED},
        {"{\"digest\":\"sha256:" HEX "\",\"mediaType\":\"m\",\"size\":-1}", GH_MALFORMED_MANIFEST},
        {"{\"digest\":\"sha256:" HEX "\",\"mediaType\":\"m\"}", GH_MALFORMED_MANIFEST},
        {"{\"digest\":\"sha256:" HEX "\",\"size\":3}", GH_MALFORMED_MANIFEST},
        {"{\"digest\":\"sha256:" HEX "\",\"mediaType\":\"m\",\"size\":3,\"artifactType\":4}",
         GH_MALFORMED_MANIFEST},
        {"[]", GH_MALFORMED_MANIFEST},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        struct referrers_descriptor out;
        json_t *entry = json_loads(rows[i].json, 0, NULL);

        assert_int_equal(referrers_page_descriptor(entry, &out, &err),
                         rows[i].cause == GH_CAUSE_NONE);
        assert_int_equal(err.cause, rows[i].cause);
        json_decref(entry);
    }
}

static void tags_as_specified(void **state)
{
    char out[REFERRERS_PAGE_MAX_TAG + 1];
    struct digest short_one = {0};
    struct digest long_one = {0};
    struct gh_error err = {0};

    assert_true(digest_parse(bytes_of("sha256:" HEX), &short_one, &err));
    assert_true(digest_parse(bytes_of("sha512:" HEX HEX), &long_one, &err));
    referrers_page_fallback_tag(&short_one, out);
    assert_string_equal(out, "sha256-" HEX);
    referrers_page_fallback_tag(&long_one, out);
    assert_string_equal(out, "sha512-" HEX);
    assert_true(referrers_page_cosign_tag(&short_one, ".sig", out));
    assert_string_equal(out, "sha256-" HEX ".sig");
    assert_false(referrers_page_cosign_tag(&long_one, ".sig", out));
}

static void kinds_of_types_right(void **state)
{
    unsigned bundle =
        referrers_page_kinds(bytes_of("application/vnd.dev.sigstore.bundle.v0.3+json"));
    unsigned notation = referrers_page_kinds(bytes_of("application/vnd.cncf.notary.signature"));

    assert_int_equal(bundle, 1u << EVIDENCE_BUNDLE);
    assert_int_equal(referrers_page_kinds(bytes_of("application/spdx+json")), 0);
    assert_int_equal(referrers_page_kinds(bytes_of("")), 0);
    assert_int_equal(referrers_page_layer_kind(notation, bytes_of("application/cose")),
                     EVIDENCE_NOTATION_COSE);
    assert_int_equal(referrers_page_layer_kind(notation, bytes_of("application/jose+json")),
                     EVIDENCE_NOTATION_JWS);
    assert_int_equal(referrers_page_layer_kind(bundle, bytes_of("application/cose")),
                     EVIDENCE_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_table),           cmocka_unit_test(parse_table),
        cmocka_unit_test(descriptor_table),     cmocka_unit_test(tags_as_specified),
        cmocka_unit_test(kinds_of_types_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
